#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/standard.h"
#include "web/auth.h"
#include "web/cors.h"
#include "web/problem.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

enum {
    ACCEPT_BATCH = 64,
    REQUEST_MS = 10000,  /* a new connection that sends no request is dropped, and half a request */
    PART_MS = 5,         /* between two looks at a request of which a part has come */
    STOP_MS = 3000,      /* for streams to take their last frame, and bodies to come */
    NO_FILES_MS = 100,   /* pause of accepting when descriptors ran out */
    PATIENCE_MS = 5,     /* for the first process to accept, before another one does */
    FIRST_STREAMS = 256, /* of the first process; the next ones are for another */
};

/* ---- connections ---- */

/* Begins with a request that has come whole; waits for the rest of another one. */
static void look_for_request(void *arg)
{
    struct exchange *x = arg;
    struct loop *loop = x->server->loop;
    int64_t now = clock_monotonic_ms();
    if (conn_request_came(x->conn)) {
        exchange_unwatch(x);
        pipeline_begin(x);
        return;
    }
    /* The socket would tell of the part that is there again and again. */
    if (x->watched) loop_del(loop, &x->fd);
    x->watched = false;
    if (!loop_timer_is_set(&x->limit)) loop_timer_set(loop, &x->limit, now + REQUEST_MS);
    x->later = (struct loop_timer){.fire = look_for_request, .arg = x};
    loop_timer_set(loop, &x->later, now + PART_MS);
}

static void on_request(void *arg, int events)
{
    (void)events; /* what there is to find out, looking will tell */
    look_for_request(arg);
}

/* Its request, or its body, did not come in time. */
static void on_limit(void *arg)
{
    struct exchange *x = arg;
    exchange_unwatch(x);
    if (!x->request.conn) {
        exchange_drop(x);
        return;
    }
    problem(&x->request, 408, "request_timeout", "the body did not come in time");
    exchange_end(x);
}

/* A new exchange on this connection, waiting for its request. */
static void adopt(struct server *s, struct conn *conn, bool fresh)
{
    struct exchange *x = mem_alloc(sizeof *x);
    x->server = s;
    x->conn = conn;
    x->limit = (struct loop_timer){.fire = on_limit, .arg = x};
    x->link = &s->exchanges;
    x->next = s->exchanges;
    if (x->next) x->next->link = &x->next;
    s->exchanges = x;

    struct pollfd ready = {.fd = conn_fd(conn), .events = POLLIN};
    if (listener_is_cgi(s->listener) || (fresh && poll(&ready, 1, 0) > 0)) {
        look_for_request(x);
        return;
    }
    if (fresh) loop_timer_set(s->loop, &x->limit, clock_monotonic_ms() + REQUEST_MS);
    x->fd = (struct loop_fd){.fd = conn_fd(conn), .events = LOOP_IN, .ready = on_request, .arg = x};
    x->watched = !loop_add(s->loop, &x->fd, NULL);
    if (!x->watched) look_for_request(x);
}

/* A connection that was answered, and is not done with: what of its answer had no room is still to be sent, then what
 * the web server still sends is to be read. */
struct rest {
    struct server *server;
    struct conn *conn;
    struct loop_fd fd;
    struct loop_timer limit;
};

/* Gives its connection back. */
static struct conn *stop_rest(struct rest *r)
{
    struct conn *conn = r->conn;
    if (r->fd.events == LOOP_OUT) r->server->sending--;
    loop_del(r->server->loop, &r->fd);
    loop_timer_stop(r->server->loop, &r->limit);
    free(r);
    return conn;
}

/* For the next request, unless there shall be none. */
static void keep(struct server *s, struct conn *conn)
{
    if (s->stopping)
        conn_free(conn);
    else
        adopt(s, conn, false);
}

static void on_rest_limit(void *arg)
{
    conn_free(stop_rest(arg));
}

/* Has `ready` called once its descriptor is ready for `events`, for so long. */
static void wait_for_rest(struct server *s, struct conn *conn, int events,
                          void (*ready)(void *arg, int events), int64_t limit_ms)
{
    struct rest *r = mem_alloc(sizeof *r);
    *r = (struct rest){.server = s, .conn = conn};
    r->fd = (struct loop_fd){.fd = conn_fd(conn), .events = events, .ready = ready, .arg = r};
    r->limit = (struct loop_timer){.fire = on_rest_limit, .arg = r};
    if (events == LOOP_OUT) s->sending++;
    loop_timer_set(s->loop, &r->limit, clock_monotonic_ms() + limit_ms);
    if (loop_add(s->loop, &r->fd, NULL)) conn_free(stop_rest(r));
}

static void on_drain(void *arg, int events)
{
    (void)events;
    struct rest *r = arg;
    struct server *s = r->server;
    switch (conn_drain(r->conn)) {
    case CONN_SENDS:
    case CONN_DRAINS: break;
    case CONN_KEPT: keep(s, stop_rest(r)); break;
    case CONN_CLOSED: conn_free(stop_rest(r)); break;
    }
}

static void end_conn(struct server *s, struct conn *conn);

static void on_room(void *arg, int events)
{
    (void)events;
    struct rest *r = arg;
    struct server *s = r->server;
    end_conn(s, stop_rest(r));
}

static void end_conn(struct server *s, struct conn *conn)
{
    switch (conn_finish(conn)) {
    case CONN_CLOSED: break;
    case CONN_SENDS: wait_for_rest(s, conn, LOOP_OUT, on_room, CONN_STUCK_MS); break;
    case CONN_DRAINS: wait_for_rest(s, conn, LOOP_IN, on_drain, CONN_DRAIN_MS); break;
    case CONN_KEPT: keep(s, conn); break;
    }
}

static void accept_later(struct server *s, int64_t ms)
{
    loop_want(s->loop, &s->listen_fd, 0);
    loop_timer_set(s->loop, &s->open_again, clock_monotonic_ms() + ms);
}

/* Takes one connection. False: there is none now. */
static bool take_one(struct server *s)
{
    struct error e = {0};
    struct conn *conn = NULL;
    enum err rc = listener_accept(s->listener, &conn, &e);
    if (rc == ERR_FULL) accept_later(s, NO_FILES_MS);
    if (rc) log_failure(LOG_LEVEL_WARN, "cannot accept", &e);
    if (conn) adopt(s, conn, true);
    return conn != NULL;
}

static void take_all(struct server *s)
{
    for (int n = ACCEPT_BATCH; n-- && take_one(s);) continue;
}

/* Of equal processes one takes the connections as long as it comes to it in time: requests that are ready in one
 * process are one transaction, and a commit of another process empties SQLite's cache of pages. */
static void on_connection(void *arg, int events)
{
    (void)events;
    struct server *s = arg;
    if (stream_slots_first(s->slots, park_count(s->park) < FIRST_STREAMS))
        take_all(s);
    else
        accept_later(s, PATIENCE_MS);
}

static void on_open_again(void *arg)
{
    struct server *s = arg;
    loop_want(s->loop, &s->listen_fd, LOOP_IN);
    take_all(s);
}

/* Closes the connections by which no request has come. */
static void drop_idle(struct server *s)
{
    for (struct exchange *x = s->exchanges, *next; x; x = next) {
        next = x->next;
        if (!x->request.conn) exchange_drop(x);
    }
}

/* ---- the loop ---- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* One turn: wait, read requests, commit, serve who waits. */
static enum err turn(struct server *s, int64_t at_most_ms, struct error *e)
{
    int64_t timeout = park_busy(s->park) || commit_group_ready(s->commits) ? 0 : at_most_ms;
    if (!commit_group_locking(s->commits)) timeout = sooner(timeout, metrics_wait(s->metrics));
    s->bodies_us = 0;
    job_types_turn(s->types);
    enum err rc = loop_wait(s->loop, timeout, e);
    commit_group_turn(s->commits);
    if (commit_group_rang(s->commits)) park_wake(s->park);
    park_turn(s->park);
    if (!commit_group_locking(s->commits)) metrics_turn(s->metrics);
    if (!listener_is_cgi(s->listener)) checkpoints_turn(&s->checkpoints);
    return rc;
}

static bool busy(const struct server *s)
{
    return s->exchanges || s->sending || park_count(s->park) || !commit_group_empty(s->commits);
}

static int run(struct server *s)
{
    enum { LOOK_MS = 100 };
    struct error e = {0};
    enum err rc = ERR_OK;
    if (listener_is_cgi(s->listener)) {
        take_one(s);
        while (!rc && busy(s) && !loop_signal(SIGTERM)) rc = turn(s, -1, &e);
    } else {
        rc = loop_add(s->loop, &s->listen_fd, &e);
        while (!rc && !s->stopping) {
            rc = turn(s, -1, &e);
            if (loop_signal(SIGTERM) || loop_signal(SIGINT)) s->stopping = true;
        }
        loop_timer_stop(s->loop, &s->open_again);
        loop_del(s->loop, &s->listen_fd);
        drop_idle(s);
    }
    s->stopping = true;
    if (park_count(s->park)) park_shutdown(s->park);
    for (int64_t until = clock_monotonic_ms() + STOP_MS;
         !rc && busy(s) && clock_monotonic_ms() < until;)
        rc = turn(s, LOOK_MS, &e);
    if (!rc) return s->exit_status;
    log_failure(LOG_LEVEL_ERROR, "the loop failed", &e);
    return EX_OSERR;
}

/* ---- start ---- */

/* Answers the one request of a CGI process that cannot do its work, so that the client hears of it from us
 * and not from the web server. */
static void apologise(struct server *s, const struct error *why)
{
    struct error e = {0};
    struct conn *conn = NULL;
    struct request request = {0};
    if (!s->listener || !listener_is_cgi(s->listener) || listener_accept(s->listener, &conn, &e) ||
        !conn)
        return;
    if (conn_begin(conn, &e)) {
        conn_free(conn);
        return;
    }
    if (request_parse(&request, conn, s->conf, &e))
        problem(&request, 400, "bad_request", "%s", e.text);
    else if (!cors_admit(&request, NULL))
        ; /* answered */
    else if (why->code == ERR_BUSY && request.method == METHOD_GET &&
             request_accepts(&request, "text/event-stream"))
        s->program->overloaded(&request, "");
    else
        problem_error(&request, why);
    conn_finish(conn);
    request_free(&request);
}

/* Loads the settings and judges them. 0 or an exit status. */
static int load_settings(struct server *s, const char *config, const char *argv0, bool check)
{
    static const enum conf_key needed[] = {CONF_DATABASE_PATH, CONF_RUNNER_JOBS};
    static const char *const names[] = {"[database] path", "[runner] jobs"};
    struct error e = {0};
    struct conf *conf = NULL;
    enum err rc = conf_load(&conf, config, argv0, &e);
    if (!rc && !check) {
        rc = log_open(s->program->name, conf_text(conf, CONF_LOG_LEVEL),
                      conf_text(conf, CONF_LOG_TARGET), &e);
        if (rc) conf_blame(conf, CONF_LOG_TARGET, &e);
    }
    if (!rc) rc = auth_check(conf, &e);
    if (!rc)
        rc = site_routes_open(&s->site_routes, conf, s->program->routes, s->program->route_count,
                              &e);
    if (rc) {
        fprintf(stderr, "%s: %s\n", s->program->name, e.text);
        conf_free(conf);
        return EX_CONFIG;
    }
    s->conf = conf;
    for (size_t i = 0; !check && i < 2; i++) {
        if (conf_text(conf, needed[i])) continue;
        fprintf(stderr, "%s: %s is not set in %s\n", s->program->name, names[i],
                conf_file(conf) ? conf_file(conf) : "any leat.conf");
        return EX_CONFIG;
    }
    return 0;
}

static void free_settings(struct server *s)
{
    site_routes_close(s->site_routes);
    conf_free((struct conf *)s->conf);
}

static void print_paths(const struct site_routes *routes)
{
    struct buf out = {0};
    site_routes_paths(routes, &out);
    fputs(buf_text(&out), stdout);
    buf_free(&out);
}

static void unsynced(void *arg)
{
    struct server *s = arg;
    s->stopping = true;
    s->exit_status = EX_IOERR;
}

static void end_stream_conn(void *arg, struct conn *conn)
{
    end_conn(arg, conn);
}

static enum err open_database(struct server *s, struct error *e)
{
    const char *path = conf_text(s->conf, CONF_DATABASE_PATH);
    struct db_options options = {
        .path = path, .busy_ms = conf_int(s->conf, CONF_DATABASE_BUSY_MS), .migrate = true};
    enum err rc = db_open(&s->db, &options, e);
    if (rc == ERR_IO) conf_blame(s->conf, CONF_DATABASE_PATH, e);
    if (!rc) rc = bell_open(&s->bell, path, e);
    if (!rc) txn_never_wait(s->db);
    return rc;
}

/* The parts of the loop, once listener and database are there. */
static enum err open_parts(struct server *s, struct error *e)
{
    bool cgi = listener_is_cgi(s->listener);
    /* mod_fcgid gives it one request at a time, too */
    s->by_cgi_rules = cgi || conf_int(s->conf, CONF_STREAM_MAX_STREAMS) == 1;
    enum err rc = loop_open(&s->loop, e);
    if (!rc)
        rc = commit_group_open(&s->commits, s->loop, s->db,
                               conf_int(s->conf, CONF_DATABASE_BUSY_MS), unsynced, s, e);
    if (!rc)
        rc = stream_slots_open(&s->slots, conf_text(s->conf, CONF_DATABASE_PATH),
                               s->by_cgi_rules ? conf_int(s->conf, CONF_STREAM_CGI_STREAMS) : 0, e);
    /* A process for one request has nothing to tell that would be worth a transaction. */
    if (!rc && !cgi) s->metrics = metrics_new(s->db, s->program->name);
    struct park_options options = {
        .loop = s->loop,
        .db = s->db,
        .bell = s->bell,
        .slots = s->slots,
        .metrics = s->metrics,
        .max_streams = conf_int(s->conf, CONF_STREAM_MAX_STREAMS),
        .end_conn = end_stream_conn,
        .arg = s,
    };
    if (!rc) rc = park_open(&s->park, &options, e);
    return rc;
}

/* Silence that a web server may take for the end: what make run writes follows the settings, others wait for what they
 * were told. */
static void warn_of_silence(const struct conf *conf)
{
    enum { SHIPPED_MS = 75 * 1000 }; /* the timeouts of nginx/ */
    static const enum conf_key keys[] = {CONF_STREAM_HEARTBEAT, CONF_HTTP_WAIT_SECONDS_MAX};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (conf_ms(conf, keys[i]) >= SHIPPED_MS)
            log_warn("the web server has to wait longer than this for leat.fcgi; as shipped it "
                     "waits 75 s: leat check tries it",
                     " setting=%s seconds=%g", conf_settings[keys[i]].key,
                     (double)conf_ms(conf, keys[i]) / 1000);
}

/* Opens all that is needed; on failure what was opened is left to the end of the process. */
static int open_all(struct server *s)
{
    struct error e = {0};
    enum err rc = listener_open(&s->listener, &e);
    if (!rc && listener_is_cgi(s->listener)) conf_as_cgi((struct conf *)s->conf);
    if (!rc) rc = open_database(s, &e);
    if (!rc) rc = open_parts(s, &e);
    if (rc) {
        log_failure(LOG_LEVEL_ERROR, "cannot start", &e);
        apologise(s, &e);
        return rc == ERR_BUSY ? EX_TEMPFAIL : rc == ERR_NEWER ? EX_CONFIG : EX_OSERR;
    }
    s->types = job_types_open(conf_text(s->conf, CONF_RUNNER_JOBS));
    s->open_again = (struct loop_timer){.fire = on_open_again, .arg = s};
    s->listen_fd = (struct loop_fd){
        .fd = listener_fd(s->listener), .events = LOOP_IN, .ready = on_connection, .arg = s};
    if (listener_is_cgi(s->listener)) return 0;
    checkpoints_open(&s->checkpoints, s->loop, s->db, s->conf);
    auth_warn(s->conf);
    warn_of_silence(s->conf);
    return 0;
}

static void close_all(struct server *s)
{
    park_close(s->park);
    if (commit_group_empty(s->commits)) commit_group_close(s->commits);
    stream_slots_close(s->slots);
    job_types_close(s->types);
    checkpoints_close(&s->checkpoints);
    loop_close(s->loop);
    struct error e = {0};
    enum err rc = listener_is_cgi(s->listener) ? db_checkpoint_last(s->db, &e) : ERR_OK;
    if (rc && rc != ERR_BUSY) /* another one may be at it */
        log_failure(LOG_LEVEL_WARN, "cannot checkpoint", &e);
    listener_close(s->listener);
    bell_close(s->bell);
    if (s->db) txn_wait(s->db, conf_int(s->conf, CONF_DATABASE_BUSY_MS));
    metrics_free(s->metrics);
    db_close(s->db);
    free_settings(s);
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int usage(const char *name)
{
    printf("usage: %s [--config FILE] [--check | --paths]\n"
           "Answers FastCGI when standard input is a listening socket, else one CGI request.\n"
           "--check: only looks at the settings.\n"
           "--paths: prints the paths of [routes] that do not lie below the prefix, a regular\n"
           "         expression a line, for the settings of a web server.\n",
           name);
    return 0;
}

/* What the command line asks for. */
struct arguments {
    const char *config;
    bool check, paths, checkpoint;
};

/* Reads it. -1: go on; else an exit status. */
static int read_arguments(const char *name, int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'C'},
                                            {"paths", no_argument, NULL, 'p'},
                                            {"checkpoint", no_argument, NULL, 'k'}, /* of its own */
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    *out = (struct arguments){0};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (c) {
        case 'c': out->config = optarg; break;
        case 'C': out->check = true; break;
        case 'p': out->check = out->paths = true; break;
        case 'k': out->checkpoint = true; break;
        case 'h': return usage(name);
        case 'V': printf("%s " LEAT_VERSION "\n", name); return EX_OK;
        default: return EX_USAGE;
        }
    }
    return -1;
}

/* Answers requests until it is told to stop. */
static int serve(struct server *s)
{
    int status = open_all(s);
    if (status) return status;
    status = run(s);
    close_all(s);
    return status;
}

int server_main(const struct server_program *program, int argc, char **argv)
{
    struct server s = {.program = program, .end_conn = end_conn};
    struct arguments given;
    standard_open();
    int status = read_arguments(program->name, argc, argv, &given);
    if (status >= 0) return status;
    umask(0007); /* the database belongs to a group */
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    status = load_settings(&s, given.config, argv[0], given.check);
    if (status) return status;
    if (!given.check && !given.checkpoint) return serve(&s);
    if (given.checkpoint) status = checkpoint_alone(s.conf);
    if (given.paths) print_paths(s.site_routes);
    free_settings(&s);
    return status;
}
