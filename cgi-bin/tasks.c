/* Tasks: read, list, fetch, cancel, retry, delete. */
#include "store/tasks.h"

#include "answers.h"
#include "autostart.h"
#include "base/clock.h"
#include "handlers.h"
#include "limits.h"
#include "site.h"
#include "store/files.h"
#include "task/jobtype.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZE = 50 };

/* GET /tasks/{id}: the document, or 304; with Prefer: wait not before it changes. */
void tasks_get(struct route_match *m)
{
    struct site *site = site_of(m);
    struct task t = {0};
    struct error e = {0};
    struct limit_hit hit = {0};
    struct dialect d;
    enum err rc = limits_poll(site, m->request, &hit, &e);
    if (hit.name) {
        limits_answer(m->request, &hit);
        return;
    }
    if (!rc) rc = site_dialect(m->request, &d, &e);
    if (rc || task_get(site->db, m->params[0], auth_reader(m->request), &t, &e)) {
        site_fail(site, m->request, &e);
        return;
    }
    /* A runner that was killed is missed by those who wait for it. */
    if (!task_status_terminal(t.status)) autostart(site);
    struct buf etag = {0};
    task_etag(&etag, &t, db_epoch(site->db));
    const char *has = request_header(m->request, "If-None-Match");
    bool same = has && request_etag_listed(has, etag.data);
    int64_t wait_ms = request_wait_ms(m->request);
    /* Without a validator "changes" means from now on, and a finished task will not. */
    if (wait_ms >= 0 && (has ? same : !task_status_terminal(t.status)))
        answer_when_changed(site, &t, has ? has : etag.data, has != NULL, wait_ms);
    else if (same)
        answer_not_modified(m->request, etag.data, wait_ms);
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
        rc = error_set(e, ERR_INVALID,
                       "status: not one of pending, running, completed, failed, timeout, "
                       "cancelled");
    if (!rc && size && conf_parse_int(size, 1, INT64_MAX, &limit, NULL))
        rc = error_set(e, ERR_INVALID, "page_size: not a number above 0");
    if (!rc && token && *token && conf_parse_int(token, 1, INT64_MAX, &q->before, NULL))
        rc = error_set(e, ERR_INVALID, "page_token: not a token of this list");
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

/* Reads the task after a change and commits; or rolls back, also when a limit was `hit`. */
static void commit_and_answer(struct route_match *m, enum err rc, const struct limit_hit *hit,
                              struct error *e)
{
    struct site *site = site_of(m);
    struct task t = {0};
    struct dialect d;
    if (!rc) rc = site_dialect(m->request, &d, e);
    if (!rc) rc = task_get(site->db, m->params[0], auth_reader(m->request), &t, e);
    if (!rc && !hit->name)
        rc = db_commit(site->db, e);
    else
        db_rollback(site->db);
    if (!rc && !hit->name && !task_status_terminal(t.status)) autostart(site);
    if (rc)
        site_fail(site, m->request, e);
    else if (hit->name)
        limits_answer(m->request, hit);
    else
        answer_task(site, m->request, &t, 202);
    task_free(&t);
}

/* POST /tasks/{id}/cancel: 202 with the task; a running one ends when its runner has stopped the job. */
void tasks_cancel(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    enum err rc = db_begin(site->db, DB_SYNC_BEFORE, &e);
    if (!rc) rc = task_cancel(site->db, m->params[0], auth_reader(m->request), clock_wall_ms(), &e);
    commit_and_answer(m, rc, &(struct limit_hit){0}, &e);
}

int64_t tasks_attempts(void *site, const char *type)
{
    const char *jobs = conf_text(((struct site *)site)->conf, CONF_RUNNER_JOBS);
    struct jobtype t;
    return jobtype_load(&t, jobs, type, NULL) ? 1 : t.attempts;
}

/* POST /tasks/{id}/retry: 202 with the task, pending again. */
void tasks_retry(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    struct task t = {0};
    struct limit_hit hit = {0};
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc) rc = task_get(site->db, m->params[0], auth_reader(m->request), &t, &e);
    if (!rc) {
        int64_t attempts = tasks_attempts(site, t.type);
        rc = task_retry(site->db, t.n, attempts, clock_wall_ms(), &e);
    }
    if (!rc) rc = limits_queued(site, m->request, t.owner, &hit, &e);
    task_free(&t);
    commit_and_answer(m, rc, &hit, &e);
}

/* DELETE /tasks/{id}: 204; its events, input, result and files go with it. */
void tasks_delete(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    enum err rc = db_begin(site->db, DB_SYNC_AFTER, &e);
    if (!rc) {
        rc = task_delete(site->db, m->params[0], auth_reader(m->request), clock_wall_ms(), &e);
        rc = db_end(site->db, rc, &e);
    }
    if (rc) {
        site_fail(site, m->request, &e);
        return;
    }
    files_remove(site->db, m->params[0]);
    struct response r;
    response_start(&r, m->request, 204);
    response_body(&r, NULL, NULL, 0);
}
