/* Tickets: short-lived rights to read, for what cannot send a header (EventSource). */
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "body.h"
#include "handlers.h"
#include "site.h"
#include "store/credentials.h"
#include "store/tasks.h"
#include "task/group.h"
#include "types.h"

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
static bool read_wanted(struct request *request, struct wanted *w)
{
    struct error e = {0};
    struct buf body = {0};
    char *cookie = NULL;
    w->body = body_json(request, &body);
    buf_free(&body);
    if (!w->body) return false;
    enum err rc = take_members(w, request->conf, &e);
    if (!rc) rc = request_query(request, "cookie", &cookie, &e);
    if (!rc && cookie && strcmp(cookie, "1") && strcmp(cookie, "0"))
        rc = error_set(&e, ERR_INVALID, "cookie: not 1 or 0");
    w->cookie = cookie && !strcmp(cookie, "1");
    free(cookie);
    if (rc) problem_error(request, &e);
    return !rc;
}

/* Whether the task is one that the asker may read. */
static bool may_read(struct site *site, struct request *request, struct wanted *w)
{
    struct error e = {0};
    struct task t = {0};
    enum err rc = task_get(site->db, w->subject, auth_reader(request), &t, &e);
    w->foreign = !rc && strcmp(t.owner, request->owner) != 0;
    task_free(&t);
    if (rc) site_fail(site, request, &e);
    return !rc;
}

/* Whether the asker may have a ticket for this. False: refused, and answered. */
static bool may_have(struct site *site, struct request *request, struct wanted *w)
{
    struct jobtype type;
    if (w->kind == TICKET_TASK) return may_read(site, request, w);
    if (w->kind != TICKET_RUN) return true;
    if (request->scopes & AUTH_CREATE) return types_find(site, request, "run", w->subject, &type);
    problem(request, 403, "insufficient_scope", "run: this needs the scope 'create'");
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

/* The path that the ticket opens, and in *bound the part of it that a cookie is sent below. A name that
 * browsers may write in more than one way is no part of that; nor is a type, whose run leads to a task. */
static void write_paths(struct buf *path, struct buf *bound, const struct wanted *w,
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

/* Whether the client came by TLS, as far as the web server says. */
static bool by_tls(const struct request *request)
{
    const char *scheme = conn_param(request->conn, "REQUEST_SCHEME");
    const char *https = conn_param(request->conn, "HTTPS");
    if (scheme && !strcmp(scheme, "https")) return true;
    return https && *https && strcasecmp(https, "off") != 0;
}

static void answer_ticket(struct request *request, const struct wanted *w, const char *secret,
                          int64_t expires_at)
{
    struct buf path = {0}, bound = {0}, body = {0};
    write_paths(&path, &bound, w, conf_text(request->conf, CONF_HTTP_PREFIX));
    struct response r;
    response_start(&r, request, 201);
    if (w->cookie)
        response_header_fmt(&r, "Set-Cookie",
                            "%s=%s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Strict%s",
                            AUTH_COOKIE, secret, bound.data, (long long)((w->ttl_ms + 999) / 1000),
                            by_tls(request) ? "; Secure" : "");
    else
        buf_fmt(&path, "?ticket=%s", secret);
    buf_char(&body, '{');
    if (!w->cookie) {
        json_key(&body, "ticket");
        json_text(&body, secret);
    }
    json_key(&body, "expires_at");
    buf_int(&body, expires_at);
    json_key(&body, "url");
    json_text(&body, path.data);
    buf_char(&body, '}');
    response_json(&r, &body);
    buf_free(&path);
    buf_free(&bound);
    buf_free(&body);
}

/* POST /tickets {"task"|"group"|"all"|"run","ttl"}: 201 {"ticket","expires_at","url"}; ?cookie=1 gives it
 * as a cookie instead. It has its maker's owner, reads what it names, and ends no later than what it was
 * made with. */
void tickets_create(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    struct wanted w = {0};
    struct error e = {0};
    if (!read_wanted(request, &w) || !may_have(site, request, &w)) {
        json_decref(w.body);
        return;
    }
    int64_t now = clock_wall_ms(), id = 0;
    if (request->expires_at - now < w.ttl_ms) w.ttl_ms = request->expires_at - now;
    struct credential c = {
        .owner = request->owner,
        .scopes = scopes_of(&w),
        .ticket = w.kind,
        .subject = (char *)w.subject,
        .created_at = now,
        .expires_at = now + w.ttl_ms,
    };
    char secret[SECRET_SIZE];
    unsigned char hash[SECRET_HASH_BYTES];
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc) {
        rc = credential_add(site->db, &c, hash, &id, &e);
        rc = db_end(site->db, rc, &e);
    }
    if (rc)
        site_fail(site, request, &e);
    else
        answer_ticket(request, &w, secret, c.expires_at);
    secret_wipe(secret, sizeof secret);
    json_decref(w.body);
}
