/* Tickets: short-lived rights to read, for what cannot send a header (EventSource). */
#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "ops/submit.h"
#include "ops/ticket.h"
#include "server/server.h"
#include "store/tasks.h"
#include "task/group.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>

enum { TTL_MS = 300 * 1000 }; /* unless the request names one */

/* What is asked for. Text is borrowed from `body`. */
struct wanted {
    json_t *body;
    enum ticket_kind kind;
    const char *subject; /* NULL: all */
    int64_t ttl_ms;
    bool cookie;
    bool foreign; /* somebody else's task, which an admin may read */
};

/* ---- reading the request ---- */

/* One member of the body that names what the ticket is for. */
static enum err take_subject(struct wanted *w, const char *name, const json_t *v, struct error *e)
{
    if (json_is_null(v) || json_is_false(v)) return ERR_OK;
    if (w->kind) return error_set(e, ERR_INVALID, "%s: a ticket names one thing", name);
    w->kind = ticket_kind_parse(name);
    if (w->kind == TICKET_ALL)
        return json_is_true(v) ? ERR_OK : error_set(e, ERR_INVALID, "all: not true");
    w->subject = json_string_value(v);
    if (w->subject && group_name_valid(w->subject, json_string_length(v))) return ERR_OK;
    return error_set(e, ERR_INVALID, "%s: " GROUP_NAME_RULE, name);
}

static enum err take_ttl(struct wanted *w, const json_t *v, struct error *e)
{
    if (json_is_null(v)) return ERR_OK;
    double seconds = json_number_value(v);
    if (!json_is_number(v) || seconds < 0.001)
        return error_set(e, ERR_INVALID, "ttl: not a number of seconds above 0");
    if (seconds * 1000 < (double)w->ttl_ms) w->ttl_ms = (int64_t)(seconds * 1000);
    return ERR_OK;
}

static enum err take_members(struct wanted *w, const struct conf *conf, struct error *e)
{
    if (!json_is_object(w->body)) return error_set(e, ERR_INVALID, "the body is not a JSON object");
    const json_t *ttl = json_object_get(w->body, "ttl");
    w->ttl_ms = ttl && !json_is_null(ttl) ? INT64_MAX : TTL_MS;
    int64_t most = conf_ms(conf, CONF_AUTH_TICKET_SECONDS_MAX);
    if (w->ttl_ms > most) w->ttl_ms = most;

    const char *name;
    json_t *value;
    json_object_foreach(w->body, name, value)
    {
        enum err rc = !strcmp(name, "ttl") ? take_ttl(w, value, e)
                      : ticket_kind_parse(name)
                          ? take_subject(w, name, value, e)
                          : error_set(e, ERR_INVALID, "%s: there is no such field", name);
        if (rc) return rc;
    }
    return w->kind ? ERR_OK : error_set(e, ERR_INVALID, "one of task, group, all, run: missing");
}

/* False: refused, and answered. */
static bool read_wanted(struct exchange *x, struct wanted *w)
{
    struct request *request = &x->request;
    struct error e = {0};
    w->body = answer_body_json(x);
    if (!w->body) return false;
    enum err rc = take_members(w, request->conf, &e);
    if (!rc) rc = answer_flag(request, "cookie", &w->cookie, &e);
    if (rc) exchange_fail(x, &e);
    return !rc;
}

/* Whether the task is one that the asker may read. */
static bool may_read(struct exchange *x, struct wanted *w)
{
    struct error e = {0};
    struct task t = {0};
    enum err rc = task_get(x->server->db, w->subject, auth_reader(&x->request), &t, &e);
    w->foreign = !rc && strcmp(t.owner, x->request.owner) != 0;
    task_free(&t);
    if (rc) exchange_fail(x, &e);
    return !rc;
}

/* Whether there is the type. */
static bool may_run(struct exchange *x, const char *type)
{
    struct caller caller = exchange_caller(x);
    struct submit s;
    submit_init(&s, &caller);
    s.type = mem_str(type);
    bool may = !submit_check(&s, &s.op.error);
    if (!may) exchange_refused(x, &s.op);
    submit_free(&s);
    return may;
}

/* Whether the asker may have a ticket for this. False: refused, and answered. */
static bool may_have(struct exchange *x, struct wanted *w)
{
    if (w->kind == TICKET_TASK) return may_read(x, w);
    if (w->kind != TICKET_RUN) return true;
    if (x->request.scopes & AUTH_CREATE) return may_run(x, w->subject);
    problem(&x->request, 403, "insufficient_scope", "run: this needs the scope 'create'");
    return false;
}

/* What the ticket may. An admin's for a task of somebody else is an admin's too, for that task; it stays its
 * maker's, and so ends with what it was made with. */
static unsigned scopes_of(const struct wanted *w)
{
    if (w->kind == TICKET_RUN) return AUTH_READ | AUTH_CREATE;
    return w->foreign ? AUTH_READ | AUTH_ADMIN : AUTH_READ;
}

/* ---- answering ---- */

/* A ticket in the making. */
struct making {
    struct make_ticket ticket;
    bool cookie;
};

/* The path that the ticket opens, and in *bound the part of it that a cookie is sent below. A name that
 * browsers may write in more than one way is no part of that; nor is a type, whose run leads to a task. */
static void write_paths(struct buf *path, struct buf *bound, const struct make_ticket *w,
                        const char *prefix)
{
    size_t keep = strlen(prefix);
    buf_str(path, "");
    switch (w->kind) {
    case TICKET_TASK:
        buf_fmt(path, "%s/tasks/%s", prefix, w->subject);
        keep = path->len;
        buf_str(path, "/events");
        break;
    case TICKET_GROUP:
        group_path(path, prefix, w->subject);
        keep = strchr(path->data, '%') ? strlen(prefix) + strlen("/groups") : path->len;
        buf_str(path, "/events");
        break;
    case TICKET_RUN: buf_fmt(path, "%s/run/%s", prefix, w->subject); break;
    case TICKET_ALL:
    case TICKET_NONE:
    case TICKET_KINDS: buf_fmt(path, "%s/events", prefix); break;
    }
    buf_add(bound, keep ? path->data : "/", keep ? keep : 1);
}

static void answer_ticket(struct request *request, const struct making *w)
{
    const struct make_ticket *t = &w->ticket;
    struct buf path = {0}, bound = {0}, body = {0};
    write_paths(&path, &bound, t, conf_text(request->conf, CONF_HTTP_PREFIX));
    struct response r;
    response_start(&r, request, 201);
    if (w->cookie)
        response_header_fmt(
            &r, "Set-Cookie", "%s=%s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Strict%s",
            AUTH_COOKIE, t->secret, bound.data, (long long)((t->ttl_ms + 999) / 1000),
            request_tls(request) ? "; Secure" : "");
    else
        buf_fmt(&path, "?ticket=%s", t->secret);
    buf_char(&body, '{');
    if (!w->cookie) {
        json_key(&body, "ticket");
        json_text(&body, t->secret);
    }
    json_key(&body, "expires_at");
    buf_int(&body, t->expires_at);
    json_key(&body, "url");
    json_text(&body, path.data);
    buf_char(&body, '}');
    response_json(&r, &body);
    buf_free(&path);
    buf_free(&bound);
    buf_free(&body);
}

static void made(struct exchange *x, void *arg)
{
    struct making *m = arg;
    if (!exchange_refused(x, &m->ticket.op)) answer_ticket(&x->request, m);
    make_ticket_free(&m->ticket);
    free(m);
}

/* POST /tickets {"task"|"group"|"all"|"run","ttl"}: 201 {"ticket","expires_at","url"}; ?cookie=1 gives it
 * as a cookie instead. It has its maker's owner, reads what it names, and ends no later than what it was
 * made with. */
void tickets_create(struct exchange *x)
{
    struct wanted w = {0};
    if (read_wanted(x, &w) && may_have(x, &w)) {
        struct caller caller = exchange_caller(x);
        struct making *m = mem_alloc(sizeof *m);
        struct make_ticket *t = &m->ticket;
        int64_t left = x->request.expires_at - clock_wall_ms();
        make_ticket_init(t, &caller);
        m->cookie = w.cookie;
        t->kind = w.kind;
        t->subject = mem_str(w.subject);
        t->scopes = scopes_of(&w);
        t->made_with = x->request.credential;
        t->ttl_ms = left < w.ttl_ms ? left : w.ttl_ms;
        commit_group_add(x->server->commits, x, &t->op, made, m);
    }
    json_decref(w.body);
}
