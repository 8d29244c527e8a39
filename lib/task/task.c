#include "task/task.h"

#include "base/json.h"
#include "task/progress.h"

#include <stdlib.h>

void task_free(struct task *t)
{
    char *const text[] = {t->owner,  t->type,       t->group,      t->request_id,
                          t->phase,  t->message,    t->error_code, t->error_message,
                          t->result, t->result_type};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) free(text[i]);
    file_list_free(&t->files);
    *t = (struct task){0};
}

double task_elapsed_seconds(const struct task *t, int64_t now)
{
    if (t->started_at == TASK_NONE || t->status == TASK_PENDING) return -1;
    int64_t until = t->completed_at != TASK_NONE ? t->completed_at : now;
    return until > t->started_at ? (double)(until - t->started_at) / 1000 : 0;
}

static void number_or_null(struct buf *out, const char *key, int64_t value)
{
    json_key(out, key);
    if (value == TASK_NONE)
        buf_str(out, "null");
    else
        buf_int(out, value);
}

static void seconds_or_null(struct buf *out, const char *key, double value)
{
    json_key(out, key);
    if (value < 0)
        buf_str(out, "null");
    else
        json_number(out, value);
}

static void text_member(struct buf *out, const char *key, const char *value)
{
    json_key(out, key);
    json_text(out, value);
}

void task_links(struct buf *out, const struct task *t, const struct task_view *view)
{
    static const struct {
        const char *key, *tail;
    } links[] = {{"self", ""},
                 {"events", "/events"},
                 {"result", "/result"},
                 {"cancel", "/cancel"},
                 {"retry", "/retry"}};
    buf_char(out, '{');
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        json_key(out, links[i].key);
        buf_fmt(out, "\"%s/tasks/%s%s\"", view->prefix, t->id, links[i].tail);
    }
    buf_char(out, '}');
}

void task_document(struct buf *out, const struct task *t, const struct task_view *view)
{
    double elapsed = task_elapsed_seconds(t, view->now);
    bool running = t->status == TASK_RUNNING;

    buf_char(out, '{');
    text_member(out, "id", t->id);
    text_member(out, "type", t->type);
    text_member(out, "status", task_status_name(t->status));
    json_key(out, "progress");
    json_number(out, t->progress);
    text_member(out, "phase", t->phase);
    text_member(out, "message", t->message);
    text_member(out, "group_id", t->group);
    number_or_null(out, "priority", t->priority);
    text_member(out, "owner", t->owner);
    text_member(out, "request_id", t->request_id);
    number_or_null(out, "attempt", t->attempt);
    number_or_null(out, "max_attempts", t->max_attempts);
    number_or_null(out, "run_at", t->run_at);
    number_or_null(out, "created_at", t->created_at);
    number_or_null(out, "started_at", t->started_at);
    number_or_null(out, "completed_at", t->completed_at);
    number_or_null(out, "updated_at", t->updated_at);
    seconds_or_null(out, "elapsed_seconds", elapsed);
    seconds_or_null(out, "estimated_remaining_seconds",
                    running ? progress_remaining(elapsed, t->progress) : -1);
    number_or_null(out, "queue_position", t->queue_position);
    json_key(out, "cancel_requested");
    buf_str(out, t->cancel_requested ? "true" : "false");
    json_key(out, "result");
    buf_str(out, t->result ? t->result : "null");
    text_member(out, "result_type", t->result_type);
    number_or_null(out, "result_bytes", t->result_bytes);
    json_key(out, "error");
    if (t->error_code) {
        buf_char(out, '{');
        text_member(out, "code", t->error_code);
        text_member(out, "message", t->error_message);
        json_key(out, "retryable");
        buf_str(out, t->error_retryable ? "true" : "false");
        buf_char(out, '}');
    } else {
        buf_str(out, "null");
    }
    number_or_null(out, "event_count", t->event_count);
    json_key(out, "cursor");
    cursor_quote(out, view->epoch, t->cursor);
    json_key(out, "files");
    buf_char(out, '[');
    for (size_t i = 0; i < t->files.count; i++) {
        if (i) buf_char(out, ',');
        file_document(out, &t->files.items[i], view->prefix, t->id);
    }
    buf_char(out, ']');
    json_key(out, "links");
    task_links(out, t, view);
    buf_char(out, '}');
}
