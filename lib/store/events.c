#include "store/events.h"

#include "store/stmt.h"

#include <stdlib.h>
#include <string.h>

bool event_in_scope(const struct event *ev, const struct event_scope *scope)
{
    switch (scope->kind) {
    case SCOPE_TASK: return ev->task == scope->task;
    case SCOPE_GROUP:
        return ev->group && !strcmp(ev->group, scope->group) && !strcmp(ev->owner, scope->owner);
    case SCOPE_OWNER: return !strcmp(ev->owner, scope->owner);
    case SCOPE_ALL: return true;
    }
    return false;
}

void event_list_free(struct event_list *l)
{
    free(l->items);
    buf_free(&l->text);
    *l = (struct event_list){0};
}

/* Copies a text column behind the others; its place is an offset until the list is complete, because
 * the buffer still moves. Offset 0 is NULL: the buffer begins with a byte of no meaning. */
static const char *keep(struct buf *text, sqlite3_stmt *st, int column)
{
    if (sqlite3_column_type(st, column) == SQLITE_NULL) return NULL;
    size_t at = text->len;
    const char *value = (const char *)sqlite3_column_text(st, column);
    buf_add(text, value, (size_t)sqlite3_column_bytes(st, column));
    buf_char(text, '\0');
    return (const char *)(uintptr_t)at;
}

static void settle(const char **place, const struct buf *text)
{
    if (*place) *place = text->data + (uintptr_t)*place;
}

enum err events_read(struct db *db, const struct event_scope *scope, int64_t after, int64_t limit,
                     size_t max_bytes, struct event_list *out, struct error *e)
{
    static const enum query queries[] = {
        [SCOPE_TASK] = Q_EVENTS_OF_TASK,
        [SCOPE_GROUP] = Q_EVENTS_OF_GROUP,
        [SCOPE_OWNER] = Q_EVENTS_OF_OWNER,
        [SCOPE_ALL] = Q_EVENTS_ALL,
    };
    out->count = 0;
    out->more = false;
    buf_clear(&out->text);
    buf_char(&out->text, ' ');

    sqlite3_stmt *st = stmt_begin(db, queries[scope->kind], e);
    if (!st) return stmt_failed(db);
    if (scope->kind == SCOPE_TASK) stmt_int(st, ":task", scope->task);
    if (scope->kind == SCOPE_GROUP) stmt_text(st, ":group_id", scope->group);
    if (scope->kind == SCOPE_GROUP || scope->kind == SCOPE_OWNER)
        stmt_text(st, ":owner", scope->owner);
    stmt_int(st, ":after", after);
    stmt_int(st, ":limit", limit);

    bool row = true;
    for (;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            out->count = 0;
            return rc;
        }
        if (!row) break;
        if (out->count == out->cap)
            out->items =
                mem_grow(out->items, out->cap = out->cap ? out->cap * 2 : 32, sizeof *out->items);
        out->items[out->count++] = (struct event){
            .seq = sqlite3_column_int64(st, 0),
            .task = sqlite3_column_int64(st, 1),
            .task_seq = sqlite3_column_int64(st, 2),
            .owner = keep(&out->text, st, 3),
            .group = keep(&out->text, st, 4),
            .task_id = keep(&out->text, st, 5),
            .request_id = keep(&out->text, st, 6),
            .type = keep(&out->text, st, 7),
            .ts = sqlite3_column_int64(st, 8),
            .payload = keep(&out->text, st, 9),
        };
        if (out->count == (size_t)limit || out->text.len > max_bytes) {
            out->more = true; /* perhaps: the next read tells */
            break;
        }
    }
    stmt_end(st);
    for (size_t i = 0; i < out->count; i++) {
        struct event *ev = &out->items[i];
        settle(&ev->owner, &out->text);
        settle(&ev->group, &out->text);
        settle(&ev->task_id, &out->text);
        settle(&ev->request_id, &out->text);
        settle(&ev->type, &out->text);
        settle(&ev->payload, &out->text);
    }
    return ERR_OK;
}

enum err event_task(struct db *db, int64_t seq, int64_t *n, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_EVENT_TASK, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":seq", seq);
    enum err rc = stmt_number(db, st, n, e);
    return rc || *n ? rc : error_set(e, ERR_NOTFOUND, "no event of a task");
}

enum err events_newest(struct db *db, int64_t *seq, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_EVENTS_NEWEST, e);
    return st ? stmt_number(db, st, seq, e) : stmt_failed(db);
}

enum err events_floor(struct db *db, const struct event_scope *scope, int64_t *seq, struct error *e)
{
    static const enum query queries[] = {
        [SCOPE_TASK] = Q_TASK_FIRST_EVENT,
        [SCOPE_GROUP] = Q_EVICTED_OWNER,
        [SCOPE_OWNER] = Q_EVICTED_OWNER,
        [SCOPE_ALL] = Q_EVICTED_ALL,
    };
    sqlite3_stmt *st = stmt_begin(db, queries[scope->kind], e);
    if (!st) return stmt_failed(db);
    if (scope->kind == SCOPE_TASK)
        stmt_int(st, ":task", scope->task);
    else if (scope->kind != SCOPE_ALL)
        stmt_text(st, ":owner", scope->owner);
    enum err rc = stmt_number(db, st, seq, e);
    if (!rc && scope->kind == SCOPE_TASK && *seq > 0) --*seq;
    return rc;
}
