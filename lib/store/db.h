/* The database of one process: opened, brought to the newest schema, and kept short. What is read and written in it
 * are transactions (store/txn.h).
 *
 * Nobody but db_checkpoint checkpoints, and it does so inside the write lock: SQLite before 3.51.3 can corrupt a
 * database when a checkpoint races a writer that resets the log. */
#ifndef LEAT_STORE_DB_H
#define LEAT_STORE_DB_H

#include "base/error.h"
#include "store/txn.h"

#include <stdbool.h>
#include <stdint.h>

struct db;

/* Beyond these a job may say no more; 0: no bound. Bytes as owners.bytes and tasks.event_bytes count them. */
struct db_limits {
    int64_t events_per_task, event_bytes_per_task;
    int64_t bytes_per_owner;
};

struct db_options {
    const char *path;
    int64_t busy_ms; /* for the write lock and SQLite's own locks together */
    bool migrate;    /* create or upgrade the schema; else one that is not current is an error */
    bool
        alone; /* nobody else has it open, or opens it meanwhile (store/presence.h); else ERR_BUSY */
    struct db_limits limits;
};

/* Opens `path`, creating it and its companions (DB.lock, DB.bell, -wal, -shm). Draws a new epoch when
 * the database is new or this boot has not seen it; takes no lock when there is nothing to write.
 * ERR_NEWER when it was made by a newer program, ERR_STATE when it needs a migration, ERR_IO (not
 * openable, a network filesystem), ERR_BUSY, ERR_INTERNAL. Close with db_close; never carry across
 * fork. */
enum err db_open(struct db **out, const struct db_options *options, struct error *e);
void db_close(struct db *db);

/* Draws a new epoch: cursors of before count no more. For a database that was restored. */
enum err db_new_epoch(struct db *db, struct error *e);

/* Puts the database into one file, without a write-ahead log. Only where it is open alone; then it is to be closed. */
enum err db_fold(struct db *db, struct error *e);

/* Whether space that was freed can be given back (auto_vacuum is incremental). */
enum err db_gives_back(struct db *db, bool *gives, struct error *e);

/* Bytes of the file that are free, for new rows alone. */
enum err db_free_bytes(struct db *db, int64_t *bytes, struct error *e);

/* Gives a little of what is free back to the file system, in one transaction of some 5 ms that waits at most `wait_ms`
 * for its turn and rings no bell: until a quarter of the file is free, and at most 4 MiB of a small one. The file itself
 * becomes smaller with the next checkpoint that no reader hinders. *more: there was some, ask again. ERR_BUSY: somebody
 * else's turn; others as txn_commit. */
enum err db_give_back(struct db *db, int64_t wait_ms, bool *more, struct error *e);

/* Makes it so that space can be given back, by writing the whole database anew. Only where it is open alone. */
enum err db_rebuild(struct db *db, struct error *e);

/* Where it lies. Borrowed. */
const char *db_path(const struct db *db);

/* First half of every cursor. Borrowed. */
const char *db_epoch(const struct db *db);

/* db_options.limits. Borrowed. */
const struct db_limits *db_limits(const struct db *db);

/* Whether another connection has committed since the last call (true at the first). 4 us. */
bool db_changed(struct db *db);

/* Pages in the write-ahead log after this connection's last commit. */
int64_t db_wal_pages(const struct db *db);

/* Whether the log was longer then (64 MiB) than it becomes where checkpoints get through: somebody reads in one
 * transaction for long (store/log_readers.h). Who writes much that could wait, waits. */
bool db_log_is_stuck(const struct db *db);

/* Opens the file DB + suffix beside a database for reading and writing, made for owner and group where it is not
 * there; *fd is the caller's, -1 on ERR_IO. */
enum err db_open_beside(const char *path, const char *suffix, int *fd, struct error *e);

/* Bytes of the database file and of its write-ahead log (which keeps the length it once had). */
void db_bytes(const struct db *db, int64_t *database, int64_t *log);

/* Whether any process has found the database file malformed (store/damage.h). */
bool txn_malformed(const struct db *db);

/* The version of SQLite. */
const char *db_library(void);

/* Copies the write-ahead log into the database, inside the write lock. Skips
 * (ERR_OK) what readers still need. ERR_UNSYNCED as in txn_commit. */
enum err db_checkpoint(struct db *db, struct error *e);

/* The same for a process that is about to end: where its own commits left a long log, which begins anew then. NULL is
 * fine. */
enum err db_checkpoint_last(struct db *db, struct error *e);

#endif
