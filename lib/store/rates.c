#include "store/rates.h"

#include "store/stmt.h"

#include <assert.h>

enum err rate_queued(struct db *db, const char *owner, int64_t *count, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_RATE_QUEUED, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    return stmt_number(db, st, count, e);
}

enum err rate_created(struct db *db, const char *owner, int64_t nth, int64_t *created_at,
                      struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_RATE_CREATED, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_int(st, ":skip", nth - 1);
    return stmt_number(db, st, created_at, e);
}

enum err rate_count(struct db *db, const char *owner, const char *what, int64_t window,
                    int64_t *used, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_RATE_COUNT, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":what", what);
    stmt_int(st, ":window", window);
    return stmt_number(db, st, used, e);
}
