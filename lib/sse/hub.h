/* Who watches what. The hub parks requests, reads each new event once, hands it to those who watch
 * it, and replays the log to those who are behind.
 *
 * Invariants:
 *  1. Nothing is queued for a slow reader but one slice and what one read of the log made. While that
 *     waits, the reader is behind; when its socket drains, its events are read from the log again.
 *  2. A reader that is not behind has been given everything of its scope up to hub's position.
 *  3. No statement is open while a socket is written (store: db_idle). */
#ifndef LEAT_SSE_HUB_H
#define LEAT_SSE_HUB_H

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"
#include "sse/dialect.h"
#include "sse/frame.h"
#include "store/bell.h"
#include "store/db.h"
#include "store/events.h"
#include "task/event.h"
#include "web/fcgi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;

/* `loop`, `db` and `bell` are borrowed. ERR_IO. */
enum err hub_open(struct hub **out, struct loop *loop, struct db *db, struct bell *bell,
                  struct error *e);
void hub_close(struct hub *h);

/* How many requests are parked. */
size_t hub_count(const struct hub *h);

/* How many of the streams are of one account. */
size_t hub_count_of(const struct hub *h, const char *account);

/* A stream to be. The caller has written the response head (and flushed it, if `prelude` is empty). */
struct hub_stream {
    struct conn *conn;   /* the hub's from now on, and finished by it */
    const char *account; /* whose stream it is, for hub_count_of; copied */
    char *about; /* the hub's from now on: ` key=value` pairs for the log; NULL: not logged */
    enum frame_form form;
    struct dialect dialect;      /* copied */
    struct event_scope scope;    /* copied */
    struct event_filter *filter; /* the hub's from now on; NULL: everything */
    struct buf prelude;          /* the hub's from now on: frames to send first */
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
void hub_add_stream(struct hub *h, const struct hub_stream *s);

/* A request that waits for one answer. */
struct hub_poll {
    struct conn *conn;        /* borrowed: watched for a hang-up until `drop` */
    struct event_scope scope; /* copied */
    int64_t wait_ms;
    /* Looks again, because something of the scope happened or (`last`) the time is over. True: it has
     * answered. Must answer when `last`. */
    bool (*look)(void *arg, bool last);
    /* Frees `arg` and ends the request; comes after `look` was true, or when the client left. */
    void (*drop)(void *arg);
    void *arg;
};

/* Parks it; looks once before, so that nothing is missed between the caller's reading and now. */
void hub_add_poll(struct hub *h, const struct hub_poll *p);

/* Milliseconds until hub_turn must be called even if nothing happens; for loop_wait. */
int64_t hub_timeout(struct hub *h);

/* After each loop_wait: reads what is new, serves who is behind, beats hearts, ends what is over. */
void hub_turn(struct hub *h);

/* Ends every stream with stream.end {shutdown} and answers every poll; hub_turn then empties it. */
void hub_shutdown(struct hub *h);

#endif
