/* The dialect notify: {"id","timestamp","type":"task_update","task_id","data":{…}} and its like. */
#include "render/dialect_row.h"
#include "render/member.h"
#include "render/task_state.h"
#include "task/cursor.h"

#include <assert.h>
#include <string.h>

enum { OWN_NAME_MAX = 40 }; /* bytes of a member that is written here */

/* What a change to a status is called, and the status. */
static const struct {
    const char *type, *status;
} words[] = {
    [TASK_PENDING] = {"task_update", "pending"},
    [TASK_RUNNING] = {"task_update", "processing"},
    [TASK_COMPLETED] = {"task_complete", "completed"},
    [TASK_FAILED] = {"task_failed", "failed"},
    [TASK_TIMEOUT] = {"task_failed", "failed"},
    [TASK_CANCELLED] = {"task_failed", "failed"},
};
static_assert(sizeof words / sizeof *words == TASK_STATUSES, "a row for each status");

/* Whether `object`, written here and not closed yet, has a member of the name of `m`. */
static bool has_member(const char *object, const struct json_member *m)
{
    char name[OWN_NAME_MAX + 1];
    for (struct json_member own; json_next(&object, &own);) {
        assert(own.name.len <= OWN_NAME_MAX);
        memcpy(name, own.name.at, own.name.len);
        name[own.name.len] = '\0';
        if (json_named(m, name)) return true;
    }
    return false;
}

/* The members of `data` into the object that begins at `start` of the buffer; those of an object result that
 * the object has already give way, a result that is no object is the member "result". */
static void data(struct buf *out, size_t start, const struct task_state *s)
{
    member_text(out, "status", words[s->status].status);
    member_number(out, "progress", s->progress);
    member_number(out, "elapsed_time", s->elapsed);
    member_number(out, "estimated_remaining_seconds", s->remaining);
    member_json(out, "error_message", s->error);
    member_iso_time(out, "updated_at", s->at);
    if (!s->result.at || *s->result.at != '{') {
        if (s->result.at || s->result_url.at) task_state_result(out, s);
        return;
    }
    struct buf own = {0};
    buf_add(&own, out->data + start, out->len - start);
    const char *at = s->result.at;
    for (struct json_member m; json_next(&at, &m);)
        if (!has_member(own.data, &m)) member_copy(out, &m);
    buf_free(&own);
}

static void event(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch)
{
    (void)d;
    struct task_state s;
    task_state_of_event(&s, ev);
    buf_char(out, '{');
    json_key(out, "id");
    cursor_quote(out, epoch, ev->seq);
    member_iso_time(out, "timestamp", ev->ts);
    member_text(out, "type", words[s.status].type);
    member_text(out, "task_id", s.task_id);
    json_key(out, "data");
    size_t start = out->len;
    buf_char(out, '{');
    data(out, start, &s);
    buf_str(out, "}}");
    task_state_free(&s);
}

static bool shows_notice(const struct notice *n)
{
    return !strcmp(n->type, "stream.reset");
}

static void notice(struct buf *out, const struct notice *n)
{
    buf_char(out, '{');
    member_text(out, "id", n->id);
    member_iso_time(out, "timestamp", n->ts);
    member_text(out, "type", "sync_required");
    member_json(out, "reason", json_find(n->payload, "reason"));
    buf_char(out, '}');
}

static void task(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view)
{
    (void)d;
    struct task_state s;
    task_state_of_task(&s, t, view);
    size_t start = out->len;
    buf_char(out, '{');
    member_text(out, "id", t->id);
    member_text(out, "task_id", t->id);
    member_text(out, "type", t->type);
    member_iso_time(out, "created_at", t->created_at);
    member_iso_time(out, "started_at", t->started_at);
    member_iso_time(out, "completed_at", t->completed_at);
    data(out, start, &s);
    buf_char(out, '}');
    task_state_free(&s);
}

static void stats(struct buf *out, const char *document, const struct dialect_stats *s)
{
    buf_char(out, '{');
    member_int(out, "total_tasks", s->tasks);
    member_int(out, "active_connections", s->streams);
    member_number(out, "memory_usage_mb",
                  s->resident_bytes < 0 ? -1 : (double)s->resident_bytes / (1024 * 1024));
    for (struct json_member m; json_next(&document, &m);) member_copy(out, &m);
    buf_char(out, '}');
}

const struct dialect_row dialect_row_notify = {
    .name = "notify",
    .shows_type = task_state_type,
    .shows_notice = shows_notice,
    .event = event,
    .notice = notice,
    .task = task,
    .group = envelope_group,
    .stats = stats,
    .page_key = "messages",
    .bare = true,
    .skips = true,
};
