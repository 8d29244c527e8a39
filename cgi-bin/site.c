#include "site.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/figures.h"
#include "web/cors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH = 64,
    REQUEST_MS = 10000, /* a connection that sends no request is dropped */
    STOP_MS = 3000,     /* for streams to take their last frame */
    NO_FILES_MS = 100,  /* pause of accepting when descriptors ran out */
};

struct site *site_of(const struct route_match *m)
{
    return m->site;
}

struct task_view site_view(const struct site *site, const struct request *request)
{
    return (struct task_view){.prefix = conf_text(request->conf, CONF_HTTP_PREFIX),
                              .epoch = db_epoch(site->db),
                              .now = clock_wall_ms()};
}

enum err site_dialect(const struct request *request, struct dialect *out, struct error *e)
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

enum err site_types(const struct request *request, struct event_filter **out, struct error *e)
{
    char *types = NULL;
    *out = NULL;
    enum err rc = request_query(request, "types", &types, e);
    if (!rc && !event_filter_parse(out, types))
        rc =
            error_set(e, ERR_INVALID, "types: not a list of event types such as task.*,log.append");
    free(types);
    return rc;
}

void site_fail(struct site *site, struct request *request, const struct error *e)
{
    problem_error(request, e);
    if (e->code != ERR_UNSYNCED) return;
    site->stopping = true;
    site->exit_status = EX_IOERR;
}

/* Counts what was answered. */
static void tally(const struct exchange *x)
{
    const struct request *r = &x->request;
    if (!r->status) return; /* the client left before */
    char class[] = "0xx", ip[64];
    class[0] = (char)('0' + r->status / 100 % 10);
    const char *route = r->route ? r->route : "none";
    figures_add(x->site->db, FIGURE_REQUESTS,
                (const char *const[]){route, request_method(r), class}, 1);
    if (log_writes(LOG_LEVEL_DEBUG))
        log_debug("request", " request_id=%s method=%s route=%s status=%d ip=%s elapsed_ms=%lld",
                  r->request_id, request_method(r), route, r->status,
                  log_quote(ip, sizeof ip, conn_param(r->conn, "REMOTE_ADDR")),
                  (long long)(clock_monotonic_ms() - x->began_at));
}

void exchange_end(struct exchange *x)
{
    if (x == x->site->current) { /* its handler still runs; handle() ends it */
        x->kept = false;
        return;
    }
    if (x->request.conn) tally(x);
    if (x->given)
        ;
    else if (x->request.conn)
        conn_finish(x->conn);
    else
        conn_free(x->conn);
    request_free(&x->request);
    free(x);
}

void site_wait(struct site *site, const struct event_scope *scope, int64_t wait_ms,
               bool (*look)(void *arg, bool last), void (*drop)(void *arg), void *arg)
{
    int64_t expires_at = site->current->request.expires_at, now = clock_wall_ms();
    if (expires_at < now + wait_ms) wait_ms = expires_at > now ? expires_at - now : 0;
    site->current->kept = true;
    bool may = site->streams || !flock(site->wait_slot, LOCK_EX | LOCK_NB);
    if (!may || wait_ms <= 0 || site->stopping) {
        look(arg, true);
        drop(arg);
        return;
    }
    hub_add_poll(site->hub, &(struct hub_poll){.conn = site->current->conn,
                                               .scope = *scope,
                                               .wait_ms = wait_ms,
                                               .look = look,
                                               .drop = drop,
                                               .arg = arg});
}

/* Whether what is asked for may take its time: a stream, or a wait. */
static bool may_wait(const struct request *request)
{
    size_t n = request->segment_count;
    if (request->method != METHOD_GET || !request->below_prefix) return false;
    char *follow = NULL;
    request_query(request, "follow", &follow, NULL);
    bool follows = follow && !strcmp(follow, "1");
    free(follow);
    return follows || request_wait_ms(request) >= 0 ||
           (n && !strcmp(request->segments[n - 1], "events"));
}

/* What waits is leat-events'. A web server that knows it only by the usual way to write its path has
 * brought it to leat-api: that sends it there, to be asked again as it is. False: it stays here. */
static bool hand_on(struct site *site, struct request *request)
{
    const char *accel = conf_text(request->conf, CONF_HTTP_ACCEL_REDIRECT);
    if (site->streams || !accel || !may_wait(request)) return false;
    struct response r;
    response_start(&r, request, 200);
    r.cache_given = true; /* nginx would keep it beside that of the answer */
    response_header_fmt(&r, "X-Accel-Redirect", "%s/same", accel);
    response_body(&r, NULL, NULL, 0);
    request->status = 0; /* it is counted there */
    return true;
}

/* Reads the request and answers it, or leaves it parked. */
static void handle(struct exchange *x)
{
    struct site *site = x->site;
    struct error e = {0};
    if (conn_begin(x->conn, &e)) {
        log_debug("no request", " error=\"%s\"", e.text);
        exchange_end(x);
        return;
    }
    site->current = x;
    x->began_at = clock_monotonic_ms();
    if (request_parse(&x->request, x->conn, site->conf, &e))
        problem(&x->request, 400, "bad_request", "%s", e.text);
    else if (hand_on(site, &x->request) || !cors_admit(&x->request))
        ; /* answered */
    else if (auth_identify(&x->request, site->db, &e))
        problem_error(&x->request, &e);
    else
        route_dispatch(site_routes, site_route_count, &x->request, site);
    site->current = NULL;
    if (!x->kept) exchange_end(x);
}

/* Takes it out of those whose request has not come yet. */
static void stop_waiting(struct exchange *x)
{
    loop_del(x->site->loop, &x->fd);
    *x->link = x->next;
    if (x->next) x->next->link = x->link;
}

static void on_request(void *arg, int events)
{
    (void)events; /* what there is to find out, reading will tell */
    stop_waiting(arg);
    handle(arg);
}

/* The connections whose request has not come yet, and the listening socket. */
struct door {
    struct site *site;
    struct listener *listener;
    struct loop_fd fd;
    struct exchange *waiting;
    int64_t closed_until;
};

/* Takes one connection. False: there is none now. */
static bool take_one(struct door *d)
{
    struct error e = {0};
    struct conn *conn = NULL;
    enum err rc = listener_accept(d->listener, &conn, &e);
    if (rc == ERR_FULL) d->closed_until = clock_monotonic_ms() + NO_FILES_MS;
    if (rc) log_warn("cannot accept", " error=\"%s\"", e.text);
    if (!conn) return false;

    struct exchange *x = mem_alloc(sizeof *x);
    x->site = d->site;
    x->conn = conn;
    struct pollfd ready = {.fd = conn_fd(conn), .events = POLLIN};
    if (listener_is_cgi(d->listener) || poll(&ready, 1, 0) > 0) {
        handle(x);
        return true;
    }
    x->give_up_at = clock_monotonic_ms() + REQUEST_MS;
    x->fd = (struct loop_fd){.fd = conn_fd(conn), .events = LOOP_IN, .ready = on_request, .arg = x};
    x->link = &d->waiting;
    x->next = d->waiting;
    if (x->next) x->next->link = &x->next;
    d->waiting = x;
    if (loop_add(d->site->loop, &x->fd, &e)) on_request(x, 0);
    return true;
}

static void on_connection(void *arg, int events)
{
    (void)events;
    struct door *d = arg;
    /* leat-api takes one at a time, so that its sisters get their share of a burst. */
    int n = d->site->streams ? ACCEPT_BATCH : 1;
    while (n-- && take_one(d)) continue;
}

/* Drops those that sent nothing for too long (all of them: `everything`). */
static void sweep(struct door *d, bool everything)
{
    int64_t now = clock_monotonic_ms();
    for (struct exchange **at = &d->waiting; *at;) {
        struct exchange *x = *at;
        if (!everything && now < x->give_up_at) {
            at = &x->next;
            continue;
        }
        stop_waiting(x);
        assert(*at != x);
        exchange_end(x);
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* One turn: wait, answer, serve the parked. */
static enum err turn(struct door *d, bool accepting, struct error *e)
{
    struct site *site = d->site;
    int64_t now = clock_monotonic_ms();
    bool open = accepting && now >= d->closed_until && (site->streams || !hub_count(site->hub));
    if (d->fd.fd >= 0) loop_want(site->loop, &d->fd, open ? LOOP_IN : 0);
    int64_t timeout = hub_timeout(site->hub);
    if (accepting && now < d->closed_until) timeout = sooner(timeout, d->closed_until - now);
    if (d->waiting) timeout = sooner(timeout, 1000);
    if (!accepting) timeout = sooner(timeout, 100);
    timeout = sooner(timeout, figures_wait(site->db));
    enum err rc = loop_wait(site->loop, timeout, e);
    hub_turn(site->hub);
    figures_turn(site->db);
    if (d->waiting) sweep(d, false);
    if (!site->streams && !hub_count(site->hub)) flock(site->wait_slot, LOCK_UN);
    return rc;
}

static int run(struct site *site, struct listener *listener)
{
    struct error e = {0};
    struct door d = {.site = site, .listener = listener};
    d.fd = (struct loop_fd){
        .fd = listener_fd(listener), .events = LOOP_IN, .ready = on_connection, .arg = &d};
    enum err rc = ERR_OK;
    if (listener_is_cgi(listener)) {
        take_one(&d);
        while (!rc && hub_count(site->hub) && !loop_signal(SIGTERM)) rc = turn(&d, false, &e);
    } else {
        rc = loop_add(site->loop, &d.fd, &e);
        while (!rc && !site->stopping) {
            rc = turn(&d, true, &e);
            if (loop_signal(SIGTERM) || loop_signal(SIGINT)) site->stopping = true;
        }
        loop_del(site->loop, &d.fd);
        sweep(&d, true);
    }
    if (hub_count(site->hub)) hub_shutdown(site->hub);
    for (int64_t until = clock_monotonic_ms() + STOP_MS;
         !rc && hub_count(site->hub) && clock_monotonic_ms() < until;)
        rc = turn(&d, false, &e);
    if (!rc) return site->exit_status;
    log_error("the loop failed", " error=\"%s\"", e.text);
    return EX_OSERR;
}

/* Answers the one request of a CGI process that cannot do its work, so that the client hears of it from us
 * and not from the web server. */
static void apologise(struct site *site, struct listener *listener, const struct error *why)
{
    struct error e = {0};
    struct conn *conn = NULL;
    struct request request = {0};
    if (!listener || !listener_is_cgi(listener) || listener_accept(listener, &conn, &e) || !conn)
        return;
    if (conn_begin(conn, &e)) {
        conn_free(conn);
        return;
    }
    if (request_parse(&request, conn, site->conf, &e))
        problem(&request, 400, "bad_request", "%s", e.text);
    else if (!cors_admit(&request))
        ; /* answered */
    else if (why->code == ERR_BUSY && request.method == METHOD_GET &&
             request_accepts(&request, "text/event-stream"))
        follow_overloaded(site, &request);
    else
        problem_error(&request, why);
    conn_finish(conn);
    request_free(&request);
}

/* Opens all that a site needs; on failure what was opened is left to the end of the process. */
static int open_site(struct site *site, const char *config, const char *argv0,
                     struct listener **listener)
{
    struct error e = {0};
    struct conf *conf = NULL;
    enum err rc = conf_load(&conf, config, argv0, &e);
    if (!rc) {
        rc = log_open(site->program, conf_text(conf, CONF_LOG_LEVEL),
                      conf_text(conf, CONF_LOG_TARGET), &e);
        if (rc) conf_blame(conf, CONF_LOG_TARGET, &e);
    }
    if (!rc) rc = auth_check(conf, &e);
    if (rc) {
        fprintf(stderr, "%s: %s\n", site->program, e.text);
        return EX_CONFIG;
    }
    site->conf = conf;
    static const enum conf_key needed[] = {CONF_DATABASE_PATH, CONF_RUNNER_JOBS};
    static const char *const names[] = {"[database] path", "[runner] jobs"};
    for (size_t i = 0; i < 2; i++) {
        if (conf_text(conf, needed[i])) continue;
        fprintf(stderr, "%s: %s is not set in %s\n", site->program, names[i],
                conf_file(conf) ? conf_file(conf) : "any leat.conf");
        return EX_CONFIG;
    }

    const char *path = conf_text(conf, CONF_DATABASE_PATH);
    struct db_options options = {
        .path = path, .busy_ms = conf_int(conf, CONF_DATABASE_BUSY_MS), .migrate = true};
    struct buf slot = {0};
    buf_fmt(&slot, "%s.wait", path);
    rc = listener_open(listener, &e);
    if (!rc && (rc = db_open(&site->db, &options, &e)) == ERR_IO)
        conf_blame(conf, CONF_DATABASE_PATH, &e);
    if (!rc) {
        site->wait_slot = open(slot.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
        if (site->wait_slot < 0) rc = error_errno(&e, ERR_IO, "cannot open %s", slot.data);
    }
    buf_free(&slot);
    if (!rc) rc = bell_open(&site->bell, path, &e);
    if (!rc) rc = loop_open(&site->loop, &e);
    if (!rc) rc = hub_open(&site->hub, site->loop, site->db, site->bell, &e);
    /* A process for one request has nothing to tell that would be worth a transaction. */
    if (!rc && !listener_is_cgi(*listener)) figures_join(site->db, site->program);
    if (!rc) return 0;
    log_error("cannot start", " error=\"%s\"", e.text);
    apologise(site, *listener, &e);
    return rc == ERR_BUSY ? EX_TEMPFAIL : rc == ERR_NEWER ? EX_CONFIG : EX_OSERR;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int site_main(const char *program, bool streams, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (c) {
        case 'c': config = optarg; break;
        case 'h':
            printf("usage: %s [--config FILE]\n"
                   "Answers FastCGI when standard input is a listening socket, else one CGI "
                   "request.\n",
                   program);
            return 0;
        case 'V': printf("%s " LEAT_VERSION "\n", program); return 0;
        default: return EX_USAGE;
        }
    }
    umask(0007); /* the database belongs to a group */
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();

    struct site site = {.program = program, .streams = streams};
    struct listener *listener = NULL;
    int status = open_site(&site, config, argv[0], &listener);
    if (status) return status;
    if (listener_is_cgi(listener))
        site.streams = true;
    else
        auth_warn(site.conf);
    status = run(&site, listener);
    hub_close(site.hub);
    loop_close(site.loop);
    listener_close(listener);
    bell_close(site.bell);
    db_close(site.db);
    close(site.wait_slot);
    conf_free((struct conf *)site.conf);
    return status;
}
