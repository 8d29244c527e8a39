#include "wish.h"

#include "autostart.h"
#include "base/clock.h"
#include "base/json.h"
#include "body.h"
#include "limits.h"
#include "store/tasks.h"
#include "task/group.h"
#include "types.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 100,
    DELAY_SECONDS_MAX = 366 * 86400,
    JOIN_MS = 60 * 1000, /* an identical GET /run joins an unfinished task for so long */
};

void wish_free(struct wish *w)
{
    free(w->type);
    free(w->group);
    free(w->content_type);
    free(w->input);
    free(w->key);
}

/* SHA-256 over parts and their lengths, so that no two lists of parts look alike. */
static void fingerprint(struct wish *w, const char *const *parts, const size_t *lengths,
                        size_t count)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < count; i++) {
        uint64_t length = lengths[i];
        crypto_hash_sha256_update(&state, (const unsigned char *)&length, sizeof length);
        crypto_hash_sha256_update(&state, (const unsigned char *)parts[i], length);
    }
    crypto_hash_sha256_final(&state, w->fingerprint);
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
    double value = json_number_value(v); /* exact within the bounds, which lie below 2^53 */
    if (!json_is_number(v) || value < (double)min || value > (double)max ||
        value != (double)(int64_t)value)
        return error_set(e, ERR_INVALID, "%s: not a whole number from %lld to %lld", field,
                         (long long)min, (long long)max);
    *out = (int64_t)value;
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
    if (!text || !group_name_valid(text, json_string_length(v)))
        return bad_field(e, "group", GROUP_NAME_RULE);
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
    if (!strcmp(name, "run_at")) return take_whole(&w->run_at, name, v, 0, (int64_t)1 << 52, e);
    if (!strcmp(name, "delay")) return take_seconds(&w->delay_ms, name, v, 0, DELAY_SECONDS_MAX, e);
    return bad_field(e, name, "there is no such field");
}

/* Either of them says when. */
static enum err check_time(const struct wish *w, struct error *e)
{
    if (w->delay_ms == TASK_NONE || w->run_at == TASK_NONE) return ERR_OK;
    return bad_field(e, "delay", "not together with run_at");
}

/* The input of a JSON request: a string's text, or JSON text as it was written in `body`. */
static void take_input(struct wish *w, const json_t *v, const struct buf *body)
{
    if (!v || json_is_null(v)) return;
    struct buf text = {0};
    struct json_span written = json_find_last(body->data, "input");
    if (json_is_string(v))
        buf_add(&text, json_string_value(v), json_string_length(v));
    else
        buf_add(&text, written.at, written.len);
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
    if (!json_is_object(root)) rc = error_set(e, ERR_INVALID, "the body is not a JSON object");
    const char *name;
    json_t *value;
    if (!rc) json_object_foreach(root, name, value)
        {
            if (strcmp(name, "input")) rc = take_field(w, name, value, e);
            if (rc) break;
        }
    if (!rc) rc = check_time(w, e);
    if (!rc) take_input(w, json_object_get(root, "input"), body);
    json_decref(root);
    return rc;
}

/* The fields of a raw request, from its query. Numbers are read as JSON numbers. */
static enum err wish_from_query(struct wish *w, const struct request *request, struct error *e)
{
    static const struct {
        const char *name;
        bool number;
    } fields[] = {{"type", false},        {"group", false},  {"priority", true}, {"run_at", true},
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
    return check_time(w, e);
}

/* Whether a body without a type in the query may be the JSON request. */
static bool is_json_request(const char *content_type, const struct buf *body)
{
    enum body_kind kind = body_kind(content_type);
    size_t start = strspn(buf_text(body), " \t\r\n");
    return kind == BODY_JSON || (kind == BODY_MAYBE && buf_text(body)[start] == '{');
}

static int64_t key_ms(const struct request *request)
{
    return conf_ms(request->conf, CONF_HTTP_IDEMPOTENCY_HOURS);
}

/* The Idempotency-Key, if any: printable ASCII. */
static enum err take_key(struct wish *w, const struct request *request, const char *content_type,
                         const struct buf *body, struct error *e)
{
    const char *key = request_header(request, "Idempotency-Key");
    if (!key) return ERR_OK;
    size_t len = strlen(key);
    bool fine = len >= 1 && len <= WISH_KEY_MAX;
    for (size_t i = 0; fine && i < len; i++) fine = key[i] >= ' ' && key[i] <= '~';
    if (!fine) return bad_field(e, "Idempotency-Key", "not 1 to 255 printable ASCII characters");
    struct buf name = {0};
    buf_fmt(&name, "key:%s", key);
    w->key = name.data;
    w->key_ms = key_ms(request);
    const char *parts[] = {request->query, content_type ? content_type : "", buf_text(body)};
    fingerprint(w, parts, (size_t[]){strlen(parts[0]), strlen(parts[1]), body->len}, 3);
    return ERR_OK;
}

bool wish_read(struct wish *w, struct request *request)
{
    struct error e = {0};
    struct buf body = {0};
    char *type = NULL;
    int status = 422;
    enum err rc = request_query(request, "type", &type, &e);
    bool raw = type != NULL;
    free(type);

    if (!rc &&
        !body_read(request, raw ? CONF_HTTP_MAX_RAW_BYTES : CONF_HTTP_MAX_BODY_BYTES, &body)) {
        buf_free(&body);
        return false;
    }
    const char *content_type = request_header(request, "Content-Type");
    if (!rc) rc = take_key(w, request, content_type, &body, &e);
    if (!rc && raw) {
        rc = wish_from_query(w, request, &e);
        w->content_type =
            mem_str(content_type && *content_type ? content_type : "application/octet-stream");
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

enum err wish_from_run(struct wish *w, const struct request *request, const char *type,
                       struct error *e)
{
    char *input = NULL, *key = NULL, *group = NULL;
    enum err rc = request_query(request, "input", &input, e);
    if (!rc) rc = request_query(request, "key", &key, e);
    if (!rc) rc = request_query(request, "group", &group, e);
    if (!rc && group) {
        json_t *text = json_string(group);
        rc = text ? take_group(&w->group, text, e) : bad_field(e, "group", "not UTF-8");
        json_decref(text);
    }
    if (!rc && key && (!*key || strlen(key) > WISH_KEY_MAX))
        rc = bad_field(e, "key", "not 1 to 255 bytes");
    w->type = mem_str(type);
    w->content_type = mem_str("text/plain; charset=utf-8");
    if (input && *input) {
        w->input = mem_str(input);
        w->input_bytes = strlen(input);
    }
    const char *parts[] = {type, w->group ? w->group : "", w->input ? w->input : ""};
    fingerprint(w, parts, (size_t[]){strlen(parts[0]), strlen(parts[1]), w->input_bytes}, 3);
    struct buf name = {0};
    if (key) {
        buf_fmt(&name, "run:%s:%s", type, key);
        w->key_ms = key_ms(request);
    } else {
        buf_str(&name, "join:");
        for (size_t i = 0; i < FINGERPRINT_BYTES; i++) buf_fmt(&name, "%02x", w->fingerprint[i]);
        w->key_ms = JOIN_MS;
        w->only_unfinished = true;
    }
    w->key = name.data;
    free(input);
    free(key);
    free(group);
    return rc;
}

bool wish_check(struct wish *w, struct site *site, struct request *request)
{
    struct jobtype type;
    if (!w->type) {
        problem(request, 422, "invalid_request", "type: missing");
        return false;
    }
    if (!types_find(site, request, "type", w->type, &type)) return false;
    if (type.max_input_bytes >= 0 && w->input_bytes > (size_t)type.max_input_bytes) {
        problem(request, 413, "body_too_large", "input: '%s' takes at most %lld bytes", w->type,
                (long long)type.max_input_bytes);
        return false;
    }
    if (w->max_attempts == TASK_NONE) w->max_attempts = type.attempts;
    w->serialize = type.serialize;
    w->get = type.get;
    return true;
}

/* The task that the wish's key made, if it is still there: *found. ERR_STATE: another request's key. */
static enum err find_by_key(const struct wish *w, struct site *site, const struct request *request,
                            int64_t now, struct task *out, bool *found, struct error *e)
{
    int64_t n = 0;
    *found = false;
    if (!w->key) return ERR_OK;
    enum err rc = idempotency_find(site->db, request->owner, w->key, w->fingerprint, now, &n, e);
    if (!n) return rc;
    enum err read = task_get_n(site->db, n, out, rc ? NULL : e);
    if (read == ERR_NOTFOUND) return ERR_OK; /* deleted since: the key is free */
    if (!read && rc) task_free(out);
    if (!rc) rc = read;
    if (rc) return rc;
    *found = !(w->only_unfinished && task_status_terminal(out->status));
    if (!*found) task_free(out);
    return ERR_OK;
}

static enum err insert(const struct wish *w, struct site *site, const struct request *request,
                       int64_t now, struct task *out, struct error *e)
{
    int64_t n = 0;
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
        .run_at = w->delay_ms > 0 ? now + w->delay_ms : w->run_at, /* now is when it is created */
        .serialize = w->serialize,
        .content_type = w->content_type,
        .input = w->input,
        .input_bytes = w->input_bytes,
        .now = now,
    };
    enum err rc = task_create(site->db, &new, &n, e);
    if (!rc && w->key)
        rc = idempotency_keep(site->db, request->owner, w->key, w->fingerprint, n, now,
                              now + w->key_ms, e);
    return rc ? rc : task_get_n(site->db, n, out, e);
}

bool wish_store(const struct wish *w, struct site *site, struct request *request, struct task *out)
{
    struct error e = {0};
    struct limit_hit hit = {0};
    bool found = false;
    int64_t now = clock_wall_ms();
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc) {
        rc = find_by_key(w, site, request, now, out, &found, &e);
        bool clash = rc == ERR_STATE;
        if (!rc && !found) rc = limits_create(site, request, now, &hit, &e);
        bool create = !rc && !found && !hit.name;
        if (create) rc = insert(w, site, request, now, out, &e);
        if (create && !rc)
            rc = db_commit(site->db, &e);
        else
            db_rollback(site->db);
        if (clash) {
            problem(request, 422, "idempotency_key_reused", "%s", e.text);
            return false;
        }
    }
    if (!rc && !hit.name) {
        if (!task_status_terminal(out->status)) autostart(site);
        return true;
    }
    if (rc)
        site_fail(site, request, &e);
    else
        limits_answer(request, &hit);
    task_free(out);
    return false;
}
