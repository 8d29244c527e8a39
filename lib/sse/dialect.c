#include "sse/dialect.h"

#include "base/conf.h"
#include "base/json.h"
#include "task/progress.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORD_MAX = 16 }; /* bytes of a status, in quotes */

/* ---- the state of a task: what flat and notify are about ---- */

/* As an event or a document tells it. Spans are JSON; {NULL, 0}: not told, as numbers are by -1. */
struct state {
    const char *task_id;
    enum task_status status;
    bool moved; /* its progress, not its status, is the news */
    double progress, elapsed, remaining;
    struct json_span message, error, result, result_url;
    int64_t at;
    struct buf own_error, own_url; /* behind the spans of a document */
};

static void state_free(struct state *s)
{
    buf_free(&s->own_error);
    buf_free(&s->own_url);
}

static bool is_state(const char *type)
{
    return !strcmp(type, "task.created") || !strcmp(type, "task.status_changed") ||
           !strcmp(type, "task.progress");
}

/* Where an event of no news about a number leaves it. */
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

/* A number that is followed by something else, as in an object it is. */
static double read_number(struct json_span number)
{
    return number.at ? strtod(number.at, NULL) : -1;
}

static void state_of_event(struct state *s, const struct event *ev)
{
    struct json_span percent = {0}, elapsed = {0}, remaining = {0}, to = {0}, message = {0};
    struct json_span phase = {0}, error = {0}, started = {0}, completed = {0}, from = {0};
    *s = (struct state){.task_id = ev->task_id,
                        .moved = !strcmp(ev->type, "task.progress"),
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

    if (!s->moved) s->status = read_status(to);
    if (error.at) s->error = json_find(error.at, "message");
    if (error.at && !s->error.at) s->error = json_find(error.at, "code");
    s->message = s->error.at ? s->error : message.at ? message : phase;
    s->progress = percent.at ? read_number(percent) : usual_progress(s->status);
    s->elapsed = read_number(elapsed);
    s->remaining = read_number(remaining);
    /* Nothing was done before the first attempt or since the last one was given up. */
    if (s->progress < 0 && from.at && read_status(from) == TASK_PENDING) s->progress = 0;
    if (s->status == TASK_RUNNING && !s->moved)
        s->elapsed = 0;
    else if (started.at && completed.at)
        s->elapsed = (read_number(completed) - read_number(started)) / 1000;
}

static void state_of_task(struct state *s, const struct task *t, const struct task_view *view)
{
    *s = (struct state){.task_id = t->id,
                        .status = t->status,
                        .progress = t->progress,
                        .elapsed = task_elapsed_seconds(t, view->now),
                        .remaining = -1,
                        .at = t->updated_at};
    if (t->status == TASK_RUNNING) s->remaining = progress_remaining(s->elapsed, t->progress);
    if (t->error_code) {
        json_text(&s->own_error, t->error_message ? t->error_message : t->error_code);
        s->error = (struct json_span){s->own_error.data, s->own_error.len};
    }
    if (t->result) {
        s->result = (struct json_span){t->result, strlen(t->result)};
    } else if (t->result_bytes != TASK_NONE) {
        buf_fmt(&s->own_url, "\"%s/tasks/%s/result\"", view->prefix, t->id);
        s->result_url = (struct json_span){s->own_url.data, s->own_url.len};
    }
}

/* ---- members ---- */

static void put_text(struct buf *out, const char *key, const char *text)
{
    json_key(out, key);
    json_text(out, text);
}

static void put_span(struct buf *out, const char *key, struct json_span value)
{
    json_key(out, key);
    if (value.at)
        buf_add(out, value.at, value.len);
    else
        buf_str(out, "null");
}

static void put_number(struct buf *out, const char *key, double value)
{
    json_key(out, key);
    if (value < 0)
        buf_str(out, "null");
    else
        json_number(out, value);
}

/* ISO 8601, in UTC. */
static void put_time(struct buf *out, const char *key, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    json_key(out, key);
    if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
        buf_str(out, "null");
    else
        buf_fmt(out, "\"%s.%03dZ\"", text, (int)(ms % 1000));
}

static void put_result(struct buf *out, const struct state *s)
{
    put_span(out, "result", s->result);
    if (s->result_url.at) put_span(out, "result_url", s->result_url);
}

/* A member as it is. */
static void put_member(struct buf *out, const struct json_member *m)
{
    if (out->data[out->len - 1] != '{') buf_char(out, ',');
    buf_add(out, m->name.at - 1, (size_t)(m->value.at + m->value.len - m->name.at) + 1);
}

/* What a dialect calls the change to a status, and the status. */
struct words {
    const char *type, *status;
};

/* ---- envelope ---- */

static void envelope_event(struct buf *out, const struct dialect *d, const struct event *ev,
                           const char *epoch)
{
    (void)d;
    event_envelope(out, ev, epoch);
}

static void envelope_notice(struct buf *out, const struct notice *n)
{
    buf_fmt(out, "{\"type\":\"%s\",\"ts\":%lld,\"payload\":", n->type, (long long)n->ts);
    buf_str(out, n->payload);
    buf_char(out, '}');
}

static void envelope_task(struct buf *out, const struct dialect *d, const struct task *t,
                          const struct task_view *view)
{
    (void)d;
    task_document(out, t, view);
}

static void envelope_group(struct buf *out, const struct dialect *d, const struct group *g,
                           const char *prefix)
{
    (void)d;
    group_document(out, g, prefix);
}

/* ---- flat ---- */

static const struct words flat_words[] = {
    [TASK_PENDING] = {"status_update", "pending"}, [TASK_RUNNING] = {"status_update", "running"},
    [TASK_COMPLETED] = {"completed", "completed"}, [TASK_FAILED] = {"failed", "failed"},
    [TASK_TIMEOUT] = {"failed", "failed"},         [TASK_CANCELLED] = {"failed", "failed"},
};
static_assert(sizeof flat_words / sizeof *flat_words == TASK_STATUSES, "a row for each status");

/* {...payload,"type":T} */
static void flat_other(struct buf *out, const char *type, const char *payload)
{
    bool typed = json_find(payload, "type").at != NULL;
    buf_char(out, '{');
    if (payload[strspn(payload, " \t\r\n")] != '{')
        put_span(out, "payload", (struct json_span){payload, strlen(payload)});
    for (struct json_member m; json_next(&payload, &m);) {
        if (typed && json_named(&m, "payload_type")) continue;
        if (json_named(&m, "type"))
            put_span(out, "payload_type", m.value);
        else
            put_member(out, &m);
    }
    put_text(out, "type", type);
    buf_char(out, '}');
}

static void flat_event(struct buf *out, const struct dialect *d, const struct event *ev,
                       const char *epoch)
{
    (void)d, (void)epoch;
    if (!is_state(ev->type)) {
        flat_other(out, ev->type, ev->payload);
        return;
    }
    struct state s;
    state_of_event(&s, ev);
    buf_char(out, '{');
    put_text(out, "type", s.moved ? "progress_update" : flat_words[s.status].type);
    if (s.status == TASK_COMPLETED) {
        put_result(out, &s);
    } else if (task_status_terminal(s.status)) {
        put_span(out, "error", s.error);
    } else {
        if (!s.moved) put_text(out, "status", flat_words[s.status].status);
        put_number(out, "progress", s.progress);
    }
    if (s.message.at)
        put_span(out, "message", s.message);
    else
        put_text(out, "message", task_status_name(s.status));
    buf_char(out, '}');
    state_free(&s);
}

static void flat_notice(struct buf *out, const struct notice *n)
{
    if (strcmp(n->type, "stream.connected")) {
        flat_other(out, n->type, n->payload);
        return;
    }
    struct json_span snapshot = json_find(n->payload, "snapshot");
    buf_char(out, '{');
    put_text(out, "type", "connected");
    put_text(out, "taskId", n->task_id);
    json_key(out, "timestamp");
    buf_int(out, n->ts);
    put_span(out, "message", json_find(n->payload, "message"));
    if (snapshot.at) put_span(out, "snapshot", snapshot);
    buf_char(out, '}');
}

static void flat_task(struct buf *out, const struct dialect *d, const struct task *t,
                      const struct task_view *view)
{
    (void)d;
    struct state s;
    state_of_task(&s, t, view);
    buf_str(out, "{\"success\":true");
    put_text(out, "taskId", s.task_id);
    put_text(out, "status", flat_words[s.status].status);
    put_number(out, "progress", s.progress);
    put_result(out, &s);
    put_span(out, "error", s.error);
    buf_char(out, '}');
    state_free(&s);
}

/* ---- notify ---- */

static const struct words notify_words[] = {
    [TASK_PENDING] = {"task_update", "pending"},
    [TASK_RUNNING] = {"task_update", "processing"},
    [TASK_COMPLETED] = {"task_complete", "completed"},
    [TASK_FAILED] = {"task_failed", "failed"},
    [TASK_TIMEOUT] = {"task_failed", "failed"},
    [TASK_CANCELLED] = {"task_failed", "failed"},
};
static_assert(sizeof notify_words / sizeof *notify_words == TASK_STATUSES, "a row for each status");

/* The members of an object result that data does not have itself; else the result. */
static void notify_result(struct buf *out, const struct state *s)
{
    static const char *const own[] = {"status",        "progress",
                                      "elapsed_time",  "estimated_remaining_seconds",
                                      "error_message", "updated_at"};
    if (!s->result.at || *s->result.at != '{') {
        if (s->result.at || s->result_url.at) put_result(out, s);
        return;
    }
    const char *at = s->result.at;
    for (struct json_member m; json_next(&at, &m);) {
        bool taken = false;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) taken |= json_named(&m, own[i]);
        if (!taken) put_member(out, &m);
    }
}

static void notify_state(struct buf *out, const struct state *s)
{
    buf_char(out, '{');
    put_text(out, "type", notify_words[s->status].type);
    put_text(out, "task_id", s->task_id);
    json_key(out, "data");
    buf_char(out, '{');
    put_text(out, "status", notify_words[s->status].status);
    put_number(out, "progress", s->progress);
    put_number(out, "elapsed_time", s->elapsed);
    put_number(out, "estimated_remaining_seconds", s->remaining);
    put_span(out, "error_message", s->error);
    put_time(out, "updated_at", s->at);
    notify_result(out, s);
    buf_str(out, "}}");
}

static void notify_event(struct buf *out, const struct dialect *d, const struct event *ev,
                         const char *epoch)
{
    (void)d, (void)epoch;
    struct state s;
    state_of_event(&s, ev);
    notify_state(out, &s);
    state_free(&s);
}

static void notify_task(struct buf *out, const struct dialect *d, const struct task *t,
                        const struct task_view *view)
{
    (void)d;
    struct state s;
    state_of_task(&s, t, view);
    notify_state(out, &s);
    state_free(&s);
}

/* ---- repo ---- */

static void repo_status(struct buf *out, const struct dialect *d, struct json_span word)
{
    size_t len;
    const char *mapped =
        word.len > 2 ? conf_word(d->repo_status, word.at + 1, word.len - 2, &len) : NULL;
    if (mapped)
        json_quote(out, mapped, len);
    else
        buf_add(out, word.at, word.len);
}

/* An object with group_id as repo_id and error_msg beside error; with `states`, a group's. */
static void repo_object(struct buf *out, const struct dialect *d, const char *text, bool states)
{
    buf_char(out, '{');
    for (struct json_member m; json_next(&text, &m);) {
        bool state =
            states && (json_named(&m, "status") || json_named(&m, "from") || json_named(&m, "to"));
        if (out->data[out->len - 1] != '{') buf_char(out, ',');
        if (json_named(&m, "group_id"))
            buf_str(out, "\"repo_id\"");
        else
            buf_add(out, m.name.at - 1, m.name.len + 2);
        buf_char(out, ':');
        if (state)
            repo_status(out, d, m.value);
        else
            buf_add(out, m.value.at, m.value.len);
        if (json_named(&m, "error")) put_span(out, "error_msg", json_find(m.value.at, "message"));
    }
    buf_char(out, '}');
}

static void repo_event(struct buf *out, const struct dialect *d, const struct event *ev,
                       const char *epoch)
{
    struct event shown = *ev;
    struct buf type = {0}, payload = {0}, envelope = {0};
    bool group = !strncmp(ev->type, "group.", strlen("group."));
    if (group) {
        buf_fmt(&type, "repo.%s", ev->type + strlen("group."));
        shown.type = type.data;
    }
    if (group || !strcmp(ev->type, "task.status_changed")) {
        repo_object(&payload, d, ev->payload, group);
        shown.payload = payload.data;
    }
    event_envelope(&envelope, &shown, epoch);
    repo_object(out, d, envelope.data, false);
    buf_free(&type);
    buf_free(&payload);
    buf_free(&envelope);
}

static void repo_task(struct buf *out, const struct dialect *d, const struct task *t,
                      const struct task_view *view)
{
    struct buf document = {0};
    task_document(&document, t, view);
    repo_object(out, d, document.data, false);
    buf_free(&document);
}

static void repo_group(struct buf *out, const struct dialect *d, const struct group *g,
                       const char *prefix)
{
    struct buf document = {0};
    group_document(&document, g, prefix);
    repo_object(out, d, document.data, true);
    buf_free(&document);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*event)(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch);
    void (*notice)(struct buf *out, const struct notice *n); /* NULL: leaves them out */
    void (*task)(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view);
    void (*group)(struct buf *out, const struct dialect *d, const struct group *g,
                  const char *prefix);
    bool states_only; /* shows what is_state and nothing else */
    bool bare;        /* dialect_bare */
} rows[] = {
    [DIALECT_ENVELOPE] = {"envelope", envelope_event, envelope_notice, envelope_task,
                          envelope_group, false, false},
    [DIALECT_FLAT] = {"flat", flat_event, flat_notice, flat_task, envelope_group, false, true},
    [DIALECT_NOTIFY] = {"notify", notify_event, NULL, notify_task, envelope_group, true, true},
    [DIALECT_REPO] = {"repo", repo_event, envelope_notice, repo_task, repo_group, false, false},
};
static_assert(sizeof rows / sizeof *rows == DIALECTS, "a row for each dialect");

enum dialect_kind dialect_named(const char *name)
{
    enum dialect_kind kind = DIALECT_ENVELOPE;
    while (kind < DIALECTS && strcmp(rows[kind].name, name)) kind++;
    return kind;
}

const char *dialect_name(enum dialect_kind kind)
{
    return rows[kind].name;
}

bool dialect_shows(const struct dialect *d, const char *type)
{
    return !rows[d->kind].states_only || is_state(type);
}

void dialect_event(struct buf *out, const struct dialect *d, const struct event *ev,
                   const char *epoch)
{
    rows[d->kind].event(out, d, ev, epoch);
}

bool dialect_shows_notices(const struct dialect *d)
{
    return rows[d->kind].notice != NULL;
}

void dialect_notice(struct buf *out, const struct dialect *d, const struct notice *n)
{
    rows[d->kind].notice(out, n);
}

void dialect_task(struct buf *out, const struct dialect *d, const struct task *t,
                  const struct task_view *view)
{
    rows[d->kind].task(out, d, t, view);
}

void dialect_group(struct buf *out, const struct dialect *d, const struct group *g,
                   const char *prefix)
{
    rows[d->kind].group(out, d, g, prefix);
}

bool dialect_bare(const struct dialect *d)
{
    return rows[d->kind].bare;
}
