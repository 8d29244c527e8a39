/* The state of a task, as an event or a document tells it: what the dialects flat and notify speak about.
 *
 * It is read from the event alone, so that a replay says what was said live. What an event does not tell follows
 * from its type (created, started, or cancelled while it waited: progress 0; completed: 100) or is not known. Pure. */
#ifndef LEAT_RENDER_TASK_STATE_H
#define LEAT_RENDER_TASK_STATE_H

#include "base/json.h"
#include "render/document.h"

#include <stdbool.h>
#include <stdint.h>

/* Spans are JSON, borrowed from the event or owned by `text`; {NULL, 0}: not told. Numbers are -1 when not known. */
struct task_state {
    const char *task_id; /* borrowed */
    enum task_status status;
    bool progressed; /* the news is its progress, not its status */
    double progress, elapsed, remaining;
    struct json_span message; /* what the event says in words: its error, message or phase */
    struct json_span error; /* what went wrong, in words: the message of the error, else its code */
    struct json_span code, retryable;
    struct json_span result, result_url;
    int64_t at; /* ms */
    struct buf text[4];
};

/* Whether events of this type tell the state of a task: task.created, .status_changed, .progress. */
bool task_state_type(const char *type);

/* Reads an event of such a type; free with task_state_free. */
void task_state_of_event(struct task_state *s, const struct event *ev);

/* The state that a task is in now; free with task_state_free. */
void task_state_of_task(struct task_state *s, const struct task *t, const struct task_view *view);

void task_state_free(struct task_state *s); /* the members, not `s` itself */

/* Writes "result", and "result_url" where the result is too large to be shown. */
void task_state_result(struct buf *out, const struct task_state *s);

#endif
