#include "store/txn.h"

#include "base/clock.h"
#include "store/damage.h"
#include "store/db_struct.h"
#include "store/write_lock.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum {
    LOOP_BUSY_MS = 20
}; /* for locks of SQLite that last microseconds: recovery, a reset of the log */

/* What every transaction needs, prepared once. */
enum control { BEGIN_WRITE, SET_SAVEPOINT, RELEASE_SAVEPOINT, COMMIT_WRITE, CONTROLS };

size_t txn_controls(void)
{
    return CONTROLS;
}

struct sqlite3 *db_sqlite(struct db *db)
{
    return db->sql;
}

struct statements *db_statements(const struct db *db)
{
    return db->statements;
}

bool txn_is_open(const struct db *db)
{
    return db->writing;
}

struct transitions *db_transitions(const struct db *db)
{
    return db->transitions;
}

void db_set_transitions(struct db *db, struct transitions *transitions)
{
    db->transitions = transitions;
}

void txn_on_end(struct db *db, void (*moment)(void *arg, enum txn_moment moment), void *arg)
{
    db->on_end = moment;
    db->on_end_arg = arg;
}

void txn_on_lock_wait(struct db *db, void (*waited)(void *arg, int64_t us), void *arg)
{
    db->on_lock_wait = waited;
    db->on_lock_wait_arg = arg;
}

/* Tells who watches what happened to the write transaction. */
static void tell(struct db *db, enum txn_moment moment)
{
    if (db->on_end) db->on_end(db->on_end_arg, moment);
}

enum err txn_sync_failed(struct db *db, struct error *e)
{
    db->unsynced = true;
    return error_set(e, ERR_UNSYNCED, "the write-ahead log cannot be synced");
}

static enum err control(struct db *db, enum control which, struct error *e)
{
    static const char *const texts[CONTROLS] = {[BEGIN_WRITE] = "BEGIN IMMEDIATE",
                                                [SET_SAVEPOINT] = "SAVEPOINT operation",
                                                [RELEASE_SAVEPOINT] = "RELEASE operation",
                                                [COMMIT_WRITE] = "COMMIT"};
    struct statement *st;
    enum err rc = statement_begin(db->controls, which, texts[which], texts[which], false, &st, e);
    return rc ? rc : statement_run(st, NULL, NULL, e);
}

bool txn_malformed(const struct db *db)
{
    return damage_noted(sqlite_file(db->sql)); /* without links, as it is noted */
}

/* Begins inside the write lock, which is released on failure. */
static enum err begin_locked(struct db *db, enum txn_sync sync, int64_t wait_ms, struct error *e)
{
    if (txn_malformed(db)) {
        write_lock_release(db->lock);
        return error_set(e, ERR_MALFORMED,
                         "%s is malformed: nothing is written to it. Restore a backup; or repair "
                         "it, and remove %s" DAMAGE_SUFFIX,
                         db->path, sqlite_file(db->sql));
    }
    sqlite_set_patience(db->sql, wait_ms);
    bool full = sync == TXN_SYNC_BEFORE;
    enum err rc = ERR_OK;
    if (full != db->full) {
        rc = sqlite_exec(db->sql,
                         full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", e);
        if (!rc) db->full = full;
    }
    if (!rc) rc = control(db, BEGIN_WRITE, e);
    sqlite_set_patience(db->sql, db->read_busy_ms);
    if (rc) {
        write_lock_release(db->lock);
        return rc;
    }
    db->writing = true;
    db->sync = sync;
    db->changed = sqlite_total_changes(db->sql);
    return ERR_OK;
}

static enum err begin(struct db *db, enum txn_sync sync, int64_t wait_ms, struct error *e)
{
    assert(!db->writing && !db->reading);
    if (db->unsynced) return txn_sync_failed(db, e);
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    enum err rc = write_lock_take(db->lock, wait_ms, e);
    return rc ? rc : begin_locked(db, sync, deadline - clock_monotonic_ms(), e);
}

void txn_note_lock_wait(struct db *db, int64_t us)
{
    if (db->on_lock_wait) db->on_lock_wait(db->on_lock_wait_arg, us);
}

enum err txn_begin(struct db *db, enum txn_sync sync, struct error *e)
{
    int64_t from = clock_monotonic_us();
    enum err rc = begin(db, sync, db->busy_ms, e);
    txn_note_lock_wait(db, clock_monotonic_us() - from);
    db->quiet = false;
    return rc;
}

enum err txn_begin_quiet(struct db *db, int64_t wait_ms, struct error *e)
{
    enum err rc = begin(db, TXN_SYNC_NONE, wait_ms < db->busy_ms ? wait_ms : db->busy_ms, e);
    db->quiet = true;
    return rc;
}

void txn_never_wait(struct db *db)
{
    db->busy_ms = 0;
    db->read_busy_ms = LOOP_BUSY_MS;
    sqlite_set_patience(db->sql, LOOP_BUSY_MS);
}

void txn_wait(struct db *db, int64_t busy_ms)
{
    db->busy_ms = busy_ms;
}

enum err txn_try_begin(struct db *db, enum txn_sync sync, bool locked, struct error *e)
{
    assert(!db->writing && !db->reading);
    db->quiet = false;
    enum err rc = db->unsynced ? txn_sync_failed(db, e) : ERR_OK;
    if (rc && locked) write_lock_release(db->lock);
    if (!rc && !locked) rc = write_lock_take(db->lock, 0, e);
    return rc ? rc : begin_locked(db, sync, 0, e);
}

enum err txn_savepoint(struct db *db, struct error *e)
{
    assert(db->writing);
    tell(db, TXN_SAVEPOINT);
    return control(db, SET_SAVEPOINT, e);
}

enum err txn_release(struct db *db, struct error *e)
{
    return control(db, RELEASE_SAVEPOINT, e);
}

enum err txn_undo(struct db *db, struct error *e)
{
    tell(db, TXN_UNDONE);
    return sqlite_exec(db->sql, "ROLLBACK TO operation; RELEASE operation", e);
}

bool txn_alive(const struct db *db)
{
    return db->writing && sqlite_in_transaction(db->sql);
}

int txn_lock_fd(const struct db *db)
{
    return db->lock;
}

void txn_unlock(struct db *db)
{
    write_lock_release(db->lock);
}

/* What a COMMIT that failed was. */
static enum err commit_error(struct db *db, enum err rc, struct error *e)
{
    /* Written but not synced: nobody sees it now, but after a crash it may be found. */
    if (sqlite_sync_refused(db->sql)) return txn_sync_failed(db, e);
    if (rc == ERR_IO && sqlite_log_errno(db->sql) == EDQUOT)
        return error_set(e, ERR_FULL, "the quota is used up");
    return rc;
}

enum err txn_commit_early(struct db *db, bool *sync, struct error *e)
{
    assert(db->writing);
    bool changed = sqlite_total_changes(db->sql) != db->changed;
    *sync = false;
    enum err rc = control(db, COMMIT_WRITE, e);
    if (rc) {
        rc = commit_error(db, rc, e);
        txn_rollback(db);
        return rc;
    }
    db->writing = false;
    write_lock_release(db->lock);
    *sync = changed && db->sync == TXN_SYNC_AFTER;
    if (!changed) db->quiet = true; /* nobody needs to look */
    tell(db, TXN_COMMITTED);
    return ERR_OK;
}

void txn_ring(struct db *db)
{
    /* The content is of no interest; the file stays one byte long. */
    if (!db->quiet && pwrite(db->bell, "!", 1, 0) < 0) errno = 0;
}

enum err txn_commit(struct db *db, struct error *e)
{
    bool sync;
    enum err rc = txn_commit_early(db, &sync, e);
    if (rc) return rc;
    txn_ring(db);
    if (sync && !sqlite_sync_log(db->sql)) rc = txn_sync_failed(db, e);
    return rc;
}

enum err txn_end(struct db *db, enum err rc, struct error *e)
{
    if (!rc) return txn_commit(db, e);
    txn_rollback(db);
    return rc;
}

bool txn_wanted(const struct db *db)
{
    return write_lock_wanted(db->lock);
}

void txn_rollback(struct db *db)
{
    if (!db->writing) return;
    if (sqlite_in_transaction(db->sql)) sqlite_exec(db->sql, "ROLLBACK", NULL);
    db->writing = false;
    write_lock_release(db->lock);
    tell(db, TXN_DROPPED);
}

enum err txn_read_begin(struct db *db, struct error *e)
{
    assert(!db->writing && !db->reading);
    enum err rc = sqlite_exec(db->sql, "BEGIN", e);
    db->reading = !rc;
    return rc;
}

void txn_read_end(struct db *db)
{
    if (!db->reading) return;
    sqlite_exec(db->sql, "COMMIT", NULL);
    db->reading = false;
}

bool txn_idle(struct db *db)
{
    return !db->writing && !db->reading && !sqlite_in_transaction(db->sql) && sqlite_idle(db->sql);
}
