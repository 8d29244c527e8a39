#include "store/claims.h"

#include "base/buf.h"
#include "store/changes.h"
#include "store/stmt.h"
#include "store/tasks.h"
#include "task/progress.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum err runner_register(struct db *db, const struct process_id *self, const char *boot_id,
                         int64_t now, int64_t seen_until, int64_t *id, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_RUNNER_REGISTER, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":id", *id ? *id : TASK_NONE);
    stmt_int(st, ":pid", self->pid);
    stmt_int(st, ":pid_start", self->start);
    stmt_int(st, ":session", self->session);
    stmt_text(st, ":boot_id", boot_id);
    stmt_int(st, ":now", now);
    stmt_int(st, ":seen_until", seen_until);
    enum err rc = stmt_run(db, st, e);
    *id = sqlite3_last_insert_rowid(db_sqlite(db));
    return rc;
}

/* Says until when the runner counts as living. */
static enum err seen(struct db *db, int64_t id, int64_t until, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_RUNNER_SEEN, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":runner", id);
    stmt_int(st, ":seen_until", until);
    return stmt_run(db, st, e);
}

enum err runner_renew(struct db *db, int64_t id, int64_t seen_until, int64_t lease_until,
                      struct error *e)
{
    enum err rc = seen(db, id, seen_until, e);
    if (rc) return rc;
    if (!sqlite3_changes(db_sqlite(db)))
        return error_set(e, ERR_NOTFOUND, "runner %lld is not registered", (long long)id);
    sqlite3_stmt *st = stmt_begin(db, Q_RUNNER_LEASES, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":runner", id);
    stmt_int(st, ":lease_until", lease_until);
    return stmt_run(db, st, e);
}

enum err runner_leave(struct db *db, int64_t id, int64_t now, struct error *e)
{
    return seen(db, id, now - 1, e);
}

enum err runner_alive(struct db *db, int64_t now, bool *alive, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_RUNNER_ALIVE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":now", now);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    *alive = row && sqlite3_column_int(st, 0);
    stmt_end(st);
    return ERR_OK;
}

/* The task that is next: its `n`, 0 when none is, and since when it has been due. */
static enum err find_next(struct db *db, const struct claim_wish *wish, int64_t *n, int64_t *since,
                          struct error *e)
{
    const char *bounds = wish->bounds;
    for (bool may = false; !may;) { /* once more for each type that is met at its bound */
        sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_NEXT, e);
        if (!st) return stmt_failed(db);
        stmt_int(st, ":now", wish->now);
        stmt_text(st, ":bounds", bounds);
        bool row = false;
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
        *n = row ? sqlite3_column_int64(st, 0) : 0;
        *since = row ? sqlite3_column_int64(st, 1) : 0;
        const char *type = row ? (const char *)sqlite3_column_text(st, 2) : NULL;
        may =
            !type || !wish->may || wish->may(wish->arg, type, sqlite3_column_int64(st, 3), &bounds);
        stmt_end(st);
    }
    return ERR_OK;
}

enum err claim_next(struct db *db, const struct claim_wish *wish, struct task *out, struct error *e)
{
    assert(db_writing(db));
    int64_t n = 0, since = 0;
    enum err rc = find_next(db, wish, &n, &since, e);
    if (rc) return rc;
    if (!n) return error_set(e, ERR_NOTFOUND, "no task is due");
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_TAKE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    stmt_int(st, ":runner", wish->runner);
    stmt_int(st, ":now", wish->now);
    stmt_int(st, ":lease_until", wish->lease_until);
    stmt_int(st, ":pid", wish->child.pid ? wish->child.pid : TASK_NONE);
    stmt_int(st, ":pid_start", wish->child.pid ? wish->child.start : TASK_NONE);
    if ((rc = stmt_run(db, st, e))) return rc;
    if ((rc = task_get_n(db, n, out, e))) return rc;
    struct change was = change_of(out->id, out->request_id, out->type, TASK_PENDING, since);
    change_note(db, &was, TASK_RUNNING, wish->now);
    return ERR_OK;
}

enum err claim_next_due(struct db *db, int64_t now, const char *bounds, int64_t *due,
                        struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_DUE, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":bounds", bounds);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    int64_t at = stmt_column_int(st, 0);
    stmt_end(st);
    *due = at == TASK_NONE ? INT64_MAX : at > now ? at : now;
    return ERR_OK;
}

static void bind_claim(sqlite3_stmt *st, const struct claim *c)
{
    stmt_int(st, ":n", c->n);
    stmt_int(st, ":runner", c->runner);
    stmt_int(st, ":attempt", c->attempt);
}

static enum err fenced(struct error *e)
{
    return error_set(e, ERR_FENCED, "the task is no longer this runner's");
}

/* Runs a bound UPDATE whose WHERE names the claim. */
static enum err run_fenced(struct db *db, sqlite3_stmt *st, struct error *e)
{
    enum err rc = stmt_run(db, st, e);
    if (rc) return rc;
    return sqlite3_changes(db_sqlite(db)) ? ERR_OK : fenced(e);
}

/* What a claim's task says of itself. */
struct held {
    int64_t started_at, events;
    double progress;
    struct process_id child;
};

/* Looks at the claim's task; ERR_FENCED when the claim is gone. */
static enum err hold(struct db *db, const struct claim *c, struct held *out, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_HELD, e);
    if (!st) return stmt_failed(db);
    bind_claim(st, c);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) {
        out->started_at = sqlite3_column_int64(st, 0);
        out->progress = sqlite3_column_double(st, 1);
        out->events = sqlite3_column_int64(st, 2);
        out->child = (struct process_id){.pid = sqlite3_column_int64(st, 3),
                                         .start = sqlite3_column_int64(st, 4)};
    }
    stmt_end(st);
    return row ? ERR_OK : fenced(e);
}

enum err claim_child(struct db *db, const struct claim *c, struct process_id *child,
                     struct error *e)
{
    struct held held = {0};
    enum err rc = hold(db, c, &held, e);
    *child = held.child;
    return rc;
}

/* Whether the job has said as much as it may. */
static bool said_enough(const struct db *db, const struct held *h)
{
    int64_t max = db_events_per_task(db);
    return max && h->events >= max;
}

/* Says so in the task's log, unless that was said before. */
static enum err say_enough(struct db *db, const struct claim *c, const struct held *h, int64_t now,
                           struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_ENOUGH, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", c->n);
    stmt_int(st, ":now", now);
    stmt_int(st, ":max", db_events_per_task(db));
    stmt_int(st, ":beyond", h->events - db_events_per_task(db));
    return stmt_run(db, st, e);
}

enum err claim_progress(struct db *db, const struct claim *c, double percent, const char *phase,
                        const char *message, int64_t now, struct error *e)
{
    struct held held = {0};
    enum err rc = hold(db, c, &held, e);
    if (rc) return rc;
    if (said_enough(db, &held)) return say_enough(db, c, &held, now, e);
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_PROGRESS, e);
    if (!st) return stmt_failed(db);
    double left = progress_remaining((double)(now - held.started_at) / 1000,
                                     percent < 0 ? held.progress : percent);
    stmt_int(st, ":n", c->n);
    stmt_int(st, ":now", now);
    stmt_text(st, ":phase", phase);
    stmt_text(st, ":message", message);
    if (percent >= 0) stmt_real(st, ":percent", percent);
    if (left >= 0) stmt_real(st, ":remaining", left);
    return stmt_run(db, st, e);
}

enum err claim_event(struct db *db, const struct claim *c, const char *type, const char *payload,
                     int64_t now, struct error *e)
{
    struct held held = {0};
    enum err rc = hold(db, c, &held, e);
    if (rc) return rc;
    if (said_enough(db, &held) && strncmp(type, "file.", 5) != 0)
        return say_enough(db, c, &held, now, e);
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_EVENT, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", c->n);
    stmt_text(st, ":type", type);
    stmt_text(st, ":payload", payload);
    stmt_int(st, ":now", now);
    return stmt_run(db, st, e);
}

enum err claim_checkpoint(struct db *db, const struct claim *c, const char *json, struct error *e)
{
    struct held held = {0};
    enum err rc = hold(db, c, &held, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_CHECKPOINT_PUT, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":task", c->n);
    stmt_text(st, ":json", json);
    return stmt_run(db, st, e);
}

enum err claim_checkpoint_get(struct db *db, int64_t n, char **json, struct error *e)
{
    *json = NULL;
    sqlite3_stmt *st = stmt_begin(db, Q_CHECKPOINT_GET, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":task", n);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) *json = stmt_column_text(st, 0);
    stmt_end(st);
    return ERR_OK;
}

static enum err write_result(struct db *db, int64_t n, const struct claim_end *end, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_RESULT_CREATE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":task", n);
    stmt_text(st, ":content_type", end->result_type);
    stmt_text(st, ":inline", end->result_inline);
    stmt_text(st, ":url", end->result_url);
    stmt_blob(st, ":body", end->result, end->result_bytes);
    return stmt_run(db, st, e);
}

static enum err write_context(struct db *db, int64_t n, const struct claim_end *end,
                              struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_CONTEXT, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    stmt_text(st, ":context", end->context);
    stmt_int(st, ":now", end->now);
    return stmt_run(db, st, e);
}

enum err claim_finish(struct db *db, const struct claim *c, const struct claim_end *end,
                      struct error *e)
{
    /* The result first: the trigger that writes the event of the change puts it in. */
    struct held held = {0};
    struct change was;
    enum err rc = hold(db, c, &held, e);
    if (!rc) rc = change_look(db, c->n, &was, e);
    if (!rc && end->result) rc = write_result(db, c->n, end, e);
    if (!rc && end->context) rc = write_context(db, c->n, end, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIM_FINISH, e);
    if (!st) return stmt_failed(db);
    bind_claim(st, c);
    stmt_text(st, ":status", task_status_name(end->status));
    stmt_int(st, ":unspent", end->attempt_unspent);
    stmt_int(st, ":lost", end->lost);
    stmt_int(st, ":run_at", end->status == TASK_PENDING ? end->run_at : TASK_NONE);
    stmt_int(st, ":now", end->now);
    stmt_text(st, ":error_code", end->error_code);
    stmt_text(st, ":error_message", end->error_message);
    stmt_int(st, ":error_retryable", end->error_code ? end->error_retryable : TASK_NONE);
    rc = run_fenced(db, st, e);
    if (!rc) change_note(db, &was, end->status, end->now);
    return rc;
}

void running_list_free(struct running_list *l)
{
    free(l->items);
    *l = (struct running_list){0};
}

static void copy_text(char *to, size_t size, sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    to[0] = '\0';
    if (text) strncat(to, text, size - 1);
}

static enum err read_running(struct db *db, sqlite3_stmt *st, struct running_list *out,
                             struct error *e)
{
    *out = (struct running_list){0};
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            running_list_free(out);
            return rc;
        }
        if (!row) break;
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        struct running *r = &out->items[out->count++];
        *r = (struct running){
            .claim = {sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                      sqlite3_column_int64(st, 2)},
            .max_attempts = sqlite3_column_int64(st, 5),
            .lost = sqlite3_column_int64(st, 6),
            .child = {sqlite3_column_int64(st, 7), sqlite3_column_int64(st, 8),
                      sqlite3_column_int64(st, 13)},
            .lease_until = sqlite3_column_int64(st, 9),
            .runner = {sqlite3_column_int64(st, 10), sqlite3_column_int64(st, 11),
                       sqlite3_column_int64(st, 13)},
        };
        copy_text(r->id, sizeof r->id, st, 3);
        copy_text(r->type, sizeof r->type, st, 4);
        copy_text(r->runner_boot, sizeof r->runner_boot, st, 12);
    }
    stmt_end(st);
    return ERR_OK;
}

enum err claims_cancelled(struct db *db, int64_t runner, struct running_list *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIMS_CANCELLED, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":runner", runner);
    return read_running(db, st, out, e);
}

enum err claims_abandoned(struct db *db, int64_t runner, int64_t now, bool all_others,
                          struct running_list *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CLAIMS_ABANDONED, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":runner", runner);
    stmt_int(st, ":now", now);
    stmt_int(st, ":all_others", all_others);
    return read_running(db, st, out, e);
}
