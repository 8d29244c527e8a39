/* What stands behind a struct db; for db.c, txn.c and log_readers.c alone. */
#ifndef LEAT_STORE_DB_STRUCT_H
#define LEAT_STORE_DB_STRUCT_H

#include "store/db.h"
#include "store/sqlite.h"
#include "store/txn.h"
#include "task/cursor.h"

struct db {
    struct sqlite3 *sql;
    struct sqlite3 *checkpointer; /* opened at the first checkpoint */
    struct statements *statements, *controls;
    char *path;
    int64_t busy_ms;      /* for the write lock and what comes with it */
    int64_t read_busy_ms; /* for SQLite's own locks elsewhere */
    struct db_limits limits;
    struct transitions *transitions;
    void (*on_end)(void *arg, enum txn_moment moment);
    void *on_end_arg;
    void (*on_lock_wait)(void *arg, int64_t us);
    void *on_lock_wait_arg;
    int lock, bell; /* descriptors */
    char epoch[EPOCH_DIGITS + 1];
    bool writing, reading;
    bool quiet;         /* the write transaction rings no bell */
    bool unsynced;      /* a sync has failed: nothing is written any more */
    bool full;          /* PRAGMA synchronous is FULL, else NORMAL */
    enum txn_sync sync; /* of the open write transaction */
    int64_t changed;    /* total_changes when it began */
    int64_t wal_pages;
    int64_t data_version; /* seen by db_changed; -1: not yet */
};

/* How many there are of what every transaction needs, prepared once. */
size_t txn_controls(void);

#endif
