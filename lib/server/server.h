/* One process that answers requests: accepts connections, reads what comes by them, and runs the loop in
 * which requests are answered, operations committed and streams served. */
#ifndef LEAT_SERVER_SERVER_H
#define LEAT_SERVER_SERVER_H

#include "base/conf.h"
#include "base/loop.h"
#include "metrics/metrics.h"
#include "ops/job_types.h"
#include "server/checkpoint.h"
#include "server/commit_group.h"
#include "server/exchange.h"
#include "server/park.h"
#include "store/bell.h"
#include "store/db.h"
#include "web/fcgi.h"
#include "web/route.h"
#include "web/site_routes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server {
    const struct server_program *program;
    const struct conf *conf;
    struct site_routes *site_routes;
    struct db *db;
    struct bell *bell;
    struct loop *loop;
    struct job_types *types;
    struct commit_group *commits;
    struct stream_slots *slots;
    struct metrics *metrics; /* NULL in a CGI process */
    struct park *park;
    struct checkpoints checkpoints;

    struct listener *listener;
    struct loop_fd listen_fd;
    struct loop_timer open_again; /* accepting pauses */
    struct exchange *exchanges;   /* all of them */
    /* takes a connection whose answer is complete: it may be kept, and brings its next request then */
    void (*end_conn)(struct server *s, struct conn *conn);
    size_t sending;    /* connections that were answered, and have not taken all of it */
    int64_t bodies_us; /* that reading bodies has taken in this turn */
    bool by_cgi_rules; /* as CGI, or FastCGI for one stream at a time (mod_fcgid) */
    bool stopping;
    int exit_status; /* not 0: a fault after which the process must not go on */
};

/* What makes a program of it. */
struct server_program {
    const char *name;
    const struct route *routes;
    size_t route_count;
    /* answers a stream that is not open to its client at this moment; `epoch` of the log, or "" */
    void (*overloaded)(struct request *request, const char *epoch);
};

/* Runs the process until SIGTERM or, for CGI, its one request. Returns the exit status. */
int server_main(const struct server_program *program, int argc, char **argv);

/* ---- for server.c and its parts ---- */

/* Reads the request of an exchange whose connection is readable, and goes on with it as far as that can be
 * done (pipeline.c). */
void pipeline_begin(struct exchange *x);

/* Waits no longer for anything to come by its connection. */
void exchange_unwatch(struct exchange *x);

/* Closes the connection, by which no request came, and ends it. */
void exchange_drop(struct exchange *x);

/* Ends it: finishes the answer and frees. */
void exchange_end(struct exchange *x);

#endif
