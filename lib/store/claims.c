#include "store/claims.h"

#include "base/buf.h"
#include "base/json.h"
#include "gen/query.h"
#include "store/groups.h"
#include "store/tasks.h"
#include "store/transitions.h"
#include "task/progress.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROMOTED_MAX = 100 }; /* tasks whose time has come, of one transaction */

enum err runner_register(struct db *db, const struct process_id *self, const char *boot_id,
                         int64_t now, int64_t seen_until, int64_t *id, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_runner_register_in in = {
        .id = *id ? *id : TASK_NONE,
        .pid = self->pid,
        .pid_start = self->start,
        .session = self->session,
        .boot_id = boot_id,
        .now = now,
        .seen_until = seen_until,
    };
    return q_runner_register(db, &in, id, e);
}

enum err runner_renew(struct db *db, int64_t id, int64_t seen_until, int64_t lease_until,
                      struct error *e)
{
    assert(txn_is_open(db));
    int64_t changed;
    enum err rc = q_runner_seen(db, id, seen_until, &changed, e);
    if (rc) return rc;
    if (!changed) return error_set(e, ERR_NOTFOUND, "runner %lld is not registered", (long long)id);
    return q_runner_leases(db, id, lease_until, e);
}

enum err claims_promote(struct db *db, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    bool any;
    enum err rc = q_claim_promotable(db, now, &any, e);
    return rc || !any ? rc : q_claim_promote(db, now, PROMOTED_MAX, e);
}

enum err runner_leave(struct db *db, int64_t id, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    int64_t changed;
    return q_runner_seen(db, id, now - 1, &changed, e);
}

enum err runner_alive(struct db *db, int64_t now, bool *alive, struct error *e)
{
    return q_runner_alive(db, now, alive, e);
}

/* The task that is next: its `n`, 0 when none is, and since when it has been due. */
static enum err find_next(struct db *db, const struct claim_wish *wish, int64_t *n, int64_t *since,
                          struct error *e)
{
    const char *bounds = wish->bounds;
    for (bool may = false; !may;) { /* once more for each type that is met at its bound */
        struct q_claim_next_row row;
        bool found;
        enum err rc = q_claim_next(db, bounds, &row, &found, e);
        if (rc) return rc;
        may = !found || !wish->may || wish->may(wish->arg, row.type, row.running, &bounds);
        *n = row.n;
        *since = row.since;
        free(row.type);
    }
    return ERR_OK;
}

enum err claim_next(struct db *db, const struct claim_wish *wish, struct task *out, struct error *e)
{
    assert(txn_is_open(db));
    int64_t n = 0, since = 0;
    enum err rc = claims_promote(db, wish->now, e);
    if (!rc) rc = find_next(db, wish, &n, &since, e);
    if (rc) return rc;
    if (!n) return error_set(e, ERR_NOTFOUND, "no task is due");
    const struct q_claim_take_in in = {
        .n = n,
        .runner = wish->runner,
        .now = wish->now,
        .lease_until = wish->lease_until,
        .pid = wish->child.pid ? wish->child.pid : TASK_NONE,
        .pid_start = wish->child.pid ? wish->child.start : TASK_NONE,
    };
    if ((rc = q_claim_take(db, &in, e))) return rc;
    if ((rc = task_get_n(db, n, out, e))) return rc;
    struct transition was = transition_of(out->id, out->request_id, out->type, TASK_PENDING, since);
    transition_note(db, &was, TASK_RUNNING, wish->now);
    return ERR_OK;
}

enum err claim_next_due(struct db *db, int64_t now, const char *bounds, int64_t *due,
                        struct error *e)
{
    int64_t at;
    enum err rc = q_claim_due(db, bounds, &at, e);
    if (rc) return rc;
    *due = at == TASK_NONE ? INT64_MAX : at > now ? at : now;
    return ERR_OK;
}

static enum err fenced(struct error *e)
{
    return error_set(e, ERR_FENCED, "the task is no longer this runner's");
}

/* What a claim's task says of itself; ERR_FENCED when the claim is gone. */
static enum err hold(struct db *db, const struct claim *c, struct q_claim_held_row *out,
                     struct error *e)
{
    assert(txn_is_open(db));
    bool found;
    enum err rc = q_claim_held(db, c->n, c->runner, c->attempt, out, &found, e);
    return rc || found ? rc : fenced(e);
}

enum err claim_child(struct db *db, const struct claim *c, struct process_id *child,
                     struct error *e)
{
    struct q_claim_held_row held;
    enum err rc = hold(db, c, &held, e);
    *child = (struct process_id){.pid = held.pid, .start = held.pid_start};
    return rc;
}

/* The log of a claimed task while events are written into it, those of one type and time together. Free with
 * log_free. */
struct log {
    struct q_claim_log_row row; /* as it will be when all is written */
    const struct claim *claim;
    const char *type; /* of those that are not written yet, and ... */
    int64_t now, count, bytes;
    struct buf payload, payloads; /* ... these: a JSON array of texts, without its end */
};

static void log_free(struct log *l)
{
    free(l->row.owner);
    free(l->row.group_id);
    free(l->row.request_id);
    buf_free(&l->payload);
    buf_free(&l->payloads);
}

/* Writes those that are not written yet. */
static enum err log_flush(struct db *db, struct log *l, struct error *e)
{
    if (!l->count) return ERR_OK;
    buf_char(&l->payloads, ']');
    const struct q_claim_lines_in in = {
        .n = l->claim->n,
        .seq = l->row.events - l->count + 1,
        .owner = l->row.owner,
        .group_id = l->row.group_id,
        .id = l->row.id,
        .request_id = l->row.request_id,
        .type = l->type,
        .now = l->now,
        .payloads = l->payloads.data,
        .bytes = l->bytes,
    };
    l->count = l->bytes = 0;
    return q_claim_lines(db, &in, e);
}

struct bound {
    int64_t max, now;
    const char *name, *subject, *unit; /* for the task's log */
};

/* Whether the job's lines have reached a bound: which. */
static bool bound_reached(const struct db *db, const struct q_claim_log_row *l, struct bound *out)
{
    const struct db_limits *limits = db_limits(db);
    const struct bound bounds[] = {
        {limits->events_per_task, l->events, "events_per_task", "the task has", "events"},
        {limits->event_bytes_per_task, l->event_bytes, "event_bytes_per_task",
         "the log of the task takes", "bytes"},
        {limits->bytes_per_owner, l->owner_bytes, "bytes_per_owner", "what its owner has takes",
         "bytes"},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        *out = bounds[i];
        if (out->max && out->now >= out->max) return true;
    }
    return false;
}

static enum err write_line(struct db *db, struct log *l, const struct claim_line *line,
                           struct error *e)
{
    enum { EVENT_BYTES = 200 }; /* of an event beside its payload, as the schema weighs them */
    bool same = l->count && l->now == line->now && !strcmp(l->type, line->type);
    enum err rc = same ? ERR_OK : log_flush(db, l, e);
    if (rc) return rc;
    if (!same) buf_clear(&l->payloads);
    buf_clear(&l->payload);
    json_squeeze(&l->payload, line->payload);
    buf_char(&l->payloads, same ? ',' : '[');
    json_quote(&l->payloads, l->payload.data, l->payload.len);
    int64_t bytes = EVENT_BYTES + (int64_t)l->payload.len;
    l->type = line->type;
    l->now = line->now;
    l->count++;
    l->bytes += bytes;
    l->row.events++;
    l->row.event_bytes += bytes;
    l->row.owner_bytes += bytes;
    return ERR_OK;
}

static enum err mute(struct db *db, struct log *l, bool muted, struct error *e)
{
    if (l->row.muted == muted) return ERR_OK;
    l->row.muted = muted;
    return q_claim_mute(db, l->claim->n, muted, e);
}

/* Drops a line. The first one leaves a warning in the task's log. */
static enum err drop(struct db *db, struct log *l, const struct bound *bound, int64_t now,
                     struct error *e)
{
    if (l->row.muted) return ERR_OK;
    struct buf payload = {0};
    buf_fmt(&payload,
            "{\"level\":\"warn\",\"message\":\"%s %lld %s: nothing more that its job says is "
            "written (%s)\"}",
            bound->subject, (long long)bound->max, bound->unit, bound->name);
    const struct claim_line warning = {"log.append", payload.data, now};
    enum err rc = mute(db, l, true, e);
    if (!rc) rc = write_line(db, l, &warning, e);
    buf_free(&payload);
    return rc;
}

/* Writes a line unless a bound is reached. */
static enum err take_line(struct db *db, struct log *l, const struct claim_line *line,
                          bool *dropped, struct error *e)
{
    struct bound bound;
    if (!strncmp(line->type, "file.", 5)) return write_line(db, l, line, e);
    *dropped = bound_reached(db, &l->row, &bound);
    if (*dropped) return drop(db, l, &bound, line->now, e);
    enum err rc = mute(db, l, false, e);
    return rc ? rc : write_line(db, l, line, e);
}

enum err claim_lines(struct db *db, const struct claim *c, const struct claim_line *lines,
                     size_t count, bool *dropped, struct error *e)
{
    assert(txn_is_open(db));
    struct log l = {.claim = c};
    bool found;
    *dropped = false;
    enum err rc = q_claim_log(db, c->n, c->runner, c->attempt, &l.row, &found, e);
    if (!rc && !found) rc = fenced(e);
    for (size_t i = 0; !rc && i < count && !*dropped; i++)
        rc = take_line(db, &l, &lines[i], dropped, e);
    if (!rc) rc = log_flush(db, &l, e);
    log_free(&l);
    return rc;
}

enum err claim_event(struct db *db, const struct claim *c, const char *type, const char *payload,
                     int64_t now, bool *dropped, struct error *e)
{
    bool was_dropped;
    enum err rc = claim_lines(db, c, &(struct claim_line){type, payload, now}, 1, &was_dropped, e);
    if (dropped) *dropped = was_dropped;
    return rc;
}

enum err claim_progress(struct db *db, const struct claim *c, double percent, const char *phase,
                        const char *message, int64_t now, struct error *e)
{
    struct q_claim_held_row held;
    enum err rc = hold(db, c, &held, e);
    if (rc) return rc;
    double left = progress_remaining((double)(now - held.started_at) / 1000,
                                     percent < 0 ? held.progress : percent);
    const struct q_claim_progress_in in = {
        .n = c->n,
        .now = now,
        .percent = percent < 0 ? (double)NAN : percent,
        .phase = phase,
        .message = message,
        .remaining = left < 0 ? (double)NAN : left,
    };
    return q_claim_progress(db, &in, e);
}

enum err claim_checkpoint(struct db *db, const struct claim *c, const char *json, struct error *e)
{
    struct q_claim_held_row held;
    enum err rc = hold(db, c, &held, e);
    if (rc) return rc;
    return q_checkpoint_put(db, c->n, json, e);
}

enum err claim_checkpoint_get(struct db *db, int64_t n, char **json, struct error *e)
{
    *json = NULL;
    return q_checkpoint_get(db, n, json, e);
}

static enum err write_result(struct db *db, int64_t n, const struct claim_end *end, struct error *e)
{
    const struct q_result_create_in in = {
        .task = n,
        .content_type = end->result_type,
        .inline_json = end->result_inline,
        .url = end->result_url,
        .body = end->result,
        .body_len = end->result_bytes,
    };
    return q_result_create(db, &in, e);
}

/* Gives the job's context to the group of its task. Where somebody else has changed that since the job was given
 * it, theirs stays, and the job's is kept in the log. */
static enum err give_context(struct db *db, int64_t n, const struct claim_end *end, struct error *e)
{
    struct q_claim_group_row group;
    bool found;
    int64_t version;
    enum err rc = q_claim_group(db, n, &group, &found, e);
    if (rc || !found) return rc;
    rc = q_group_version(db, group.owner, group.name, &version, e);
    if (!rc && version == end->context_version)
        rc = group_context_put(db, group.owner, group.name, end->context, version, end->now, e);
    else if (!rc)
        rc = q_claim_conflict(
            db,
            &(struct q_claim_conflict_in){
                .n = n, .context = end->context, .version = version, .now = end->now},
            e);
    free(group.owner);
    free(group.name);
    return rc;
}

enum err claim_finish(struct db *db, const struct claim *c, const struct claim_end *end,
                      struct error *e)
{
    /* The result first: the trigger that writes the event of the change puts it in. */
    struct q_claim_held_row held;
    struct transition was;
    enum err rc = hold(db, c, &held, e);
    if (!rc) rc = transition_look(db, c->n, &was, e);
    if (!rc && end->result) rc = write_result(db, c->n, end, e);
    if (!rc && end->context) rc = give_context(db, c->n, end, e);
    if (rc) return rc;
    const struct q_claim_finish_in in = {
        .n = c->n,
        .runner = c->runner,
        .attempt = c->attempt,
        .status = end->status,
        .unspent = end->attempt_unspent,
        .lost = end->lost,
        .run_at = end->status == TASK_PENDING ? end->run_at : TASK_NONE,
        .now = end->now,
        .error_code = end->error_code,
        .error_message = end->error_message,
        .error_retryable = end->error_code ? end->error_retryable : TASK_NONE,
        .exit_status = end->exit_status ? end->exit_status : TASK_NONE,
        .signal = end->signal ? end->signal : TASK_NONE,
    };
    int64_t changed;
    if ((rc = q_claim_finish(db, &in, &changed, e))) return rc;
    if (!changed) return fenced(e);
    transition_note(db, &was, end->status, end->now);
    return ERR_OK;
}

void running_list_free(struct running_list *l)
{
    free(l->items);
    *l = (struct running_list){0};
}

/* The rows of a cursor, which it closes. */
static enum err read_running(struct q_claims_abandoned_cursor c, struct running_list *out)
{
    struct q_claims_abandoned_row row;
    *out = (struct running_list){0};
    while (q_claims_abandoned_next(&c, &row)) {
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        struct running *r = &out->items[out->count++];
        *r = (struct running){
            .claim = {row.n, row.runner, row.attempt},
            .max_attempts = row.max_attempts,
            .lost = row.lost,
            .child = {row.pid, row.pid_start, row.session},
            .lease_until = row.lease_until,
            .runner = {row.runner_pid, row.runner_start, row.session},
        };
        memcpy(r->id, row.id, sizeof r->id);
        memcpy(r->runner_boot, row.boot_id, sizeof r->runner_boot);
        snprintf(r->type, sizeof r->type, "%s", row.type);
    }
    enum err rc = q_claims_abandoned_close(&c);
    if (rc) running_list_free(out);
    return rc;
}

enum err claim_asked(struct db *db, int64_t n, struct claim_asked *out, struct error *e)
{
    struct q_claim_asked_row row;
    bool found;
    enum err rc = q_claim_asked(db, n, &row, &found, e);
    *out = (struct claim_asked){.cancel = row.cancel, .restart = row.restart};
    return rc;
}

enum err claims_to_stop(struct db *db, int64_t runner, struct running_list *out, struct error *e)
{
    return read_running(q_claims_to_stop(db, runner, e), out);
}

enum err claims_abandoned(struct db *db, int64_t runner, int64_t now, bool all_others,
                          struct running_list *out, struct error *e)
{
    return read_running(q_claims_abandoned(db, runner, now, all_others, e), out);
}
