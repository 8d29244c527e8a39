#include "runner/outcome.h"

#include "base/buf.h"
#include "base/json.h"

#include <string.h>
#include <sysexits.h>

enum { MESSAGE_MAX = 500 }; /* bytes */

static const struct {
    enum task_status status;
    const char *code;
    bool retryable;
} stopped[] = {
    [STOP_TIMEOUT] = {TASK_TIMEOUT, "timeout", true},
    [STOP_CANCEL] = {TASK_CANCELLED, "cancelled", false},
    [STOP_DRAIN] = {TASK_PENDING, NULL, false},
    [STOP_RESTART] = {TASK_PENDING, NULL, false},
    [STOP_TOO_LARGE] = {TASK_FAILED, "result_too_large", false},
    [STOP_CONTEXT] = {TASK_FAILED, "context_too_large", true},
    [STOP_CHECKPOINT] = {TASK_FAILED, "checkpoint_too_large", true},
    [STOP_FILES] = {TASK_FAILED, "result_too_large", false},
    [STOP_REFUSED] = {TASK_FAILED, "exec_failed", true},
};

static void say_stop(struct buf *text, const struct attempt_end *a)
{
    switch (a->stop) {
    case STOP_TIMEOUT:
        buf_str(text, "not finished within ");
        json_number(text, (double)a->timeout_ms / 1000);
        buf_str(text, " s");
        break;
    case STOP_CANCEL: buf_str(text, "cancelled"); break;
    case STOP_TOO_LARGE:
        buf_fmt(text, "the result is larger than %lld bytes", (long long)a->result_max);
        break;
    case STOP_CONTEXT:
        buf_fmt(text, "the context for its group is larger than %lld bytes",
                (long long)a->state_max);
        break;
    case STOP_CHECKPOINT:
        buf_fmt(text, "the checkpoint is larger than %lld bytes", (long long)a->state_max);
        break;
    case STOP_FILES: buf_str(text, a->said ? a->said : "too many files"); break;
    case STOP_REFUSED: buf_str(text, "the database did not take what the job said"); break;
    case STOP_DRAIN:
    case STOP_RESTART:
    case STOP_NONE: break;
    }
}

static void decide_stopped(struct outcome *out, const struct attempt_end *a, struct buf *text)
{
    out->status = stopped[a->stop].status;
    out->unspent = a->stop == STOP_DRAIN;
    out->code = stopped[a->stop].code;
    out->retryable = stopped[a->stop].retryable;
    say_stop(text, a);
}

static void decide_ended(struct outcome *out, const struct attempt_end *a, struct buf *text)
{
    bool again = a->attempt < a->max_attempts;
    const char *silent = "it could not be run";
    out->retryable = true;
    switch (a->ending) {
    case ENDING_EXIT:
        if (!a->number) {
            out->status = TASK_COMPLETED;
            return;
        }
        out->code = "exit_status";
        out->retryable =
            a->number != EX_USAGE && a->number != EX_DATAERR && a->number != EX_NOINPUT;
        again = again && out->retryable;
        out->exit_status = a->number;
        silent = "the job failed and said nothing";
        break;
    case ENDING_SIGNAL:
        out->code = "killed_by_signal";
        out->signal = a->number;
        silent = "the job was ended by a signal";
        break;
    case ENDING_NO_EXEC:
    case ENDING_NO_FILES: out->code = "exec_failed"; break;
    case ENDING_NO_TYPE:
        out->code = "type_removed";
        out->retryable = again = false;
        break;
    case ENDING_UNUSABLE:
        out->code = "exec_failed";
        again = false;
        break;
    case ENDING_HELD:
    case ENDING_NO_SYSTEM:
        out->code = "exec_failed";
        out->unspent = again = true;
        break;
    }
    out->status = again ? TASK_PENDING : TASK_FAILED;
    out->backoff = again;
    bool said = a->said && *a->said;
    buf_str(text, said ? a->said : silent);
    if (!said && out->signal) buf_fmt(text, ": %s", strsignal(out->signal));
}

void outcome_decide(struct outcome *out, const struct attempt_end *a)
{
    *out = (struct outcome){0};
    struct buf text = {0};
    if (a->stop)
        decide_stopped(out, a, &text);
    else
        decide_ended(out, a, &text);
    if (text.len > MESSAGE_MAX) {
        text.len = utf8_cut(text.data, MESSAGE_MAX);
        text.data[text.len] = '\0';
    }
    out->message = text.data;
}
