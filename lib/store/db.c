#include "store/db.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "gen/query.h"
#include "store/db_struct.h"
#include "store/lock_holder.h"
#include "store/migrate.h"
#include "store/presence.h"
#include "store/write_lock.h"
#include "task/cursor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

const char *db_path(const struct db *db)
{
    return db->path;
}

const char *db_epoch(const struct db *db)
{
    return db->epoch;
}

const struct db_limits *db_limits(const struct db *db)
{
    return &db->limits;
}

int64_t db_wal_pages(const struct db *db)
{
    return db->wal_pages;
}

bool db_log_is_stuck(const struct db *db)
{
    enum { STUCK_PAGES = 16384 };
    return db->wal_pages > STUCK_PAGES;
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

enum err db_open_beside(const char *path, const char *suffix, int *fd, struct error *e)
{
    struct buf name = {0};
    buf_fmt(&name, "%s%s", path, suffix);
    *fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    enum err rc = *fd < 0 ? error_errno(e, ERR_IO, "cannot open %s", name.data) : ERR_OK;
    buf_free(&name);
    return rc;
}

/* Reads the epoch; *settled says whether it is that of this boot. */
static enum err read_epoch(struct db *db, const char *boot, bool *settled, struct error *e)
{
    char seen[ID_SIZE] = "";
    *db->epoch = '\0';
    struct q_meta_get_row row;
    struct q_meta_get_cursor c = q_meta_get(db, e);
    while (q_meta_get_next(&c, &row)) {
        if (!strcmp(row.key, "epoch") && strlen(row.value) == EPOCH_DIGITS)
            strcpy(db->epoch, row.value);
        if (!strcmp(row.key, "boot_id") && strlen(row.value) < sizeof seen) strcpy(seen, row.value);
    }
    enum err rc = q_meta_get_close(&c);
    if (rc) return rc;
    *settled = *db->epoch && !strcmp(seen, boot);
    return ERR_OK;
}

static enum err write_epoch(struct db *db, const char *boot, struct error *e)
{
    id_hex(db->epoch, EPOCH_DIGITS);
    enum err rc = q_meta_set(db, "epoch", db->epoch, e);
    return rc ? rc : q_meta_set(db, "boot_id", boot, e);
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

    if ((rc = txn_begin(db, TXN_SYNC_BEFORE, e))) return rc;
    rc = read_epoch(db, boot, &settled, e); /* another process may have been first */
    if (!rc && !settled) rc = write_epoch(db, boot, e);
    return txn_end(db, rc, e);
}

enum err db_new_epoch(struct db *db, struct error *e)
{
    char boot[ID_SIZE];
    id_boot(boot);
    enum err rc = txn_begin(db, TXN_SYNC_BEFORE, e);
    return rc ? rc : txn_end(db, write_epoch(db, boot, e), e);
}

/* Runs a PRAGMA journal_mode; *wal: the mode is now WAL. */
static enum err journal_mode(struct sqlite3 *sql, const char *pragma, bool *wal, struct error *e)
{
    char mode[16];
    enum err rc = sqlite_pragma_text(sql, pragma, mode, sizeof mode, e);
    *wal = !strcmp(mode, "wal");
    return rc;
}

/* What only one process may do at a time when several start together. The version comes first: the
 * database of a newer program is left alone. */
static enum err make_current(struct db *db, bool migrate, struct error *e)
{
    bool current = false, wal = false;
    enum err rc = write_lock_take(db->lock, db->busy_ms, e);
    if (rc) return rc;
    lock_holder_set(db->lock, true);
    rc = migrate_check(db->sql, &current, e);
    if (!rc && !current && !migrate)
        rc = error_set(e, ERR_STATE, "%s needs a migration first", db->path);
    /* of an empty file only, and before its first page: others are made so by db_rebuild */
    if (!rc) rc = sqlite_exec(db->sql, "PRAGMA auto_vacuum = INCREMENTAL", e);
    if (!rc) rc = journal_mode(db->sql, "PRAGMA journal_mode = WAL", &wal, e);
    if (!rc && !wal) rc = error_set(e, ERR_IO, "%s: no write-ahead log is possible here", db->path);
    if (!rc && !current) rc = migrate_run(db->sql, e);
    write_lock_release(db->lock);
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
    if (!rc) rc = sqlite_exec(db->sql, "PRAGMA synchronous = NORMAL", e);
    return rc ? rc : settle_epoch(db, e);
}

enum err db_open(struct db **out, const struct db_options *options, struct error *e)
{
    struct db *db = mem_alloc(sizeof *db);
    db->path = mem_str(options->path);
    db->busy_ms = db->read_busy_ms = options->busy_ms;
    db->limits = options->limits;
    db->lock = db->bell = -1;
    db->data_version = -1;
    lock_holder_init();

    /* The database file itself is created first, so that it and what SQLite makes beside it belong
     * to the group. Closing this descriptor is safe: no lock of this process exists yet. */
    int fd = -1;
    enum err rc = access(db->path, F_OK) ? db_open_beside(db->path, "", &fd, e) : ERR_OK;
    if (fd >= 0) close(fd);
    if (!rc) rc = refuse_network(db->path, e);
    if (!rc) rc = db_open_beside(db->path, ".lock", &db->lock, e);
    if (!rc) rc = db_open_beside(db->path, ".bell", &db->bell, e);
    if (!rc) rc = presence_take(db->bell, db->path, options->alone, e);
    if (!rc) rc = sqlite_open(db->path, db->busy_ms, &db->sql, e);
    if (!rc) {
        sqlite_note_log(db->sql, &db->wal_pages);
        db->statements = statements_new(db->sql, Q_COUNT);
        db->controls = statements_new(db->sql, txn_controls());
        rc = prepare(db, options->migrate, e);
    }
    if (rc) {
        db_close(db);
        return rc;
    }
    *out = db;
    return ERR_OK;
}

enum err db_fold(struct db *db, struct error *e)
{
    bool wal = true;
    enum err rc = journal_mode(db->sql, "PRAGMA journal_mode = DELETE", &wal, e);
    return rc || !wal ? rc : error_set(e, ERR_BUSY, "%s is open elsewhere", db->path);
}

enum {
    AUTO_VACUUM_INCREMENTAL = 2,
    FREE_KEPT_PAGES = 1024, /* what is free stays for new rows: so many pages, ... */
    FREE_KEPT_PART = 4,     /* ... or this part of the file where that is more */
    GIVE_BACK_MS = 5,       /* a step ends after so long */
};

enum err db_gives_back(struct db *db, bool *gives, struct error *e)
{
    int64_t mode = 0;
    enum err rc = sqlite_pragma_number(db->sql, "PRAGMA auto_vacuum", &mode, e);
    *gives = mode == AUTO_VACUUM_INCREMENTAL;
    return rc;
}

enum err db_free_bytes(struct db *db, int64_t *bytes, struct error *e)
{
    int64_t pages = 0, size = 0;
    enum err rc = sqlite_pragma_number(db->sql, "PRAGMA freelist_count", &pages, e);
    if (!rc) rc = sqlite_pragma_number(db->sql, "PRAGMA page_size", &size, e);
    *bytes = pages * size;
    return rc;
}

/* Whether more is free than is kept for new rows. */
static enum err find_spare(struct db *db, bool *spare, struct error *e)
{
    int64_t freed = 0, pages = 0;
    enum err rc = sqlite_pragma_number(db->sql, "PRAGMA freelist_count", &freed, e);
    if (!rc && freed > FREE_KEPT_PAGES)
        rc = sqlite_pragma_number(db->sql, "PRAGMA page_count", &pages, e);
    *spare = freed > FREE_KEPT_PAGES && freed > pages / FREE_KEPT_PART;
    return rc;
}

/* One that does not give back keeps its spare pages until it is rebuilt: there is no more to do then. */
enum err db_give_back(struct db *db, int64_t wait_ms, bool *more, struct error *e)
{
    bool gives = false;
    *more = false;
    enum err rc = db_gives_back(db, &gives, e);
    if (!rc && gives) rc = find_spare(db, more, e);
    if (rc || !*more) return rc;
    if ((rc = txn_begin_quiet(db, wait_ms, e))) return rc;
    int64_t until = clock_monotonic_us() + GIVE_BACK_MS * 1000;
    do {
        rc = sqlite_exec(db->sql, "PRAGMA incremental_vacuum(16)", e);
        if (!rc) rc = find_spare(db, more, e);
    } while (!rc && *more && clock_monotonic_us() < until);
    rc = txn_end(db, rc, e);
    *more = !rc; /* whoever asks again learns that nothing is left */
    return rc;
}

/* The write lock keeps out those that do not know of presences. */
enum err db_rebuild(struct db *db, struct error *e)
{
    enum err rc = write_lock_take(db->lock, db->busy_ms, e);
    if (rc) return rc;
    lock_holder_set(db->lock, true);
    rc = sqlite_exec(db->sql, "PRAGMA auto_vacuum = INCREMENTAL", e);
    if (!rc) rc = sqlite_exec(db->sql, "VACUUM", e);
    if (rc) db_fold(db, NULL); /* all that there was room for is in the log */
    write_lock_release(db->lock);
    return rc;
}

void db_close(struct db *db)
{
    if (!db) return;
    txn_rollback(db);
    statements_free(db->statements);
    statements_free(db->controls);
    sqlite_close(db->checkpointer);
    sqlite_close(db->sql);
    if (db->lock >= 0) close(db->lock);
    if (db->bell >= 0) close(db->bell);
    free(db->path);
    free(db);
}

bool db_changed(struct db *db)
{
    int64_t version;
    if (q_data_version(db, &version, NULL)) return true;
    bool changed = version != db->data_version;
    db->data_version = version;
    return changed;
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
    return sqlite_version();
}

/* A connection that has read nothing yet does not know that there is a log: its checkpoints would do
 * nothing and call it success. */
static enum err open_checkpointer(struct db *db, struct error *e)
{
    enum err rc = sqlite_open(db->path, db->busy_ms, &db->checkpointer, e);
    if (!rc) rc = sqlite_exec(db->checkpointer, "PRAGMA schema_version", e);
    if (!rc) return ERR_OK;
    sqlite_close(db->checkpointer);
    db->checkpointer = NULL;
    return rc;
}

enum err db_checkpoint(struct db *db, struct error *e)
{
    enum err rc = ERR_OK;
    if (!db->checkpointer) rc = open_checkpointer(db, e);
    if (rc) return rc;
    /* Our own write lock keeps every other writer, also one that does not know it, from resetting
     * the log meanwhile. */
    if ((rc = txn_begin(db, TXN_SYNC_NONE, e))) return rc;
    lock_holder_set(db->lock, true);
    int64_t pages = 0, moved = 0;
    enum sqlite_checkpoint result = sqlite_checkpoint(db->checkpointer, &pages, &moved, e);
    txn_rollback(db);
    switch (result) {
    case CHECKPOINT_BUSY: return ERR_OK;
    case CHECKPOINT_UNSYNCED: return txn_sync_failed(db, e);
    case CHECKPOINT_FAILED: return ERR_IO;
    case CHECKPOINT_DONE: break;
    }
    if (pages < 0) return error_set(e, ERR_INTERNAL, "checkpoint: there is no write-ahead log");
    if (moved >= pages) db->wal_pages = 0;
    return ERR_OK;
}

enum { LONG_LOG_PAGES = 2048 }; /* 8 MiB */

/* Has the log begin anew, all of which is in the database. That it is, stands in memory that goes with the last process
 * which has the database open: whoever opens it then would copy all of it again, and write behind it, for ever. */
static enum err begin_log(struct db *db, struct error *e)
{
    int64_t version = 0;
    char same[64];
    enum err rc = txn_begin_quiet(db, db->busy_ms, e);
    if (rc) return rc;
    rc = sqlite_pragma_number(db->sql, "PRAGMA user_version", &version, e);
    snprintf(same, sizeof same, "PRAGMA user_version = %d",
             (int)version); /* a page is written all the same */
    if (!rc) rc = sqlite_exec(db->sql, same, e);
    return txn_end(db, rc, e);
}

enum err db_checkpoint_last(struct db *db, struct error *e)
{
    if (!db || db->wal_pages <= LONG_LOG_PAGES) return ERR_OK;
    enum err rc = db_checkpoint(db, e);
    return rc || db->wal_pages ? rc : begin_log(db, e);
}
