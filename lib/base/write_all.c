#include "base/write_all.h"

#include <errno.h>
#include <unistd.h>

bool write_all(int fd, const void *bytes, size_t len)
{
    const char *from = bytes;
    while (len) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR) continue;
        if (!n) errno = EIO;
        if (n <= 0) return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}
