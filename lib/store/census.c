#include "store/census.h"

#include "base/buf.h"
#include "store/events.h"
#include "store/stmt.h"

#include <stdlib.h>

void census_free(struct census *c)
{
    for (size_t i = 0; i < c->task_rows; i++) free(c->tasks[i].type);
    free(c->tasks);
    *c = (struct census){0};
}

static enum err count_tasks(struct db *db, struct census *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CENSUS_TASKS, e);
    if (!st) return stmt_failed(db);
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
        if (!row) break;
        struct census_tasks t = {.count = sqlite3_column_int64(st, 2)};
        if (!task_status_parse((const char *)sqlite3_column_text(st, 1), &t.status)) continue;
        t.type = stmt_column_text(st, 0);
        out->tasks = mem_grow(out->tasks, out->task_rows + 1, sizeof *out->tasks);
        out->tasks[out->task_rows++] = t;
    }
    stmt_end(st);
    return ERR_OK;
}

static enum err find_due(struct db *db, int64_t now, struct census *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CENSUS_DUE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":now", now);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    out->due_since = stmt_column_int(st, 0);
    stmt_end(st);
    return ERR_OK;
}

static enum err count_runners(struct db *db, int64_t now, struct census *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CENSUS_RUNNERS, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":now", now);
    return stmt_number(db, st, &out->runners, e);
}

static enum err count_events(struct db *db, struct census *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CENSUS_EVENTS, e);
    if (!st) return stmt_failed(db);
    enum err rc = stmt_number(db, st, &out->events, e);
    return rc ? rc : events_newest(db, &out->newest_event, e);
}

enum err census_take(struct db *db, int64_t now, struct census *out, struct error *e)
{
    *out = (struct census){.log_pages = db_wal_pages(db)};
    enum err rc = db_read_begin(db, e);
    if (rc) return rc;
    rc = count_tasks(db, out, e);
    if (!rc) rc = find_due(db, now, out, e);
    if (!rc) rc = count_runners(db, now, out, e);
    if (!rc) rc = count_events(db, out, e);
    db_read_end(db);
    db_bytes(db, &out->database_bytes, &out->log_bytes);
    return rc;
}
