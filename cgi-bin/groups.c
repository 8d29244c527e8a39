/* Groups: their documents, contexts and events, and what is done to all their tasks. */
#include "store/groups.h"

#include "base/clock.h"
#include "base/json.h"

#include "answers.h"
#include "autostart.h"
#include "body.h"
#include "handlers.h"
#include "limits.h"
#include "site.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZE = 50 };

char *group_owner(struct request *request)
{
    struct error e = {0};
    char *named = NULL;
    if (request_query(request, "owner", &named, &e)) {
        problem_error(request, &e);
        return NULL;
    }
    if (named && !(request->scopes & AUTH_ADMIN) && strcmp(named, request->owner)) {
        problem(request, 403, "insufficient_scope", "only an admin may name another owner");
        free(named);
        return NULL;
    }
    return named ? named : mem_str(request->owner);
}

/* GET /groups/{group}: the group document; one never used is idle. */
void groups_get(struct route_match *m)
{
    struct site *site = site_of(m);
    char *owner = group_owner(m->request);
    if (!owner) return;
    struct error e = {0};
    struct group g = {0};
    if (group_get(site->db, owner, m->params[0], &g, &e)) {
        site_fail(site, m->request, &e);
    } else {
        struct buf body = {0};
        group_document(&body, &g, conf_text(m->request->conf, CONF_HTTP_PREFIX));
        struct response r;
        response_start(&r, m->request, 200);
        response_json(&r, &body);
        buf_free(&body);
        group_free(&g);
    }
    free(owner);
}

/* A place in the list is "UPDATED.OWNER-LENGTH.OWNERNAME", in base64url (RFC 4648, 5): a token stands in a
 * query as it is. */
enum { TOKEN_MAX = 64 + TASK_OWNER_MAX + TASK_GROUP_MAX };

static bool read_token(const char *token, struct group_name *out)
{
    char place[TOKEN_MAX + 1];
    size_t len = 0, owner = 0;
    long long updated = 0;
    int used = 0;
    if (sodium_base642bin((unsigned char *)place, TOKEN_MAX, token, strlen(token), NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING))
        return false;
    place[len] = '\0';
    if (sscanf(place, "%lld.%zu.%n", &updated, &owner, &used) != 2 || !used) return false;
    if (owner == 0 || owner >= strlen(place + used)) return false;
    *out = (struct group_name){.owner = mem_dup(place + used, owner),
                               .name = mem_str(place + used + owner),
                               .updated_at = updated};
    return true;
}

static void write_token(struct buf *out, const struct group_name *at)
{
    struct buf place = {0};
    buf_fmt(&place, "%lld.%zu.%s%s", (long long)at->updated_at, strlen(at->owner), at->owner,
            at->name);
    size_t size = sodium_base64_encoded_len(place.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    struct buf token = {0};
    sodium_bin2base64(buf_reserve(&token, size), size, (const unsigned char *)place.data, place.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    json_text(out, token.data);
    buf_free(&token);
    buf_free(&place);
}

/* The conditions of the list. `after` is owned by the caller. */
static enum err list_query(const struct request *request, int64_t *limit, struct group_name *after,
                           struct error *e)
{
    char *size = NULL, *token = NULL;
    int64_t max = conf_int(request->conf, CONF_HTTP_PAGE_SIZE_MAX);
    enum err rc = request_query(request, "page_size", &size, e);
    if (!rc) rc = request_query(request, "page_token", &token, e);
    *limit = PAGE_SIZE;
    if (!rc && size && conf_parse_int(size, 1, INT64_MAX, limit, NULL))
        rc = error_set(e, ERR_INVALID, "page_size: not a number above 0");
    if (!rc && token && *token && !read_token(token, after))
        rc = error_set(e, ERR_INVALID, "page_token: not a token of this list");
    if (*limit > max) *limit = max;
    free(size);
    free(token);
    return rc;
}

/* Writes the documents of a page. */
static enum err list_body(struct site *site, const struct request *request,
                          const struct group_page *page, struct buf *body, struct error *e)
{
    enum err rc = ERR_OK;
    buf_str(body, "{\"groups\":[");
    for (size_t i = 0; !rc && i < page->count; i++) {
        struct group g = {0};
        rc = group_get(site->db, page->items[i].owner, page->items[i].name, &g, e);
        if (rc) break;
        if (i) buf_char(body, ',');
        group_document(body, &g, conf_text(request->conf, CONF_HTTP_PREFIX));
        group_free(&g);
    }
    buf_str(body, "],\"next_page_token\":");
    if (page->more)
        write_token(body, &page->items[page->count - 1]);
    else
        buf_str(body, "\"\"");
    buf_char(body, '}');
    return rc;
}

/* Whose groups are listed: "" is everyone's, for an admin who names no owner. NULL: answered. */
static char *list_owner(struct request *request)
{
    bool everyone = !auth_reader(request);
    char *named = NULL;
    struct error e = {0};
    if (everyone && !request_query(request, "owner", &named, &e) && !named) return mem_str("");
    free(named);
    return group_owner(request);
}

/* GET /groups?page_size=&page_token=: latest change first; an admin's list spans owners (?owner= one). */
void groups_list(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    struct group_name after = {0};
    struct group_page page = {0};
    struct buf body = {0};
    int64_t limit;
    char *owner = list_owner(m->request);
    if (!owner) return;
    enum err rc = list_query(m->request, &limit, &after, &e);
    if (!rc) rc = db_read_begin(site->db, &e);
    if (!rc) {
        rc = group_page_read(site->db, *owner ? owner : NULL, after.name ? &after : NULL, limit,
                             &page, &e);
        if (!rc) rc = list_body(site, m->request, &page, &body, &e);
        db_read_end(site->db);
    }
    if (rc) {
        site_fail(site, m->request, &e);
    } else {
        struct response r;
        response_start(&r, m->request, 200);
        response_json(&r, &body);
    }
    group_page_free(&page);
    buf_free(&body);
    free(owner);
    free(after.owner);
    free(after.name);
}

/* ---- context ---- */

/* The context as it is, with its version as ETag. */
static void answer_context(struct request *request, const struct group *g)
{
    struct response r;
    struct buf body = {0};
    buf_str(&body, g->context ? g->context : "null");
    response_start(&r, request, 200);
    response_header_fmt(&r, "ETag", "\"%lld\"", (long long)g->version);
    response_header(&r, "Cache-Control", "no-cache");
    response_json(&r, &body);
    buf_free(&body);
}

/* GET /groups/{group}/context: the JSON document, null when it was never set; 304 by If-None-Match. */
void groups_context_get(struct route_match *m)
{
    struct site *site = site_of(m);
    char *owner = group_owner(m->request);
    if (!owner) return;
    struct error e = {0};
    struct group g = {0};
    if (group_get(site->db, owner, m->params[0], &g, &e)) {
        site_fail(site, m->request, &e);
    } else {
        char etag[32];
        snprintf(etag, sizeof etag, "\"%lld\"", (long long)g.version);
        const char *has = request_header(m->request, "If-None-Match");
        if (has && request_etag_listed(has, etag))
            answer_not_modified(m->request, etag, -1);
        else
            answer_context(m->request, &g);
        group_free(&g);
    }
    free(owner);
}

/* PUT /groups/{group}/context: replaces it; with If-Match only the version named there, else 412. */
void groups_context_put(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    struct error e = {0};
    struct group g = {0};
    struct buf json = {0};
    char *owner = group_owner(request);
    json_t *value = owner ? body_json(request, &json) : NULL;
    if (!value) {
        buf_free(&json);
        free(owner);
        return;
    }
    json_decref(value);

    const char *match = request_header(request, "If-Match");
    bool clash = false;
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc) {
        rc = group_get(site->db, owner, m->params[0], &g, &e);
        if (!rc && match) {
            char etag[32];
            snprintf(etag, sizeof etag, "\"%lld\"", (long long)g.version);
            clash = !strcmp(match, "*") ? !g.version : !request_etag_listed(match, etag);
        }
        if (!rc && !clash)
            rc = group_context_put(site->db, owner, m->params[0], json.data, -1, clock_wall_ms(),
                                   &e);
        if (!rc && !clash) {
            group_free(&g);
            rc = group_get(site->db, owner, m->params[0], &g, &e);
        }
        if (!rc && !clash)
            rc = db_commit(site->db, &e);
        else
            db_rollback(site->db);
    }
    if (rc)
        site_fail(site, request, &e);
    else if (clash)
        problem(request, 412, "version_clash", "the context is at version %lld",
                (long long)g.version);
    else
        answer_context(request, &g);
    group_free(&g);
    buf_free(&json);
    free(owner);
}

/* ---- publishing ---- */

/* Takes {"type","payload"} apart. `type` is borrowed from `value`; `body` is its text. */
static enum err read_event(json_t *value, const struct buf *body, const char **type,
                           struct buf *payload, struct error *e)
{
    const char *name;
    json_t *member;
    if (!json_is_object(value)) return error_set(e, ERR_INVALID, "the body is not a JSON object");
    json_object_foreach(value, name, member)
    {
        if (strcmp(name, "type") && strcmp(name, "payload"))
            return error_set(e, ERR_INVALID, "%.64s: there is no such field", name);
    }
    json_t *text = json_object_get(value, "type");
    *type = json_string_value(text);
    if (!*type || strlen(*type) != json_string_length(text) || !event_type_allowed(*type))
        return error_set(e, ERR_INVALID,
                         "type: not dotted lower-case words such as doc.created, or its first word "
                         "is reserved (task, group, log, file, stream)");
    struct json_span written = json_find_last(body->data, "payload");
    if (written.at)
        buf_add(payload, written.at, written.len);
    else
        buf_str(payload, "{}");
    return ERR_OK;
}

/* POST /groups/{group}/events {"type","payload"}: 202; puts an application event into the group's log. */
void groups_publish(struct route_match *m)
{
    struct site *site = site_of(m);
    struct request *request = m->request;
    struct error e = {0};
    struct buf text = {0};
    char *owner = group_owner(request);
    json_t *value = owner ? body_json(request, &text) : NULL;
    if (value) {
        const char *type = NULL;
        struct buf payload = {0};
        int64_t seq = 0;
        enum err rc = read_event(value, &text, &type, &payload, &e);
        if (!rc) rc = db_begin(site->db, DB_SYNC_AFTER, &e);
        if (!rc) {
            rc = group_publish(site->db, owner, m->params[0], request->request_id, type,
                               payload.data, clock_wall_ms(), &seq, &e);
            rc = db_end(site->db, rc, &e);
        }
        if (rc) {
            site_fail(site, request, &e);
        } else {
            struct buf body = {0};
            struct response r;
            buf_str(&body, "{\"success\":true,\"id\":");
            cursor_quote(&body, db_epoch(site->db), seq);
            buf_char(&body, '}');
            response_start(&r, request, 202);
            response_json(&r, &body);
            buf_free(&body);
        }
        buf_free(&payload);
        json_decref(value);
    }
    buf_free(&text);
    free(owner);
}

/* ---- all tasks of a group ---- */

/* Answers 202 with what was done, or rolls back: also when a limit was `hit`. */
static void commit_and_count(struct route_match *m, enum err rc, const struct limit_hit *hit,
                             const char *first, int64_t a, const char *second, int64_t b,
                             struct error *e)
{
    struct site *site = site_of(m);
    if (!rc && !hit->name)
        rc = db_commit(site->db, e);
    else
        db_rollback(site->db);
    if (rc || hit->name) {
        if (rc)
            site_fail(site, m->request, e);
        else
            limits_answer(m->request, hit);
        return;
    }
    autostart(site);
    struct buf body = {0};
    struct response r;
    buf_fmt(&body, "{\"success\":true,\"%s\":%lld", first, (long long)a);
    if (second) buf_fmt(&body, ",\"%s\":%lld", second, (long long)b);
    buf_char(&body, '}');
    response_start(&r, m->request, 202);
    response_json(&r, &body);
    buf_free(&body);
}

/* POST /groups/{group}/cancel: 202 {"cancelled","cancel_requested"}. */
void groups_cancel(struct route_match *m)
{
    struct site *site = site_of(m);
    char *owner = group_owner(m->request);
    if (!owner) return;
    struct error e = {0};
    int64_t cancelled = 0, requested = 0;
    enum err rc = db_begin(site->db, DB_SYNC_BEFORE, &e);
    if (!rc)
        rc = group_cancel(site->db, owner, m->params[0], clock_wall_ms(), &cancelled, &requested,
                          &e);
    commit_and_count(m, rc, &(struct limit_hit){0}, "cancelled", cancelled, "cancel_requested",
                     requested, &e);
    free(owner);
}

/* POST /groups/{group}/retry: 202 {"retried"}: all of them, or 429 when they do not fit into the queue. */
void groups_retry(struct route_match *m)
{
    struct site *site = site_of(m);
    char *owner = group_owner(m->request);
    if (!owner) return;
    struct error e = {0};
    struct limit_hit hit = {0};
    int64_t retried = 0;
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc)
        rc = group_retry(site->db, owner, m->params[0], tasks_attempts, site, clock_wall_ms(),
                         &retried, &e);
    if (!rc && retried) rc = limits_queued(site, m->request, owner, &hit, &e);
    commit_and_count(m, rc, &hit, "retried", retried, NULL, 0, &e);
    free(owner);
}
