#include "runner/clear.h"

#include "runner/itself.h"

#include <limits.h>
#include <sysexits.h>
#include <unistd.h>

enum { ORDER_MAX = 2 * PATH_MAX + 256 };

enum err clear_start(struct child *out, struct forkserver *forks, const struct workroot *root,
                     const char *id, int64_t attempt, rlim_t nofile, struct error *e)
{
    struct buf order = {0};
    itself_put_text(&order, root->path);
    itself_put_text(&order, root->kept);
    itself_put_text(&order, id);
    itself_put_number(&order, attempt);
    enum err rc = itself_start(out, NULL, forks, CLEAR_NAME, &order, nofile, e);
    buf_free(&order);
    return rc;
}

int clear_main(void)
{
    struct buf order = {0};
    size_t at = 0;
    itself_read(&order, STDIN_FILENO, ORDER_MAX);
    struct workroot root;
    root.path = (char *)itself_next_text(&order, &at);
    root.kept = (char *)itself_next_text(&order, &at);
    const char *id = itself_next_text(&order, &at);
    workdir_remove(&root, id, itself_next_number(&order, &at), WORKDIR_ASIDE);
    buf_free(&order);
    return EX_OK;
}
