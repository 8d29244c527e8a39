#include "server/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "server/server.h"
#include "web/auth.h"
#include "web/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void exchange_hold(struct exchange *x)
{
    x->held = true;
}

void exchange_resume(struct exchange *x, void (*go)(struct exchange *x, void *arg), void *arg)
{
    x->held = false;
    go(x, arg);
    if (!x->held) exchange_end(x);
}

static void on_later(void *arg)
{
    struct exchange *x = arg;
    exchange_resume(x, x->later_go, x->later_arg);
}

void exchange_later(struct exchange *x, void (*go)(struct exchange *x, void *arg), void *arg)
{
    struct loop *loop = x->server->loop;
    exchange_hold(x);
    loop_timer_stop(loop, &x->later);
    x->later_go = go;
    x->later_arg = arg;
    x->later = (struct loop_timer){.fire = on_later, .arg = x};
    loop_timer_set(loop, &x->later, clock_monotonic_ms());
}

struct conn *exchange_give_conn(struct exchange *x)
{
    struct conn *conn = x->conn;
    x->conn = x->request.conn = NULL;
    conn_forget_params(conn);
    return conn;
}

/* Counts what was answered. */
static void tally(const struct exchange *x)
{
    const struct request *r = &x->request;
    if (!r->status) return; /* nobody was answered: the client left before */
    char class[] = "0xx", ip[64];
    class[0] = (char)('0' + r->status / 100 % 10);
    const char *route = r->route ? r->route : "none";
    metrics_add(x->server->metrics, METRIC_REQUESTS,
                (const char *const[]){route, request_method(r), class}, 1);
    if (log_writes(LOG_LEVEL_DEBUG))
        log_debug("request", " request_id=%s method=%s route=%s status=%d ip=%s elapsed_ms=%lld",
                  r->request_id, request_method(r), route, r->status,
                  log_quote(ip, sizeof ip, x->conn ? conn_param(x->conn, "REMOTE_ADDR") : ""),
                  (long long)(clock_monotonic_ms() - x->began_at));
}

void exchange_unwatch(struct exchange *x)
{
    struct loop *loop = x->server->loop;
    if (x->watched) loop_del(loop, &x->fd);
    x->watched = false;
    loop_timer_stop(loop, &x->limit);
    loop_timer_stop(loop, &x->later);
}

void exchange_drop(struct exchange *x)
{
    conn_free(exchange_give_conn(x));
    exchange_end(x);
}

void exchange_end(struct exchange *x)
{
    struct server *s = x->server;
    tally(x);
    exchange_unwatch(x);
    *x->link = x->next;
    if (x->next) x->next->link = x->link;
    if (x->conn) s->end_conn(s, x->conn);
    route_match_free(&x->route);
    request_free(&x->request);
    buf_free(&x->body);
    spool_close(&x->spool);
    free(x->account);
    free(x);
}

int64_t exchange_body_bytes(const struct exchange *x)
{
    return x->spool.open ? x->spool.bytes : (int64_t)x->body.len;
}

struct caller exchange_caller(struct exchange *x)
{
    const struct request *r = &x->request;
    if (!x->account) {
        struct buf account = {0};
        buf_str(&account, r->owner);
        char address[ADDRESS_TEXT_SIZE];
        request_address(r, address);
        if (r->anonymous) buf_fmt(&account, " %s", address);
        x->account = account.data;
    }
    return (struct caller){.owner = r->owner,
                           .reader = auth_reader(r),
                           .account = x->account,
                           .anonymous = r->anonymous,
                           .request_id = r->request_id,
                           .conf = r->conf,
                           .types = x->server->types};
}

void exchange_fail(struct exchange *x, const struct error *e)
{
    problem_error(&x->request, e);
    if (e->code != ERR_UNSYNCED) return;
    x->server->stopping = true; /* once this is sent */
    x->server->exit_status = EX_IOERR;
}

void exchange_limited(struct exchange *x, const struct limit_hit *hit)
{
    char policy[128], state[128], retry[24], detail[160];
    int n = snprintf(policy, sizeof policy, "\"%s\";q=%lld", hit->name, (long long)hit->limit);
    if (hit->window_s && n > 0)
        snprintf(policy + n, sizeof policy - (size_t)n, ";w=%lld", (long long)hit->window_s);
    snprintf(state, sizeof state, "\"%s\";r=0;t=%lld", hit->name, (long long)hit->retry_s);
    snprintf(retry, sizeof retry, "%lld", (long long)hit->retry_s);
    snprintf(detail, sizeof detail, "the limit %s of %lld is reached", hit->name,
             (long long)hit->limit);
    const struct problem_header headers[] = {
        {"Retry-After", retry}, {"RateLimit-Policy", policy}, {"RateLimit", state}};
    problem_headers(&x->request, 429, "rate_limited", headers, 3, detail);
}

/* A type's conf is the site's fault, not the client's: where it lies is only logged, but what is wrong with
 * it is said, so that who wrote it need not look there. */
static void answer_misconfigured(struct exchange *x, const struct error *e)
{
    struct request *request = &x->request;
    const char *jobs = conf_text(request->conf, CONF_RUNNER_JOBS);
    char quoted[sizeof e->text];
    log_error("a request failed", " request_id=%s status=500 code=type_misconfigured error=\"%s\"",
              request->request_id, log_quote(quoted, sizeof quoted, e->text));
    size_t len = strlen(jobs);
    bool inside = !strncmp(e->text, jobs, len) && e->text[len] == '/';
    problem(request, 500, "type_misconfigured", "%s",
            inside ? e->text + len + 1 : "its conf is wrong");
}

/* The status that goes with op->code; 0: it has none. */
static int status_of(const struct operation *op)
{
    static const struct {
        const char *code;
        int status;
    } statuses[] = {
        {"invalid_request", 422}, {"unknown_type", 422}, {"idempotency_key_reused", 422},
        {"body_too_large", 413},  {"not_by_get", 403},   {"version_clash", 412},
        {"owner_full", 507},
    };
    for (size_t i = 0; op->code && i < sizeof statuses / sizeof *statuses; i++)
        if (!strcmp(op->code, statuses[i].code)) return statuses[i].status;
    return 0;
}

bool exchange_refused(struct exchange *x, const struct operation *op)
{
    const struct error *e = &op->error;
    int status = status_of(op);
    if (!e->code) return false;
    if (e->code == ERR_LIMIT)
        exchange_limited(x, &op->limit);
    else if (op->code && !strcmp(op->code, "type_misconfigured"))
        answer_misconfigured(x, e);
    else if (status)
        problem(&x->request, status, op->code, "%s", e->text);
    else
        exchange_fail(x, e);
    return true;
}
