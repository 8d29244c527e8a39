#include "store/tasks.h"

#include "store/changes.h"
#include "store/files.h"
#include "store/stmt.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The columns of the view task_rows, in its order; read_row asserts that they match. */
enum column {
    C_N,
    C_ID,
    C_OWNER,
    C_TYPE,
    C_GROUP,
    C_REQUEST_ID,
    C_STATUS,
    C_PRIORITY,
    C_PROGRESS,
    C_PHASE,
    C_MESSAGE,
    C_ATTEMPT,
    C_MAX_ATTEMPTS,
    C_TIMEOUT,
    C_RUN_AT,
    C_CREATED_AT,
    C_STARTED_AT,
    C_COMPLETED_AT,
    C_UPDATED_AT,
    C_CANCEL_REQUESTED,
    C_ERROR_CODE,
    C_ERROR_MESSAGE,
    C_ERROR_RETRYABLE,
    C_QUEUE_POSITION,
    C_EVENT_COUNT,
    C_CURSOR,
    C_RESULT,
    C_RESULT_TYPE,
    C_RESULT_BYTES,
    C_TRIES,
    COLUMNS
};

enum err task_create(struct db *db, const struct task_new *t, int64_t *n, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_CREATE, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":id", t->id);
    stmt_text(st, ":owner", t->owner);
    stmt_text(st, ":type", t->type);
    stmt_text(st, ":group_id", t->group);
    stmt_text(st, ":request_id", t->request_id);
    stmt_int(st, ":priority", t->priority);
    stmt_int(st, ":max_attempts", t->max_attempts);
    stmt_int(st, ":timeout_ms", t->timeout_ms);
    stmt_int(st, ":run_at", t->run_at);
    stmt_int(st, ":serialize", t->serialize);
    stmt_int(st, ":now", t->now);
    enum err rc = stmt_run(db, st, e);
    if (rc) return rc;
    *n = sqlite3_last_insert_rowid(db_sqlite(db));
    struct change new = change_of(t->id, t->request_id, t->type, TASK_STATUSES, t->now);
    change_note(db, &new, TASK_PENDING, t->now);
    if (!t->input) return ERR_OK;

    if (!(st = stmt_begin(db, Q_INPUT_CREATE, e))) return stmt_failed(db);
    stmt_int(st, ":task", *n);
    stmt_text(st, ":content_type", t->content_type);
    stmt_blob(st, ":body", t->input, t->input_bytes);
    return stmt_run(db, st, e);
}

static void read_row(sqlite3_stmt *st, struct task *t)
{
    assert(sqlite3_column_count(st) == COLUMNS);
    assert(!strcmp(sqlite3_column_name(st, C_QUEUE_POSITION), "queue_position"));
    assert(!strcmp(sqlite3_column_name(st, C_RESULT_BYTES), "result_bytes"));

    *t = (struct task){
        .n = sqlite3_column_int64(st, C_N),
        .owner = stmt_column_text(st, C_OWNER),
        .type = stmt_column_text(st, C_TYPE),
        .group = stmt_column_text(st, C_GROUP),
        .request_id = stmt_column_text(st, C_REQUEST_ID),
        .priority = sqlite3_column_int64(st, C_PRIORITY),
        .progress = sqlite3_column_double(st, C_PROGRESS),
        .phase = stmt_column_text(st, C_PHASE),
        .message = stmt_column_text(st, C_MESSAGE),
        .attempt = sqlite3_column_int64(st, C_ATTEMPT),
        .max_attempts = sqlite3_column_int64(st, C_MAX_ATTEMPTS),
        .tries = sqlite3_column_int64(st, C_TRIES),
        .timeout_ms = stmt_column_int(st, C_TIMEOUT),
        .run_at = stmt_column_int(st, C_RUN_AT),
        .created_at = sqlite3_column_int64(st, C_CREATED_AT),
        .started_at = stmt_column_int(st, C_STARTED_AT),
        .completed_at = stmt_column_int(st, C_COMPLETED_AT),
        .updated_at = sqlite3_column_int64(st, C_UPDATED_AT),
        .cancel_requested = sqlite3_column_int(st, C_CANCEL_REQUESTED),
        .error_code = stmt_column_text(st, C_ERROR_CODE),
        .error_message = stmt_column_text(st, C_ERROR_MESSAGE),
        .error_retryable = sqlite3_column_int(st, C_ERROR_RETRYABLE),
        .queue_position = stmt_column_int(st, C_QUEUE_POSITION),
        .event_count = sqlite3_column_int64(st, C_EVENT_COUNT),
        .cursor = sqlite3_column_int64(st, C_CURSOR),
        .result = stmt_column_text(st, C_RESULT),
        .result_type = stmt_column_text(st, C_RESULT_TYPE),
        .result_bytes = stmt_column_int(st, C_RESULT_BYTES),
    };
    strncpy(t->id, (const char *)sqlite3_column_text(st, C_ID), sizeof t->id - 1);
    /* The schema's CHECK admits no other word. */
    task_status_parse((const char *)sqlite3_column_text(st, C_STATUS), &t->status);
}

/* The same with the files of the task, of which only a completed one has any. The statement stays where it
 * is, so both are of one moment. */
static enum err read_task(struct db *db, sqlite3_stmt *st, struct task *t, struct error *e)
{
    read_row(st, t);
    if (t->status != TASK_COMPLETED) return ERR_OK;
    enum err rc = files_read(db, t->n, &t->files, e);
    if (rc) task_free(t);
    return rc;
}

/* The one row of a bound statement. */
static enum err get_one(struct db *db, sqlite3_stmt *st, struct task *out, struct error *e)
{
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row)
        rc = read_task(db, st, out, e);
    else
        rc = error_set(e, ERR_NOTFOUND, "no such task");
    stmt_end(st);
    return rc;
}

enum err task_get(struct db *db, const char *id, const char *owner, struct task *out,
                  struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_BY_ID, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":id", id);
    enum err rc = get_one(db, st, out, e);
    if (rc || !owner) return rc;
    assert(out->owner);
    if (!strcmp(owner, out->owner)) return ERR_OK;
    task_free(out);
    return error_set(e, ERR_NOTFOUND, "no such task");
}

enum err task_get_n(struct db *db, int64_t n, struct task *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_BY_N, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    return get_one(db, st, out, e);
}

enum err task_state(struct db *db, int64_t n, enum task_status *status, int64_t *newest,
                    struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_STATE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) {
        task_status_parse((const char *)sqlite3_column_text(st, 0), status);
        *newest = sqlite3_column_int64(st, 1);
    }
    stmt_end(st);
    return row ? ERR_OK : error_set(e, ERR_NOTFOUND, "no such task");
}

/* The rows of a bound statement; the one past `limit` only says that there are more. */
static enum err get_page(struct db *db, sqlite3_stmt *st, int64_t limit, struct task_list *out,
                         struct error *e)
{
    *out = (struct task_list){0};
    size_t cap = 0;
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            task_list_free(out);
            return rc;
        }
        if (!row) break;
        if (out->count == (size_t)limit) {
            out->more = true;
            break;
        }
        if (out->count == cap)
            out->items = mem_grow(out->items, cap = cap ? cap * 2 : 16, sizeof *out->items);
        rc = read_task(db, st, &out->items[out->count], e);
        if (rc) {
            stmt_end(st);
            task_list_free(out);
            return rc;
        }
        out->count++;
    }
    stmt_end(st);
    return ERR_OK;
}

enum err task_list_read(struct db *db, const struct task_query *q, struct task_list *out,
                        struct error *e)
{
    /* All take the same conditions; they differ in the index that they walk. */
    enum query query = !q->owner                   ? Q_TASK_PAGE_ALL
                       : q->group                  ? Q_TASK_PAGE_GROUP
                       : q->status < TASK_STATUSES ? Q_TASK_PAGE_STATUS
                                                   : Q_TASK_PAGE_OWNER;
    sqlite3_stmt *st = stmt_begin(db, query, e);
    if (!st) return stmt_failed(db);
    if (q->owner) stmt_text(st, ":owner", q->owner);
    stmt_text(st, ":status", q->status < TASK_STATUSES ? task_status_name(q->status) : NULL);
    stmt_text(st, ":type", q->type);
    stmt_text(st, ":group_id", q->group);
    stmt_int(st, ":before", q->before);
    stmt_int(st, ":limit", q->limit + 1);
    return get_page(db, st, q->limit, out, e);
}

enum err task_list_unfinished(struct db *db, const char *owner, int64_t limit,
                              struct task_list *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, owner ? Q_TASK_UNFINISHED_OWNER : Q_TASK_UNFINISHED_ALL, e);
    if (!st) return stmt_failed(db);
    if (owner) stmt_text(st, ":owner", owner);
    stmt_int(st, ":limit", limit + 1);
    return get_page(db, st, limit, out, e);
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
    assert(db_writing(db));
    struct change was;
    enum err rc = change_look(db, n, &was, e);
    if (rc) return rc;
    sqlite3_stmt *st =
        stmt_begin(db, status == TASK_PENDING ? Q_TASK_CANCEL_PENDING : Q_TASK_CANCEL_RUNNING, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    stmt_int(st, ":now", now);
    rc = stmt_run(db, st, e);
    if (!rc && was.from == TASK_PENDING) change_note(db, &was, TASK_CANCELLED, now);
    return rc;
}

enum err task_cancel(struct db *db, const char *id, const char *owner, int64_t now, struct error *e)
{
    assert(db_writing(db));
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
    assert(db_writing(db));
    struct change was;
    enum err rc = change_look(db, n, &was, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_RETRY, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    stmt_int(st, ":attempts", attempts);
    stmt_int(st, ":now", now);
    if ((rc = stmt_run(db, st, e))) return rc;
    if (sqlite3_changes(db_sqlite(db))) {
        change_note(db, &was, TASK_PENDING, now);
        return ERR_OK;
    }
    return error_set(e, ERR_STATE, "only a failed, timed-out or cancelled task can be retried");
}

enum err task_remove(struct db *db, int64_t n, int64_t now, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_TOUCH, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    stmt_int(st, ":now", now);
    enum err rc = stmt_run(db, st, e);
    if (rc) return rc;
    if (!(st = stmt_begin(db, Q_TASK_DELETE, e))) return stmt_failed(db);
    stmt_int(st, ":n", n);
    return stmt_run(db, st, e);
}

enum err task_delete(struct db *db, const char *id, const char *owner, int64_t now, struct error *e)
{
    assert(db_writing(db));
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

enum err task_result(struct db *db, int64_t n, struct buf *body, char **type, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_RESULT_GET, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":task", n);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) {
        *type = stmt_column_text(st, 0);
        buf_add(body, sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
    } else {
        rc = error_set(e, ERR_NOTFOUND, "the task has no result");
    }
    stmt_end(st);
    return rc;
}

enum err task_input_info(struct db *db, int64_t n, int64_t *bytes, char **type, struct error *e)
{
    *bytes = -1;
    *type = NULL;
    sqlite3_stmt *st = stmt_begin(db, Q_INPUT_INFO, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":task", n);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) {
        *type = stmt_column_text(st, 0);
        *bytes = sqlite3_column_int64(st, 1);
    }
    stmt_end(st);
    return ERR_OK;
}

static enum err write_all(int fd, const char *bytes, size_t len, struct error *e)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_errno(e, ERR_IO, "cannot write the input");
        bytes += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err task_input_copy(struct db *db, int64_t n, int fd, struct error *e)
{
    enum { PIECE = 256 * 1024 };
    sqlite3_blob *blob;
    int rc = sqlite3_blob_open(db_sqlite(db), "main", "inputs", "body", n, 0, &blob);
    if (rc) return stmt_error(db_sqlite(db), rc, "cannot read the input", e);

    char *piece = mem_alloc(PIECE);
    int size = sqlite3_blob_bytes(blob);
    enum err code = ERR_OK;
    for (int at = 0; !code && at < size;) {
        int len = size - at < PIECE ? size - at : PIECE;
        rc = sqlite3_blob_read(blob, piece, len, at);
        code = rc ? stmt_error(db_sqlite(db), rc, "cannot read the input", e)
                  : write_all(fd, piece, (size_t)len, e);
        at += len;
    }
    free(piece);
    sqlite3_blob_close(blob);
    return code;
}

void task_etag(struct buf *out, const struct task *t, const char *epoch)
{
    buf_str(out, "W/\"");
    cursor_write(out, epoch, t->cursor);
    if (t->cancel_requested) buf_str(out, ".cancel");
    buf_char(out, '"');
}
