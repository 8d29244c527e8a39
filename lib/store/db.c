#include "store/db.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "store/changes.h"
#include "store/figures.h"
#include "store/migrate.h"
#include "store/stmt.h"
#include "store/turnstile.h"
#include "task/cursor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct db {
    sqlite3 *sql;
    sqlite3 *checkpointer; /* opened at the first checkpoint */
    struct stmt_set *statements;
    char *path;
    int64_t busy_ms, events_per_task;
    struct figures *figures;
    struct changes *changes;
    int turnstile, bell; /* descriptors */
    char epoch[EPOCH_DIGITS + 1];
    bool writing, reading;
    bool quiet;        /* the write transaction rings no bell */
    bool unsynced;     /* a sync has failed: nothing is written any more */
    bool full;         /* PRAGMA synchronous is FULL, else NORMAL */
    enum db_sync sync; /* of the open write transaction */
    int changed;       /* total_changes when it began */
    int64_t wal_pages, wal_found;
    int data_version; /* seen by db_changed; -1: not yet */
};

sqlite3 *db_sqlite(struct db *db)
{
    return db->sql;
}

struct stmt_set *db_statements(const struct db *db)
{
    return db->statements;
}

bool db_writing(const struct db *db)
{
    return db->writing;
}

struct figures *db_figures(const struct db *db)
{
    return db->figures;
}

struct changes *db_changes(const struct db *db)
{
    return db->changes;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

const char *db_epoch(const struct db *db)
{
    return db->epoch;
}

int64_t db_events_per_task(const struct db *db)
{
    return db->events_per_task;
}

int64_t db_wal_pages(const struct db *db)
{
    return db->wal_pages;
}

int64_t db_wal_found(const struct db *db)
{
    return db->wal_found;
}

/* Runs SQL that is the connection's own business: transactions and pragmas. */
static enum err exec(sqlite3 *sql, const char *text, struct error *e)
{
    int rc = sqlite3_exec(sql, text, NULL, NULL, NULL);
    return rc ? stmt_error(sql, rc, text, e) : ERR_OK;
}

/* SQLite calls this after each commit with the length of the log; having it set also keeps SQLite
 * from checkpointing by itself (invariant 2). */
static int note_wal_pages(void *arg, sqlite3 *sql, const char *name, int pages)
{
    (void)sql, (void)name;
    ((struct db *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

/* WAL needs shared memory, which network filesystems do not have (sqlite.org/wal.html). */
static enum err refuse_network(const char *path, struct error *e)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } network[] = {{0x6969, "NFS"},       {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"},
                   {0x517b, "SMB"},       {0x5346414f, "AFS"},  {0x00c36400, "Ceph"},
                   {0x0bd00bd0, "Lustre"}};
    struct statfs fs;
    if (statfs(path, &fs)) return ERR_OK;
    for (size_t i = 0; i < sizeof network / sizeof *network; i++)
        if (((unsigned long)fs.f_type & 0xffffffff) == network[i].magic)
            return error_set(e, ERR_IO, "%s is on %s: the database needs a local filesystem", path,
                             network[i].name);
    return ERR_OK;
}

/* Opens DB + suffix, creating it for owner and group. */
static enum err open_beside(const char *path, const char *suffix, int *fd, struct error *e)
{
    struct buf name = {0};
    buf_fmt(&name, "%s%s", path, suffix);
    *fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    enum err rc = *fd < 0 ? error_errno(e, ERR_IO, "cannot open %s", name.data) : ERR_OK;
    buf_free(&name);
    return rc;
}

/* No program of ours has threads, and none asks SQLite how much memory it uses: without that a fifth of
 * its allocations is not spent on locks. Too late once SQLite has begun, and then of no importance. */
static void configure_library(void)
{
    static bool done;
    if (done) return;
    done = true;
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum err open_connection(const char *path, int64_t busy_ms, sqlite3 **out, struct error *e)
{
    configure_library();
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, out, flags, NULL);
    if (rc) return stmt_error(*out, rc, path, e);
    int on = 1;
    sqlite3_busy_timeout(*out, (int)busy_ms);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_file_control(*out, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    return ERR_OK;
}

/* Reads the epoch; *settled says whether it is that of this boot. */
static enum err read_epoch(struct db *db, const char *boot, bool *settled, struct error *e)
{
    char seen[ID_SIZE] = "";
    *db->epoch = '\0';
    sqlite3_stmt *st = stmt_begin(db, Q_META_GET, e);
    if (!st) return stmt_failed(db);
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
        if (!row) break;
        const char *key = (const char *)sqlite3_column_text(st, 0);
        const char *value = (const char *)sqlite3_column_text(st, 1);
        if (!strcmp(key, "epoch") && strlen(value) == EPOCH_DIGITS) strcpy(db->epoch, value);
        if (!strcmp(key, "boot_id") && strlen(value) < sizeof seen) strcpy(seen, value);
    }
    stmt_end(st);
    *settled = *db->epoch && !strcmp(seen, boot);
    return ERR_OK;
}

static enum err write_epoch(struct db *db, const char *boot, struct error *e)
{
    id_hex(db->epoch, EPOCH_DIGITS);
    const char *const values[][2] = {{"epoch", db->epoch}, {"boot_id", boot}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        sqlite3_stmt *st = stmt_begin(db, Q_META_SET, e);
        if (!st) return stmt_failed(db);
        stmt_text(st, ":key", values[i][0]);
        stmt_text(st, ":value", values[i][1]);
        enum err rc = stmt_run(db, st, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* Draws a new epoch for a new database, and for one that this boot has not seen: the last unsynced
 * rows may be gone, and their numbers would be used again for others. */
static enum err settle_epoch(struct db *db, struct error *e)
{
    char boot[ID_SIZE];
    bool settled = false;
    id_boot(boot);
    enum err rc = read_epoch(db, boot, &settled, e);
    if (rc || settled) return rc;

    if ((rc = db_begin(db, DB_SYNC_BEFORE, e))) return rc;
    rc = read_epoch(db, boot, &settled, e); /* another process may have been first */
    if (!rc && !settled) rc = write_epoch(db, boot, e);
    return db_end(db, rc, e);
}

static int note_mode(void *wal, int columns, char **values, char **names)
{
    (void)columns, (void)names;
    *(bool *)wal = values[0] && !strcmp(values[0], "wal");
    return 0;
}

/* Runs a PRAGMA journal_mode; *wal: the mode is now WAL. */
static enum err journal_mode(sqlite3 *sql, const char *pragma, bool *wal, struct error *e)
{
    *wal = false;
    int rc = sqlite3_exec(sql, pragma, note_mode, wal, NULL);
    return rc ? stmt_error(sql, rc, pragma, e) : ERR_OK;
}

/* What only one process may do at a time when several start together. The version comes first: the
 * database of a newer program is left alone. */
static enum err make_current(struct db *db, bool migrate, struct error *e)
{
    bool current = false, wal = false;
    enum err rc = turnstile_enter(db->turnstile, db->busy_ms, e);
    if (rc) return rc;
    rc = migrate_check(db->sql, &current, e);
    if (!rc && !current && !migrate)
        rc = error_set(e, ERR_STATE, "%s needs a migration first", db->path);
    if (!rc) rc = journal_mode(db->sql, "PRAGMA journal_mode = WAL", &wal, e);
    if (!rc && !wal) rc = error_set(e, ERR_IO, "%s: no write-ahead log is possible here", db->path);
    if (!rc && !current) rc = migrate_run(db->sql, e);
    turnstile_leave(db->turnstile);
    return rc;
}

/* Makes the database what the program needs. Where nothing is to be done, which is nearly always, no
 * lock is taken: a process that only reads opens while others write. */
static enum err prepare(struct db *db, bool migrate, struct error *e)
{
    bool current = false, wal = false;
    enum err rc = migrate_check(db->sql, &current, e);
    if (!rc) rc = journal_mode(db->sql, "PRAGMA journal_mode", &wal, e);
    if (!rc && !(current && wal)) rc = make_current(db, migrate, e);
    if (!rc) rc = exec(db->sql, "PRAGMA synchronous = NORMAL", e);
    return rc ? rc : settle_epoch(db, e);
}

enum err db_open(struct db **out, const struct db_options *options, struct error *e)
{
    struct db *db = mem_alloc(sizeof *db);
    db->path = mem_str(options->path);
    db->busy_ms = options->busy_ms;
    db->events_per_task = options->events_per_task;
    db->turnstile = db->bell = db->data_version = -1;
    db->figures = figures_new();
    db->changes = changes_new();

    /* The database file itself is created first, so that it and what SQLite makes beside it belong
     * to the group. Closing this descriptor is safe: no lock of this process exists yet. */
    int fd = -1;
    enum err rc = access(db->path, F_OK) ? open_beside(db->path, "", &fd, e) : ERR_OK;
    if (fd >= 0) close(fd);
    if (!rc) rc = refuse_network(db->path, e);
    if (!rc) rc = open_beside(db->path, ".lock", &db->turnstile, e);
    if (!rc) rc = open_beside(db->path, ".bell", &db->bell, e);
    if (!rc) rc = open_connection(db->path, db->busy_ms, &db->sql, e);
    if (!rc) {
        sqlite3_wal_hook(db->sql, note_wal_pages, db);
        db->statements = stmt_set_new(db->sql);
        rc = prepare(db, options->migrate, e);
    }
    if (rc) {
        db_close(db);
        return rc;
    }
    *out = db;
    return ERR_OK;
}

void db_close(struct db *db)
{
    if (!db) return;
    db_rollback(db);
    if (figures_joined(db)) figures_leave(db);
    figures_free(db->figures);
    stmt_set_free(db->statements);
    sqlite3_close(db->checkpointer);
    sqlite3_close(db->sql);
    if (db->turnstile >= 0) close(db->turnstile);
    if (db->bell >= 0) close(db->bell);
    changes_free(db->changes);
    free(db->path);
    free(db);
}

/* What the disk refused to sync it may have forgotten, and the next sync would not say so. */
static enum err unsynced(struct db *db, struct error *e)
{
    db->unsynced = true;
    return error_set(e, ERR_UNSYNCED, "the write-ahead log cannot be synced");
}

static enum err begin(struct db *db, enum db_sync sync, int64_t wait_ms, struct error *e)
{
    assert(!db->writing && !db->reading);
    if (db->unsynced) return unsynced(db, e);
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    enum err rc = turnstile_enter(db->turnstile, wait_ms, e);
    if (rc) return rc;

    int64_t left = deadline - clock_monotonic_ms();
    sqlite3_busy_timeout(db->sql, left > 0 ? (int)left : 0);
    bool full = sync == DB_SYNC_BEFORE;
    if (full != db->full) {
        rc = exec(db->sql, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", e);
        if (!rc) db->full = full;
    }
    if (!rc) rc = exec(db->sql, "BEGIN IMMEDIATE", e);
    sqlite3_busy_timeout(db->sql, (int)db->busy_ms);
    if (rc) {
        turnstile_leave(db->turnstile);
        return rc;
    }
    db->writing = true;
    db->sync = sync;
    db->changed = sqlite3_total_changes(db->sql);
    return ERR_OK;
}

enum err db_begin(struct db *db, enum db_sync sync, struct error *e)
{
    int64_t from = clock_monotonic_us();
    enum err rc = begin(db, sync, db->busy_ms, e);
    figures_observe(db, FIGURE_LOCK_WAIT, NULL, clock_monotonic_us() - from, 1);
    db->quiet = false;
    return rc;
}

enum err db_begin_quiet(struct db *db, int64_t wait_ms, struct error *e)
{
    enum err rc = begin(db, DB_SYNC_NONE, wait_ms < db->busy_ms ? wait_ms : db->busy_ms, e);
    db->quiet = true;
    return rc;
}

/* The write-ahead log as SQLite has it open, or NULL. */
static sqlite3_file *open_log(struct db *db)
{
    sqlite3_file *log = NULL;
    sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    return log && log->pMethods ? log : NULL;
}

/* Syncs the write-ahead log, wherever a commit of ours stands in it. When another process has moved
 * it into the database meanwhile, it synced it first. */
static bool sync_log(struct db *db)
{
    sqlite3_file *log = open_log(db);
    return log && log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK;
}

/* What a COMMIT that failed was: SQLite calls all but ENOSPC an I/O error. */
static enum err commit_error(struct db *db, enum err rc, struct error *e)
{
    sqlite3_file *log = open_log(db);
    int number = 0;
    if (sqlite3_extended_errcode(db->sql) == SQLITE_IOERR_FSYNC)
        /* Written but not synced: nobody sees it now, but after a crash it may be found. */
        return unsynced(db, e);
    if (rc == ERR_IO && log &&
        !log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number) && number == EDQUOT)
        return error_set(e, ERR_FULL, "the quota is used up");
    return rc;
}

enum err db_commit(struct db *db, struct error *e)
{
    assert(db->writing);
    bool changed = sqlite3_total_changes(db->sql) != db->changed;
    enum err rc = exec(db->sql, "COMMIT", e);
    if (rc) {
        rc = commit_error(db, rc, e);
        db_rollback(db);
        return rc;
    }
    db->writing = false;
    turnstile_leave(db->turnstile);
    if (!changed) return ERR_OK;

    if (db->sync == DB_SYNC_AFTER && !sync_log(db)) rc = unsynced(db, e);
    /* The content is of no interest; the file stays one byte long. */
    if (!db->quiet && pwrite(db->bell, "!", 1, 0) < 0 && !rc) errno = 0;
    changes_end(db, true);
    return rc;
}

enum err db_end(struct db *db, enum err rc, struct error *e)
{
    if (!rc) return db_commit(db, e);
    db_rollback(db);
    return rc;
}

void db_rollback(struct db *db)
{
    if (!db->writing) return;
    if (!sqlite3_get_autocommit(db->sql)) exec(db->sql, "ROLLBACK", NULL);
    db->writing = false;
    turnstile_leave(db->turnstile);
    changes_end(db, false);
}

enum err db_read_begin(struct db *db, struct error *e)
{
    assert(!db->writing && !db->reading);
    enum err rc = exec(db->sql, "BEGIN", e);
    db->reading = !rc;
    return rc;
}

void db_read_end(struct db *db)
{
    if (!db->reading) return;
    exec(db->sql, "COMMIT", NULL);
    db->reading = false;
}

bool db_changed(struct db *db)
{
    sqlite3_stmt *st = stmt_begin(db, Q_DATA_VERSION, NULL);
    bool row = false;
    if (!st || stmt_step(db, st, &row, NULL)) return true;
    int version = row ? sqlite3_column_int(st, 0) : 0;
    stmt_end(st);
    bool changed = version != db->data_version;
    db->data_version = version;
    return changed;
}

bool db_idle(struct db *db)
{
    if (db->writing || db->reading || !sqlite3_get_autocommit(db->sql)) return false;
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db->sql, st));)
        if (sqlite3_stmt_busy(st)) return false;
    return true;
}

/* Without opening them: a descriptor of ours that is closed takes SQLite's locks with it. */
void db_bytes(const struct db *db, int64_t *database, int64_t *log)
{
    struct stat st;
    struct buf path = {0};
    buf_fmt(&path, "%s-wal", db->path);
    *database = stat(db->path, &st) ? 0 : (int64_t)st.st_size;
    *log = stat(path.data, &st) ? 0 : (int64_t)st.st_size;
    buf_free(&path);
}

const char *db_library(void)
{
    return sqlite3_libversion();
}

/* A connection that has read nothing yet does not know that there is a log: its checkpoints would do
 * nothing and call it success. */
static enum err open_checkpointer(struct db *db, struct error *e)
{
    enum err rc = open_connection(db->path, db->busy_ms, &db->checkpointer, e);
    if (!rc) rc = exec(db->checkpointer, "PRAGMA schema_version", e);
    if (!rc) return ERR_OK;
    sqlite3_close(db->checkpointer);
    db->checkpointer = NULL;
    return rc;
}

enum err db_checkpoint(struct db *db, struct error *e)
{
    enum err rc = ERR_OK;
    if (!db->checkpointer) rc = open_checkpointer(db, e);
    if (rc) return rc;
    /* Our own write lock keeps every other writer, also one that knows no turnstile, from resetting
     * the log meanwhile. */
    if ((rc = db_begin(db, DB_SYNC_NONE, e))) return rc;
    int pages = 0, moved = 0;
    int result = sqlite3_wal_checkpoint_v2(db->checkpointer, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                           &pages, &moved);
    db_rollback(db);
    if (result == SQLITE_BUSY) return ERR_OK;
    if (result == SQLITE_IOERR_FSYNC) return unsynced(db, e);
    if (result) return stmt_error(db->checkpointer, result, "checkpoint", e);
    if (pages < 0) return error_set(e, ERR_INTERNAL, "checkpoint: there is no write-ahead log");
    db->wal_found = pages;
    if (moved >= pages) db->wal_pages = 0;
    return ERR_OK;
}
