#include "store/presence.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMED_MAX = 5 };

/* Appends "process 12 (leatd)", behind what is there. */
static void name_process(struct buf *out, long pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *in = fopen(path, "re");
    if (in) {
        if (fgets(name, sizeof name, in)) name[strcspn(name, "\n")] = '\0';
        fclose(in);
    }
    buf_fmt(out, "%s%ld", out->len ? ", " : "process ", pid);
    if (*name) buf_fmt(out, " (%s)", name);
}

/* Those that hold a lock on the open file, as far as they are to be seen (proc_locks(5)). */
static void name_holders(struct buf *out, int fd)
{
    struct stat st;
    char line[256];
    FILE *in = fopen("/proc/locks", "re");
    size_t named = 0;
    while (in && !fstat(fd, &st) && named < NAMED_MAX && fgets(line, sizeof line, in)) {
        long pid = 0;
        unsigned long long inode = 0;
        if (sscanf(line, "%*s FLOCK %*s %*s %ld %*x:%*x:%llu", &pid, &inode) != 2) continue;
        if (inode != st.st_ino || pid <= 0 || pid == getpid()) continue;
        name_process(out, pid);
        named++;
    }
    if (in) fclose(in);
}

static enum err in_use(const char *db_path, struct buf *by, struct error *e)
{
    if (!by->len) buf_str(by, "a program");
    return error_set(e, ERR_BUSY,
                     "%s is open in %s: stop leatd, leat.fcgi and whatever else uses it first",
                     db_path, by->data);
}

/* Whether a process holds any of SQLite's locks on this file: shared ones on these bytes of the database
 * (sqlite3 os.h: PENDING_BYTE), others on DB-shm. */
static bool is_locked(const char *path, off_t start, off_t len, struct buf *by)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool locked = fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    if (locked && lock.l_pid > 0) name_process(by, lock.l_pid);
    return locked;
}

static enum err look_for_others(const char *db_path, struct error *e)
{
    enum { LOCK_BYTES = 512, ALL = 0 };
    const off_t pending_byte = 0x40000000;
    struct buf shm = {0}, by = {0};
    buf_fmt(&shm, "%s-shm", db_path);
    enum err rc = ERR_OK;
    if (is_locked(shm.data, 0, ALL, &by) || is_locked(db_path, pending_byte, LOCK_BYTES, &by))
        rc = in_use(db_path, &by, e);
    buf_free(&shm);
    buf_free(&by);
    return rc;
}

enum err presence_take(int fd, const char *db_path, bool alone, struct error *e)
{
    struct buf by = {0};
    enum err rc = ERR_OK;
    if (flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB)) {
        if (errno != EWOULDBLOCK) return error_errno(e, ERR_IO, "cannot lock %s.bell", db_path);
        name_holders(&by, fd);
        rc = alone ? in_use(db_path, &by, e)
                   : error_set(e, ERR_BUSY, "%s is being restored or migrated: try again", db_path);
    }
    buf_free(&by);
    return rc || !alone ? rc : look_for_others(db_path, e);
}
