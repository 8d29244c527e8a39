#include "render/document.h"

#include "base/json.h"
#include "render/member.h"
#include "task/cursor.h"
#include "task/file.h"
#include "task/progress.h"

#include <string.h>

/* ---- tasks ---- */

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
        buf_char(out, '"');
        buf_str(out, view->prefix);
        buf_str(out, "/tasks/");
        buf_str(out, t->id);
        buf_str(out, links[i].tail);
        buf_char(out, '"');
    }
    buf_char(out, '}');
}

/* {"code","message","retryable","exit_status"?,"signal"?}, or null. */
static void error_document(struct buf *out, const struct task *t)
{
    if (!t->error_code) {
        buf_str(out, "null");
        return;
    }
    buf_char(out, '{');
    member_text(out, "code", t->error_code);
    member_text(out, "message", t->error_message);
    member_bool(out, "retryable", t->error_retryable);
    if (t->exit_status > 0) member_int(out, "exit_status", t->exit_status);
    if (t->signal > 0) member_int(out, "signal", t->signal);
    buf_char(out, '}');
}

void task_document(struct buf *out, const struct task *t, const struct task_view *view)
{
    double elapsed = task_elapsed_seconds(t, view->now);
    bool running = t->status == TASK_RUNNING;

    buf_char(out, '{');
    member_text(out, "id", t->id);
    member_text(out, "type", t->type);
    member_text(out, "status", task_status_name(t->status));
    json_key(out, "progress");
    json_number(out, t->progress);
    member_text(out, "phase", t->phase);
    member_text(out, "message", t->message);
    member_text(out, "group_id", t->group);
    member_int(out, "priority", t->priority);
    member_text(out, "owner", t->owner);
    member_text(out, "request_id", t->request_id);
    member_int(out, "attempt", t->attempt);
    member_int(out, "max_attempts", t->max_attempts);
    member_int(out, "run_at", t->run_at);
    member_int(out, "created_at", t->created_at);
    member_int(out, "started_at", t->started_at);
    member_int(out, "completed_at", t->completed_at);
    member_int(out, "updated_at", t->updated_at);
    member_number(out, "elapsed_seconds", elapsed);
    member_number(out, "estimated_remaining_seconds",
                  running ? progress_remaining(elapsed, t->progress) : -1);
    member_int(out, "queue_position", t->queue_position);
    member_bool(out, "cancel_requested", t->cancel_requested);
    json_key(out, "result");
    buf_str(out, t->result ? t->result : "null");
    member_text(out, "result_type", t->result_type);
    member_int(out, "result_bytes", t->result_bytes);
    json_key(out, "error");
    error_document(out, t);
    member_int(out, "event_count", t->event_count);
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

/* ---- groups ---- */

void group_path(struct buf *out, const char *prefix, const char *name)
{
    buf_fmt(out, "%s/groups/", prefix);
    file_escape(out, name, false);
}

static void link_member(struct buf *out, const char *key, const struct task_view *view,
                        const struct group *g, const char *tail)
{
    json_key(out, key);
    struct buf link = {0};
    group_path(&link, view->prefix, g->name);
    buf_str(&link, tail);
    if (view->asker && strcmp(g->owner, view->asker) != 0) {
        buf_str(&link, "?owner=");
        file_escape(&link, g->owner, false);
    }
    json_quote(out, link.data, link.len);
    buf_free(&link);
}

void group_document_part(struct buf *out, const struct group *g, const struct task_view *view,
                         enum group_part part)
{
    int64_t total = 0;
    buf_char(out, '{');
    member_text(out, "id", g->name);
    member_text(out, "owner", g->owner);
    member_text(out, "status", g->status);
    member_text(out, "type", g->type);
    member_number(out, "progress", g->progress);
    json_key(out, "counts");
    buf_char(out, '{');
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        member_int(out, task_status_name(s), g->counts[s]);
        total += g->counts[s];
    }
    buf_char(out, '}');
    member_int(out, "total", total);
    json_key(out, "error");
    buf_str(out, g->error ? g->error : "null");
    if (part == GROUP_WHOLE) {
        json_key(out, "context");
        buf_str(out, g->context ? g->context : "null");
    }
    member_int(out, "version", g->version);
    member_int(out, "created_at", g->created_at);
    member_int(out, "updated_at", g->updated_at);
    json_key(out, "links");
    buf_char(out, '{');
    link_member(out, "self", view, g, "");
    link_member(out, "events", view, g, "/events");
    link_member(out, "context", view, g, "/context");
    buf_str(out, "}}");
}

/* ---- events ---- */

void event_envelope(struct buf *out, const struct event *ev, const char *epoch)
{
    buf_str(out, "{\"id\":");
    cursor_quote(out, epoch, ev->seq);
    buf_str(out, ",\"type\":");
    json_text(out, ev->type);
    buf_str(out, ",\"ts\":");
    buf_int(out, ev->ts);
    buf_str(out, ",\"task_id\":");
    json_text(out, ev->task_id);
    buf_str(out, ",\"task_seq\":");
    if (ev->task_seq)
        buf_int(out, ev->task_seq);
    else
        buf_str(out, "null");
    buf_str(out, ",\"group_id\":");
    json_text(out, ev->group);
    buf_str(out, ",\"request_id\":");
    json_text(out, ev->request_id);
    buf_str(out, ",\"payload\":");
    buf_str(out, ev->payload);
    buf_char(out, '}');
}
