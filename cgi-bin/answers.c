#include "answers.h"

#include "base/clock.h"
#include "base/json.h"
#include "store/tasks.h"

#include <stdlib.h>
#include <string.h>

/* The answer to a create: {"success":true,"task_id",…,"task":{…},"links":{…}}. Once the task was waited
 * for, the members of its document stand beside "task" too, so that its result is at hand. */
static void created_body(struct buf *out, const struct dialect *d, const struct task *t,
                         const struct task_view *view, bool waited)
{
    struct buf document = {0};
    dialect_task(&document, d, t, view);
    if (dialect_bare(d)) {
        *out = document;
        return;
    }
    buf_fmt(out, "{\"success\":true,\"task_id\":\"%s\"", t->id);
    if (!waited) buf_fmt(out, ",\"status\":\"%s\"", task_status_name(t->status));
    buf_str(out, ",\"task\":");
    buf_add(out, document.data, document.len);
    if (waited) {
        buf_char(out, ',');
        buf_add(out, document.data + 1, document.len - 1);
    } else {
        buf_str(out, ",\"links\":");
        task_links(out, t, view);
        buf_char(out, '}');
    }
    buf_free(&document);
}

/* Says that the preference to wait counted. */
static void say_waited(struct response *r, int64_t wait_ms)
{
    if (wait_ms >= 0)
        response_header_fmt(r, "Preference-Applied", "wait=%g", (double)wait_ms / 1000);
}

void answer_created(struct site *site, struct request *request, const struct task *t,
                    int64_t waited_ms)
{
    struct task_view view = site_view(site, request);
    bool finished = waited_ms >= 0 && task_status_terminal(t->status);
    struct dialect d;
    site_dialect(request, &d, NULL);
    struct buf body = {0};
    created_body(&body, &d, t, &view, finished);
    struct response r;
    response_start(&r, request, finished ? 200 : 202);
    response_header_fmt(&r, "Location", "%s/tasks/%s", view.prefix, t->id);
    say_waited(&r, waited_ms);
    response_json(&r, &body);
    buf_free(&body);
}

void answer_task(struct site *site, struct request *request, const struct task *t, int status)
{
    struct task_view view = site_view(site, request);
    struct dialect d;
    site_dialect(request, &d, NULL);
    struct buf body = {0}, etag = {0};
    dialect_task(&body, &d, t, &view);
    task_etag(&etag, t, view.epoch);
    struct response r;
    response_start(&r, request, status);
    response_header(&r, "ETag", etag.data);
    response_header(&r, "Cache-Control", "no-cache");
    if (request->method & (METHOD_GET | METHOD_HEAD)) say_waited(&r, request_wait_ms(request));
    response_json(&r, &body);
    buf_free(&etag);
    buf_free(&body);
}

void answer_not_modified(struct request *request, const char *etag, int64_t waited_ms)
{
    struct response r;
    response_start(&r, request, 304);
    response_header(&r, "ETag", etag);
    response_header(&r, "Cache-Control", "no-cache");
    say_waited(&r, waited_ms);
    response_body(&r, NULL, NULL, 0);
}

/* A request that is answered when its task changes or finishes. */
struct waiting {
    struct site *site;
    struct exchange *exchange;
    char id[ID_SIZE];
    char *etag;        /* what the client has; answered when it differs */
    bool not_modified; /* an unchanged task is 304, else 200 */
    bool created;      /* the answer of a create, when the task is finished */
    int64_t wait_ms;
};

static void drop_waiting(void *arg)
{
    struct waiting *w = arg;
    exchange_end(w->exchange);
    free(w->etag);
    free(w);
}

static bool look_waiting(void *arg, bool last)
{
    struct waiting *w = arg;
    struct request *request = &w->exchange->request;
    struct task t = {0};
    struct error e = {0};
    if (task_get(w->site->db, w->id, auth_reader(request), &t, &e)) {
        site_fail(w->site, request, &e);
        return true;
    }
    struct buf etag = {0};
    task_etag(&etag, &t, db_epoch(w->site->db));
    bool changed =
        w->created ? task_status_terminal(t.status) : !request_etag_listed(w->etag, etag.data);
    if (w->created && (changed || last))
        answer_created(w->site, request, &t, w->wait_ms);
    else if (!changed && last && w->not_modified)
        answer_not_modified(request, etag.data, w->wait_ms);
    else if (changed || last)
        answer_task(w->site, request, &t, 200);
    buf_free(&etag);
    task_free(&t);
    return changed || last;
}

/* Parks the current request until look_waiting answers it. */
static void park(struct site *site, const struct task *t, const struct waiting *how)
{
    struct waiting *w = mem_alloc(sizeof *w);
    *w = *how;
    w->site = site;
    w->exchange = site->current;
    memcpy(w->id, t->id, sizeof w->id);
    struct event_scope scope = {.kind = SCOPE_TASK, .task = t->n};
    site_wait(site, &scope, w->wait_ms, look_waiting, drop_waiting, w);
}

void answer_when_finished(struct site *site, const struct task *t, int64_t wait_ms)
{
    park(site, t, &(struct waiting){.created = true, .wait_ms = wait_ms});
}

void answer_when_changed(struct site *site, const struct task *t, const char *etag,
                         bool not_modified, int64_t wait_ms)
{
    park(
        site, t,
        &(struct waiting){.etag = mem_str(etag), .not_modified = not_modified, .wait_ms = wait_ms});
}
