/* The database of one process: opening, transactions, durability, wake-ups.
 *
 * Writers queue at the turnstile (flock on DB.lock), because SQLite's own busy handler polls and is
 * unfair. A commit becomes visible first and durable right after, outside the turnstile, so that the
 * syncs of several processes overlap; where others must not see a state before it is durable
 * (terminal states), the sync comes first. The bell rings last.
 *
 * Invariants:
 *  1. Every write happens between db_begin and db_commit, in one BEGIN IMMEDIATE, inside the turnstile.
 *  2. Nobody but db_checkpoint checkpoints, and it does so inside the turnstile (SQLite before 3.51.3
 *     can corrupt a database when a checkpoint races a writer that resets the log).
 *  3. No statement is left un-reset: an idle process holds no snapshot (db_idle). */
#ifndef LEAT_STORE_DB_H
#define LEAT_STORE_DB_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

struct db_options {
    const char *path;
    int64_t busy_ms; /* for the turnstile and SQLite's own locks together */
    bool migrate;    /* create or upgrade the schema; else one that is not current is an error */
    int64_t events_per_task; /* a job may say no more once its task has so many; 0: no limit */
};

/* Opens `path`, creating it and its companions (DB.lock, DB.bell, -wal, -shm). Draws a new epoch when
 * the database is new or this boot has not seen it; takes no lock when there is nothing to write.
 * ERR_NEWER when it was made by a newer program, ERR_STATE when it needs a migration, ERR_IO (not
 * openable, a network filesystem), ERR_BUSY, ERR_INTERNAL. Close with db_close; never carry across
 * fork. */
enum err db_open(struct db **out, const struct db_options *options, struct error *e);
void db_close(struct db *db);

/* First half of every cursor. Borrowed. */
const char *db_epoch(const struct db *db);

/* db_options.events_per_task. */
int64_t db_events_per_task(const struct db *db);

enum db_sync {
    DB_SYNC_NONE,   /* progress: lost with the power, never with a process */
    DB_SYNC_AFTER,  /* durable when db_commit returns */
    DB_SYNC_BEFORE, /* durable before anybody else can read it */
};

/* Opens the write transaction. ERR_BUSY after busy_ms: nothing was begun. ERR_IO, ERR_FULL. ERR_UNSYNCED
 * once any sync has failed, whoever was told of it. */
enum err db_begin(struct db *db, enum db_sync sync, struct error *e);

/* The same for what nobody waits for: DB_SYNC_NONE, gives up after `wait_ms`, and no bell is rung. */
enum err db_begin_quiet(struct db *db, int64_t wait_ms, struct error *e);

/* Ends it. On any error but ERR_UNSYNCED nothing was written and the transaction is over.
 * ERR_UNSYNCED: the disk refused the sync, and whether it is written shows only after a crash; the
 * process must stop. */
enum err db_commit(struct db *db, struct error *e);

/* Ends it by what came of the work in it: commits for ERR_OK, else drops it. `rc`, or the error of
 * db_commit. */
enum err db_end(struct db *db, enum err rc, struct error *e);

/* Drops it. Harmless when none is open. */
void db_rollback(struct db *db);

/* A read transaction, for several reads that must agree. Not nested; never held while waiting. */
enum err db_read_begin(struct db *db, struct error *e);
void db_read_end(struct db *db);

/* Whether another connection has committed since the last call (true at the first). 4 us. */
bool db_changed(struct db *db);

/* Whether no transaction is open and no statement un-reset: must hold before every wait. */
bool db_idle(struct db *db);

/* Pages in the write-ahead log after this connection's last commit, and those that its last checkpoint
 * found: nothing else tells what others have written. */
int64_t db_wal_pages(const struct db *db);
int64_t db_wal_found(const struct db *db);

/* Bytes of the database file and of its write-ahead log (which keeps the length it once had). */
void db_bytes(const struct db *db, int64_t *database, int64_t *log);

/* The version of SQLite. */
const char *db_library(void);

/* Copies the write-ahead log into the database, inside the turnstile. For the runner alone. Skips
 * (ERR_OK) what readers still need. ERR_UNSYNCED as in db_commit. */
enum err db_checkpoint(struct db *db, struct error *e);

#endif
