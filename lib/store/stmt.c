#include "store/stmt.h"

#include "base/buf.h"
#include "task/task.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct stmt_set {
    sqlite3 *sql;
    sqlite3_stmt *prepared[Q_COUNT];
    enum err failed; /* the last that did not begin, by this */
};

struct stmt_set *stmt_set_new(sqlite3 *sql)
{
    struct stmt_set *set = mem_alloc(sizeof *set);
    set->sql = sql;
    return set;
}

void stmt_set_free(struct stmt_set *set)
{
    if (!set) return;
    for (int q = 0; q < Q_COUNT; q++) sqlite3_finalize(set->prepared[q]);
    free(set);
}

enum err stmt_error(sqlite3 *sql, int rc, const char *what, struct error *e)
{
    enum err code;
    if (rc == SQLITE_IOERR_NOMEM) rc = SQLITE_NOMEM;
    switch (rc & 0xff) {
    case SQLITE_NOMEM: mem_exhausted();
    case SQLITE_PROTOCOL: /* it gave up after many tries to get its locks */
    case SQLITE_BUSY:
    case SQLITE_LOCKED: code = ERR_BUSY; break;
    case SQLITE_FULL: code = ERR_FULL; break;
    case SQLITE_CONSTRAINT:
        code = rc == SQLITE_CONSTRAINT_TRIGGER ? ERR_STATE : ERR_INTERNAL;
        break;
    case SQLITE_IOERR:
        /* SQLITE_FULL is only what write(2) said; room for -shm, and quotas, are told so. */
        code = sqlite3_system_errno(sql) == ENOSPC || sqlite3_system_errno(sql) == EDQUOT ? ERR_FULL
                                                                                          : ERR_IO;
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: code = ERR_IO; break;
    default: code = ERR_INTERNAL;
    }
    return error_set(e, code, "%s: %s (%d)", what, sqlite3_errmsg(sql), rc);
}

sqlite3_stmt *stmt_begin(struct db *db, enum query query, struct error *e)
{
    struct stmt_set *set = db_statements(db);
    if (db_writing(db) && sqlite3_get_autocommit(set->sql)) {
        /* An earlier statement failed so badly (full, I/O) that SQLite ended the transaction: the
         * next one would be a transaction of its own. */
        set->failed =
            error_set(e, ERR_INTERNAL, "%s: the transaction is over", query_sources[query].name);
        return NULL;
    }
    if (!set->prepared[query]) {
        int rc = sqlite3_prepare_v3(set->sql, query_sources[query].sql, -1,
                                    SQLITE_PREPARE_PERSISTENT, &set->prepared[query], NULL);
        if (rc) {
            set->failed = stmt_error(set->sql, rc, query_sources[query].name, e);
            return NULL;
        }
    }
    assert(!sqlite3_stmt_busy(set->prepared[query]));
    return set->prepared[query];
}

enum err stmt_failed(const struct db *db)
{
    return db_statements(db)->failed;
}

/* A statement that does not know the name is our own mistake; tests prepare and bind them all. */
static int parameter(sqlite3_stmt *st, const char *name)
{
    int at = sqlite3_bind_parameter_index(st, name);
    assert(at > 0);
    return at;
}

void stmt_text(sqlite3_stmt *st, const char *name, const char *value)
{
    sqlite3_bind_text(st, parameter(st, name), value, -1, SQLITE_STATIC);
}

void stmt_blob(sqlite3_stmt *st, const char *name, const void *bytes, size_t len)
{
    sqlite3_bind_blob64(st, parameter(st, name), bytes ? bytes : "", len, SQLITE_STATIC);
}

void stmt_int(sqlite3_stmt *st, const char *name, int64_t value)
{
    if (value == TASK_NONE)
        sqlite3_bind_null(st, parameter(st, name));
    else
        sqlite3_bind_int64(st, parameter(st, name), value);
}

void stmt_real(sqlite3_stmt *st, const char *name, double value)
{
    sqlite3_bind_double(st, parameter(st, name), value);
}

void stmt_end(sqlite3_stmt *st)
{
    if (!st) return;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

enum err stmt_step(struct db *db, sqlite3_stmt *st, bool *row, struct error *e)
{
    int rc = sqlite3_step(st);
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) return ERR_OK;
    enum err code = stmt_error(db_sqlite(db), rc, "database", e);
    stmt_end(st);
    return code;
}

enum err stmt_number(struct db *db, sqlite3_stmt *st, int64_t *value, struct error *e)
{
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    *value = row ? sqlite3_column_int64(st, 0) : 0;
    stmt_end(st);
    return ERR_OK;
}

enum err stmt_run(struct db *db, sqlite3_stmt *st, struct error *e)
{
    bool row = true;
    while (row) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
    }
    stmt_end(st);
    return ERR_OK;
}

char *stmt_column_text(sqlite3_stmt *st, int column)
{
    const unsigned char *text = sqlite3_column_text(st, column);
    return mem_dup(text, (size_t)sqlite3_column_bytes(st, column));
}

int64_t stmt_column_int(sqlite3_stmt *st, int column)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL ? TASK_NONE
                                                          : sqlite3_column_int64(st, column);
}
