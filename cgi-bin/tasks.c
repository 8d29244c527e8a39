/* Tasks: read, list, fetch, cancel, retry, delete. */
#include "store/tasks.h"
#include "store/results.h"

#include "answers.h"
#include "handlers.h"
#include "ops/autostart.h"
#include "ops/change.h"
#include "ops/limits.h"
#include "server/send.h"
#include "server/server.h"
#include "store/files.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>

enum { SKIP_MAX = 10000 };

static void get_now(struct exchange *x)
{
    struct request *request = &x->request;
    struct task t = {0};
    struct error e = {0};
    if (task_get(x->server->db, x->route.params[0], auth_reader(request), &t, &e)) {
        exchange_fail(x, &e);
        return;
    }
    /* A runner that was killed is missed by those who wait for it. */
    if (!task_status_terminal(t.status)) autostart(x->server->conf);
    struct buf etag = {0};
    task_etag(&etag, &t, db_epoch(x->server->db));
    const char *has = request_header(request, "If-None-Match");
    bool same = has && request_etag_listed(has, etag.data);
    int64_t wait_ms = request_wait_ms(request);
    /* Without a validator "changes" means from now on, and a finished task will not. */
    if (wait_ms > 0 && (has ? same : !task_status_terminal(t.status)))
        answer_when_changed(x, &t, has ? has : etag.data, has != NULL, wait_ms);
    else if (same)
        answer_not_modified(x, etag.data, wait_ms);
    else
        answer_task(x, &t, 200);
    buf_free(&etag);
    task_free(&t);
}

static void get_counted(struct exchange *x, void *arg)
{
    struct count_use *c = arg;
    if (!exchange_refused(x, &c->op)) get_now(x);
    count_use_free(c);
    free(c);
}

/* GET /tasks/{id}: the document, or 304; with Prefer: wait not before it changes. */
void tasks_get(struct exchange *x)
{
    if (!answer_shown(x)) return;
    if (!limits_counts(x->request.conf, CONF_LIMITS_POLLS_PER_MINUTE)) {
        get_now(x);
        return;
    }
    struct caller caller = exchange_caller(x);
    struct count_use *c = mem_alloc(sizeof *c);
    count_use_init(c, &caller, CONF_LIMITS_POLLS_PER_MINUTE);
    commit_group_add(x->server->commits, x, &c->op, get_counted, c);
}

/* How much of the list is asked for: page_size and page_token, in some dialects skip and limit too. */
static enum err list_bounds(const struct request *request, const struct dialect *d,
                            struct task_query *q, struct error *e)
{
    char *token = NULL;
    int64_t max = conf_int(request->conf, CONF_HTTP_PAGE_SIZE_MAX);
    enum err rc = answer_page_size(request, &q->limit, e);
    if (!rc) rc = request_query(request, "page_token", &token, e);
    if (!rc && token && *token && conf_parse_int(token, 1, INT64_MAX, &q->before, NULL))
        rc = error_set(e, ERR_INVALID, "page_token: not a token of this list");
    if (!rc && dialect_skips(d)) rc = answer_number(request, "skip", 0, SKIP_MAX, &q->skip, e);
    if (!rc && dialect_skips(d)) rc = answer_number(request, "limit", 1, max, &q->limit, e);
    free(token);
    return rc;
}

/* The conditions of a list, from its query. Text is owned by the two pointers. */
static enum err list_query(const struct request *request, struct task_query *q, char **type,
                           char **group, struct error *e)
{
    char *status = NULL;
    enum err rc = request_query(request, "type", type, e);
    if (!rc) rc = request_query(request, "group", group, e);
    if (!rc) rc = request_query(request, "status", &status, e);
    if (!rc && status && *status && !task_status_parse(status, &q->status))
        rc = error_set(e, ERR_INVALID,
                       "status: not one of pending, running, completed, failed, timeout, "
                       "cancelled");
    q->type = *type && **type ? *type : NULL;
    q->group = *group && **group ? *group : NULL;
    free(status);
    return rc;
}

/* GET /tasks?status=&type=&group=&page_size=&page_token=&skip=&limit=: newest first. */
void tasks_list(struct exchange *x)
{
    struct request *request = &x->request;
    struct error e = {0};
    char *type = NULL, *group = NULL;
    struct task_query q = {
        .owner = auth_reader(request), .status = TASK_STATUSES, .before = INT64_MAX};
    struct task_list list = {0};
    struct dialect d;
    enum err rc = list_query(request, &q, &type, &group, &e);
    if (!rc) rc = answer_dialect(request, &d, &e);
    if (!rc) rc = list_bounds(request, &d, &q, &e);
    if (!rc) rc = task_list_read(x->server->db, &q, &list, &e);
    free(type);
    free(group);
    if (rc) {
        exchange_fail(x, &e);
        return;
    }
    struct task_view view = answer_view(x);
    struct buf body = {0}, next = {0};
    if (list.more) buf_int(&next, list.items[list.count - 1].n);
    dialect_task_list(&body, &d, list.items, list.count, next.data, &view);
    buf_free(&next);
    answer_json(x, &body);
    task_list_free(&list);
}

/* ---- results ---- */

enum {
    AHEAD = 512 * 1024
}; /* of a result that are read at once: finding a place in it is what costs */

/* A result on its way to a client. */
struct result {
    struct db *db;
    struct task_result info;
    struct buf ahead;
    int64_t at; /* where `ahead` begins */
};

static void drop_result(void *arg)
{
    struct result *r = arg;
    task_result_free(&r->info);
    buf_free(&r->ahead);
    free(r);
}

static enum err read_result(void *arg, void *to, size_t len, int64_t at, struct error *e)
{
    struct result *r = arg;
    if (at + (int64_t)len > r->at + (int64_t)r->ahead.len) {
        int64_t left = r->info.bytes - at;
        size_t much = left < AHEAD ? (size_t)left : AHEAD;
        buf_clear(&r->ahead);
        enum err rc = task_result_read(r->db, &r->info, buf_reserve(&r->ahead, much), much, at, e);
        if (rc) return rc;
        r->ahead.len = much;
        r->at = at;
    }
    memcpy(to, r->ahead.data + (at - r->at), len);
    return ERR_OK;
}

/* Sends it; what *info owns is taken over. */
static void send_result(struct exchange *x, const struct task_result *info)
{
    struct response r;
    struct result *from = mem_alloc(sizeof *from);
    *from = (struct result){.db = x->server->db, .info = *info};
    struct send_source source = {
        .bytes = info->bytes, .read = read_result, .drop = drop_result, .arg = from};
    response_start(&r, &x->request, 200);
    /* What a job wrote must not run as a page of this site. */
    response_header(&r, "Content-Security-Policy", "sandbox; default-src 'none'");
    response_length(&r, info->content_type, info->bytes);
    if (x->request.method == METHOD_HEAD) source.bytes = 0;
    send_body(x, &source);
}

/* GET /tasks/{id}/result: the bytes that the job wrote. */
void tasks_result(struct exchange *x)
{
    struct request *request = &x->request;
    struct task t = {0};
    struct error e = {0};
    struct task_result info;
    enum err rc = task_get(x->server->db, x->route.params[0], auth_reader(request), &t, &e);
    if (!rc && !task_status_terminal(t.status)) {
        problem(request, 409, "not_finished", "the task is %s: it has no result yet",
                task_status_name(t.status));
        task_free(&t);
        return;
    }
    if (!rc) rc = task_result_find(x->server->db, t.n, &info, &e);
    if (rc)
        exchange_fail(x, &e);
    else
        send_result(x, &info);
    task_free(&t);
}

/* ---- changes ---- */

static void drop_change(struct change_task *c)
{
    change_task_free(c);
    free(c);
}

static void changed(struct exchange *x, void *arg)
{
    struct change_task *c = arg;
    if (exchange_refused(x, &c->op)) {
        /* answered */
    } else if (c->kind == CHANGE_DELETE) {
        files_remove(x->server->db, c->id);
        answer_empty(x, 204);
    } else {
        if (!task_status_terminal(c->task.status)) autostart(x->server->conf);
        answer_task(x, &c->task, 202);
    }
    drop_change(c);
}

static void change(struct exchange *x, enum change_kind kind)
{
    struct error e = {0};
    bool force = false;
    if (!answer_shown(x)) return;
    if (kind == CHANGE_RETRY && answer_flag(&x->request, "force", &force, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct caller caller = exchange_caller(x);
    struct change_task *c = mem_alloc(sizeof *c);
    if (kind == CHANGE_RETRY) job_types_refresh(x->server->types, NULL); /* for their attempts */
    change_task_init(c, &caller, kind, x->route.params[0]);
    c->force = force;
    commit_group_add(x->server->commits, x, &c->op, changed, c);
}

/* POST /tasks/{id}/cancel: 202 with the task; a running one ends when its runner has stopped the job. */
void tasks_cancel(struct exchange *x)
{
    change(x, CHANGE_CANCEL);
}

/* POST /tasks/{id}/retry: 202 with the task, pending again; with force=1 also one that completed, or that still runs,
 * as the answer says, and is pending once it has stopped. */
void tasks_retry(struct exchange *x)
{
    change(x, CHANGE_RETRY);
}

/* DELETE /tasks/{id}: 204; its events, input, result and files go with it. */
void tasks_delete(struct exchange *x)
{
    change(x, CHANGE_DELETE);
}
