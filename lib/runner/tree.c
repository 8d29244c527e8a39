#include "runner/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every folder is brought to the top of the tree before it is emptied, so that one descriptor for the top
 * and one for it are enough, and no path is longer than a name. */
struct tree {
    int top;
    dev_t device;
    unsigned long moved; /* folders brought to the top: each gets a number for its name */
    size_t done;         /* entries removed, or brought to the top */
    size_t *entries;
    int stuck; /* errno: why one could not be; 0: all could */
};

/* Opens the folder `name` of `in`, so that what is in it can be removed. */
static int open_folder(int in, const char *name)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(in, name, how);
    if (fd < 0 && errno == EACCES && !fchmodat(in, name, 0700, AT_SYMLINK_NOFOLLOW))
        fd = openat(in, name, how);
    struct stat st;
    if (fd >= 0 && !fstat(fd, &st) && (st.st_mode & 0700) != 0700) fchmod(fd, 0700);
    return fd;
}

static void note_stuck(struct tree *t)
{
    if (errno != ENOTEMPTY || !t->stuck) t->stuck = errno; /* why it is not empty says more */
}

/* An entry is done with when `failed` is 0, or there is none of that name any more. */
static void count(struct tree *t, int failed)
{
    if (!failed || errno == ENOENT)
        t->done++;
    else
        note_stuck(t);
}

/* Brings the folder `name` of `in` to the top. */
static void move_up(struct tree *t, int in, const char *name)
{
    int failed;
    char number[32];
    do {
        snprintf(number, sizeof number, "%lu", t->moved++);
        failed = renameat(in, name, t->top, number);
        /* The job may have made one of that name, which is found in its turn. */
    } while (failed && (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR));
    if (failed && errno == EACCES && !fchmodat(in, name, 0700, AT_SYMLINK_NOFOLLOW))
        failed = renameat(in, name, t->top, number);
    count(t, failed);
}

static bool empty(struct tree *t, int fd);

/* Removes the folder `name` of the top. False: *entries are used up. */
static bool remove_folder(struct tree *t, const char *name)
{
    struct stat st;
    bool more = true;
    int fd = open_folder(t->top, name), failed = fd < 0 || fstat(fd, &st);
    if (!failed && st.st_dev != t->device) {
        errno = EXDEV;
        failed = -1;
    }
    if (!failed) more = empty(t, fd);
    if (!failed && more) failed = unlinkat(t->top, name, AT_REMOVEDIR);
    if (failed || more) count(t, failed);
    if (fd >= 0) close(fd);
    return more;
}

/* Removes the entry `name` of the folder `fd`; a folder that is not empty is moved to the top, or if that is
 * where it is, removed with all in it. False: *entries are used up. */
static bool remove_entry(struct tree *t, int fd, const char *name)
{
    if (!*t->entries) return false;
    --*t->entries;
    int failed = unlinkat(fd, name, 0);
    /* POSIX says EPERM for a folder; it may mean what it says, too. */
    if (failed && (errno == EISDIR || errno == EPERM)) {
        failed = unlinkat(fd, name, AT_REMOVEDIR);
        if (failed && (errno == ENOTEMPTY || errno == EEXIST)) {
            if (fd == t->top) return remove_folder(t, name);
            move_up(t, fd, name);
            return true;
        }
    }
    count(t, failed);
    return true;
}

/* Removes what is in the folder `fd`, or brings it to the top. False: *entries are used up. */
static bool empty(struct tree *t, int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        count(t, -1);
        if (copy >= 0) close(copy);
        return true;
    }
    bool more = true;
    for (const struct dirent *d; more && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            more = remove_entry(t, fd, d->d_name);
    closedir(dir);
    return more;
}

enum tree_left tree_remove(const char *path, size_t *entries)
{
    struct tree t = {.top = open_folder(AT_FDCWD, path)};
    t.entries = entries;
    struct stat st;
    if (t.top < 0) {
        bool file = errno == ENOTDIR || errno == ELOOP;
        return errno == ENOENT || (file && !unlink(path)) ? TREE_GONE : TREE_STUCK;
    }
    int failed = fstat(t.top, &st);
    if (failed) note_stuck(&t);
    t.device = st.st_dev;
    enum tree_left left = TREE_STUCK;
    /* Again for what came to the top while it was read, as long as something does. */
    for (size_t before = SIZE_MAX; !failed && left == TREE_STUCK && t.done != before;) {
        before = t.done;
        if (!empty(&t, t.top))
            left = TREE_LEFT;
        else if (!rmdir(path) || errno == ENOENT)
            left = TREE_GONE;
        else
            note_stuck(&t);
    }
    close(t.top);
    errno = t.stuck;
    return left;
}
