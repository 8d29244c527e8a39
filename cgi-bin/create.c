/* Making tasks. */
#include "answers.h"
#include "bulk.h"
#include "handlers.h"
#include "ops/autostart.h"
#include "portions.h"
#include "server/server.h"
#include "store/events.h"
#include "store/inputs.h"
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

/* Whether the answer is to be the task's events: the client names them, and likes them no less than a document. */
static bool wants_stream(const struct request *request)
{
    static const char *const types[] = {"text/event-stream", "application/json"};
    return request_accepts(request, types[0]) && request_prefers(request, types, 2) == 0;
}

static void created(struct exchange *x, void *arg)
{
    struct submit *s = arg;
    struct request *request = &x->request;
    if (!exchange_refused(x, &s->op)) {
        int64_t wait_ms = request_wait_ms(request);
        bool waits = !task_status_terminal(s->task.status);
        if (waits) autostart(x->server->conf);
        if (wants_stream(request)) {
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
        portions_submit(x, s, created, s);
    }
}

/* A raw body that may be large is not asked for where it is known already that nothing can come of it. */
bool tasks_admit(struct exchange *x)
{
    if (!x->raw || task_request_is_many(&x->request)) return true;
    if (x->body_length >= 0 && x->body_length <= INPUT_PORTION) return true;
    struct caller caller = exchange_caller(x);
    struct submit s;
    submit_init(&s, &caller);
    if (x->body_length > 0) s.input_bytes = (size_t)x->body_length;
    bool may = answer_shown(x) && task_request_read_fields(x, &s);
    /* A key or `unique` may name a task that is there already. */
    bool limited = !s.unique && !request_header_given(&x->request, "Idempotency-Key");
    if (may && !submit_check(&s, &s.op.error) && limited)
        s.op.error.code = submit_may(&s, x->server->db, &s.op.error);
    may = may && !exchange_refused(x, &s.op);
    submit_free(&s);
    return may;
}

/* POST /tasks: 202; the task's events for a client that accepts text/event-stream; with Prefer: wait the
 * finished task if it is quick enough. Of newline-delimited requests all or none. */
void tasks_create(struct exchange *x)
{
    if (!answer_shown(x)) return;
    if (task_request_is_many(&x->request))
        bulk_create(x);
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
    struct cursor last;
    int64_t n = 0;
    enum err rc = stream_cursor(x, &last, e);
    if (rc || last.kind != CURSOR_AT) return rc;
    rc = event_task(db, last.seq, &n, e);
    if (!rc) rc = task_get_n(db, n, out, e);
    if (!rc && !strcmp(out->owner, request->owner) && !strcmp(out->type, type)) return ERR_OK;
    if (!rc) task_free(out);
    *out = (struct task){0};
    return rc == ERR_NOTFOUND ? ERR_OK : rc;
}

static void run_created(struct exchange *x, void *arg)
{
    struct submit *s = arg;
    if (!stream_refused(x, &s->op)) {
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
    } else if (request_header(request, "Accept") && request_prefers(request, stream, 1) < 0) {
        problem(request, 406, "not_acceptable", "needs an Accept that allows text/event-stream");
    } else {
        return answer_shown(x);
    }
    return false;
}

/* Whether its conf says that GET may start it, as far as is known: what is wrong with a type does not matter to who
 * comes back to a task. False: answered. */
static bool may_get(struct exchange *x, const char *type)
{
    const struct jobtype *conf = NULL;
    struct job_types *types = x->server->types;
    if (!jobtype_name_valid(type) || job_types_refresh_one(types, type, NULL) ||
        job_types_find(types, type, &conf, NULL) || conf->get)
        return true;
    problem(&x->request, 403, "not_by_get", "the conf of '%s' does not say get = yes", type);
    return false;
}

/* GET /run/{type}: for types whose conf says `get = yes`, so that a bare EventSource both asks and, coming
 * back, finds what it asked for. */
void tasks_run(struct exchange *x)
{
    const char *type = x->route.params[0];
    struct task t = {0};
    struct operation find = {0};
    if (!may_run(x) || !may_get(x, type)) return;
    find.error.code = find_by_event(x, type, &t, &find.error);
    if (!stream_refused(x, &find)) {
        if (t.n)
            stream_of_task(x, &t, true);
        else
            run(x, type);
    }
    task_free(&t);
}
