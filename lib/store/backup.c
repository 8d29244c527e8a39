#include "store/backup.h"

#include "base/buf.h"
#include "store/damage.h"
#include "store/migrate.h"
#include "store/presence.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- files ---- */

static char *beside(const char *path, const char *suffix)
{
    struct buf name = {0};
    buf_fmt(&name, "%s%s", path, suffix);
    return name.data;
}

static void remove_beside(const char *path, const char *suffix)
{
    char *name = beside(path, suffix);
    unlink(name);
    free(name);
}

/* Makes it last. `path` is a file, or a folder. */
static enum err sync_path(const char *path, int flags, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    enum err rc = fd < 0 || fsync(fd) ? error_errno(e, ERR_IO, "%s", path) : ERR_OK;
    if (fd >= 0) close(fd);
    return rc;
}

static enum err sync_folder_of(const char *path, struct error *e)
{
    char *copy = mem_str(path);
    enum err rc = sync_path(dirname(copy), O_DIRECTORY, e);
    free(copy);
    return rc;
}

/* An empty file, in the place of what an earlier call may have left. */
static enum err make_empty(const char *path, mode_t mode, struct error *e)
{
    unlink(path);
    remove_beside(path, "-journal");
    remove_beside(path, "-wal");
    remove_beside(path, "-shm");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return error_errno(e, ERR_IO, "cannot make %s", path);
    close(fd);
    return ERR_OK;
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, two;
    return !stat(a, &one) && !stat(b, &two) && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* Whether `file` is the database or one of its companions. To be told before it is opened: closing another
 * descriptor of a database that this process has open would drop its locks. */
static bool belongs_to(const char *file, const char *db_path)
{
    static const char *const suffixes[] = {"",      "-wal",    "-shm",     ".lock",
                                           ".bell", ".runner", ".streams", ".live"};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = beside(db_path, suffixes[i]);
        found = same_file(file, name);
        free(name);
    }
    return found;
}

/* Whether the file begins as a database of SQLite does. */
static bool is_database(const char *file)
{
    static const char magic[] = "SQLite format 3";
    char head[sizeof magic] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is = fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
              !memcmp(head, magic, sizeof magic);
    if (fd >= 0) close(fd);
    return is;
}

/* ---- making one ---- */

/* Whether a backup may come to stand there. */
static enum err check_target(const struct db *db, const char *file, struct error *e)
{
    struct stat st;
    if (belongs_to(file, db_path(db)))
        return error_set(e, ERR_STATE,
                         "%s is the database itself, or belongs to it: name another file", file);
    if (lstat(file, &st)) return ERR_OK;
    if (S_ISREG(st.st_mode) && (!st.st_size || is_database(file))) return ERR_OK;
    return error_set(e, ERR_STATE, "%s is there and is no backup: name another file, or remove it",
                     file);
}

enum err backup_make(struct db *db, const char *file, struct error *e)
{
    enum err rc = check_target(db, file, e);
    if (rc) return rc;
    char *new = beside(file, ".new");
    rc = belongs_to(new, db_path(db)) ? error_set(e, ERR_STATE, "%s belongs to the database", new)
                                      : make_empty(new, 0600, e);
    if (rc == ERR_IO) rc = e->code = ERR_STATE; /* nothing can be made there */
    if (!rc) {
        rc = sqlite_copy(db_sqlite(db), new, e);
        if (!rc) rc = sync_path(new, 0, e);
        if (!rc && rename(new, file)) rc = error_errno(e, ERR_IO, "cannot make %s", file);
        if (!rc) rc = sync_folder_of(file, e);
        if (rc) unlink(new);
        if (rc) remove_beside(new, "-journal");
    }
    free(new);
    return rc;
}

/* ---- putting one back ---- */

static enum err check_source(const char *path, const char *file, struct error *e)
{
    struct stat st;
    if (belongs_to(file, path))
        return error_set(e, ERR_STATE, "%s is the database itself, or belongs to it", file);
    if (stat(file, &st))
        return errno == ENOENT ? error_errno(e, ERR_NOTFOUND, "%s", file)
                               : error_errno(e, ERR_IO, "%s", file);
    if (!S_ISREG(st.st_mode) || !is_database(file))
        return error_set(e, ERR_STATE, "%s is no backup of a database", file);
    return ERR_OK;
}

/* Looks at every page, and whether it is ours. */
static enum err check_copy(struct sqlite3 *sql, const char *file, struct error *e)
{
    char found[200] = "";
    bool current;
    int64_t version = 0;
    enum err rc = sqlite_pragma_number(sql, "PRAGMA user_version", &version, e);
    if (!rc) rc = sqlite_pragma_text(sql, "PRAGMA quick_check(1)", found, sizeof found, e);
    if (!rc && strcmp(found, "ok") != 0)
        return error_set(e, ERR_MALFORMED, "%s is damaged: %s", file, found);
    if (!rc && version < 1)
        return error_set(e, ERR_STATE, "%s is a database of something else", file);
    return rc ? rc : migrate_check(sql, &current, e);
}

/* Copies `file` to `to`. */
static enum err copy_in(const char *file, const char *to, struct error *e)
{
    struct sqlite3 *source = NULL;
    enum err rc = make_empty(to, 0660, e);
    if (!rc) rc = sqlite_open_backup(file, &source, e);
    if (!rc) rc = check_copy(source, file, e);
    if (!rc) rc = sqlite_copy(source, to, e);
    sqlite_close(source);
    return rc;
}

/* Brings the copy to the newest schema and gives it an epoch of its own. */
static enum err prepare_copy(const char *to, struct error *e)
{
    const struct db_options options = {.path = to, .busy_ms = 5000, .migrate = true, .alone = true};
    struct db *db = NULL;
    enum err rc = db_open(&db, &options, e);
    if (rc) return rc;
    rc = db_new_epoch(db, e);
    if (!rc) rc = db_fold(db, e);
    db_close(db);
    return rc ? rc : sync_path(to, 0, e);
}

/* Whoever could use the old one can use the new one. */
static void take_over_rights(const char *path, const char *to)
{
    struct stat st;
    if (stat(path, &st)) return;
    if (chown(to, st.st_uid, st.st_gid)) return; /* only root may; then it is the caller's */
    chmod(to, st.st_mode & 07777);
}

/* Puts the log of the old one into it, where it is sound enough for that. */
static void fold_old(const char *path)
{
    struct sqlite3 *old = NULL;
    if (!sqlite_open(path, 0, &old, NULL)) sqlite_exec(old, "PRAGMA journal_mode = DELETE", NULL);
    sqlite_close(old);
}

/* Gives the old one another name besides, and its log, if it still has one: that must never be found beside the new
 * one. */
static enum err keep_old(const char *path, const char *kept, struct error *e)
{
    char *log = beside(path, "-wal"), *kept_log = beside(kept, "-wal");
    enum err rc = ERR_OK;
    if (rename(log, kept_log) && errno != ENOENT) rc = error_errno(e, ERR_IO, "%s", kept_log);
    if (!rc && link(path, kept) && rename(path, kept)) rc = error_errno(e, ERR_IO, "%s", kept);
    free(log);
    free(kept_log);
    remove_beside(path, "-shm");
    return rc;
}

static char *name_for_old(const char *path, int64_t now)
{
    struct buf name = {0};
    time_t seconds = (time_t)(now / 1000);
    struct tm utc = {0};
    char stamp[32] = "";
    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    for (int i = 0; i < 100; i++) {
        buf_clear(&name);
        buf_fmt(&name, "%s.before-%s", path, stamp);
        if (i) buf_fmt(&name, "-%d", i);
        if (access(name.data, F_OK)) break;
    }
    return name.data;
}

/* The new one takes the place of the old one. */
static enum err swap(const char *path, const char *new, int64_t now, char **kept, struct error *e)
{
    enum err rc = ERR_OK;
    if (!access(path, F_OK)) {
        take_over_rights(path, new);
        fold_old(path);
        *kept = name_for_old(path, now);
        rc = keep_old(path, *kept, e);
    }
    if (!rc && rename(new, path)) rc = error_errno(e, ERR_IO, "cannot replace %s", path);
    if (!rc) remove_beside(path, DAMAGE_SUFFIX); /* it was the old one's */
    return rc ? rc : sync_folder_of(path, e);
}

enum err backup_restore(const char *path, const char *file, int64_t now, char **kept,
                        struct error *e)
{
    int bell = -1;
    char *new = beside(path, ".restore");
    *kept = NULL;
    enum err rc = check_source(path, file, e);
    if (!rc) rc = db_open_beside(path, ".bell", &bell, e);
    if (!rc) rc = presence_take(bell, path, true, e);
    if (!rc) {
        rc = copy_in(file, new, e);
        if (!rc) rc = prepare_copy(new, e);
        if (!rc) rc = swap(path, new, now, kept, e);
        if (rc) unlink(new);
        remove_beside(new, "-wal");
        remove_beside(new, "-shm");
        remove_beside(new, ".lock");
        remove_beside(new, ".bell");
    }
    if (bell >= 0) close(bell);
    free(new);
    return rc;
}
