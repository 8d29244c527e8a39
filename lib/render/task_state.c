#include "render/task_state.h"

#include "render/member.h"
#include "task/progress.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 16 }; /* bytes of a status, in quotes */

void task_state_free(struct task_state *s)
{
    for (size_t i = 0; i < sizeof s->text / sizeof *s->text; i++) buf_free(&s->text[i]);
}

bool task_state_type(const char *type)
{
    return !strcmp(type, "task.created") || !strcmp(type, "task.status_changed") ||
           !strcmp(type, "task.progress");
}

/* The progress that follows from a status. */
static double usual_progress(enum task_status status)
{
    switch (status) {
    case TASK_PENDING:
    case TASK_RUNNING: return 0;
    case TASK_COMPLETED: return 100;
    default: return -1;
    }
}

static enum task_status read_status(struct json_span word)
{
    char name[WORD_MAX] = "";
    enum task_status status = TASK_PENDING;
    if (word.len > 2 && word.len - 2 < sizeof name) memcpy(name, word.at + 1, word.len - 2);
    task_status_parse(name, &status);
    return status;
}

/* A number in an object: what follows it ends it. */
static double read_number(struct json_span number)
{
    return number.at ? strtod(number.at, NULL) : -1;
}

static void read_error(struct task_state *s, struct json_span error)
{
    if (!error.at) return;
    s->code = json_find(error.at, "code");
    s->retryable = json_find(error.at, "retryable");
    s->error = json_find(error.at, "message");
    if (!s->error.at || *s->error.at == 'n') s->error = s->code;
}

void task_state_of_event(struct task_state *s, const struct event *ev)
{
    struct json_span percent = {0}, elapsed = {0}, remaining = {0}, to = {0}, message = {0};
    struct json_span phase = {0}, error = {0}, started = {0}, completed = {0}, from = {0};
    *s = (struct task_state){.task_id = ev->task_id,
                             .progressed = !strcmp(ev->type, "task.progress"),
                             .status = TASK_RUNNING,
                             .at = ev->ts};
    const struct {
        const char *name;
        struct json_span *span;
    } told[] = {
        {"status", &to},
        {"from", &from},
        {"to", &to},
        {"percent", &percent},
        {"phase", &phase},
        {"message", &message},
        {"elapsed_seconds", &elapsed},
        {"estimated_remaining_seconds", &remaining},
        {"started_at", &started},
        {"completed_at", &completed},
        {"error", &error},
        {"result", &s->result},
        {"result_url", &s->result_url},
    };
    const char *at = ev->payload;
    for (struct json_member m; json_next(&at, &m);)
        for (size_t i = 0; i < sizeof told / sizeof *told; i++)
            if (json_named(&m, told[i].name)) *told[i].span = m.value;

    if (!s->progressed) s->status = read_status(to);
    read_error(s, error);
    s->message = s->error.at ? s->error : message.at ? message : phase;
    s->progress = percent.at ? read_number(percent) : usual_progress(s->status);
    s->elapsed = read_number(elapsed);
    s->remaining = read_number(remaining);
    /* Nothing was done before the first attempt or since the last one was given up. */
    if (s->progress < 0 && from.at && read_status(from) == TASK_PENDING) s->progress = 0;
    if (s->status == TASK_RUNNING && !s->progressed)
        s->elapsed = 0;
    else if (started.at && completed.at)
        s->elapsed = (read_number(completed) - read_number(started)) / 1000;
}

/* The text of `b` as a span. */
static struct json_span span_of(const struct buf *b)
{
    return (struct json_span){b->data, b->len};
}

void task_state_of_task(struct task_state *s, const struct task *t, const struct task_view *view)
{
    *s = (struct task_state){.task_id = t->id,
                             .status = t->status,
                             .progress = t->progress,
                             .elapsed = task_elapsed_seconds(t, view->now),
                             .remaining = -1,
                             .at = t->updated_at};
    if (t->status == TASK_RUNNING) s->remaining = progress_remaining(s->elapsed, t->progress);
    if (t->error_code) {
        json_text(&s->text[0], t->error_message ? t->error_message : t->error_code);
        json_text(&s->text[1], t->error_code);
        buf_str(&s->text[2], t->error_retryable ? "true" : "false");
        s->error = span_of(&s->text[0]);
        s->code = span_of(&s->text[1]);
        s->retryable = span_of(&s->text[2]);
    }
    if (t->result) {
        s->result = (struct json_span){t->result, strlen(t->result)};
    } else if (t->result_bytes != TASK_NONE) {
        buf_fmt(&s->text[3], "\"%s/tasks/%s/result\"", view->prefix, t->id);
        s->result_url = span_of(&s->text[3]);
    }
}

void task_state_result(struct buf *out, const struct task_state *s)
{
    member_json(out, "result", s->result);
    if (s->result_url.at) member_json(out, "result_url", s->result_url);
}
