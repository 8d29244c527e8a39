/* The dialect flat: {"type":"status_update","status","progress","message"} and its like. */
#include "render/dialect_row.h"
#include "render/member.h"
#include "render/task_state.h"

#include <assert.h>
#include <string.h>

/* What a change to a status is called, and the status. */
static const struct {
    const char *type, *status;
} words[] = {
    [TASK_PENDING] = {"status_update", "pending"}, [TASK_RUNNING] = {"status_update", "running"},
    [TASK_COMPLETED] = {"completed", "completed"}, [TASK_FAILED] = {"failed", "failed"},
    [TASK_TIMEOUT] = {"failed", "failed"},         [TASK_CANCELLED] = {"failed", "failed"},
};
static_assert(sizeof words / sizeof *words == TASK_STATUSES, "a row for each status");

static bool failed(const struct task_state *s)
{
    return task_status_terminal(s->status) && s->status != TASK_COMPLETED;
}

/* {...payload,"type":T} */
static void other(struct buf *out, const char *type, const char *payload)
{
    bool typed = json_find(payload, "type").at != NULL;
    buf_char(out, '{');
    if (payload[strspn(payload, " \t\r\n")] != '{')
        member_json(out, "payload", (struct json_span){payload, strlen(payload)});
    for (struct json_member m; json_next(&payload, &m);) {
        if (typed && json_named(&m, "payload_type")) continue;
        if (json_named(&m, "type"))
            member_json(out, "payload_type", m.value);
        else
            member_copy(out, &m);
    }
    member_text(out, "type", type);
    buf_char(out, '}');
}

static void event(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch)
{
    (void)d, (void)epoch;
    if (!task_state_type(ev->type)) {
        other(out, ev->type, ev->payload);
        return;
    }
    struct task_state s;
    task_state_of_event(&s, ev);
    buf_char(out, '{');
    member_text(out, "type", s.progressed ? "progress_update" : words[s.status].type);
    if (s.status == TASK_COMPLETED) {
        task_state_result(out, &s);
    } else if (failed(&s)) {
        member_json(out, "error", s.error);
    } else {
        if (!s.progressed) member_text(out, "status", words[s.status].status);
        member_number(out, "progress", s.progress);
    }
    if (s.message.at)
        member_json(out, "message", s.message);
    else
        member_text(out, "message", task_status_name(s.status));
    if (failed(&s)) {
        member_json(out, "code", s.code);
        member_json(out, "retryable", s.retryable);
    }
    buf_char(out, '}');
    task_state_free(&s);
}

static void notice(struct buf *out, const struct notice *n)
{
    if (strcmp(n->type, "stream.connected")) {
        other(out, n->type, n->payload);
        return;
    }
    struct json_span snapshot = json_find(n->payload, "snapshot");
    buf_char(out, '{');
    member_text(out, "type", "connected");
    member_text(out, "taskId", n->task_id);
    member_int(out, "timestamp", n->ts);
    member_json(out, "message", json_find(n->payload, "message"));
    if (snapshot.at) member_json(out, "snapshot", snapshot);
    buf_char(out, '}');
}

static void task(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view)
{
    (void)d;
    struct task_state s;
    task_state_of_task(&s, t, view);
    buf_char(out, '{');
    member_bool(out, "success", !failed(&s));
    member_text(out, "taskId", s.task_id);
    member_text(out, "status", words[s.status].status);
    member_number(out, "progress", s.progress);
    task_state_result(out, &s);
    member_json(out, "error", s.error);
    member_json(out, "code", s.code);
    member_json(out, "retryable", s.retryable);
    buf_char(out, '}');
    task_state_free(&s);
}

const struct dialect_row dialect_row_flat = {
    .name = "flat",
    .event = event,
    .notice = notice,
    .task = task,
    .group = envelope_group,
    .stats = envelope_stats,
    .page_key = "events",
    .bare = true,
};
