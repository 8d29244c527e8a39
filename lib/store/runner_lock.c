#include "store/runner_lock.h"

#include "base/buf.h"
#include "gen/query.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char *name_of(const char *db_path)
{
    struct buf name = {0};
    buf_fmt(&name, "%s.runner", db_path);
    return name.data;
}

enum err runner_lock_open(const char *db_path, int *fd, struct error *e)
{
    return db_open_beside(db_path, ".runner", fd, e);
}

bool runner_lock_share(int fd)
{
    return !flock(fd, LOCK_SH | LOCK_NB);
}

enum err runner_lock_take(const char *db_path, int *fd, struct error *e)
{
    enum err rc = runner_lock_open(db_path, fd, e);
    if (rc || !flock(*fd, LOCK_EX | LOCK_NB)) return rc;
    if (errno != EWOULDBLOCK) rc = error_errno(e, ERR_IO, "cannot lock %s.runner", db_path);
    close(*fd);
    *fd = -1;
    return rc;
}

bool runner_lock_is(int fd, const char *db_path)
{
    struct stat given, named;
    struct buf name = {.data = name_of(db_path)};
    bool is = !fstat(fd, &given) && !stat(name.data, &named) && given.st_dev == named.st_dev &&
              given.st_ino == named.st_ino;
    buf_free(&name);
    return is;
}

void runner_lock_drop(int fd)
{
    if (fd < 0) return;
    flock(fd, LOCK_UN); /* also for those that may still have a copy */
    close(fd);
}

enum err runner_wanted(struct db *db, bool *wanted, struct error *e)
{
    return q_runner_wanted(db, wanted, e);
}
