/* Who waits for what: streams, and requests that wait for an answer. The park reads each new event once, gives
 * it to those who follow it, and replays the log to those who are behind.
 *
 * Invariants:
 *  1. Nothing is queued for a slow reader but one slice and what one read of the log made. While that waits,
 *     the reader is behind; when its socket drains, its events are read from the log again.
 *  2. A reader that is not behind has been given everything of its scope up to the park's position.
 *  3. No statement is open while a socket is written (store: txn_idle).
 *  4. A turn ends after some 10 ms; readers are served in the order in which there came something for them,
 *     one part of the log each. */
#ifndef LEAT_SERVER_PARK_H
#define LEAT_SERVER_PARK_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "metrics/metrics.h"
#include "render/dialect.h"
#include "render/frame.h"
#include "store/bell.h"
#include "store/db.h"
#include "store/events.h"
#include "store/stream_slots.h"
#include "task/event.h"
#include "web/fcgi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;
struct park;

struct park_options {
    struct loop *loop; /* all are borrowed */
    struct db *db;
    struct bell *bell;
    struct stream_slots *slots;
    struct metrics *metrics; /* NULL: nothing is counted */
    int64_t max_streams;     /* of this process */
    /* takes a connection whose stream has ended */
    void (*end_conn)(void *arg, struct conn *conn);
    void *arg;
};

/* ERR_IO and errors of the store. */
enum err park_open(struct park **out, const struct park_options *options, struct error *e);
void park_close(struct park *p);

/* How many are parked. */
size_t park_count(const struct park *p);

/* ---- places ---- */

enum park_place { PARK_ADMITTED, PARK_FULL, PARK_ACCOUNT_FULL };

/* A place for one stream or wait of an account, of which it may have `most` in all processes together (0: no
 * limit). Admitted: it is handed on to park_stream, park_wait or park_leave. */
enum park_place park_enter(struct park *p, const char *account, int64_t most);
void park_leave(struct park *p, const char *account);

/* ---- streams ---- */

/* A stream to be. The caller has written the response head, which leaves with the first of it. */
struct park_stream {
    struct conn *conn;   /* the park's from now on */
    const char *account; /* of the place; copied. NULL: a replay, which takes none */
    char *about; /* the park's from now on: ` key=value` pairs for the log; NULL: not logged */
    enum frame_form form;
    struct dialect dialect;      /* copied */
    struct event_scope scope;    /* copied */
    struct event_filter *filter; /* the park's from now on; NULL: everything */
    struct buf prelude;          /* the park's from now on: frames to send first */
    int64_t after;               /* the position that the reader has */
    int64_t until;               /* end there (a bounded replay); INT64_MAX follows */
    int64_t stream_ms, heartbeat_ms, retry_ms;
    int64_t
        credential; /* credentials.id of what allows it, looked at with each heartbeat; 0: none */
    int64_t expires_at; /* wall-clock ms: ends then; 0 or INT64_MAX: never */
};

/* Takes it over: sends the prelude, replays the log after `after`, then follows. A task's stream ends
 * with stream.end {finished} after the newest event of a finished task; every stream ends after
 * stream_ms with {rotated}, and before that with {expired} or {revoked} once its credential is. Text has
 * no heartbeat: it is {rotated} also when it was silent for three of them, and for 45 s. */
void park_stream(struct park *p, const struct park_stream *s);

/* ---- waits ---- */

/* A request that waits for something of a scope. */
struct park_wait {
    struct event_scope scope; /* copied */
    const char *account;      /* of the place; copied. NULL: it takes none */
    int64_t wait_ms;
    /* Looks again, because something of the scope happened or (`last`) the time is over. True: it has
     * answered, or given the connection away. Must do so when `last`. */
    bool (*look)(struct exchange *x, void *arg, bool last);
    /* Frees `arg`; comes after `look` was true, or when the client left. NULL: nothing to free. */
    void (*drop)(void *arg);
    void *arg;
};

/* Holds the exchange; looks once before the loop goes on, so that nothing is missed between the caller's
 * reading and now. */
void park_wait(struct park *p, struct exchange *x, const struct park_wait *w);

/* Holds the exchange and looks again and again, each turn, until look is true: for what is read in
 * portions. */
void park_portions(struct park *p, struct exchange *x, const struct park_wait *w);

/* ---- the loop ---- */

/* As if the bell had rung: what was committed just now is looked at by the next park_turn. */
void park_wake(struct park *p);

/* Whether there is something to do at once. */
bool park_busy(const struct park *p);

/* Once a turn: reads what is new and serves who has something to get. */
void park_turn(struct park *p);

/* Ends every stream with stream.end {shutdown} and answers every wait; further turns empty it. */
void park_shutdown(struct park *p);

#endif
