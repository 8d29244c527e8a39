/* Making tasks. */
#include "answers.h"
#include "handlers.h"
#include "site.h"
#include "store/events.h"
#include "store/tasks.h"
#include "wish.h"

#include <stdlib.h>
#include <string.h>

/* 303 to the events of the task, with what the asker said about how to show them. */
static void answer_see_events(struct request *request, const struct task *t)
{
    static const char *const carried[] = {"dialect", "types", "ticket"};
    struct buf location = {0};
    buf_fmt(&location, "%s/tasks/%s/events", conf_text(request->conf, CONF_HTTP_PREFIX), t->id);
    char mark = '?';
    for (const char *p = request->query; *p;) {
        size_t len = strcspn(p, "&");
        for (size_t i = 0; i < sizeof carried / sizeof *carried; i++) {
            size_t name = strlen(carried[i]);
            if (len <= name || strncmp(p, carried[i], name) || p[name] != '=') continue;
            buf_char(&location, mark);
            buf_add(&location, p, len);
            mark = '&';
        }
        p += len + (p[len] == '&');
    }
    struct response r;
    response_start(&r, request, 303);
    response_header(&r, "Location", location.data);
    response_body(&r, NULL, NULL, 0);
    buf_free(&location);
}

/* Whether there is the dialect, and a list of types, that the asker wants events in: found out before a
 * task is made. False: refused, and answered. */
static bool check_shown(struct site *site, struct request *request, struct dialect *out)
{
    struct error e = {0};
    struct event_filter *filter = NULL;
    enum err rc = site_dialect(request, out, &e);
    if (!rc) rc = site_types(request, &filter, &e);
    event_filter_free(filter);
    if (rc) site_fail(site, request, &e);
    return !rc;
}

/* POST /tasks: 202; 303 to its events for a client that accepts text/event-stream; with Prefer: wait the
 * finished task if it is quick enough. */
void tasks_create(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    struct wish w = WISH_EMPTY;
    struct task t = {0};
    struct dialect d;
    bool stored = check_shown(site, request, &d) && wish_read(&w, request) &&
                  wish_check(&w, site, request) && wish_store(&w, site, request, &t);
    wish_free(&w);
    if (!stored) return;

    const char *accel = conf_text(request->conf, CONF_HTTP_ACCEL_REDIRECT);
    int64_t wait_ms = request_wait_ms(request);
    struct response r;
    if (request_accepts(request, "text/event-stream")) {
        answer_see_events(request, &t);
    } else if (wait_ms < 0) {
        answer_created(site, request, &t, -1);
    } else if (accel && !site->streams) {
        /* The web server sends the client on to leat-events, which writes the whole answer. nginx
         * would keep this one's Cache-Control beside that one's. */
        response_start(&r, request, 200);
        r.cache_given = true;
        response_header_fmt(&r, "X-Accel-Redirect", "%s/tasks/%s?wait_ms=%lld&dialect=%s", accel,
                            t.id, (long long)wait_ms, dialect_name(d.kind));
        response_body(&r, NULL, NULL, 0);
    } else {
        answer_when_finished(site, &t, wait_ms);
    }
    task_free(&t);
}

/* GET /internal/tasks/{id}?wait_ms=N&dialect=D: the rest of a POST that waits, in leat-events. */
void tasks_finish(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    struct task t = {0};
    struct dialect d;
    char *text = NULL;
    int64_t wait_ms = 0;
    enum err rc = request_query(m->request, "wait_ms", &text, &e);
    if (!rc)
        rc = conf_parse_int(text ? text : "", 0,
                            conf_ms(m->request->conf, CONF_HTTP_WAIT_SECONDS_MAX), &wait_ms, &e);
    free(text);
    if (!rc) rc = site_dialect(m->request, &d, &e);
    if (!rc) rc = task_get(site->db, m->params[0], auth_reader(m->request), &t, &e);
    if (rc)
        site_fail(site, m->request, &e);
    else
        answer_when_finished(site, &t, wait_ms);
    task_free(&t);
}

/* The task that a coming-back EventSource watched: that of its last event. *out stays empty when there is
 * none of this type that is the asker's. */
static enum err find_by_event(struct site *site, const struct request *request, const char *type,
                              struct task *out, struct error *e)
{
    struct cursor last = cursor_parse(request_header(request, "Last-Event-ID"), db_epoch(site->db));
    if (last.kind != CURSOR_AT) return ERR_OK;
    int64_t n = 0;
    enum err rc = event_task(site->db, last.seq, &n, e);
    if (!rc) rc = task_get_n(site->db, n, out, e);
    if (!rc && !strcmp(out->owner, request->owner) && !strcmp(out->type, type)) return ERR_OK;
    if (!rc) task_free(out);
    return rc == ERR_NOTFOUND ? ERR_OK : rc;
}

/* GET /run/{type}: for types whose conf says `get = yes`, so that a bare EventSource both asks and, coming
 * back, finds what it asked for. */
void tasks_run(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    const char *fetch_site = request_header(request, "Sec-Fetch-Site");
    if (fetch_site && !strcmp(fetch_site, "cross-site")) {
        problem(request, 403, "origin_not_allowed", "another site may not start tasks here");
        return;
    }
    if (request->method == METHOD_HEAD) {
        problem_header(request, 405, "method_not_allowed", "Allow", "GET, OPTIONS",
                       "only GET starts a task here");
        return;
    }
    if (!request_accepts(request, "text/event-stream")) {
        problem(request, 406, "not_acceptable", "needs Accept: text/event-stream");
        return;
    }
    struct wish w = WISH_EMPTY;
    struct task t = {0};
    struct error e = {0};
    struct dialect d;
    if (!check_shown(site, request, &d)) return;
    enum err rc = find_by_event(site, request, m->params[0], &t, &e);
    if (!rc && !t.n) rc = wish_from_run(&w, request, m->params[0], &e);
    if (rc) {
        site_fail(site, request, &e);
    } else if (t.n) {
        answer_see_events(request, &t);
    } else if (wish_check(&w, site, request)) {
        if (!w.get)
            problem(request, 403, "not_by_get", "the conf of '%s' does not say get = yes", w.type);
        else if (wish_store(&w, site, request, &t))
            answer_see_events(request, &t);
    }
    wish_free(&w);
    task_free(&t);
}
