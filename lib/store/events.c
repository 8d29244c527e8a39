#include "store/events.h"

#include "gen/query.h"

#include <stdlib.h>
#include <string.h>

const char *event_scope_name(enum event_scope_kind kind)
{
    static const char *const names[] = {[SCOPE_TASK] = "task",
                                        [SCOPE_GROUP] = "group",
                                        [SCOPE_OWNER] = "owner",
                                        [SCOPE_ALL] = "all"};
    return names[kind];
}

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

/* Copies a text behind the others; its place is an offset until the list is complete, because the buffer
 * still moves. Offset 0 is NULL: the buffer begins with a byte of no meaning. */
static const char *keep(struct buf *text, const char *value)
{
    if (!value) return NULL;
    size_t at = text->len;
    buf_add(text, value, strlen(value) + 1);
    return (const char *)(uintptr_t)at;
}

static void settle(const char **place, const struct buf *text)
{
    if (*place) *place = text->data + (uintptr_t)*place;
}

static struct q_events_all_cursor open_scope(struct db *db, const struct event_scope *scope,
                                             int64_t after, int64_t limit, struct error *e)
{
    switch (scope->kind) {
    case SCOPE_TASK: return q_events_of_task(db, scope->task, after, limit, e);
    case SCOPE_GROUP: {
        const struct q_events_of_group_in in = {
            .owner = scope->owner, .group_id = scope->group, .after = after, .limit = limit};
        return q_events_of_group(db, &in, e);
    }
    case SCOPE_OWNER: return q_events_of_owner(db, scope->owner, after, limit, e);
    case SCOPE_ALL: break;
    }
    return q_events_all(db, after, limit, e);
}

static void add_event(struct event_list *out, const struct q_events_all_row *row)
{
    struct buf *text = &out->text;
    if (out->count == out->cap)
        out->items =
            mem_grow(out->items, out->cap = out->cap ? out->cap * 2 : 32, sizeof *out->items);
    out->items[out->count++] = (struct event){
        .seq = row->seq,
        .task = row->task,
        .task_seq = row->task_seq,
        .owner = keep(text, row->owner),
        .group = keep(text, row->group_id),
        .task_id = keep(text, row->task_id),
        .request_id = keep(text, row->request_id),
        .type = keep(text, row->type),
        .ts = row->ts,
        .payload = keep(text, row->payload),
    };
}

enum err events_read(struct db *db, const struct event_scope *scope, int64_t after, int64_t limit,
                     size_t max_bytes, struct event_list *out, struct error *e)
{
    out->count = 0;
    out->more = false;
    buf_clear(&out->text);
    buf_char(&out->text, ' ');

    struct q_events_all_row row;
    struct q_events_all_cursor c = open_scope(db, scope, after, limit, e);
    while (!out->more && q_events_all_next(&c, &row)) {
        add_event(out, &row);
        if (out->count == (size_t)limit || out->text.len > max_bytes)
            out->more = true; /* perhaps: the next read tells */
    }
    enum err rc = q_events_all_close(&c);
    if (rc) out->count = 0;
    for (size_t i = 0; i < out->count; i++) {
        struct event *ev = &out->items[i];
        settle(&ev->owner, &out->text);
        settle(&ev->group, &out->text);
        settle(&ev->task_id, &out->text);
        settle(&ev->request_id, &out->text);
        settle(&ev->type, &out->text);
        settle(&ev->payload, &out->text);
    }
    return rc;
}

enum err event_task(struct db *db, int64_t seq, int64_t *n, struct error *e)
{
    enum err rc = q_event_task(db, seq, n, e);
    return rc || *n ? rc : error_set(e, ERR_NOTFOUND, "no event of a task");
}

enum err event_last_log(struct db *db, int64_t n, char **payload, struct error *e)
{
    return q_task_last_log(db, n, payload, e);
}

enum err events_newest(struct db *db, int64_t *seq, struct error *e)
{
    return q_events_newest(db, seq, e);
}

/* Where the last event that is older than `since` is, as far as time grows with the position: events up to `low` are
 * older, those above `high` are not. */
static enum err find_time(struct db *db, int64_t since, int64_t low, int64_t high, int64_t *seq,
                          struct error *e)
{
    enum err rc = ERR_OK;
    while (!rc && low < high) {
        struct q_event_next_row row;
        bool found;
        int64_t middle = low + (high - low) / 2;
        rc = q_event_next(db, middle, &row, &found, e);
        if (found && row.seq <= high && row.ts < since)
            low = row.seq;
        else
            high = middle;
    }
    *seq = low;
    return rc;
}

enum err events_since(struct db *db, int64_t since, int64_t *seq, bool *later, struct error *e)
{
    int64_t newest = 0, straggler = 0;
    struct q_event_next_row next;
    bool found = false;
    enum err rc = events_newest(db, &newest, e);
    if (!rc) rc = find_time(db, since, 0, newest, seq, e);
    if (!rc) rc = q_event_straggler(db, *seq, since, EVENTS_STRAGGLERS, &straggler, e);
    if (!rc && straggler) *seq = straggler - 1;
    if (!rc) rc = q_event_next(db, *seq, &next, &found, e);
    *later = !found;
    return rc;
}

enum err events_floor(struct db *db, const struct event_scope *scope, int64_t *seq, struct error *e)
{
    enum err rc;
    switch (scope->kind) {
    case SCOPE_TASK:
        rc = q_task_first_event(db, scope->task, seq, e);
        if (!rc && *seq > 0) --*seq;
        return rc;
    case SCOPE_GROUP:
    case SCOPE_OWNER: return q_evicted_owner(db, scope->owner, seq, e);
    case SCOPE_ALL: break;
    }
    return q_evicted_all(db, seq, e);
}
