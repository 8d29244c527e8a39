#include "runner/attempt.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "runner/attempt_parts.h"
#include "store/tasks.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { SYSTEM_BACKOFF_MS = 5000 };

static void watched_child_ended(void *arg, int status)
{
    (void)status; /* attempt_reap finds out more */
    attempt_happens(arg, EVENT_CHILD_ENDED);
}

static void deadline_passed(void *arg)
{
    attempt_happens(arg, EVENT_TIME_UP);
}

static void progress_is_due(void *arg)
{
    attempt_read_lines(arg);
}

static void copy_on(void *arg)
{
    attempt_copy_input(arg);
}

static void listen_again(void *arg)
{
    struct attempt *a = arg;
    a->muted = false;
    attempt_read_lines(a);
    attempt_listen(a);
}

/* An attempt that is IDLE. */
static void clear(struct attempt *a, const struct attempt_host *host)
{
    *a = (struct attempt){
        .host = host,
        .state = STATE_IDLE,
        .child = CHILD_NONE,
        .deadline = {.fire = deadline_passed, .arg = a},
        .progress = {.fire = progress_is_due, .arg = a},
        .retry = {.fire = listen_again, .arg = a},
        .copying = {.fire = copy_on, .arg = a},
        .in = -1,
        .in_to = -1,
        .out = CHANNEL_CLOSED,
        .err = CHANNEL_CLOSED,
        .events = CHANNEL_CLOSED,
        .artifacts_report = -1,
    };
}

struct attempt *attempt_new(const struct attempt_host *host)
{
    struct attempt *a = mem_alloc(sizeof *a);
    clear(a, host);
    return a;
}

/* ---- actions ------------------------------------------------------------------------------------ */

/* Forgets the task. Its process must be gone. */
static void forget(struct attempt *a)
{
    loop_child_del(a->host->loop, &a->watch);
    loop_timer_stop(a->host->loop, &a->deadline);
    loop_timer_stop(a->host->loop, &a->progress);
    loop_timer_stop(a->host->loop, &a->retry);
    attempt_close_input(a);
    attempt_close_pipes(a);
    buf_free(&a->result);
    lines_free(&a->out_lines);
    lines_free(&a->err_lines);
    lines_free(&a->event_lines);
    outbox_free(&a->outbox);
    free(a->outcome.message);
    free(a->read_result.value);
    free(a->result_url);
    free(a->context);
    free(a->checkpoint);
    file_list_free(&a->files);
    if (a->artifacts_report >= 0) close(a->artifacts_report);
    workdir_free(&a->dir);
    secret_wipe(a->token, sizeof a->token);
    task_free(&a->task);
    clear(a, a->host);
}

static void give_up_child(struct attempt *a)
{
    child_drop(&a->child);
    forget(a);
}

static void begin(struct attempt *a)
{
    char id[ID_SIZE], type[JOBTYPE_NAME_MAX + 1];
    attempt_watch(a);
    loop_timer_set(a->host->loop, &a->deadline, a->started + a->timeout_ms);
    attempt_listen(a);
    log_info("task_start", " task_id=%s type=%s attempt=%lld child=%lld",
             log_quote(id, sizeof id, a->task.id), log_quote(type, sizeof type, a->task.type),
             (long long)a->task.attempt, (long long)a->child.id.pid);
}

static void ask_to_end(struct attempt *a)
{
    loop_timer_set(a->host->loop, &a->deadline, clock_monotonic_ms() + a->type.kill_grace_ms);
    child_signal(&a->child, SIGTERM);
    child_signal(&a->child, SIGCONT); /* a stopped process would not see it */
}

static void time_out(struct attempt *a)
{
    a->stop = STOP_TIMEOUT;
    ask_to_end(a);
}

static void kill_child(struct attempt *a)
{
    loop_timer_stop(a->host->loop, &a->deadline);
    child_signal(&a->child, SIGKILL);
}

static void kill_too_large(struct attempt *a)
{
    a->stop = a->excess;
    attempt_listen(a);
    kill_child(a);
}

/* One that failed by itself gives nothing that could be too large. */
static void note_too_large(struct attempt *a)
{
    if (!a->stop && a->ending == ENDING_EXIT && !a->ending_number) a->stop = a->excess;
}

static void kill_fenced(struct attempt *a)
{
    attempt_close_pipes(a);
    kill_child(a);
}

static void forget_with_folders(struct attempt *a)
{
    if (a->child.id.pid > 0) {
        struct child_end ended;
        attempt_reap(a, &ended);
    }
    attempt_remove_all(a);
    forget(a);
}

/* The claim is gone, and there may be a helper. */
static void fence_ended(struct attempt *a)
{
    if (a->child.id.pid > 0)
        kill_fenced(a);
    else
        attempt_happens(a, EVENT_CLEAN);
}

static void leave_task(struct attempt *a)
{
    char id[ID_SIZE], type[JOBTYPE_NAME_MAX + 1];
    log_info("task_end", " task_id=%s type=%s status=%s%s%s elapsed_ms=%lld",
             log_quote(id, sizeof id, a->task.id), log_quote(type, sizeof type, a->task.type),
             task_status_name(a->outcome.status), a->outcome.code ? " code=" : "",
             a->outcome.code ? a->outcome.code : "",
             (long long)(clock_monotonic_ms() - a->started));
    if (a->files.count && !a->files_placed) /* it completed, and is to run anew all the same */
        workdir_remove(a->host->work, a->task.id, a->task.attempt, WORKDIR_KEPT);
    if (a->child.id.pid <= 0) attempt_happens(a, EVENT_CLEAN);
}

static void end_cleanup(struct attempt *a)
{
    attempt_take_cleanup(a);
    forget(a);
}

/* ---- the table ---------------------------------------------------------------------------------- */

/* What an event does in a state. An event that has no row for a state changes nothing there. The state is
 * the new one when the action runs; an action that forgets the task leaves it IDLE. */
static const struct transition {
    enum attempt_state next;
    void (*act)(struct attempt *a);
} transitions[ATTEMPT_STATES][ATTEMPT_EVENTS] = {
    [STATE_CLAIMED] =
        {
            [EVENT_ROLLED_BACK] = {STATE_IDLE, give_up_child},
            [EVENT_COPYING] = {STATE_INPUT, attempt_copy_input},
            [EVENT_STARTED] = {STATE_RUNNING, begin},
            [EVENT_NOT_STARTED] = {STATE_ENDED, attempt_conclude},
        },
    [STATE_INPUT] =
        {
            [EVENT_STOP] = {STATE_INPUT, attempt_end_unstarted},
            [EVENT_STARTED] = {STATE_RUNNING, begin},
            [EVENT_NOT_STARTED] = {STATE_ENDED, attempt_conclude},
        },
    [STATE_RUNNING] =
        {
            [EVENT_STOP] = {STATE_STOPPING, ask_to_end},
            [EVENT_TIME_UP] = {STATE_STOPPING, time_out},
            [EVENT_TOO_LARGE] = {STATE_KILLED, kill_too_large},
            [EVENT_REFUSED] = {STATE_KILLED, kill_child},
            [EVENT_CHILD_ENDED] = {STATE_REMAINDER, attempt_take_end},
            [EVENT_FENCED] = {STATE_FENCED, kill_fenced},
        },
    [STATE_STOPPING] =
        {
            [EVENT_TIME_UP] = {STATE_KILLED, kill_child},
            [EVENT_REFUSED] = {STATE_KILLED, kill_child},
            [EVENT_CHILD_ENDED] = {STATE_REMAINDER, attempt_take_end},
            [EVENT_FENCED] = {STATE_FENCED, kill_fenced},
        },
    [STATE_KILLED] =
        {
            [EVENT_CHILD_ENDED] = {STATE_REMAINDER, attempt_take_end},
            [EVENT_FENCED] = {STATE_FENCED, kill_fenced},
        },
    [STATE_REMAINDER] =
        {
            [EVENT_TOO_LARGE] = {STATE_REMAINDER, note_too_large},
            [EVENT_REFUSED] = {STATE_ENDED, attempt_conclude},
            [EVENT_KEEPING] = {STATE_ARTIFACTS, attempt_watch},
            [EVENT_OVER] = {STATE_ENDED, attempt_conclude},
            [EVENT_FENCED] = {STATE_FENCED, fence_ended},
        },
    [STATE_ARTIFACTS] =
        {
            [EVENT_REFUSED] = {STATE_KILLED, kill_child},
            [EVENT_CHILD_ENDED] = {STATE_ENDED, attempt_take_artifacts},
            [EVENT_FENCED] = {STATE_FENCED, kill_fenced},
        },
    [STATE_ENDED] =
        {
            [EVENT_REFUSED] = {STATE_ENDED, attempt_conclude},
            [EVENT_CHILD_ENDED] = {STATE_ENDED, attempt_take_cleanup},
            [EVENT_FENCED] = {STATE_FENCED, fence_ended},
            [EVENT_WRITTEN] = {STATE_CLEANUP, leave_task},
        },
    [STATE_CLEANUP] =
        {
            [EVENT_CHILD_ENDED] = {STATE_IDLE, end_cleanup},
            [EVENT_CLEAN] = {STATE_IDLE, forget},
        },
    [STATE_FENCED] =
        {
            [EVENT_CHILD_ENDED] = {STATE_IDLE, forget_with_folders},
            [EVENT_CLEAN] = {STATE_IDLE, forget_with_folders},
        },
};

void attempt_happens(struct attempt *a, enum attempt_event event)
{
    const struct transition *t = &transitions[a->state][event];
    if (t->next == STATE_NONE) return;
    a->state = t->next;
    t->act(a);
}

/* ---- for the runner ------------------------------------------------------------------------------ */

void attempt_free(struct attempt *a)
{
    if (!a) return;
    forget(a);
    free(a);
}

void attempt_abandon(struct attempt *a)
{
    child_signal(&a->child, SIGKILL);
}

bool attempt_is_idle(const struct attempt *a)
{
    return a->state == STATE_IDLE;
}

bool attempt_is_working(const struct attempt *a)
{
    return a->state != STATE_IDLE && a->state != STATE_ENDED && a->state != STATE_CLEANUP;
}

int64_t attempt_child(const struct attempt *a)
{
    return a->child.id.pid;
}

int64_t attempt_task(const struct attempt *a)
{
    return a->state == STATE_IDLE ? 0 : a->claim.n;
}

void attempt_watch(struct attempt *a)
{
    struct error e = {0};
    a->watch = (struct loop_child){
        .pid = (pid_t)a->child.id.pid,
        .ended = watched_child_ended,
        .arg = a,
        .owner_reaps = true,
    };
    if (loop_child_add(a->host->loop, &a->watch, &e))
        log_failure(LOG_LEVEL_ERROR, "cannot watch a child", &e);
}

void attempt_reap(struct attempt *a, struct child_end *out)
{
    loop_child_del(a->host->loop, &a->watch);
    child_reap(&a->child, out);
}

void attempt_claim(struct attempt *a, struct task *t, const struct child *child)
{
    a->child = *child;
    a->task = *t;
    *t = (struct task){0};
    a->claim = (struct claim){a->task.n, a->host->runner, a->task.attempt};
    a->state = STATE_CLAIMED;
}

void attempt_unclaim(struct attempt *a)
{
    attempt_happens(a, EVENT_ROLLED_BACK);
}

void attempt_pause(struct attempt *a, bool paused)
{
    if (a->paused == paused) return;
    a->paused = paused;
    if (!paused && a->state == STATE_REMAINDER)
        attempt_finish_reading(a);
    else
        attempt_listen(a);
}

void attempt_stop(struct attempt *a, enum stop why)
{
    /* One that ended before we wanted it to has ended by itself. */
    if (a->state != STATE_INPUT && (a->state != STATE_RUNNING || child_ended(&a->child))) return;
    a->stop = why;
    attempt_happens(a, EVENT_STOP);
}

bool attempt_refuse(struct attempt *a)
{
    if (a->state == STATE_ENDED && a->stop == STOP_REFUSED) return false;
    outbox_free(&a->outbox);
    outbox_open(&a->outbox, a->host->progress_rate);
    lines_free(&a->out_lines);
    lines_free(&a->err_lines);
    lines_free(&a->event_lines);
    free(a->checkpoint);
    a->checkpoint = NULL;
    a->stop = STOP_REFUSED;
    attempt_happens(a, EVENT_REFUSED);
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------ */

bool attempt_has_news(const struct attempt *a)
{
    switch (a->state) {
    case STATE_RUNNING:
    case STATE_STOPPING:
    case STATE_KILLED:
    case STATE_REMAINDER:
    case STATE_ARTIFACTS: return a->outbox.count || a->checkpoint;
    case STATE_ENDED: return true;
    default: return false;
    }
}

bool attempt_has_end(const struct attempt *a)
{
    return a->state == STATE_ENDED;
}

/* Takes in what somebody asked for: to run anew, however it ended; to be cancelled, if it did not end before. */
static enum err take_asked(struct attempt *a, struct error *e)
{
    struct claim_asked asked;
    enum err rc = claim_asked(a->host->db, a->task.n, &asked, e);
    bool cancel = asked.cancel && a->outcome.status == TASK_PENDING;
    if (rc || (!asked.restart && !cancel)) return rc;
    free(a->outcome.message);
    a->stop = asked.restart ? STOP_RESTART : STOP_CANCEL;
    outcome_decide(&a->outcome, &(struct attempt_end){.stop = a->stop});
    return ERR_OK;
}

static int64_t again_at(const struct attempt *a)
{
    if (!a->outcome.backoff) return TASK_NONE;
    double random = id_random(1000) / 1000.0;
    int64_t wait =
        a->outcome.unspent ? SYSTEM_BACKOFF_MS : jobtype_backoff(&a->type, a->task.tries, random);
    return a->ended_at + wait;
}

static enum err write_end(struct attempt *a, struct error *e)
{
    enum err rc = take_asked(a, e);
    if (rc) return rc;
    const struct outcome *o = &a->outcome;
    bool result = a->result_url && o->status == TASK_COMPLETED;
    struct claim_end end = {
        .status = o->status,
        .run_at = o->status == TASK_PENDING ? again_at(a) : TASK_NONE,
        .attempt_unspent = o->unspent,
        .error_code = o->code,
        .error_message = o->message,
        .error_retryable = o->retryable,
        .exit_status = o->exit_status,
        .signal = o->signal,
        .result = result ? a->result.data : NULL,
        .result_bytes = result ? a->result.len : 0,
        .result_type = a->read_result.type,
        .result_inline = a->read_result.value,
        .result_url = a->result_url,
        .context = o->status == TASK_COMPLETED ? a->context : NULL,
        .context_version = a->context_version,
        .now = a->ended_at,
    };
    struct files_end files = {
        .id = a->task.id,
        .prefix = a->host->prefix,
        .from = a->dir.kept,
        .list = &a->files,
        .placed = a->files_placed,
        .now = a->ended_at,
    };
    if (o->status == TASK_COMPLETED) rc = files_finish(a->host->db, &a->claim, &files, e);
    a->files_placed = files.placed;
    return rc ? rc : claim_finish(a->host->db, &a->claim, &end, e);
}

enum err attempt_write(struct attempt *a, struct error *e)
{
    enum err rc = outbox_write(&a->outbox, a->host->db, &a->claim, &a->muted, e);
    if (!rc && a->checkpoint) rc = claim_checkpoint(a->host->db, &a->claim, a->checkpoint, e);
    if (!rc && a->state == STATE_ENDED) rc = write_end(a, e);
    a->fenced = rc == ERR_FENCED;
    return rc;
}

void attempt_written(struct attempt *a)
{
    outbox_clear(&a->outbox);
    free(a->checkpoint);
    a->checkpoint = NULL;
    if (a->fenced) {
        char id[ID_SIZE];
        log_warn("task_fenced", " task_id=%s", log_quote(id, sizeof id, a->task.id));
        attempt_happens(a, EVENT_FENCED);
    } else if (a->state == STATE_ENDED) {
        attempt_happens(a, EVENT_WRITTEN);
    } else if (a->state == STATE_REMAINDER) {
        attempt_finish_reading(a);
    } else if (a->muted) {
        attempt_listen(a); /* later */
    } else {
        attempt_read_lines(a); /* those that there was no room for */
        attempt_listen(a);
    }
}
