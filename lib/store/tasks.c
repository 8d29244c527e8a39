#include "store/tasks.h"

#include "gen/query.h"
#include "store/file_rows.h"
#include "store/inputs.h"
#include "store/task_merge.h"
#include "store/transitions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum err task_create(struct db *db, const struct task_new *t, int64_t *n, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_task_create_in in = {
        .id = t->id,
        .owner = t->owner,
        .type = t->type,
        .group_id = t->group,
        .request_id = t->request_id,
        .priority = t->priority,
        .max_attempts = t->max_attempts,
        .timeout_ms = t->timeout_ms,
        .run_at = t->run_at,
        .serialize = t->serialize,
        .unique = t->unique,
        .now = t->now,
    };
    enum err rc = q_task_create(db, &in, n, e);
    if (rc) return rc;
    struct transition new = transition_of(t->id, t->request_id, t->type, TASK_STATUSES, t->now);
    transition_note(db, &new, TASK_PENDING, t->now);
    if (t->input || t->upload)
        rc = q_input_create(db, *n, t->content_type, t->upload ? "" : t->input,
                            t->upload ? 0 : t->input_bytes, e);
    return rc || !t->upload ? rc : upload_give(db, t->upload, *n, e);
}

/* Copies a row, with the files of the task, of which only a completed one has any. The cursor stays where it
 * is, so both are of one moment. */
static enum err read_task(struct db *db, const struct q_task_by_id_row *row, struct task *t,
                          struct error *e)
{
    *t = (struct task){
        .n = row->n,
        .owner = mem_str(row->owner),
        .type = mem_str(row->type),
        .group = mem_str(row->group_id),
        .request_id = mem_str(row->request_id),
        .status = row->status,
        .priority = row->priority,
        .progress = row->progress,
        .phase = mem_str(row->phase),
        .message = mem_str(row->message),
        .attempt = row->attempt,
        .max_attempts = row->max_attempts,
        .tries = row->tries,
        .timeout_ms = row->timeout_ms,
        .run_at = row->run_at,
        .created_at = row->created_at,
        .started_at = row->started_at,
        .completed_at = row->completed_at,
        .updated_at = row->updated_at,
        .cancel_requested = row->cancel_requested,
        .error_code = mem_str(row->error_code),
        .error_message = mem_str(row->error_message),
        .error_retryable = row->error_retryable,
        .exit_status = row->exit_status,
        .signal = row->signal,
        .queue_position = row->queue_position,
        .event_count = row->event_count,
        .cursor = row->cursor,
        .result = mem_str(row->result),
        .result_type = mem_str(row->result_type),
        .result_bytes = row->result_bytes,
    };
    memcpy(t->id, row->id, sizeof t->id);
    if (t->status != TASK_COMPLETED) return ERR_OK;
    enum err rc = files_read(db, t->n, &t->files, e);
    if (rc) task_free(t);
    return rc;
}

static enum err no_such_task(struct error *e)
{
    return error_set(e, ERR_NOTFOUND, "no such task");
}

/* The one row of a cursor, which it closes. */
static enum err read_one(struct db *db, struct q_task_by_id_cursor c, struct task *out,
                         struct error *e)
{
    struct q_task_by_id_row row;
    bool found = q_task_by_id_next(&c, &row);
    enum err rc = found ? read_task(db, &row, out, e) : ERR_OK;
    if (found && !rc && out->queue_position != TASK_NONE) { /* of the moment of the cursor */
        rc = q_queue_before(db, out->owner, out->priority, out->n, &out->queue_position, e);
        if (rc) task_free(out);
    }
    enum err closed = q_task_by_id_close(&c);
    return closed ? closed : found ? rc : no_such_task(e);
}

enum err task_get(struct db *db, const char *id, const char *owner, struct task *out,
                  struct error *e)
{
    enum err rc = read_one(db, q_task_by_id(db, id, e), out, e);
    if (rc || !owner) return rc;
    assert(out->owner);
    if (!strcmp(owner, out->owner)) return ERR_OK;
    task_free(out);
    return no_such_task(e);
}

enum err task_get_n(struct db *db, int64_t n, struct task *out, struct error *e)
{
    return read_one(db, q_task_by_n(db, n, e), out, e);
}

enum err task_find_unique(struct db *db, const char *owner, const char *type, const char *unique,
                          int64_t *n, struct error *e)
{
    return q_task_unique(db, owner, type, unique, n, e);
}

enum err task_state(struct db *db, int64_t n, enum task_status *status, int64_t *newest,
                    struct error *e)
{
    struct q_task_state_row row;
    bool found;
    enum err rc = q_task_state(db, n, &row, &found, e);
    if (rc) return rc;
    if (!found) return no_such_task(e);
    *status = row.status;
    *newest = row.newest;
    return ERR_OK;
}

enum { QUEUES = 16 }; /* that a page is about, as a rule */

/* Of a queue: its last task on a page, and its place. */
struct place {
    const char *owner; /* of a task of the page; NULL: there was none */
    int64_t priority, n, place;
};

/* Finds the place of `t` from that of the one before it on the page, which is newer and not far from it. */
static enum err find_place(struct db *db, struct place places[QUEUES], struct task *t,
                           struct error *e)
{
    if (t->queue_position == TASK_NONE) return ERR_OK;
    struct place *last = &places[0];
    for (size_t i = 0; i < QUEUES && last->owner; i++) {
        last = &places[i];
        if (last->owner && last->priority == t->priority && !strcmp(last->owner, t->owner)) break;
    }
    bool same = last->owner && last->priority == t->priority && !strcmp(last->owner, t->owner);
    int64_t between = 0;
    const struct q_queue_between_in in = {
        .owner = t->owner, .priority = t->priority, .after = t->n, .until = last->n};
    enum err rc = same ? q_queue_between(db, &in, &between, e)
                       : q_queue_before(db, t->owner, t->priority, t->n, &t->queue_position, e);
    if (same) t->queue_position = last->place - between;
    *last = (struct place){t->owner, t->priority, t->n, t->queue_position};
    return rc;
}

/* A page that is being read. */
struct page {
    struct task_list *list;
    size_t cap, limit;
    struct place places[QUEUES];
};

/* The rows of a cursor, which it closes; the one past the limit only says that there are more. */
static enum err read_rows(struct db *db, struct page *p, struct q_task_by_id_cursor c,
                          struct error *e)
{
    struct q_task_by_id_row row;
    struct task_list *l = p->list;
    enum err rc = ERR_OK;
    while (!rc && !l->more && q_task_by_id_next(&c, &row)) {
        if (l->count == p->limit) {
            l->more = true;
            continue;
        }
        if (l->count == p->cap)
            l->items = mem_grow(l->items, p->cap = p->cap ? p->cap * 2 : 16, sizeof *l->items);
        rc = read_task(db, &row, &l->items[l->count], e);
        if (rc) continue;
        rc = find_place(db, p->places, &l->items[l->count++], e); /* of the moment of the cursor */
    }
    enum err closed = q_task_by_id_close(&c);
    return rc ? rc : closed;
}

static enum err read_page(struct db *db, struct q_task_by_id_cursor c, int64_t limit,
                          struct task_list *out, struct error *e)
{
    struct page p = {.list = out, .limit = (size_t)limit};
    *out = (struct task_list){0};
    enum err rc = read_rows(db, &p, c, e);
    if (rc) task_list_free(out);
    return rc;
}

/* A page of the tasks of a group name, whoever's. */
static enum err read_groups(struct db *db, const struct task_query *q, struct task_list *out,
                            struct error *e)
{
    struct page p = {.list = out, .limit = (size_t)q->limit};
    struct task_numbers found = {0};
    *out = (struct task_list){0};
    bool alone = !txn_is_open(db);
    enum err rc = alone ? txn_read_begin(db, e) : ERR_OK;
    if (rc) return rc;
    rc = task_merge_groups(db, q, (size_t)(q->skip + q->limit + 1), &found, e);
    for (size_t i = (size_t)q->skip; !rc && i < found.count; i++)
        rc = read_rows(db, &p, q_task_by_n(db, found.ns[i], e), e);
    free(found.ns);
    if (alone) txn_read_end(db);
    if (rc) task_list_free(out);
    return rc;
}

enum err task_list_read(struct db *db, const struct task_query *q, struct task_list *out,
                        struct error *e)
{
    const struct q_task_page_group_type_in in = {
        .owner = q->owner,
        .before = q->before,
        .status = q->status,
        .type = q->type,
        .group_id = q->group,
        .limit = q->limit + 1,
        .skip = q->skip,
    };
    typedef struct q_task_by_id_cursor page_query(
        struct db *, const struct q_task_page_group_type_in *, struct error *);
    /* By what there is a condition for besides a status, which all look at: each walks an index of its own. */
    static page_query *const queries[2][2][2] = {
        /* owner, group, type */
        [0][0] = {q_task_page_all, q_task_page_type},
        [1][0] = {q_task_page_owner, q_task_page_owner_type},
        [1][1] = {q_task_page_group, q_task_page_group_type},
    };
    page_query *query = queries[!!q->owner][!!q->group][!!q->type];
    if (!query) return read_groups(db, q, out, e);
    if (query == q_task_page_all && q->status < TASK_STATUSES) query = q_task_page_status;
    return read_page(db, query(db, &in, e), q->limit, out, e);
}

enum err task_list_unfinished(struct db *db, const char *owner, int64_t limit,
                              struct task_list *out, struct error *e)
{
    return read_page(db,
                     owner ? q_task_unfinished_owner(db, owner, limit + 1, e)
                           : q_task_unfinished_all(db, limit + 1, e),
                     limit, out, e);
}

void task_list_free(struct task_list *l)
{
    for (size_t i = 0; i < l->count; i++) task_free(&l->items[i]);
    free(l->items);
    *l = (struct task_list){0};
}

enum err task_cancel_n(struct db *db, int64_t n, enum task_status status, int64_t now,
                       struct error *e)
{
    assert(txn_is_open(db));
    struct transition was;
    enum err rc = transition_look(db, n, &was, e);
    if (rc) return rc;
    rc = status == TASK_PENDING ? q_task_cancel_pending(db, n, now, e)
                                : q_task_cancel_running(db, n, now, e);
    if (!rc && was.from == TASK_PENDING) transition_note(db, &was, TASK_CANCELLED, now);
    return rc;
}

enum err task_cancel(struct db *db, const char *id, const char *owner, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    struct task t = {0};
    enum err rc = task_get(db, id, owner, &t, e);
    if (rc) return rc;
    int64_t n = t.n;
    enum task_status status = t.status;
    task_free(&t);
    if (task_status_terminal(status))
        return error_set(e, ERR_STATE, "the task is %s: nothing to cancel",
                         task_status_name(status));
    return task_cancel_n(db, n, status, now, e);
}

enum err task_retry(struct db *db, int64_t n, int64_t attempts, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    struct transition was;
    enum err rc = transition_look(db, n, &was, e);
    if (rc) return rc;
    int64_t changed;
    if ((rc = q_task_retry(db, n, attempts, now, &changed, e))) return rc;
    if (changed) {
        transition_note(db, &was, TASK_PENDING, now);
        return ERR_OK;
    }
    return error_set(e, ERR_STATE, "only a failed, timed-out or cancelled task can be retried");
}

enum err task_restart(struct db *db, int64_t n, enum task_status status, int64_t attempts,
                      int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    int64_t changed;
    enum err rc = q_task_restart(db, n, attempts, now, &changed, e);
    if (rc) return rc;
    if (!changed) return error_set(e, ERR_STATE, "the task is waiting to run already");
    return status == TASK_RUNNING ? ERR_OK : task_retry(db, n, attempts, now, e);
}

enum err task_remove(struct db *db, int64_t n, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    enum err rc = q_task_touch(db, n, now, e);
    return rc ? rc : q_task_delete(db, n, e);
}

enum err task_remove_some(struct db *db, const int64_t *ns, size_t count, int64_t now,
                          struct error *e)
{
    assert(txn_is_open(db));
    struct buf list = {0};
    for (size_t i = 0; i < count; i++) {
        buf_char(&list, i ? ',' : '[');
        buf_int(&list, ns[i]);
    }
    buf_char(&list, ']');
    enum err rc = q_tasks_touch(db, list.data, now, e);
    if (!rc) rc = q_tasks_delete(db, list.data, e);
    buf_free(&list);
    return rc;
}

enum err task_delete(struct db *db, const char *id, const char *owner, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    struct task t = {0};
    enum err rc = task_get(db, id, owner, &t, e);
    if (rc) return rc;
    int64_t n = t.n;
    enum task_status status = t.status;
    task_free(&t);
    if (!task_status_terminal(status))
        return error_set(e, ERR_STATE, "the task is %s: only a finished one can be deleted",
                         task_status_name(status));
    return task_remove(db, n, now, e);
}

void task_etag(struct buf *out, const struct task *t, const char *epoch)
{
    buf_str(out, "W/\"");
    cursor_write(out, epoch, t->cursor);
    if (t->cancel_requested) buf_str(out, ".cancel");
    buf_char(out, '"');
}
