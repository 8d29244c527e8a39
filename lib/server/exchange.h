/* One request, from its connection to its answer. Everything hangs on it: there is no current request.
 *
 * A handler that has not answered when it returns must have held the exchange: by commit_group_add, by
 * park_wait, park_stream or park_probe. Whoever holds it calls back when there is something to go on with. */
#ifndef LEAT_SERVER_EXCHANGE_H
#define LEAT_SERVER_EXCHANGE_H

#include "base/buf.h"
#include "base/loop.h"
#include "ops/operation.h"
#include "server/spool.h"
#include "web/request.h"
#include "web/route.h"

#include <stdbool.h>
#include <stdint.h>

struct server;

struct exchange {
    struct exchange *next, **link; /* among all of the server */
    struct server *server;
    struct conn *conn; /* NULL once it belongs to a stream */
    struct loop_fd fd; /* until the request is there whole */
    bool watched;
    struct loop_timer limit; /* when it has to be there */
    struct loop_timer later; /* set: it goes on in the next turn, see exchange_later */
    void (*later_go)(struct exchange *x, void *arg);
    void *later_arg;

    struct request request;
    char *account; /* see exchange_caller */
    struct route_match route;
    struct buf body;    /* whole, of rows that take one; empty of a raw one that is in `spool` */
    struct spool spool; /* holds a body that is too large for memory; of a raw one until the end */
    bool raw;           /* any body is taken, see ROUTE_RAW */
    size_t body_max;
    int64_t body_length; /* as declared; -1: it was not */
    int64_t began_at;    /* monotonic ms: when its parameters were read */
    bool held;           /* somebody goes on with it later */
};

/* Holds it, or goes on with it: calls `go`, and ends it unless that holds it again. */
void exchange_hold(struct exchange *x);
void exchange_resume(struct exchange *x, void (*go)(struct exchange *x, void *arg), void *arg);

/* Holds it, and goes on with it in the next turn: for what takes longer than a slice. */
void exchange_later(struct exchange *x, void (*go)(struct exchange *x, void *arg), void *arg);

/* Gives the connection to a stream, which ends it by server.end_conn; the exchange then ends without one. The
 * parameters do not go with it, and the request has none any more: nobody can look for a header after this. */
struct conn *exchange_give_conn(struct exchange *x);

/* The bytes of its body, wherever that is. */
int64_t exchange_body_bytes(const struct exchange *x);

/* Who asks, for operations. Borrows from the exchange. */
struct caller exchange_caller(struct exchange *x);

/* Answers with the problem that fits `e`; after ERR_UNSYNCED the process stops once that is sent. */
void exchange_fail(struct exchange *x, const struct error *e);

/* Answers with the refusal that an operation came to; false: it came to none. */
bool exchange_refused(struct exchange *x, const struct operation *op);

/* 429 with Retry-After, RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). */
void exchange_limited(struct exchange *x, const struct limit_hit *hit);

#endif
