/* From a connection that is readable to the handler of its request:
 *
 *     parameters -> route -> origin -> who asks -> may they -> admit -> body -> handler
 *
 * What can be refused is refused on the parameters, before anything of a body was read. */
#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"
#include "web/auth.h"
#include "web/cors.h"
#include "web/problem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    PIECE = 64 * 1024,
    MEMORY_MAX = 256 * 1024, /* of a body; a larger one goes to a file */
    TURN_BYTES = 256 * 1024, /* of one body, before others get their turn */
    TURN_US = 10 * 1000,     /* of all bodies in one turn */
};

static void run_handler(struct exchange *x, void *arg)
{
    (void)arg;
    x->route.row->handler(x);
}

/* ---- the body ---- */

static void answer_too_large(struct exchange *x)
{
    problem(&x->request, 413, "body_too_large", "the body is larger than %zu bytes", x->body_max);
}

/* Whether the body may come in: 413 and 415 are known before it does. */
static bool admit_body(struct exchange *x)
{
    const struct request *r = &x->request;
    const char *encoding = request_header(r, "Content-Encoding");
    char *type = NULL;
    struct error e = {0};
    if (encoding && strcasecmp(encoding, "identity")) {
        problem(&x->request, 415, "unsupported_encoding",
                "Content-Encoding: send the body as it is");
        return false;
    }
    if (request_body_length(r, &x->body_length, &e)) {
        problem(&x->request, 400, "bad_request", "%s", e.text);
        return false;
    }
    const char *media = request_header(r, "Content-Type");
    bool lines = media && !strncasecmp(media, "application/x-ndjson", 20);
    request_query(r, "type", &type, NULL);
    x->raw = x->route.row->flags & ROUTE_RAW && (type || lines);
    free(type);
    x->body_max =
        (size_t)conf_int(r->conf, x->raw ? CONF_HTTP_MAX_RAW_BYTES : CONF_HTTP_MAX_BODY_BYTES);
    if (x->body_length < 0 || (uint64_t)x->body_length <= x->body_max) return true;
    answer_too_large(x);
    return false;
}

/* The body has come to its end: what was declared must have come. False: answered. */
static bool complete(struct exchange *x)
{
    int64_t length = x->body_length, came = exchange_body_bytes(x);
    if (length < 0 || length == came) return true;
    problem(&x->request, 400, "bad_request", "the body is %s than its Content-Length",
            came < length ? "shorter" : "longer");
    return false;
}

static void read_body(struct exchange *x, void *arg);

static void on_body(void *arg, int events)
{
    (void)events;
    struct exchange *x = arg;
    exchange_resume(x, read_body, NULL);
}

/* Takes a body out of its file where the handler reads it at once: it is no larger than max_body_bytes. */
static bool load(struct exchange *x)
{
    struct error e = {0};
    if (!x->spool.open || x->raw) return true;
    size_t len = (size_t)x->spool.bytes;
    enum err rc = spool_read(&x->spool, buf_reserve(&x->body, len), len, 0, &e);
    spool_close(&x->spool);
    if (rc) {
        exchange_fail(x, &e);
        return false;
    }
    x->body.len = len;
    x->body.data[len] = '\0';
    return true;
}

/* Moves what has come into the file. */
static enum err move_to_file(struct exchange *x, struct error *e)
{
    struct spool *s = &x->spool;
    enum err rc = ERR_OK;
    if (!s->open)
        rc = spool_open(s, conf_text(x->server->conf, CONF_DATABASE_PATH),
                        x->raw && request_header_given(&x->request, "Idempotency-Key"), e);
    if (!rc) rc = spool_add(s, x->body.data, x->body.len, e);
    if (x->body.len > PIECE) buf_free(&x->body);
    buf_clear(&x->body);
    return rc;
}

/* Keeps what has come, in memory or in the file. False: answered. */
static bool keep(struct exchange *x)
{
    struct error e = {0};
    size_t bytes = x->body.len + (x->spool.open ? (size_t)x->spool.bytes : 0);
    if (bytes > x->body_max) {
        exchange_unwatch(x);
        answer_too_large(x);
        return false;
    }
    if (bytes <= MEMORY_MAX || !move_to_file(x, &e)) return true;
    exchange_unwatch(x);
    exchange_fail(x, &e);
    return false;
}

static void wait_for_body(struct exchange *x)
{
    exchange_hold(x);
    if (x->spool.open) buf_free(&x->body);
    if (x->watched) return;
    x->fd = (struct loop_fd){
        .fd = conn_body_fd(x->conn), .events = LOOP_IN, .ready = on_body, .arg = x};
    x->watched = !loop_add(x->server->loop, &x->fd, NULL);
}

/* From now on the whole of it has so long to come. */
static void begin_body(struct exchange *x)
{
    loop_timer_set(x->server->loop, &x->limit,
                   clock_monotonic_ms() + conf_ms(x->request.conf, CONF_HTTP_BODY_SECONDS));
    read_body(x, NULL);
}

/* The body has ended, or broken off. */
static void body_ended(struct exchange *x, bool broken)
{
    exchange_unwatch(x);
    if (x->body.data) x->body.data[x->body.len] = '\0';
    if (broken)
        problem(&x->request, 400, "bad_request", "the body did not come");
    else if (complete(x) && load(x))
        run_handler(x, NULL);
}

/* Takes what is there of the body, for as long as a turn may take. */
static void take_body(struct exchange *x, int64_t until_us)
{
    for (size_t taken = 0; taken < TURN_BYTES && clock_monotonic_us() < until_us;) {
        ssize_t n = conn_take(x->conn, buf_reserve(&x->body, PIECE), PIECE);
        if (n == CONN_AGAIN) {
            wait_for_body(x);
            return;
        }
        if (n <= 0) {
            body_ended(x, n < 0);
            return;
        }
        x->body.len += (size_t)n;
        taken += (size_t)n;
        if (!keep(x)) return;
    }
    /* Others have their turn first. What is left may lie in memory already, so that no socket would tell. */
    exchange_later(x, read_body, NULL);
}

static void read_body(struct exchange *x, void *arg)
{
    (void)arg;
    struct server *s = x->server; /* *x may be gone afterwards */
    int64_t from = clock_monotonic_us();
    take_body(x, from + TURN_US - s->bodies_us);
    s->bodies_us += clock_monotonic_us() - from;
}

/* ---- the parameters ---- */

/* Finds its row, behind a path of the site's own or not. */
static enum err find_route(struct exchange *x, struct error *e)
{
    const struct server *s = x->server;
    enum err rc = site_routes_apply(s->site_routes, &x->request, &x->route.methods, e);
    if (rc || x->route.methods) return rc;
    return route_find(s->program->routes, s->program->route_count, &x->request, &x->route, e);
}

/* Finds its row and whether the asker may. False: answered. */
static bool admit(struct exchange *x)
{
    struct server *s = x->server;
    struct request *r = &x->request;
    struct error e = {0};
    if (request_parse(r, x->conn, s->conf, &e)) {
        problem(r, 400, "bad_request", "%s", e.text);
        return false;
    }
    if (!request_host_allowed(r)) {
        problem(r, 421, "wrong_host", "this site does not answer to that name; see [http] hosts");
        return false;
    }
    if (find_route(x, &e)) {
        exchange_fail(x, &e);
        return false;
    }
    const struct route *row = x->route.row;
    if (!cors_admit(r, row)) return false;
    if (!row) {
        route_refuse(r, &x->route);
        return false;
    }
    if (auth_identify(r, &x->route, s->db, &e)) {
        exchange_fail(x, &e);
        return false;
    }
    return route_permits(r, row);
}

static void begin(struct exchange *x, void *arg)
{
    (void)arg;
    const struct route *row;
    if (!admit(x)) return;
    row = x->route.row;
    if (!(row->flags & (ROUTE_JSON | ROUTE_RAW)))
        run_handler(x, NULL);
    else if (admit_body(x) && (!row->admit || row->admit(x)))
        begin_body(x);
}

void pipeline_begin(struct exchange *x)
{
    struct error e = {0};
    enum err rc = conn_begin(x->conn, &e);
    if (rc) {
        if (rc != ERR_NOTFOUND) log_failure(LOG_LEVEL_DEBUG, "no request", &e);
        exchange_drop(x);
        return;
    }
    x->began_at = clock_monotonic_ms();
    exchange_resume(x, begin, NULL);
}
