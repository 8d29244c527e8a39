/* What leat-api and leat-events share: one process that answers requests. They run the same routes;
 * leat-events parks what waits, leat-api never keeps a request longer than its work takes (or, where
 * no web server can hand it over, one waiting request at a time for the whole database). */
#ifndef LEAT_SITE_H
#define LEAT_SITE_H

#include "base/conf.h"
#include "base/loop.h"
#include "sse/dialect.h"
#include "sse/hub.h"
#include "store/bell.h"
#include "store/db.h"
#include "task/task.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/request.h"
#include "web/response.h"
#include "web/route.h"

/* One request in the works, from its connection on. */
struct exchange {
    struct exchange *next, **link; /* among those whose request has not come yet */
    struct site *site;
    struct conn *conn;
    struct request request;
    struct loop_fd fd; /* until the request can be read */
    int64_t give_up_at;
    int64_t began_at; /* monotonic ms: when its request was read */
    bool kept;        /* somebody answers later, and calls exchange_end */
    bool given;       /* the connection belongs to a stream now */
};

struct site {
    const char *program;
    const struct conf *conf;
    struct db *db;
    struct bell *bell;
    struct loop *loop;
    struct hub *hub;
    bool streams; /* this process may park requests: leat-events, or CGI */
    bool stopping;
    int exit_status;          /* not 0: a fault after which the process must not go on */
    struct exchange *current; /* the one whose handler runs */
    int wait_slot;            /* descriptor of DB.wait: who holds its lock may wait in leat-api */
};

/* Runs the process until SIGTERM or, for CGI, its one request. Returns the exit status. */
int site_main(const char *program, bool streams, int argc, char **argv);

/* The one table of routes (routes.c). */
extern const struct route site_routes[];
extern const size_t site_route_count;

/* What a handler sees of its site. */
struct site *site_of(const struct route_match *m);

/* Answers with the problem that fits `e`. After ERR_UNSYNCED the process stops once that is sent. */
void site_fail(struct site *site, struct request *request, const struct error *e);

/* Answers a stream that is not open to its client at this moment: 200 with retry and stream.end
 * {overloaded}, because EventSource gives up for good on any other status (follow.c). */
void follow_overloaded(struct site *site, struct request *request);

/* How documents are shown to this request. */
struct task_view site_view(const struct site *site, const struct request *request);

/* The dialect that its query asks for, borrowed from the request; ERR_INVALID names the field, and
 * *out is then the envelope. */
enum err site_dialect(const struct request *request, struct dialect *out, struct error *e);

/* The types of events that it asks for; NULL: all. The caller frees. ERR_INVALID names the field. */
enum err site_types(const struct request *request, struct event_filter **out, struct error *e);

/* Waits for something in `scope`: `look` and `drop` as in hub_poll. The current exchange is kept until
 * `drop`, which must call exchange_end. Where nothing can wait, looks once, as if the time were over. */
void site_wait(struct site *site, const struct event_scope *scope, int64_t wait_ms,
               bool (*look)(void *arg, bool last), void (*drop)(void *arg), void *arg);

/* Ends a kept exchange: finishes the response and frees. */
void exchange_end(struct exchange *x);

#endif
