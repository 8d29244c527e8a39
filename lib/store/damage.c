#include "store/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* DB.malformed; false: too long a path. */
static bool name_of(char *out, size_t size, const char *db_path)
{
    int n = snprintf(out, size, "%s" DAMAGE_SUFFIX, db_path);
    return n > 0 && (size_t)n < size;
}

void damage_note(const char *db_path)
{
    char path[4096], text[32];
    struct stat st;
    int saved = errno;
    bool known = name_of(path, sizeof path, db_path) && !stat(db_path, &st);
    int fd = known ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0660) : -1;
    if (fd >= 0) {
        int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)st.st_ino);
        if (write(fd, text, (size_t)n) != n) unlink(path);
        close(fd);
    }
    errno = saved;
}

bool damage_noted(const char *db_path)
{
    char path[4096], text[32];
    struct stat st;
    int fd = name_of(path, sizeof path, db_path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return !stat(db_path, &st) && strtoull(text, NULL, 10) == (unsigned long long)st.st_ino;
}
