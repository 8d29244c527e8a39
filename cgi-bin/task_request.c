#include "task_request.h"

#include "answers.h"
#include "base/json.h"
#include "ops/submit_fields.h"
#include "task/file.h"
#include "web/problem.h"

#include <stdlib.h>
#include <string.h>

static enum err bad_field(struct error *e, const char *field, const char *what)
{
    return error_set(e, ERR_INVALID, "%s: %s", field, what);
}

/* The input of a JSON request: a string's text, or JSON text as it was written in `body`. */
static void take_input(struct submit *s, const json_t *v, const struct buf *body)
{
    if (!v || json_is_null(v)) return;
    struct buf text = {0};
    struct json_span written = json_find_last(body->data, "input");
    if (json_is_string(v))
        buf_add(&text, json_string_value(v), json_string_length(v));
    else
        buf_add(&text, written.at, written.len);
    s->content_type = mem_str(json_is_string(v) ? "text/plain; charset=utf-8" : "application/json");
    s->input_bytes = text.len;
    s->input = text.data;
}

static enum err from_json(struct submit *s, const struct buf *body, int *status, struct error *e)
{
    *status = 400;
    json_t *root = json_read(buf_text(body), body->len, e);
    if (!root) return ERR_INVALID;
    enum err rc = ERR_OK;
    *status = 422;
    if (!json_is_object(root)) rc = error_set(e, ERR_INVALID, "the body is not a JSON object");
    const char *name;
    json_t *value;
    if (!rc) json_object_foreach(root, name, value)
        {
            if (strcmp(name, "input")) rc = submit_field(s, name, value, e);
            if (rc) break;
        }
    if (!rc) rc = submit_time_check(s, e);
    if (!rc) take_input(s, json_object_get(root, "input"), body);
    json_decref(root);
    return rc;
}

/* The fields of a raw request, from its query. */
static enum err from_query(struct submit *s, const struct request *request, struct error *e)
{
    const char *name;
    for (size_t i = 0; (name = submit_field_name(i)); i++) {
        char *text = NULL;
        enum err rc = request_query(request, name, &text, e);
        if (!rc && text) rc = submit_field_text(s, name, text, e);
        free(text);
        if (rc) return rc;
    }
    return submit_time_check(s, e);
}

/* Whether a body without a type in the query may be the JSON request. */
static bool is_json_request(enum body_kind kind, const struct buf *body)
{
    size_t start = strspn(buf_text(body), " \t\r\n");
    return kind == BODY_JSON || (kind == BODY_MAYBE && buf_text(body)[start] == '{');
}

static int64_t key_ms(const struct request *request)
{
    return conf_ms(request->conf, CONF_HTTP_IDEMPOTENCY_HOURS);
}

/* The Idempotency-Key in *key, "key:" before it; NULL: there is none. Printable ASCII. */
static enum err take_key(const struct request *request, char **key, struct error *e)
{
    if (!request_header_given(request, "Idempotency-Key")) return ERR_OK;
    const char *text = request_header(request, "Idempotency-Key");
    size_t len = text ? strlen(text) : 0;
    bool fine = len >= 1 && len <= SUBMIT_KEY_MAX;
    for (size_t i = 0; fine && i < len; i++) fine = text[i] >= ' ' && text[i] <= '~';
    if (!fine) return bad_field(e, "Idempotency-Key", "not 1 to 255 printable ASCII characters");
    struct buf name = {0};
    buf_fmt(&name, "key:%s", text);
    *key = name.data;
    return ERR_OK;
}

/* Writes the fields of a raw request as a query, whatever order they had. How it is to be answered, and the
 * credential that it shows, are no part of what it asks for. */
static void write_fields(struct buf *out, const struct request *request)
{
    const char *name;
    for (size_t i = 0; (name = submit_field_name(i)); i++) {
        char *text = NULL;
        if (!request_query(request, name, &text, NULL) && text) {
            buf_fmt(out, "%s%s=", out->len ? "&" : "", name);
            file_escape(out, text, false);
        }
        free(text);
    }
}

/* What makes a POST what it is: `raw`, with ?type=, its fields stand in the query. A body that is in a file was
 * hashed as it came. */
static void take_fingerprint(struct exchange *x, bool raw, unsigned char *out)
{
    const char *type = request_header(&x->request, "Content-Type");
    struct buf fields = {0};
    if (raw) write_fields(&fields, &x->request);
    const char *parts[4] = {buf_text(&fields), type ? type : ""};
    size_t lengths[4] = {fields.len, strlen(parts[1])}, count = 2;
    char hash[crypto_hash_sha256_BYTES];
    if (x->spool.open) {
        spool_hash(&x->spool, (unsigned char *)hash);
        parts[count] = "sha256", lengths[count++] = strlen("sha256");
        parts[count] = hash, lengths[count++] = sizeof hash;
    } else {
        parts[count] = buf_text(&x->body), lengths[count++] = x->body.len;
    }
    submit_fingerprint(out, parts, lengths, count);
    buf_free(&fields);
}

/* A raw body is the input, byte for byte. */
static void take_raw(struct exchange *x, struct submit *s)
{
    const char *type = request_header(&x->request, "Content-Type");
    s->content_type = mem_str(type ? type : "application/octet-stream");
    s->input_bytes = (size_t)exchange_body_bytes(x);
    if (!x->body.len) return;
    s->input = x->body.data;
    x->body = (struct buf){0};
}

bool task_request_read_fields(struct exchange *x, struct submit *s)
{
    struct error e = {0};
    if (!from_query(s, &x->request, &e)) return true;
    exchange_fail(x, &e);
    return false;
}

bool task_request_read(struct exchange *x, struct submit *s)
{
    struct request *request = &x->request;
    struct error e = {0};
    char *type = NULL;
    int status = 422;
    enum err rc = request_query(request, "type", &type, &e);
    bool raw = type != NULL;
    free(type);
    if (!rc) rc = take_key(request, &s->key, &e);
    if (!rc && s->key) {
        s->key_ms = key_ms(request);
        take_fingerprint(x, raw, s->fingerprint);
    }
    enum body_kind kind = body_kind(request_header(request, "Content-Type"));
    if (!rc && !raw && !is_json_request(kind, &x->body)) {
        problem(request, 415, "unsupported_media_type",
                "without ?type= in the query the body must be a JSON object "
                "(Content-Type: application/json)");
        return false;
    }
    if (!rc) rc = raw ? from_query(s, request, &e) : from_json(s, &x->body, &status, &e);
    if (!rc && raw) take_raw(x, s);
    if (rc) problem(request, status, status == 400 ? "bad_json" : "invalid_request", "%s", e.text);
    return !rc;
}

/* ---- many ---- */

bool task_request_is_many(const struct request *request)
{
    char *type = NULL;
    request_query(request, "type", &type, NULL);
    bool raw = type != NULL;
    free(type);
    return !raw && body_kind(request_header(request, "Content-Type")) == BODY_LINES;
}

static bool blank(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", p[i])) return false;
    return true;
}

bool task_request_read_line(struct exchange *x, struct submit_many *m, int64_t line,
                            const char *text, size_t len)
{
    struct request *request = &x->request;
    request->line = line;
    if (blank(text, len)) return true;
    if (m->count == (size_t)conf_int(request->conf, CONF_HTTP_BULK_MAX)) {
        problem(request, 413, "too_many_lines", "more requests than bulk_max allows in one");
        return false;
    }
    if (len > (size_t)conf_int(request->conf, CONF_HTTP_MAX_BODY_BYTES)) {
        problem(request, 413, "body_too_large", "the line is larger than max_body_bytes");
        return false;
    }
    struct caller caller = exchange_caller(x);
    struct submit *s = submit_many_add(m, &caller, line);
    struct buf body = {0};
    int status = 422;
    buf_add(&body, text, len);
    enum err rc = from_json(s, &body, &status, &s->op.error);
    if (!rc) rc = submit_many_check(m, &s->op.error);
    if (rc && status == 400)
        problem(request, 400, "bad_json", "%s", s->op.error.text);
    else if (rc)
        exchange_refused(x, &s->op);
    buf_free(&body);
    return !rc;
}

bool task_request_read_many(struct exchange *x, struct submit_many *m)
{
    struct error e = {0};
    if (take_key(&x->request, &m->key, &e)) {
        exchange_fail(x, &e);
        return false;
    }
    m->key_ms = key_ms(&x->request);
    if (m->key) take_fingerprint(x, false, m->fingerprint);
    return true;
}

/* ---- GET /run ---- */

/* The key that stands for the request itself: of an anonymous caller, from one address. */
static void join_key(struct submit *s)
{
    struct buf name = {0};
    buf_fmt(&name, "join:%s:", s->caller.account);
    for (size_t i = 0; i < FINGERPRINT_BYTES; i++) buf_fmt(&name, "%02x", s->fingerprint[i]);
    s->key = name.data;
    s->key_ms = SUBMIT_KEY_FOR_EVER; /* that is, as long as the task is there */
    s->join_ms = conf_ms(s->caller.conf, CONF_HTTP_RUN_GRACE);
}

enum err task_request_from_run(struct exchange *x, struct submit *s, const char *type,
                               struct error *e)
{
    const struct request *request = &x->request;
    char *input = NULL, *key = NULL, *group = NULL;
    enum err rc = request_query(request, "input", &input, e);
    if (!rc) rc = request_query(request, "key", &key, e);
    if (!rc) rc = request_query(request, "group", &group, e);
    if (!rc && group) rc = submit_field_text(s, "group", group, e);
    if (!rc && key && (!*key || strlen(key) > SUBMIT_KEY_MAX))
        rc = bad_field(e, "key", "not 1 to 255 bytes");
    s->by_get = true;
    s->type = mem_str(type);
    s->content_type = mem_str("text/plain; charset=utf-8");
    if (input && *input) {
        s->input = mem_str(input);
        s->input_bytes = strlen(input);
    }
    const char *parts[] = {type, s->group ? s->group : "", s->input ? s->input : ""};
    submit_fingerprint(s->fingerprint, parts,
                       (size_t[]){strlen(parts[0]), strlen(parts[1]), s->input_bytes}, 3);
    if (key) {
        struct buf name = {0};
        buf_fmt(&name, "run:%s:%s", type, key);
        s->key = name.data;
        s->key_ms = key_ms(request);
    } else {
        join_key(s);
    }
    free(input);
    free(key);
    free(group);
    return rc;
}
