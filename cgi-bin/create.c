/* Making tasks. */
#include "answers.h"
#include "handlers.h"
#include "ops/autostart.h"
#include "server/server.h"
#include "store/events.h"
#include "store/tasks.h"
#include "streams.h"
#include "task_request.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>

static void drop_submit(struct submit *s)
{
    submit_free(s);
    free(s);
}

/* ---- one ---- */

static void created(struct exchange *x, void *arg)
{
    struct submit *s = arg;
    struct request *request = &x->request;
    if (!exchange_refused(x, &s->op)) {
        int64_t wait_ms = request_wait_ms(request);
        bool waits = !task_status_terminal(s->task.status);
        if (waits) autostart(x->server->conf);
        if (request_accepts(request, "text/event-stream")) {
            stream_of_task(x, &s->task, false);
        } else if (wait_ms < 0) {
            answer_created(x, &s->task, s->joined, -1);
        } else {
            answer_when_finished(x, &s->task, s->joined, wait_ms);
            s->task = (struct task){0};
        }
    }
    drop_submit(s);
}

static void create_one(struct exchange *x)
{
    struct caller caller = exchange_caller(x);
    struct submit *s = mem_alloc(sizeof *s);
    submit_init(s, &caller);
    if (!task_request_read(x, s)) {
        drop_submit(s);
    } else if (submit_check(s, &s->op.error)) {
        exchange_refused(x, &s->op);
        drop_submit(s);
    } else {
        commit_group_add(x->server->commits, x, &s->op, created, s);
    }
}

/* ---- many ---- */

static void drop_many(struct submit_many *m)
{
    submit_many_free(m);
    free(m);
}

static void answer_many(struct exchange *x, const struct submit_many *m)
{
    struct task_view view = answer_view(x);
    struct buf body = {0};
    buf_str(&body, "{\"tasks\":[");
    for (size_t i = 0; i < m->count; i++) {
        const struct submit *s = &m->items[i];
        buf_fmt(&body, "%s{\"task_id\":\"%s\"%s,\"links\":", i ? "," : "", s->task.id,
                s->joined ? ",\"joined\":true" : "");
        task_links(&body, &s->task, &view);
        buf_char(&body, '}');
    }
    buf_str(&body, "]}");
    struct response r;
    response_start(&r, &x->request, 202);
    response_json(&r, &body);
    buf_free(&body);
}

static void many_created(struct exchange *x, void *arg)
{
    struct submit_many *m = arg;
    x->request.line = m->line;
    if (!exchange_refused(x, &m->op)) {
        autostart(x->server->conf);
        answer_many(x, m);
    }
    drop_many(m);
}

static void create_many(struct exchange *x)
{
    struct submit_many *m = mem_alloc(sizeof *m);
    submit_many_init(m);
    if (task_request_read_many(x, m))
        commit_group_add(x->server->commits, x, &m->op, many_created, m);
    else
        drop_many(m);
}

/* POST /tasks: 202; the task's events for a client that accepts text/event-stream; with Prefer: wait the
 * finished task if it is quick enough. Of newline-delimited requests all or none. */
void tasks_create(struct exchange *x)
{
    if (!answer_shown(x)) return;
    if (task_request_is_many(&x->request))
        create_many(x);
    else
        create_one(x);
}

/* ---- by GET ---- */

/* The task that a coming-back EventSource watched: that of its last event. *out stays empty when there is
 * none of this type that is the asker's. */
static enum err find_by_event(struct exchange *x, const char *type, struct task *out,
                              struct error *e)
{
    struct db *db = x->server->db;
    const struct request *request = &x->request;
    struct cursor last = cursor_parse(request_header(request, "Last-Event-ID"), db_epoch(db));
    if (last.kind != CURSOR_AT) return ERR_OK;
    int64_t n = 0;
    enum err rc = event_task(db, last.seq, &n, e);
    if (!rc) rc = task_get_n(db, n, out, e);
    if (!rc && !strcmp(out->owner, request->owner) && !strcmp(out->type, type)) return ERR_OK;
    if (!rc) task_free(out);
    *out = (struct task){0};
    return rc == ERR_NOTFOUND ? ERR_OK : rc;
}

static void run_created(struct exchange *x, void *arg)
{
    struct submit *s = arg;
    if (!exchange_refused(x, &s->op)) {
        if (!task_status_terminal(s->task.status)) autostart(x->server->conf);
        stream_of_task(x, &s->task, false);
    }
    drop_submit(s);
}

static void run(struct exchange *x, const char *type)
{
    struct caller caller = exchange_caller(x);
    struct submit *s = mem_alloc(sizeof *s);
    struct error e = {0};
    submit_init(s, &caller);
    if (task_request_from_run(x, s, type, &e)) {
        exchange_fail(x, &e);
        drop_submit(s);
    } else if (submit_check(s, &s->op.error)) {
        exchange_refused(x, &s->op);
        drop_submit(s);
    } else {
        commit_group_add(x->server->commits, x, &s->op, run_created, s);
    }
}

/* Whether the request may start anything. False: answered. */
static bool may_run(struct exchange *x)
{
    struct request *request = &x->request;
    const char *fetch_site = request_header(request, "Sec-Fetch-Site");
    static const char *const stream[] = {"text/event-stream"};
    if (fetch_site && !strcmp(fetch_site, "cross-site")) {
        problem(request, 403, "origin_not_allowed", "another site may not start tasks here");
    } else if (request->method == METHOD_HEAD) {
        problem_header(request, 405, "method_not_allowed", "Allow", "GET, OPTIONS",
                       "only GET starts a task here");
    } else if (request_header(request, "Accept") && request_prefers(request, stream, 1) < 0) {
        problem(request, 406, "not_acceptable", "needs an Accept that allows text/event-stream");
    } else {
        return answer_shown(x);
    }
    return false;
}

/* GET /run/{type}: for types whose conf says `get = yes`, so that a bare EventSource both asks and, coming
 * back, finds what it asked for. */
void tasks_run(struct exchange *x)
{
    const char *type = x->route.params[0];
    struct task t = {0};
    struct error e = {0};
    if (!may_run(x)) return;
    if (find_by_event(x, type, &t, &e))
        exchange_fail(x, &e);
    else if (t.n)
        stream_of_task(x, &t, true);
    else
        run(x, type);
    task_free(&t);
}
