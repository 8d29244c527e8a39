#include "runner/cleanup.h"

#include "runner/helper.h"

#include <limits.h>
#include <sysexits.h>
#include <unistd.h>

enum { REQUEST_MAX = 2 * PATH_MAX + 256 };

enum err cleanup_start(struct child *out, struct forkserver *forks, const struct workroot *root,
                       const char *id, int64_t attempt, rlim_t nofile, struct error *e)
{
    struct buf request = {0};
    helper_put_text(&request, root->path);
    helper_put_text(&request, root->kept);
    helper_put_text(&request, id);
    helper_put_number(&request, attempt);
    enum err rc = helper_start(out, NULL, forks, CLEANUP_NAME, &request, nofile, e);
    buf_free(&request);
    return rc;
}

int cleanup_main(void)
{
    struct buf request = {0};
    size_t at = 0;
    helper_read(&request, STDIN_FILENO, REQUEST_MAX);
    struct workroot root;
    root.path = (char *)helper_next_text(&request, &at);
    root.kept = (char *)helper_next_text(&request, &at);
    const char *id = helper_next_text(&request, &at);
    workdir_remove(&root, id, helper_next_number(&request, &at), WORKDIR_ASIDE);
    buf_free(&request);
    return EX_OK;
}
