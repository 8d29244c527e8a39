/* Tasks: create, read, list, cancel, fetch. */
#include "store/tasks.h"

#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "site.h"
#include "task/jobtype.h"

#include <stdlib.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 100,
    PAGE_SIZE = 50,
    DELAY_SECONDS_MAX = 366 * 86400,
};

/* A request to create, as JSON or a query gave it. Text is owned. */
struct wish {
    char *type, *group, *content_type;
    char *input; /* NULL: none */
    size_t input_bytes;
    int64_t priority, max_attempts, timeout_ms, run_at; /* TASK_NONE: not given */
};

static void wish_free(struct wish *w)
{
    free(w->type);
    free(w->group);
    free(w->content_type);
    free(w->input);
}

/* ---- the fields, each by name from a JSON member or a query parameter ---- */

static enum err bad_field(struct error *e, const char *field, const char *what)
{
    return error_set(e, ERR_INVALID, "%s: %s", field, what);
}

static enum err take_whole(int64_t *out, const char *field, const json_t *v, int64_t min,
                           int64_t max, struct error *e)
{
    if (json_is_null(v)) return ERR_OK;
    double real = json_is_real(v) ? json_real_value(v) : 0.5;
    bool whole = json_is_integer(v) || real == (double)(int64_t)real;
    int64_t value = json_is_integer(v) ? json_integer_value(v) : (int64_t)real;
    if (!whole || value < min || value > max)
        return error_set(e, ERR_INVALID, "%s: not a whole number from %lld to %lld", field,
                         (long long)min, (long long)max);
    *out = value;
    return ERR_OK;
}

static enum err take_seconds(int64_t *out_ms, const char *field, const json_t *v, double min,
                             double max, struct error *e)
{
    if (json_is_null(v)) return ERR_OK;
    double seconds = json_number_value(v);
    if (!json_is_number(v) || seconds < min || seconds > max)
        return error_set(e, ERR_INVALID, "%s: not a number of seconds from %g to %g", field, min,
                         max);
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    return ERR_OK;
}

static enum err take_group(char **out, const json_t *v, struct error *e)
{
    if (json_is_null(v)) return ERR_OK;
    const char *text = json_string_value(v);
    size_t len = json_string_length(v);
    bool fine = text && len >= 1 && len <= TASK_GROUP_MAX;
    for (size_t i = 0; fine && i < len; i++)
        fine = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
    if (!fine) return bad_field(e, "group", "not text of 1 to 200 bytes without control characters");
    free(*out);
    *out = mem_str(text);
    return ERR_OK;
}

/* Applies one member; `name` is the contract's. */
static enum err take_field(struct wish *w, const char *name, const json_t *v, struct error *e)
{
    if (!strcmp(name, "type")) {
        if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
            return bad_field(e, name, "not a text");
        free(w->type);
        w->type = mem_str(json_string_value(v));
        return ERR_OK;
    }
    if (!strcmp(name, "group")) return take_group(&w->group, v, e);
    if (!strcmp(name, "priority"))
        return take_whole(&w->priority, name, v, -TASK_PRIORITY_MAX, TASK_PRIORITY_MAX, e);
    if (!strcmp(name, "max_attempts"))
        return take_whole(&w->max_attempts, name, v, 1, ATTEMPTS_MAX, e);
    if (!strcmp(name, "timeout"))
        return take_seconds(&w->timeout_ms, name, v, 0.001, 86400.0 * 366, e);
    if (!strcmp(name, "run_at"))
        return take_whole(&w->run_at, name, v, 0, (int64_t)1 << 52, e);
    if (!strcmp(name, "delay")) {
        int64_t ms = TASK_NONE;
        enum err rc = take_seconds(&ms, name, v, 0, DELAY_SECONDS_MAX, e);
        if (!rc && ms > 0) w->run_at = clock_wall_ms() + ms;
        return rc;
    }
    return bad_field(e, name, "there is no such field");
}

/* The input of a JSON request: a string's text, or JSON text. */
static void take_input(struct wish *w, const json_t *v)
{
    if (!v || json_is_null(v)) return;
    struct buf text = {0};
    if (json_is_string(v))
        buf_add(&text, json_string_value(v), json_string_length(v));
    else
        json_write(&text, v);
    w->content_type = mem_str(json_is_string(v) ? "text/plain; charset=utf-8" : "application/json");
    w->input_bytes = text.len;
    w->input = text.data;
}

static enum err wish_from_json(struct wish *w, const struct buf *body, int *status, struct error *e)
{
    *status = 400;
    json_t *root = json_read(buf_text(body), body->len, e);
    if (!root) return ERR_INVALID;
    enum err rc = ERR_OK;
    *status = 422;
    if (!json_is_object(root))
        rc = error_set(e, ERR_INVALID, "the body is not a JSON object");
    else if (json_object_get(root, "run_at") && json_object_get(root, "delay"))
        rc = bad_field(e, "delay", "not together with run_at");
    const char *name;
    json_t *value;
    if (!rc)
        json_object_foreach(root, name, value)
        {
            if (strcmp(name, "input")) rc = take_field(w, name, value, e);
            if (rc) break;
        }
    if (!rc) take_input(w, json_object_get(root, "input"));
    json_decref(root);
    return rc;
}

/* The fields of a raw request, from its query. Numbers are read as JSON numbers. */
static enum err wish_from_query(struct wish *w, const struct request *request, struct error *e)
{
    static const struct {
        const char *name;
        bool number;
    } fields[] = {{"type", false},        {"group", false},   {"priority", true}, {"run_at", true},
                  {"max_attempts", true}, {"timeout", true}, {"delay", true}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *text = NULL;
        enum err rc = request_query(request, fields[i].name, &text, e);
        if (rc) return rc;
        if (!text) continue;
        json_t *value = fields[i].number ? json_read(text, strlen(text), NULL) : json_string(text);
        if (!value || (fields[i].number && !json_is_number(value)))
            rc = bad_field(e, fields[i].name, fields[i].number ? "not a number" : "not UTF-8");
        else
            rc = take_field(w, fields[i].name, value, e);
        json_decref(value);
        free(text);
        if (rc) return rc;
    }
    return ERR_OK;
}

/* Whether a body without a type in the query may be the JSON request. `curl -d` sends
 * application/x-www-form-urlencoded, so that counts when what came is a JSON object. */
static bool is_json_request(const char *content_type, const struct buf *body)
{
    static const char *const maybe[] = {"", "application/x-www-form-urlencoded"};
    static const char *const surely[] = {"application/json", "text/json"};
    size_t len = content_type ? strcspn(content_type, "; \t") : 0;
    for (size_t i = 0; i < 2; i++)
        if (strlen(surely[i]) == len && !strncasecmp(content_type, surely[i], len)) return true;
    if (len > 5 && !strncasecmp(content_type + len - 5, "+json", 5)) return true;
    size_t start = strspn(buf_text(body), " \t\r\n");
    for (size_t i = 0; i < 2; i++)
        if (strlen(maybe[i]) == len && !strncasecmp(content_type ? content_type : "", maybe[i], len))
            return buf_text(body)[start] == '{';
    return false;
}

/* Reads what is wanted. False: refused, and answered. */
static bool read_wish(struct request *request, struct wish *w)
{
    const struct conf *conf = request->conf;
    struct error e = {0};
    struct buf body = {0};
    char *type = NULL;
    int status = 422;
    enum err rc = request_query(request, "type", &type, &e);
    bool raw = type != NULL;
    free(type);

    const char *encoding = request_header(request, "Content-Encoding");
    if (!rc && encoding && strcasecmp(encoding, "identity")) {
        problem(request, 415, "unsupported_encoding", "Content-Encoding: send the body as it is");
        return false;
    }
    if (!rc) {
        enum conf_key limit = raw ? CONF_HTTP_MAX_RAW_BYTES : CONF_HTTP_MAX_BODY_BYTES;
        rc = request_body(request, &body, (size_t)conf_int(conf, limit), &e);
        if (rc == ERR_FULL) {
            problem(request, 413, "body_too_large", "%s", e.text);
            buf_free(&body);
            return false;
        }
        if (rc) status = 400;
    }
    const char *content_type = request_header(request, "Content-Type");
    if (!rc && raw) {
        rc = wish_from_query(w, request, &e);
        w->content_type = mem_str(content_type && *content_type ? content_type
                                                                : "application/octet-stream");
        if (body.len) {
            w->input = body.data;
            w->input_bytes = body.len;
            body = (struct buf){0};
        }
    } else if (!rc && is_json_request(content_type, &body)) {
        rc = wish_from_json(w, &body, &status, &e);
    } else if (!rc) {
        problem(request, 415, "unsupported_media_type",
                "without ?type= in the query the body must be a JSON object "
                "(Content-Type: application/json)");
        buf_free(&body);
        return false;
    }
    buf_free(&body);
    if (rc) problem(request, status, status == 400 ? "bad_json" : "invalid_request", "%s", e.text);
    return !rc;
}

/* Whether the jobs folder has the type and takes the input. False: refused, and answered. */
static bool check_type(struct site *site, struct request *request, struct wish *w)
{
    struct jobtype type;
    struct error e = {0};
    if (!w->type) {
        problem(request, 422, "invalid_request", "type: missing");
        return false;
    }
    enum err rc = jobtype_name_valid(w->type)
                      ? jobtype_load(&type, conf_text(site->conf, CONF_RUNNER_JOBS), w->type, &e)
                      : ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND) {
        problem(request, 422, "unknown_type", "type: there is no job '%.64s'", w->type);
        return false;
    }
    if (rc) {
        e.code = ERR_INTERNAL; /* the site's fault, not the client's: logged, not shown */
        site_fail(site, request, &e);
        return false;
    }
    if (type.max_input_bytes >= 0 && w->input_bytes > (size_t)type.max_input_bytes) {
        problem(request, 413, "body_too_large", "input: '%s' takes at most %lld bytes", w->type,
                (long long)type.max_input_bytes);
        return false;
    }
    if (w->max_attempts == TASK_NONE) w->max_attempts = type.attempts;
    return true;
}

/* Writes the task and reads it back as it is now. */
static enum err store_wish(struct site *site, const struct request *request, const struct wish *w,
                           struct task *out, struct error *e)
{
    int64_t now = clock_wall_ms(), n = 0;
    char id[ID_SIZE];
    id_new(id, now);
    struct task_new new = {
        .id = id,
        .owner = request->owner,
        .type = w->type,
        .group = w->group,
        .request_id = request->request_id,
        .priority = w->priority == TASK_NONE ? 0 : w->priority,
        .max_attempts = w->max_attempts,
        .timeout_ms = w->timeout_ms,
        .run_at = w->run_at,
        .content_type = w->content_type,
        .input = w->input,
        .input_bytes = w->input_bytes,
        .now = now,
    };
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, e);
    if (rc) return rc;
    rc = task_create(site->db, &new, &n, e);
    if (!rc) rc = task_get_n(site->db, n, out, e);
    if (!rc) return db_commit(site->db, e);
    db_rollback(site->db);
    return rc;
}

/* ---- answers ---- */

/* The answer to a create: {"success":true,"task_id",…,"task":{…},"links":{…}}. Once the task was waited
 * for, the members of its document stand beside "task" too, so that its result is at hand. */
static void created_body(struct buf *out, const struct task *t, const struct task_view *view,
                         bool waited)
{
    struct buf document = {0};
    task_document(&document, t, view);
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

static void answer_created(struct site *site, struct request *request, const struct task *t,
                           int64_t waited_ms)
{
    struct task_view view = site_view(site, request);
    bool finished = waited_ms >= 0 && task_status_terminal(t->status);
    struct buf body = {0};
    created_body(&body, t, &view, finished);
    struct response r;
    response_start(&r, request, finished ? 200 : 202);
    response_header_fmt(&r, "Location", "%s/tasks/%s", view.prefix, t->id);
    if (waited_ms >= 0)
        response_header_fmt(&r, "Preference-Applied", "wait=%g", (double)waited_ms / 1000);
    response_json(&r, &body);
    buf_free(&body);
}

static void answer_task(struct site *site, struct request *request, const struct task *t, int status)
{
    struct task_view view = site_view(site, request);
    struct buf body = {0}, etag = {0};
    task_document(&body, t, &view);
    task_etag(&etag, t, view.epoch);
    struct response r;
    response_start(&r, request, status);
    response_header(&r, "ETag", etag.data);
    response_header(&r, "Cache-Control", "no-cache");
    response_json(&r, &body);
    buf_free(&etag);
    buf_free(&body);
}

static void answer_not_modified(struct request *request, const char *etag)
{
    struct response r;
    response_start(&r, request, 304);
    response_header(&r, "ETag", etag);
    response_header(&r, "Cache-Control", "no-cache");
    response_body(&r, NULL, NULL, 0);
}

/* ---- waiting for a task ---- */

/* A request that is answered when its task changes or finishes. */
struct waiting {
    struct site *site;
    struct exchange *exchange;
    char id[ID_SIZE];
    char *etag;     /* what the client has; answered when it differs */
    bool not_modified; /* an unchanged task is 304, else 200 */
    bool created;   /* the answer of a create, when the task is finished */
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
    bool changed = w->created ? task_status_terminal(t.status)
                              : !request_etag_listed(w->etag, etag.data);
    if (w->created && (changed || last))
        answer_created(w->site, request, &t, w->wait_ms);
    else if (!changed && last && w->not_modified)
        answer_not_modified(request, etag.data);
    else if (changed || last)
        answer_task(w->site, request, &t, 200);
    buf_free(&etag);
    task_free(&t);
    return changed || last;
}

static void wait_for(struct site *site, const struct task *t, const struct waiting *how)
{
    struct waiting *w = mem_alloc(sizeof *w);
    *w = *how;
    w->site = site;
    w->exchange = site->current;
    memcpy(w->id, t->id, sizeof w->id);
    struct event_scope scope = {.kind = SCOPE_TASK, .task = t->n};
    site_wait(site, &scope, w->wait_ms, look_waiting, drop_waiting, w);
}

/* ---- handlers ---- */

/* POST /tasks: 202; 303 to its events for a client that accepts text/event-stream; with Prefer: wait the
 * finished task if it is quick enough. */
void tasks_create(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    struct wish w = {.priority = TASK_NONE,
                     .max_attempts = TASK_NONE,
                     .timeout_ms = TASK_NONE,
                     .run_at = TASK_NONE};
    struct task t = {0};
    struct error e = {0};
    if (!read_wish(request, &w) || !check_type(site, request, &w)) {
        wish_free(&w);
        return;
    }
    enum err rc = store_wish(site, request, &w, &t, &e);
    wish_free(&w);
    if (rc) {
        task_free(&t);
        site_fail(site, request, &e);
        return;
    }

    const char *prefix = conf_text(request->conf, CONF_HTTP_PREFIX);
    const char *accel = conf_text(request->conf, CONF_HTTP_ACCEL_REDIRECT);
    int64_t wait_ms = request_wait_ms(request);
    struct response r;
    if (request_accepts(request, "text/event-stream")) {
        response_start(&r, request, 303);
        response_header_fmt(&r, "Location", "%s/tasks/%s/events", prefix, t.id);
        response_body(&r, NULL, NULL, 0);
    } else if (wait_ms < 0) {
        answer_created(site, request, &t, -1);
    } else if (accel && !site->streams) {
        /* The web server sends the client on to leat-events, which writes the whole answer. nginx
         * would keep this one's Cache-Control beside that one's. */
        response_start(&r, request, 200);
        r.cache_given = true;
        response_header_fmt(&r, "X-Accel-Redirect", "%s/tasks/%s?wait_ms=%lld", accel, t.id,
                            (long long)wait_ms);
        response_body(&r, NULL, NULL, 0);
    } else {
        wait_for(site, &t, &(struct waiting){.created = true, .wait_ms = wait_ms});
    }
    task_free(&t);
}

/* GET /internal/tasks/{id}?wait_ms=N: the rest of a POST that waits, in leat-events. */
void tasks_finish(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    struct task t = {0};
    char *text = NULL;
    int64_t wait_ms = 0;
    enum err rc = request_query(m->request, "wait_ms", &text, &e);
    if (!rc)
        rc = conf_parse_int(text ? text : "", 0,
                            conf_ms(m->request->conf, CONF_HTTP_WAIT_SECONDS_MAX), &wait_ms, &e);
    free(text);
    if (!rc) rc = task_get(site->db, m->params[0], auth_reader(m->request), &t, &e);
    if (rc)
        site_fail(site, m->request, &e);
    else
        wait_for(site, &t, &(struct waiting){.created = true, .wait_ms = wait_ms});
    task_free(&t);
}

/* GET /tasks/{id}: the document, or 304; with Prefer: wait not before it changes. */
void tasks_get(struct route_match *m)
{
    struct site *site = site_of(m);
    struct task t = {0};
    struct error e = {0};
    if (task_get(site->db, m->params[0], auth_reader(m->request), &t, &e)) {
        site_fail(site, m->request, &e);
        return;
    }
    struct buf etag = {0};
    task_etag(&etag, &t, db_epoch(site->db));
    const char *has = request_header(m->request, "If-None-Match");
    bool same = has && request_etag_listed(has, etag.data);
    int64_t wait_ms = request_wait_ms(m->request);
    /* Without a validator "changes" means from now on, and a finished task will not. */
    if (wait_ms >= 0 && (has ? same : !task_status_terminal(t.status)))
        wait_for(site, &t, &(struct waiting){.etag = mem_str(has ? has : etag.data),
                                             .not_modified = has != NULL,
                                             .wait_ms = wait_ms});
    else if (same)
        answer_not_modified(m->request, etag.data);
    else
        answer_task(site, m->request, &t, 200);
    buf_free(&etag);
    task_free(&t);
}

/* The conditions of a list, from its query. Text is owned by the three pointers. */
static enum err list_query(const struct request *request, struct task_query *q, char **type,
                           char **group, struct error *e)
{
    char *status = NULL, *size = NULL, *token = NULL;
    int64_t max = conf_int(request->conf, CONF_HTTP_PAGE_SIZE_MAX), limit = PAGE_SIZE;
    enum err rc = request_query(request, "type", type, e);
    if (!rc) rc = request_query(request, "group", group, e);
    if (!rc) rc = request_query(request, "status", &status, e);
    if (!rc) rc = request_query(request, "page_size", &size, e);
    if (!rc) rc = request_query(request, "page_token", &token, e);
    if (!rc && status && *status && !task_status_parse(status, &q->status))
        rc = bad_field(e, "status", "not one of pending, running, completed, failed, timeout, "
                                    "cancelled");
    if (!rc && size && conf_parse_int(size, 1, INT64_MAX, &limit, NULL))
        rc = bad_field(e, "page_size", "not a number above 0");
    if (!rc && token && *token && conf_parse_int(token, 1, INT64_MAX, &q->before, NULL))
        rc = bad_field(e, "page_token", "not a token of this list");
    q->limit = limit < max ? limit : max;
    q->type = *type && **type ? *type : NULL;
    q->group = *group && **group ? *group : NULL;
    free(status);
    free(size);
    free(token);
    return rc;
}

/* GET /tasks?status=&type=&group=&page_size=&page_token=: newest first. */
void tasks_list(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    char *type = NULL, *group = NULL;
    struct task_query q = {
        .owner = auth_reader(m->request), .status = TASK_STATUSES, .before = INT64_MAX};
    struct task_list list = {0};
    enum err rc = list_query(m->request, &q, &type, &group, &e);
    if (!rc) rc = task_list_read(site->db, &q, &list, &e);
    free(type);
    free(group);
    if (rc) {
        site_fail(site, m->request, &e);
        return;
    }
    struct task_view view = site_view(site, m->request);
    struct buf body = {0};
    buf_str(&body, "{\"tasks\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i) buf_char(&body, ',');
        task_document(&body, &list.items[i], &view);
    }
    buf_str(&body, "],\"next_page_token\":\"");
    if (list.more) buf_int(&body, list.items[list.count - 1].n);
    buf_str(&body, "\"}");
    struct response r;
    response_start(&r, m->request, 200);
    response_json(&r, &body);
    buf_free(&body);
    task_list_free(&list);
}

/* GET /tasks/{id}/result: the bytes that the job wrote. */
void tasks_result(struct route_match *m)
{
    struct site *site = site_of(m);
    struct task t = {0};
    struct error e = {0};
    struct buf body = {0};
    char *type = NULL;
    enum err rc = task_get(site->db, m->params[0], auth_reader(m->request), &t, &e);
    if (!rc && !task_status_terminal(t.status)) {
        problem(m->request, 409, "not_finished", "the task is %s: it has no result yet",
                task_status_name(t.status));
        task_free(&t);
        return;
    }
    if (!rc) rc = task_result(site->db, t.n, &body, &type, &e);
    if (rc) {
        site_fail(site, m->request, &e);
    } else {
        struct response r;
        response_start(&r, m->request, 200);
        /* What a job wrote must not run as a page of this site. */
        response_header(&r, "Content-Security-Policy", "sandbox; default-src 'none'");
        response_body(&r, type, body.data, body.len);
    }
    buf_free(&body);
    free(type);
    task_free(&t);
}

/* POST /tasks/{id}/cancel: 202 with the task; a running one ends when its runner has stopped the job. */
void tasks_cancel(struct route_match *m)
{
    struct site *site = site_of(m);
    struct task t = {0};
    struct error e = {0};
    const char *owner = auth_reader(m->request);
    enum err rc = db_begin(site->db, DB_SYNC_BEFORE, &e);
    if (!rc) {
        rc = task_cancel(site->db, m->params[0], owner, clock_wall_ms(), &e);
        if (!rc) rc = task_get(site->db, m->params[0], owner, &t, &e);
        if (!rc)
            rc = db_commit(site->db, &e);
        else
            db_rollback(site->db);
    }
    if (rc)
        site_fail(site, m->request, &e);
    else
        answer_task(site, m->request, &t, 202);
    task_free(&t);
}
