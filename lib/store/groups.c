#include "store/groups.h"

#include "base/buf.h"
#include "store/stmt.h"
#include "store/tasks.h"
#include "task/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The statuses of a group are those of tasks and idle; the words live as long as the program. */
static const char *status_word(const char *name)
{
    enum task_status status;
    return task_status_parse(name, &status) ? task_status_name(status) : "idle";
}

enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_GROUP_GET, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":name", name);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    *out = (struct group){
        .owner = mem_str(owner),
        .name = mem_str(name),
        .status = "idle",
        .created_at = TASK_NONE,
        .updated_at = TASK_NONE,
    };
    if (row) {
        out->status = status_word((const char *)sqlite3_column_text(st, 0));
        for (int s = 0; s < TASK_STATUSES; s++) out->counts[s] = sqlite3_column_int64(st, 1 + s);
        out->progress = sqlite3_column_double(st, 7);
        out->context = stmt_column_text(st, 8);
        out->version = sqlite3_column_int64(st, 9);
        out->created_at = sqlite3_column_int64(st, 10);
        out->updated_at = sqlite3_column_int64(st, 11);
    }
    stmt_end(st);
    return ERR_OK;
}

enum err group_page_read(struct db *db, const char *owner, const struct group_name *after,
                         int64_t limit, struct group_page *out, struct error *e)
{
    *out = (struct group_page){0};
    sqlite3_stmt *st = stmt_begin(db, owner ? Q_GROUP_PAGE_OWNER : Q_GROUP_PAGE_ALL, e);
    if (!st) return stmt_failed(db);
    if (owner) stmt_text(st, ":owner", owner);
    if (!owner) stmt_text(st, ":before_owner", after ? after->owner : "");
    stmt_int(st, ":before", after ? after->updated_at : INT64_MAX);
    stmt_text(st, ":before_name", after ? after->name : "");
    stmt_int(st, ":limit", limit + 1);
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            group_page_free(out);
            return rc;
        }
        if (!row) break;
        if (out->count == (size_t)limit) {
            out->more = true;
            break;
        }
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] = (struct group_name){.owner = stmt_column_text(st, 0),
                                                       .name = stmt_column_text(st, 1),
                                                       .updated_at = sqlite3_column_int64(st, 2)};
    }
    stmt_end(st);
    return ERR_OK;
}

void group_page_free(struct group_page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].owner);
        free(p->items[i].name);
    }
    free(p->items);
    *p = (struct group_page){0};
}

/* A group exists by being named: makes sure that the row is there. */
static enum err group_touch(struct db *db, const char *owner, const char *name, int64_t now,
                            struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_GROUP_TOUCH, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":name", name);
    stmt_int(st, ":now", now);
    return stmt_run(db, st, e);
}

enum err group_context_put(struct db *db, const char *owner, const char *name, const char *json,
                           int64_t expected, int64_t now, struct error *e)
{
    enum err rc = group_touch(db, owner, name, now, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_GROUP_CONTEXT_PUT, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":name", name);
    stmt_text(st, ":context", json);
    stmt_int(st, ":version", expected < 0 ? TASK_NONE : expected);
    stmt_int(st, ":now", now);
    rc = stmt_run(db, st, e);
    if (rc || sqlite3_changes(db_sqlite(db))) return rc;
    return error_set(e, ERR_STATE, "the context is no longer at version %lld", (long long)expected);
}

enum err group_publish(struct db *db, const char *owner, const char *name, const char *request_id,
                       const char *type, const char *payload, int64_t now, int64_t *seq,
                       struct error *e)
{
    enum err rc = group_touch(db, owner, name, now, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_EVENT_PUBLISH, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":group_id", name);
    stmt_text(st, ":request_id", request_id);
    stmt_text(st, ":type", type);
    stmt_text(st, ":payload", payload);
    stmt_int(st, ":now", now);
    rc = stmt_run(db, st, e);
    *seq = sqlite3_last_insert_rowid(db_sqlite(db));
    return rc;
}

/* The tasks of a group in one status, to be changed once the reading is over. */
struct members {
    struct member {
        int64_t n;
        char *type;
    } * items;
    size_t count;
};

static void members_free(struct members *m)
{
    for (size_t i = 0; i < m->count; i++) free(m->items[i].type);
    free(m->items);
    *m = (struct members){0};
}

static enum err members_read(struct db *db, const char *owner, const char *name,
                             enum task_status status, struct members *out, struct error *e)
{
    *out = (struct members){0};
    sqlite3_stmt *st = stmt_begin(db, Q_GROUP_TASKS, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":group_id", name);
    stmt_text(st, ":status", task_status_name(status));
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            members_free(out);
            return rc;
        }
        if (!row) break;
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] =
            (struct member){.n = sqlite3_column_int64(st, 0), .type = stmt_column_text(st, 1)};
    }
    stmt_end(st);
    return ERR_OK;
}

enum err group_cancel(struct db *db, const char *owner, const char *name, int64_t now,
                      int64_t *cancelled, int64_t *requested, struct error *e)
{
    static const enum task_status statuses[] = {TASK_PENDING, TASK_RUNNING};
    int64_t *const counts[] = {cancelled, requested};
    enum err rc = ERR_OK;
    for (size_t s = 0; !rc && s < 2; s++) {
        struct members m;
        rc = members_read(db, owner, name, statuses[s], &m, e);
        *counts[s] = 0;
        for (size_t i = 0; !rc && i < m.count; i++, ++*counts[s])
            rc = task_cancel_n(db, m.items[i].n, statuses[s], now, e);
        members_free(&m);
    }
    return rc;
}

enum err group_retry(struct db *db, const char *owner, const char *name,
                     int64_t (*attempts)(void *arg, const char *type), void *arg, int64_t now,
                     int64_t *retried, struct error *e)
{
    static const enum task_status statuses[] = {TASK_FAILED, TASK_TIMEOUT, TASK_CANCELLED};
    enum err rc = ERR_OK;
    *retried = 0;
    for (size_t s = 0; !rc && s < 3; s++) {
        struct members m;
        rc = members_read(db, owner, name, statuses[s], &m, e);
        for (size_t i = 0; !rc && i < m.count; i++, ++*retried)
            rc = task_retry(db, m.items[i].n, attempts(arg, m.items[i].type), now, e);
        members_free(&m);
    }
    return rc;
}
