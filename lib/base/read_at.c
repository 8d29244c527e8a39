#include "base/read_at.h"

#include <errno.h>
#include <unistd.h>

enum err read_at(int fd, void *to, size_t len, int64_t at, const char *what, struct error *e)
{
    char *into = to;
    while (len) {
        ssize_t n = pread(fd, into, len, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_errno(e, ERR_IO, "cannot read %s", what);
        if (!n) return error_set(e, ERR_IO, "%s is shorter than it was", what);
        into += n;
        at += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}
