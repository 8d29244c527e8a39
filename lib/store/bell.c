#include "store/bell.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

struct bell {
    int inotify;
};

enum err bell_open(struct bell **out, const char *db_path, struct error *e)
{
    struct buf path = {0};
    buf_fmt(&path, "%s.bell", db_path);
    enum err rc = ERR_OK;
    int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int fd = open(path.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0660);
    if (fd >= 0) close(fd);
    if (notify < 0)
        rc = error_errno(e, ERR_IO, "inotify_init1");
    else if (fd < 0 || inotify_add_watch(notify, path.data, IN_MODIFY) < 0)
        rc = error_errno(e, ERR_IO, "cannot listen at %s", path.data);
    buf_free(&path);
    if (rc) {
        if (notify >= 0) close(notify);
        return rc;
    }
    *out = mem_alloc(sizeof **out);
    (*out)->inotify = notify;
    return ERR_OK;
}

void bell_close(struct bell *b)
{
    if (!b) return;
    close(b->inotify);
    free(b);
}

int bell_fd(const struct bell *b)
{
    return b->inotify;
}

void bell_answer(struct bell *b)
{
    char events[4096];
    while (read(b->inotify, events, sizeof events) == (ssize_t)sizeof events) continue;
}
