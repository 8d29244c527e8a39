/* Groups: their documents, contexts and events, and what is done to all their tasks. */
#include "store/groups.h"

#include "answers.h"
#include "base/json.h"
#include "groups.h"
#include "handlers.h"
#include "ops/autostart.h"
#include "ops/change.h"
#include "ops/group_ops.h"
#include "server/server.h"
#include "task/access.h"
#include "task/group.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/response.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *group_owner(struct exchange *x)
{
    struct request *request = &x->request;
    struct error e = {0};
    const char *group = x->route.params[0];
    char *named = NULL;
    if (group && !group_name_valid(group, strlen(group))) {
        problem(request, 422, "invalid_request", "group: " GROUP_NAME_RULE);
        return NULL;
    }
    if (request_query(request, "owner", &named, &e)) {
        problem_error(request, &e);
        return NULL;
    }
    if (named && !(request->scopes & AUTH_ADMIN) && strcmp(named, request->owner)) {
        problem(request, 403, "insufficient_scope", "only an admin may name another owner");
        free(named);
        return NULL;
    }
    if (named && !owner_valid(named)) { /* nobody's, whose place in a list no token could name */
        problem(request, 422, "invalid_request", "owner: not 1 to %d bytes of UTF-8 text",
                TASK_OWNER_MAX);
        free(named);
        return NULL;
    }
    return named ? named : mem_str(request->owner);
}

/* Reads a group with its context, both of one state of the database. */
static enum err read_whole(struct db *db, const char *owner, const char *name, struct group *g,
                           struct error *e)
{
    enum err rc = txn_read_begin(db, e);
    if (rc) return rc;
    rc = group_get(db, owner, name, g, e);
    if (!rc) rc = group_context_get(db, owner, name, &g->context, &g->version, e);
    txn_read_end(db);
    if (rc) group_free(g);
    return rc;
}

/* GET /groups/{group}: the group document; one never used is idle. */
void groups_get(struct exchange *x)
{
    char *owner = group_owner(x);
    if (!owner) return;
    struct error e = {0};
    struct group g = {0};
    struct dialect d;
    enum err rc = answer_dialect(&x->request, &d, &e);
    if (!rc) rc = read_whole(x->server->db, owner, x->route.params[0], &g, &e);
    if (rc) {
        exchange_fail(x, &e);
    } else {
        struct buf body = {0};
        struct task_view view = answer_view(x);
        dialect_group(&body, &d, &g, &view);
        answer_json(x, &body);
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
    sodium_bin2base64(buf_reserve(out, size), size, (const unsigned char *)place.data, place.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_free(&place);
}

/* The conditions of the list. `after` is owned by the caller. */
static enum err list_query(const struct request *request, int64_t *limit, struct group_name *after,
                           struct error *e)
{
    char *token = NULL;
    enum err rc = answer_page_size(request, limit, e);
    if (!rc) rc = request_query(request, "page_token", &token, e);
    if (!rc && token && *token && !read_token(token, after))
        rc = error_set(e, ERR_INVALID, "page_token: not a token of this list");
    free(token);
    return rc;
}

/* Writes the documents of a page, which hold no contexts. */
static enum err list_body(struct exchange *x, const struct dialect *d,
                          const struct group_page *page, struct buf *body, struct error *e)
{
    enum err rc = ERR_OK;
    struct group *groups = mem_grow(NULL, page->count + 1, sizeof *groups);
    struct buf next = {0};
    size_t count = 0;
    for (; count < page->count; count++) {
        const struct group_name *name = &page->items[count];
        rc = group_get(x->server->db, name->owner, name->name, &groups[count], e);
        if (rc) break;
    }
    if (page->more) write_token(&next, &page->items[page->count - 1]);
    struct task_view view = answer_view(x);
    if (!rc) dialect_group_list(body, d, groups, count, next.data, &view);
    while (count) group_free(&groups[--count]);
    free(groups);
    buf_free(&next);
    return rc;
}

/* Whose groups are listed: "" is everyone's, for an admin who names no owner. NULL: answered. */
static char *list_owner(struct exchange *x)
{
    struct request *request = &x->request;
    bool everyone = !auth_reader(request);
    char *named = NULL;
    struct error e = {0};
    if (everyone && !request_query(request, "owner", &named, &e) && !named) return mem_str("");
    free(named);
    return group_owner(x);
}

/* GET /groups?page_size=&page_token=: latest change first; an admin's list spans owners (?owner= one). */
void groups_list(struct exchange *x)
{
    struct db *db = x->server->db;
    struct error e = {0};
    struct group_name after = {0};
    struct group_page page = {0};
    struct buf body = {0};
    int64_t limit;
    char *owner = list_owner(x);
    if (!owner) return;
    struct dialect d;
    enum err rc = list_query(&x->request, &limit, &after, &e);
    if (!rc) rc = answer_dialect(&x->request, &d, &e);
    if (!rc) rc = txn_read_begin(db, &e);
    if (!rc) {
        rc = group_page_read(db, *owner ? owner : NULL, after.name ? &after : NULL, limit, &page,
                             &e);
        if (!rc) rc = list_body(x, &d, &page, &body, &e);
        txn_read_end(db);
    }
    if (rc)
        exchange_fail(x, &e);
    else
        answer_json(x, &body);
    group_page_free(&page);
    buf_free(&body);
    free(owner);
    free(after.owner);
    free(after.name);
}

/* ---- context ---- */

/* The context as it is, with its version as ETag. */
static void answer_context(struct exchange *x, const char *json, int64_t version)
{
    struct response r;
    struct buf body = {0};
    buf_str(&body, json ? json : "null");
    response_start(&r, &x->request, 200);
    response_header_fmt(&r, "ETag", "\"%lld\"", (long long)version);
    response_header(&r, "Cache-Control", "no-cache");
    response_json(&r, &body);
    buf_free(&body);
}

/* GET /groups/{group}/context: the JSON document, null when it was never set; 304 by If-None-Match. */
void groups_context_get(struct exchange *x)
{
    char *owner = group_owner(x);
    if (!owner) return;
    struct error e = {0};
    char *json = NULL;
    int64_t version;
    if (group_context_get(x->server->db, owner, x->route.params[0], &json, &version, &e)) {
        exchange_fail(x, &e);
    } else {
        char etag[32];
        snprintf(etag, sizeof etag, "\"%lld\"", (long long)version);
        const char *has = request_header(&x->request, "If-None-Match");
        if (has && request_etag_listed(has, etag))
            answer_not_modified(x, etag, -1);
        else
            answer_context(x, json, version);
    }
    free(json);
    free(owner);
}

static void drop_context(struct put_context *p)
{
    put_context_free(p);
    free(p);
}

static void context_put(struct exchange *x, void *arg)
{
    struct put_context *p = arg;
    if (!exchange_refused(x, &p->op)) answer_context(x, p->context, p->version);
    drop_context(p);
}

/* Whether a context may be as large as the body. False: answered. */
static bool context_fits(struct exchange *x)
{
    if (x->body.len <= TASK_STATE_MAX) return true;
    problem(&x->request, 413, "body_too_large", "a context is not larger than %d bytes",
            TASK_STATE_MAX);
    return false;
}

/* PUT /groups/{group}/context: replaces it; with If-Match only the version named there, with If-None-Match only
 * another (of "*": none at all), else 412. */
void groups_context_put(struct exchange *x)
{
    char *owner = group_owner(x);
    json_t *value = owner && context_fits(x) ? answer_body_json(x) : NULL;
    if (value) {
        struct caller caller = exchange_caller(x);
        struct put_context *p = mem_alloc(sizeof *p);
        put_context_init(p, &caller, owner, x->route.params[0]);
        p->match = mem_str(request_header(&x->request, "If-Match"));
        p->none_match = mem_str(request_header(&x->request, "If-None-Match"));
        p->listed = request_etag_listed;
        p->json = x->body;
        x->body = (struct buf){0};
        commit_group_add(x->server->commits, x, &p->op, context_put, p);
    }
    json_decref(value);
    free(owner);
}

/* ---- publishing ---- */

/* Takes {"type","payload"} apart. */
static enum err read_event(json_t *value, const struct buf *body, struct publish *p,
                           struct error *e)
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
    const char *type = json_string_value(text);
    if (!type || strlen(type) != json_string_length(text) || !event_type_allowed(type))
        return error_set(e, ERR_INVALID,
                         "type: not dotted lower-case words such as doc.created, or its first word "
                         "is reserved (task, group, log, file, stream)");
    p->type = mem_str(type);
    struct json_span written = json_find_last(body->data, "payload");
    if (written.at)
        buf_add(&p->payload, written.at, written.len);
    else
        buf_str(&p->payload, "{}");
    return ERR_OK;
}

static void drop_publish(struct publish *p)
{
    publish_free(p);
    free(p);
}

static void published(struct exchange *x, void *arg)
{
    struct publish *p = arg;
    if (!exchange_refused(x, &p->op)) {
        struct buf body = {0};
        struct response r;
        buf_str(&body, "{\"success\":true,\"id\":");
        cursor_quote(&body, db_epoch(x->server->db), p->seq);
        buf_char(&body, '}');
        response_start(&r, &x->request, 202);
        response_json(&r, &body);
        buf_free(&body);
    }
    drop_publish(p);
}

/* POST /groups/{group}/events {"type","payload"}: 202; puts an application event into the group's log. */
void groups_publish(struct exchange *x)
{
    char *owner = group_owner(x);
    json_t *value = owner ? answer_body_json(x) : NULL;
    if (value) {
        struct caller caller = exchange_caller(x);
        struct error e = {0};
        struct publish *p = mem_alloc(sizeof *p);
        publish_init(p, &caller, owner, x->route.params[0]);
        if (!read_event(value, &x->body, p, &e)) {
            commit_group_add(x->server->commits, x, &p->op, published, p);
        } else {
            exchange_fail(x, &e);
            drop_publish(p);
        }
    }
    json_decref(value);
    free(owner);
}

/* ---- all tasks of a group ---- */

static void group_changed(struct exchange *x, void *arg)
{
    struct change_group *c = arg;
    if (!exchange_refused(x, &c->op)) {
        struct buf body = {0};
        struct response r;
        autostart(x->server->conf);
        if (c->kind == CHANGE_CANCEL)
            buf_fmt(&body, "{\"success\":true,\"cancelled\":%lld,\"cancel_requested\":%lld}",
                    (long long)c->changed, (long long)c->requested);
        else
            buf_fmt(&body, "{\"success\":true,\"retried\":%lld}", (long long)c->changed);
        response_start(&r, &x->request, 202);
        response_json(&r, &body);
        buf_free(&body);
    }
    change_group_free(c);
    free(c);
}

static void change_all(struct exchange *x, enum change_kind kind)
{
    char *owner = group_owner(x);
    if (!owner) return;
    struct caller caller = exchange_caller(x);
    struct change_group *c = mem_alloc(sizeof *c);
    if (kind == CHANGE_RETRY) job_types_refresh(x->server->types, NULL); /* for their attempts */
    change_group_init(c, &caller, kind, owner, x->route.params[0]);
    commit_group_add(x->server->commits, x, &c->op, group_changed, c);
    free(owner);
}

/* POST /groups/{group}/cancel: 202 {"cancelled","cancel_requested"}. */
void groups_cancel(struct exchange *x)
{
    change_all(x, CHANGE_CANCEL);
}

/* POST /groups/{group}/retry: 202 {"retried"}: all of them, or 429 when they do not fit into the queue. */
void groups_retry(struct exchange *x)
{
    change_all(x, CHANGE_RETRY);
}
