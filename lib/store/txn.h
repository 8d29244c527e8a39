/* Transactions of a database: the write transaction, which waits for its turn at the write lock, its durability, and
 * who is told of its end.
 *
 * A commit becomes visible first and durable right after, outside the write lock, so that the syncs of several
 * processes overlap; where others must not see a state before it is durable (terminal states), the sync comes
 * first. The bell rings as soon as a commit is visible: who watches may see what is not durable yet, and after a
 * loss of power the epoch of the cursors is another one.
 *
 * Invariants:
 *  1. Every write happens between txn_begin and txn_commit, in one BEGIN IMMEDIATE, inside the write lock.
 *  2. No statement is left un-reset: an idle process holds no snapshot (txn_idle). */
#ifndef LEAT_STORE_TXN_H
#define LEAT_STORE_TXN_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

enum txn_sync {
    TXN_SYNC_NONE,   /* progress: lost with the power, never with a process */
    TXN_SYNC_AFTER,  /* durable when txn_commit returns */
    TXN_SYNC_BEFORE, /* durable before anybody else can read it */
};

/* Opens the write transaction. ERR_BUSY after busy_ms: nothing was begun. ERR_IO, ERR_FULL. ERR_UNSYNCED
 * once any sync has failed, whoever was told of it. ERR_MALFORMED once any process has found the file so. */
enum err txn_begin(struct db *db, enum txn_sync sync, struct error *e);

/* The same for what nobody waits for: TXN_SYNC_NONE, gives up after `wait_ms`, and no bell is rung. */
enum err txn_begin_quiet(struct db *db, int64_t wait_ms, struct error *e);

/* Ends it. On any error but ERR_UNSYNCED nothing was written and the transaction is over.
 * ERR_UNSYNCED: the disk refused the sync, and whether it is written shows only after a crash; the
 * process must stop. */
enum err txn_commit(struct db *db, struct error *e);

/* Ends it by what came of the work in it: commits for ERR_OK, else drops it. `rc`, or the error of
 * txn_commit. */
enum err txn_end(struct db *db, enum err rc, struct error *e);

/* Whether another process waits to write: who could go on for long may end, and begin again. */
bool txn_wanted(const struct db *db);

/* Drops it. Harmless when none is open. */
void txn_rollback(struct db *db);

/* ---- for a loop, which never waits ---- */

/* From now on this connection does not wait for locks of SQLite's longer than some ms: ERR_BUSY. */
void txn_never_wait(struct db *db);

/* Once the loop is over: who begins may wait `busy_ms` again. */
void txn_wait(struct db *db, int64_t busy_ms);

/* As txn_begin, but ERR_BUSY at once where it would have to wait. `locked`: the write lock is held already
 * (io_thread_lock); it is released when the transaction ends, and when this fails. */
enum err txn_try_begin(struct db *db, enum txn_sync sync, bool locked, struct error *e);

/* One operation of several in the open transaction: what comes after txn_savepoint is kept by txn_release or
 * dropped by txn_undo. An error of these, or of an operation after which !txn_alive, has ended the transaction
 * for all of them: txn_rollback. */
enum err txn_savepoint(struct db *db, struct error *e);
enum err txn_release(struct db *db, struct error *e);
enum err txn_undo(struct db *db, struct error *e);
bool txn_alive(const struct db *db);

/* Ends the transaction as txn_commit does, but where that would sync or ring afterwards leaves both to the
 * caller: *sync says whether the log is still to be synced (io_thread_sync) before who asked for it is told;
 * txn_ring may be called at once. Errors as txn_commit. */
enum err txn_commit_early(struct db *db, bool *sync, struct error *e);
void txn_ring(struct db *db);

/* A sync was refused: what the disk did not write it may have forgotten, and the next sync would not say so.
 * Nothing is written any more. Returns ERR_UNSYNCED. */
enum err txn_sync_failed(struct db *db, struct error *e);

/* The descriptor of the write lock, for io_thread_start, and its release where no transaction was begun. */
int txn_lock_fd(const struct db *db);
void txn_unlock(struct db *db);

/* A read transaction, for several reads that must agree. Not nested; never held while waiting. */
enum err txn_read_begin(struct db *db, struct error *e);
void txn_read_end(struct db *db);

/* Whether no transaction is open and no statement un-reset: must hold before every wait. */
bool txn_idle(struct db *db);

/* ---- for those who watch ---- */

enum txn_moment {
    TXN_SAVEPOINT, /* set in the open write transaction, in place of the one before */
    TXN_UNDONE,    /* what came after it is undone; the transaction goes on */
    TXN_COMMITTED, /* after the write lock was released */
    TXN_DROPPED,   /* the same: nothing was written */
};

/* Calls `moment` at each of these. NULL: nobody any more. It may not use the database. */
void txn_on_end(struct db *db, void (*moment)(void *arg, enum txn_moment moment), void *arg);

/* Calls `waited` with how long each txn_begin waited for the locks, whatever came of it. As txn_on_end. */
void txn_on_lock_wait(struct db *db, void (*waited)(void *arg, int64_t us), void *arg);

/* Tells that one, for whoever waited outside of txn_begin (txn_try_begin). */
void txn_note_lock_wait(struct db *db, int64_t us);

/* ---- for lib/store alone ---- */

struct sqlite3 *db_sqlite(struct db *db);
struct statements *db_statements(const struct db *db);
bool txn_is_open(const struct db *db);                   /* between txn_begin and txn_commit */
struct transitions *db_transitions(const struct db *db); /* NULL: nobody watches */
void db_set_transitions(struct db *db, struct transitions *transitions); /* borrowed */

#endif
