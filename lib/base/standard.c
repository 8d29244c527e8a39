#include "base/standard.h"

#include <fcntl.h>
#include <unistd.h>

void standard_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) continue;
        int way = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        int null = open("/dev/null", way | O_CLOEXEC); /* the lowest that is free, which is fd */
        if (null >= 0 && null != fd) close(null);
    }
}
