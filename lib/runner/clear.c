#include "runner/clear.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* An order is so many strings one behind the other, each with its NUL: the two roots, the id, and
 * the attempt. A pipe holds it. */
enum { STRINGS = 4, ORDER_MAX = 2 * PATH_MAX + 256 };

static void add_text(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text) + 1);
}

enum err clear_start(struct child *out, struct forkserver *forks, const struct workroot *root,
                     const char *id, int64_t attempt, rlim_t nofile, struct error *e)
{
    int ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return error_errno(e, ERR_IO, "/dev/null");
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        enum err rc = error_errno(e, ERR_IO, "pipe");
        close(null);
        return rc;
    }
    fcntl(ends[0], F_SETFL, 0);
    struct buf order = {0};
    add_text(&order, root->path);
    add_text(&order, root->kept);
    add_text(&order, id);
    buf_int(&order, attempt);
    buf_add(&order, "", 1);
    enum err rc = ERR_OK;
    if (order.len > ORDER_MAX || write(ends[1], order.data, order.len) != (ssize_t)order.len)
        rc = error_errno(e, ERR_IO, "pipe");
    const int descriptors[] = {ends[0], null, STDERR_FILENO, null};
    if (!rc) rc = forkserver_run_self(forks, out, CLEAR_NAME, descriptors, nofile, e);
    buf_free(&order);
    close(ends[0]);
    close(ends[1]);
    close(null);
    return rc;
}

int clear_main(void)
{
    static char order[ORDER_MAX + 1];
    char *at[STRINGS] = {order};
    size_t len = 0;
    while (len < ORDER_MAX) {
        ssize_t n = read(STDIN_FILENO, order + len, ORDER_MAX - len);
        if (n < 0 && errno != EINTR) return EX_IOERR;
        if (!n) break;
        if (n > 0) len += (size_t)n;
    }
    for (int i = 1; i < STRINGS; i++) {
        at[i] = at[i - 1] + strlen(at[i - 1]) + 1;
        if (at[i] >= order + len) return EX_DATAERR; /* cut short: the runner is gone */
    }
    const struct workroot root = {.path = at[0], .kept = at[1]};
    workdir_remove(&root, at[2], strtoll(at[3], NULL, 10), WORKDIR_ASIDE);
    return EX_OK;
}
