#include "answers.h"

#include "base/clock.h"
#include "base/json.h"
#include "server/server.h"
#include "store/tasks.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct task_view answer_view(struct exchange *x)
{
    return (struct task_view){.prefix = conf_text(x->request.conf, CONF_HTTP_PREFIX),
                              .epoch = db_epoch(x->server->db),
                              .now = clock_wall_ms(),
                              .asker = x->request.owner};
}

enum err answer_dialect(const struct request *request, struct dialect *out, struct error *e)
{
    char *name = NULL;
    *out = (struct dialect){0};
    enum err rc = request_query(request, "dialect", &name, e);
    enum dialect_kind kind = name && *name ? dialect_named(name) : DIALECT_ENVELOPE;
    if (kind == DIALECTS) {
        struct buf known = {0};
        for (kind = 0; kind < DIALECTS; kind++)
            buf_fmt(&known, "%s%s", kind ? ", " : "", dialect_name(kind));
        rc = error_set(e, ERR_INVALID, "dialect: '%.32s' is not one of %s", name, known.data);
        buf_free(&known);
    } else {
        *out = (struct dialect){kind, conf_text(request->conf, CONF_DIALECT_REPO_STATUS)};
    }
    free(name);
    return rc;
}

#define SECONDS_MAX_MS ((int64_t)1 << 52) /* of `seconds=`: more is as good as none */

enum { PAGE_SIZE = 50 }; /* documents of a list unless it says */

enum { TYPES_MAX = 32, TYPE_BYTES_MAX = 64 }; /* patterns of `types=`, and bytes of each */

/* Whether a list of patterns is within its bounds. */
static bool types_bounded(const char *types)
{
    size_t count = 0;
    while (types && *types) {
        size_t len = strcspn(types, ",");
        if (++count > TYPES_MAX || len > TYPE_BYTES_MAX) return false;
        types += len + (types[len] == ',');
    }
    return true;
}

enum err answer_types(const struct request *request, struct event_filter **out, struct error *e)
{
    char *types = NULL;
    struct dialect d;
    struct buf known = {0};
    *out = NULL;
    enum err rc = answer_dialect(request, &d, e);
    if (!rc) rc = request_query(request, "types", &types, e);
    bool fine = !rc && types_bounded(types);
    if (fine) dialect_types(&known, &d, types);
    if (!rc && (!fine || !event_filter_parse(out, known.len ? known.data : NULL)))
        rc = error_set(e, ERR_INVALID,
                       "types: not a list of at most %d event types such as task.*,log.append, of "
                       "at most %d bytes each",
                       TYPES_MAX, TYPE_BYTES_MAX);
    buf_free(&known);
    free(types);
    return rc;
}

enum err answer_seconds(const struct request *request, int64_t *ms, struct error *e)
{
    char *text = NULL;
    *ms = INT64_MAX;
    enum err rc = request_query(request, "seconds", &text, e);
    if (!rc && text && conf_parse_seconds(text, 1, SECONDS_MAX_MS, ms, NULL))
        rc = error_set(e, ERR_INVALID, "seconds: not a number above 0");
    free(text);
    return rc;
}

enum err answer_number(const struct request *request, const char *name, int64_t min, int64_t max,
                       int64_t *out, struct error *e)
{
    char *text = NULL;
    enum err rc = request_query(request, name, &text, e);
    if (!rc && text && conf_parse_int(text, min, max, out, NULL))
        rc = error_set(e, ERR_INVALID, "%s: not a number from %lld to %lld", name, (long long)min,
                       (long long)max);
    free(text);
    return rc;
}

enum err answer_flag(const struct request *request, const char *name, bool *out, struct error *e)
{
    char *text = NULL;
    enum err rc = request_query(request, name, &text, e);
    if (!rc && text && strcmp(text, "1") != 0 && strcmp(text, "0") != 0)
        rc = error_set(e, ERR_INVALID, "%s: not 1 or 0", name);
    *out = text && !strcmp(text, "1");
    free(text);
    return rc;
}

enum err answer_page_size(const struct request *request, int64_t *size, struct error *e)
{
    char *text = NULL;
    int64_t max = conf_int(request->conf, CONF_HTTP_PAGE_SIZE_MAX);
    *size = PAGE_SIZE;
    enum err rc = request_query(request, "page_size", &text, e);
    if (!rc && text && conf_parse_int(text, 1, INT64_MAX, size, NULL))
        rc = error_set(e, ERR_INVALID, "page_size: not a number above 0");
    if (*size > max) *size = max;
    free(text);
    return rc;
}

bool answer_shown(struct exchange *x)
{
    struct error e = {0};
    int64_t ms;
    struct event_filter *filter = NULL;
    enum err rc = answer_types(&x->request, &filter, &e); /* by the names of its dialect */
    if (!rc) rc = answer_seconds(&x->request, &ms, &e);
    event_filter_free(filter);
    if (rc) exchange_fail(x, &e);
    return !rc;
}

/* ---- bodies ---- */

static bool media_is(const char *type, size_t len, const char *name)
{
    return strlen(name) == len && !strncasecmp(type, name, len);
}

enum body_kind body_kind(const char *content_type)
{
    size_t len = content_type ? strcspn(content_type, "; \t") : 0;
    if (!len || media_is(content_type, len, "application/x-www-form-urlencoded")) return BODY_MAYBE;
    if (media_is(content_type, len, "application/x-ndjson")) return BODY_LINES;
    bool json = media_is(content_type, len, "application/json") ||
                media_is(content_type, len, "text/json") ||
                (len > 5 && !strncasecmp(content_type + len - 5, "+json", 5));
    return json ? BODY_JSON : BODY_OTHER;
}

json_t *answer_body_json(struct exchange *x)
{
    struct error e = {0};
    enum body_kind kind = body_kind(request_header(&x->request, "Content-Type"));
    if (kind != BODY_JSON && kind != BODY_MAYBE) {
        problem(&x->request, 415, "unsupported_media_type",
                "the body must be JSON (Content-Type: application/json)");
        return NULL;
    }
    json_t *value = json_read(buf_text(&x->body), x->body.len, &e);
    if (!value) problem(&x->request, 400, "bad_json", "%s", e.text);
    return value;
}

void answer_json(struct exchange *x, struct buf *body)
{
    struct response r;
    response_start(&r, &x->request, 200);
    response_json(&r, body);
    buf_free(body);
}

void answer_empty(struct exchange *x, int status)
{
    struct response r;
    response_start(&r, &x->request, status);
    response_body(&r, NULL, NULL, 0);
}

/* ---- tasks ---- */

/* The answer to a create: {"success":true,"task_id",…,"task":{…},"links":{…}}. Once the task was waited
 * for, the members of its document stand beside "task" too, so that its result is at hand; in some dialects at
 * once. */
static void created_body(struct buf *out, const struct dialect *d, const struct task *t,
                         const struct task_view *view, bool joined, bool waited)
{
    struct buf document = {0};
    dialect_task(&document, d, t, view);
    if (dialect_bare(d)) {
        *out = document;
        return;
    }
    bool beside = waited || dialect_beside(d);
    buf_fmt(out, "{\"success\":true,\"task_id\":\"%s\"", t->id);
    if (joined) buf_str(out, ",\"joined\":true");
    if (!beside) buf_fmt(out, ",\"status\":\"%s\"", task_status_name(t->status));
    buf_str(out, ",\"task\":");
    buf_add(out, document.data, document.len);
    if (beside) {
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

void answer_created(struct exchange *x, const struct task *t, bool joined, int64_t waited_ms)
{
    struct task_view view = answer_view(x);
    bool finished = waited_ms >= 0 && task_status_terminal(t->status);
    struct dialect d;
    answer_dialect(&x->request, &d, NULL);
    struct buf body = {0};
    created_body(&body, &d, t, &view, joined, finished);
    struct response r;
    response_start(&r, &x->request, finished ? 200 : 202);
    /* a web server that goes by CGI's rules takes one with a 200 for the page to send (RFC 3875, 6.2.2) */
    if (!finished || !x->server->by_cgi_rules)
        response_header_fmt(&r, "Location", "%s/tasks/%s", view.prefix, t->id);
    say_waited(&r, waited_ms);
    response_json(&r, &body);
    buf_free(&body);
}

void answer_task(struct exchange *x, const struct task *t, int status)
{
    struct request *request = &x->request;
    struct task_view view = answer_view(x);
    struct dialect d;
    answer_dialect(request, &d, NULL);
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

void answer_not_modified(struct exchange *x, const char *etag, int64_t waited_ms)
{
    struct response r;
    response_start(&r, &x->request, 304);
    response_header(&r, "ETag", etag);
    response_header(&r, "Cache-Control", "no-cache");
    say_waited(&r, waited_ms);
    response_body(&r, NULL, NULL, 0);
}

/* ---- waits ---- */

enum park_place answer_may_wait(struct exchange *x, struct limit_hit *hit)
{
    const struct server *s = x->server;
    bool cgi = listener_is_cgi(s->listener);
    enum conf_key key = cgi ? CONF_STREAM_CGI_STREAMS : CONF_STREAM_MAX_STREAMS;
    struct caller caller = exchange_caller(x);
    int64_t most = conf_int(x->request.conf, CONF_LIMITS_STREAMS_PER_OWNER);
    enum park_place place = park_enter(s->park, caller.account, most);
    *hit = (struct limit_hit){0};
    if (place == PARK_ACCOUNT_FULL)
        *hit = (struct limit_hit){"streams_per_owner", most, 0, 1};
    else if (place == PARK_FULL)
        *hit = (struct limit_hit){conf_settings[key].key, conf_int(s->conf, key), 0, 1};
    return place;
}

int64_t answer_wait_ms(const struct exchange *x, int64_t wait_ms)
{
    int64_t expires_at = x->request.expires_at, now = clock_wall_ms();
    if (expires_at >= now + wait_ms) return wait_ms;
    return expires_at > now ? expires_at - now : 0;
}

/* A request that is answered when its task changes or finishes. */
struct waiting {
    struct task task;  /* as it was; of a create also the answer where it cannot be read again */
    char *etag;        /* what the client has; answered when it differs */
    bool not_modified; /* an unchanged task is 304, else 200 */
    bool joined;
    int64_t wait_ms;
};

static void drop_waiting(void *arg)
{
    struct waiting *w = arg;
    task_free(&w->task);
    free(w->etag);
    free(w);
}

/* A create has happened, whatever cannot be read now. */
static bool look_created(struct exchange *x, void *arg, bool last)
{
    struct waiting *w = arg;
    struct task t = {0};
    bool read = !task_get_n(x->server->db, w->task.n, &t, NULL);
    bool done = last || !read || task_status_terminal(t.status);
    if (done) answer_created(x, read ? &t : &w->task, w->joined, w->wait_ms);
    task_free(&t);
    return done;
}

static bool look_changed(struct exchange *x, void *arg, bool last)
{
    struct waiting *w = arg;
    struct task t = {0};
    struct error e = {0};
    if (task_get(x->server->db, w->task.id, auth_reader(&x->request), &t, &e)) {
        exchange_fail(x, &e);
        return true;
    }
    struct buf etag = {0};
    task_etag(&etag, &t, db_epoch(x->server->db));
    bool changed = !request_etag_listed(w->etag, etag.data);
    if (!changed && last && w->not_modified)
        answer_not_modified(x, etag.data, w->wait_ms);
    else if (changed || last)
        answer_task(x, &t, 200);
    buf_free(&etag);
    task_free(&t);
    return changed || last;
}

/* Parks it; the place is taken. */
static void wait_for_task(struct exchange *x, struct waiting *w,
                          bool (*look)(struct exchange *x, void *arg, bool last))
{
    struct park_wait wait = {
        .scope = {.kind = SCOPE_TASK, .task = w->task.n},
        .account = exchange_caller(x).account,
        .wait_ms = answer_wait_ms(x, w->wait_ms),
        .look = look,
        .drop = drop_waiting,
        .arg = w,
    };
    park_wait(x->server->park, x, &wait);
}

void answer_when_finished(struct exchange *x, struct task *t, bool joined, int64_t wait_ms)
{
    struct limit_hit hit;
    bool at_once = task_status_terminal(t->status) || !wait_ms;
    if (at_once || answer_may_wait(x, &hit) != PARK_ADMITTED) {
        answer_created(x, t, joined, at_once ? wait_ms : -1);
        task_free(t);
        return;
    }
    struct waiting *w = mem_alloc(sizeof *w);
    *w = (struct waiting){.task = *t, .joined = joined, .wait_ms = wait_ms};
    wait_for_task(x, w, look_created);
}

void answer_when_changed(struct exchange *x, const struct task *t, const char *etag,
                         bool not_modified, int64_t wait_ms)
{
    struct limit_hit hit;
    if (answer_may_wait(x, &hit) != PARK_ADMITTED) {
        exchange_limited(x, &hit);
        return;
    }
    struct waiting *w = mem_alloc(sizeof *w);
    *w = (struct waiting){.etag = mem_str(etag), .not_modified = not_modified, .wait_ms = wait_ms};
    w->task.n = t->n;
    memcpy(w->task.id, t->id, sizeof t->id);
    wait_for_task(x, w, look_changed);
}
