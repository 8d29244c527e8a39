#include "server/park.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/exchange.h"
#include "store/credentials.h"
#include "store/tasks.h"
#include "task/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    READ_ROWS = 256, /* one read of the log, for all or for one reader */
    READ_BYTES = 64 * 1024,
    SLICE = 48 * 1024, /* written between two looks at the socket (conn_writable) */
    SLICES = 4,        /* to one reader, before the others have their turn */
    TURN_US =
        10 * 1000,   /* reading and serving end after this long each, the rest is the next turn's */
    CHECK_MS = 1000, /* covers a bell that was not heard, and foreign writers */
    SILENT_BEATS = 3,  /* Text without heartbeats is ended before a web server takes it for dead: */
    SILENT_MS = 45000, /* after three of them, and after this long, for the usual limit is 60 s. */
    STUCK_MS = 10000,  /* a reader that takes nothing is dropped this long after its end */
    ENCODINGS = 8,     /* of events that are kept */
};

enum watch_kind { WATCH_STREAM, WATCH_WAIT, WATCH_PORTIONS };

struct watch {
    struct watch *next, **link; /* in its bucket */
    struct watch *next_touched; /* in the list of those to be served */
    bool touched;
    struct park *park;
    enum watch_kind kind;
    struct conn *conn; /* of a stream: its own; of a wait: the exchange's. NULL: it is over */
    struct exchange *exchange; /* of a wait */
    struct loop_fd fd;
    struct loop_timer timer; /* the next heartbeat or the end */
    bool in_loop;
    struct event_scope scope;
    char *owner, *group; /* of the scope */
    char *account;       /* of the place; NULL: none */

    /* a stream */
    char *about; /* as in park_stream */
    enum frame_form form;
    struct dialect dialect;
    char *repo_status; /* of the dialect */
    struct event_filter *filter;
    struct buf out;       /* what the socket did not take yet */
    int64_t large;        /* an event that does not go through `out`, but comes after it; 0: none */
    int64_t before_large; /* `cursor` when it came */
    size_t sent;          /* bytes of it; once there are any, `out` comes after it */
    int64_t cursor;       /* the last position given or examined */
    int64_t until;
    bool behind;     /* the log after `cursor` has not been read for it */
    bool task_ended; /* saw an event that may end the stream */
    bool finished;   /* its task was, when last looked at: any event may be the last */
    bool ending;     /* the last frame is in `out` */
    int64_t deadline, heartbeat_at, heartbeat_ms, retry_ms;
    int silent; /* heartbeats that would have come since it was given something */
    enum frame_end_reason at_deadline;
    int64_t credential, expires_at; /* as in park_stream */
    int64_t opened_at;              /* monotonic ms */
    int64_t events;                 /* given, also those that wait in `out` */
    int64_t live;                   /* of these that wait: given as they happened ... */
    int64_t live_since;             /* ... the first of them then (wall-clock ms) */
    const char *reason;             /* why it ends by itself */

    struct park_wait *wait; /* NULL: a stream */
};

/* One event as several readers get it: encoded once for each form and dialect. */
struct encoding {
    int64_t seq; /* 0: of none */
    enum frame_form form;
    enum dialect_kind dialect;
    char *repo_status;
    struct buf text;
};

struct park {
    struct park_options o;
    struct loop_fd bell_fd;
    struct loop_timer check; /* when to look at db_changed next */
    struct watch *buckets[BUCKETS];
    size_t count;
    int64_t streams;  /* of these: that follow */
    int64_t position; /* every event up to here has been handed out */
    bool woken;       /* the bell rang */
    bool unread;      /* there may be events behind `position` */
    bool shutdown;
    struct watch *touched, **touched_end; /* to be served, in this order */
    struct event_list rows;
    struct encoding encodings[ENCODINGS]; /* the newest */
    size_t encoded;                       /* how many were ever made */
};

/* ---- who watches what ---- */

static size_t hash(enum event_scope_kind kind, int64_t task, const char *owner, const char *group)
{
    uint64_t h = hash_bytes(HASH_START ^ (uint64_t)kind, &task, sizeof task);
    h = hash_text(hash_text(h, owner), group);
    return (size_t)((h ^ h >> 32) % BUCKETS);
}

static struct watch **bucket_of(struct park *p, const struct event_scope *s)
{
    switch (s->kind) {
    case SCOPE_TASK: return &p->buckets[hash(s->kind, s->task, NULL, NULL)];
    case SCOPE_GROUP: return &p->buckets[hash(s->kind, 0, s->owner, s->group)];
    case SCOPE_OWNER: return &p->buckets[hash(s->kind, 0, s->owner, NULL)];
    case SCOPE_ALL: break;
    }
    return &p->buckets[hash(SCOPE_ALL, 0, NULL, NULL)];
}

static void touch(struct watch *w)
{
    struct park *p = w->park;
    if (w->touched) return;
    w->touched = true;
    w->next_touched = NULL;
    *p->touched_end = w;
    p->touched_end = &w->next_touched;
}

static void on_ready(void *arg, int events);
static void on_time(void *arg);

/* Brings the end of all that waits. */
static void end_all(struct park *p, enum frame_end_reason reason)
{
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct watch *w = p->buckets[i]; w; w = w->next) {
            if (w->deadline > now) w->deadline = now, w->at_deadline = reason;
            loop_timer_set(p->o.loop, &w->timer, now);
        }
}

static void on_bell(void *arg, int events)
{
    (void)events;
    ((struct park *)arg)->woken = true;
}

static void on_check(void *arg)
{
    struct park *p = arg;
    if (db_changed(p->o.db)) p->unread = true;
    if (stream_slots_wanted(p->o.slots)) end_all(p, END_ROTATED);
    loop_timer_set(p->o.loop, &p->check, clock_monotonic_ms() + CHECK_MS);
}

/* The first one: nobody was here to listen for. What happened meanwhile is in the log for those who want
 * it. */
static void listen(struct park *p)
{
    if (loop_add(p->o.loop, &p->bell_fd, NULL)) log_error("cannot listen at the bell", "%s", "");
    bell_answer(p->o.bell);
    p->unread = p->woken = false;
    if (events_newest(p->o.db, &p->position, NULL)) p->unread = true;
    on_check(p);
}

static struct watch *add(struct park *p, enum watch_kind kind, struct conn *conn,
                         const struct event_scope *scope, const char *account)
{
    struct watch *w = mem_alloc(sizeof *w);
    w->park = p;
    w->kind = kind;
    w->conn = conn;
    w->owner = mem_str(scope->owner);
    w->group = mem_str(scope->group);
    w->account = mem_str(account);
    w->scope = *scope;
    w->scope.owner = w->owner;
    w->scope.group = w->group;
    w->link = bucket_of(p, &w->scope);
    w->next = *w->link;
    if (w->next) w->next->link = &w->next;
    *w->link = w;

    /* A file (a CGI process's output) cannot be waited for and never blocks: it is written at once. */
    w->fd = (struct loop_fd){.fd = conn_fd(conn), .events = LOOP_HALF, .ready = on_ready, .arg = w};
    if (conn_fd(conn) <= 2) w->fd.events = 0;
    w->in_loop = !loop_add(p->o.loop, &w->fd, NULL);
    w->timer = (struct loop_timer){.fire = on_time, .arg = w};
    if (!p->count++) listen(p);
    return w;
}

/* Takes it out; its connection is the caller's. A touched one stays in the list, empty. */
static void forget(struct watch *w)
{
    struct park *p = w->park;
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    if (w->in_loop) loop_del(p->o.loop, &w->fd);
    loop_timer_stop(p->o.loop, &w->timer);
    if (w->account) park_leave(p, w->account);
    if (!--p->count) {
        loop_del(p->o.loop, &p->bell_fd);
        loop_timer_stop(p->o.loop, &p->check);
    }
    event_filter_free(w->filter);
    buf_free(&w->out);
    free(w->owner);
    free(w->group);
    free(w->account);
    free(w->repo_status);
    free(w->about);
    w->filter = NULL;
    w->conn = NULL;
    w->owner = w->group = w->account = w->repo_status = w->about = NULL;
    if (!w->touched) free(w);
}

/* The last position examined for a reader. */
static int64_t position(const struct watch *w)
{
    return !w->behind && w->park->position > w->cursor ? w->park->position : w->cursor;
}

/* Where a stream that ends is to go on. One of a task names an event of that task: whoever comes back by it alone
 * (GET /run) finds what it watched. */
static int64_t goes_on_at(const struct watch *w)
{
    return w->scope.kind == SCOPE_TASK ? w->cursor : position(w);
}

/* Counts and logs the end of a stream that follows. */
static void note_end(const struct watch *w, const char *reason)
{
    struct park *p = w->park;
    metrics_set(p->o.metrics, METRIC_STREAMS_OPEN, --p->streams);
    metrics_add(p->o.metrics, METRIC_STREAM_ENDS, (const char *const[]){reason}, 1);
    if (!w->about) return;
    struct buf cursor = {0};
    cursor_write(&cursor, db_epoch(p->o.db), goes_on_at(w));
    log_info("stream_close", "%s cursor=%s reason=%s events=%lld elapsed_ms=%lld", w->about,
             cursor.data, reason, (long long)w->events,
             (long long)(clock_monotonic_ms() - w->opened_at));
    buf_free(&cursor);
}

/* Ends a stream: properly (`gone` NULL), or because its client is gone, and why. */
static void end_stream(struct watch *w, const char *gone)
{
    struct park *p = w->park;
    struct conn *conn = w->conn;
    if (w->until == INT64_MAX) note_end(w, gone ? gone : w->reason);
    forget(w);
    if (gone)
        conn_free(conn);
    else
        p->o.end_conn(p->o.arg, conn);
}

static void answered(struct exchange *x, void *arg)
{
    (void)x, (void)arg; /* it ends */
}

/* Ends a wait that was answered, or whose client is gone. */
static void end_wait(struct watch *w, bool gone)
{
    struct exchange *x = w->exchange;
    struct park_wait *wait = w->wait;
    forget(w);
    if (gone) conn_free(exchange_give_conn(x));
    if (wait->drop) wait->drop(wait->arg);
    free(wait);
    exchange_resume(x, answered, NULL);
}

static void on_ready(void *arg, int events)
{
    struct watch *w = arg;
    if (!(events & LOOP_HUP))
        touch(w);
    else if (w->kind == WATCH_STREAM)
        end_stream(w, "gone");
    else
        end_wait(w, true);
}

/* ---- one stream ---- */

static void set_timer(struct watch *w)
{
    int64_t at = w->deadline;
    if (w->kind == WATCH_STREAM && w->heartbeat_at < at) at = w->heartbeat_at;
    loop_timer_set(w->park->o.loop, &w->timer, at);
}

/* What has begun to be sent goes to its end; a large event that has not is left to the next stream. */
static void say_end(struct watch *w, enum frame_end_reason reason)
{
    if (w->large && !w->sent) {
        w->cursor = w->before_large;
        w->large = 0;
        w->behind = true;
    }
    frame_end(&w->out, w->form, &w->dialect, reason, clock_wall_ms(), w->retry_ms, goes_on_at(w),
              db_epoch(w->park->o.db));
    w->reason = frame_end_name(reason);
    w->ending = true;
}

/* Notes that a reader has come to an event, and whether it was `given` it. */
static void passed(struct watch *w, const struct event *ev, bool given)
{
    w->events += given;
    w->cursor = ev->seq;
    if (w->scope.kind == SCOPE_TASK && (w->finished || event_finishes(ev))) w->task_ended = true;
}

static const char *words_of(const struct watch *w)
{
    return w->repo_status ? w->repo_status : "";
}

/* An event as a reader of this form and dialect gets it, or NULL when that is not kept. */
static const struct buf *kept(const struct park *p, const struct watch *w, int64_t seq)
{
    for (const struct encoding *en = p->encodings; en < p->encodings + ENCODINGS; en++)
        if (en->seq == seq && en->form == w->form && en->dialect == w->dialect.kind &&
            !strcmp(en->repo_status, words_of(w)))
            return &en->text;
    return NULL;
}

/* The same, which is made where it is not kept. Borrowed, until the next one is asked for. */
static const struct buf *encode(struct park *p, const struct watch *w, const struct event *ev)
{
    const struct buf *text = kept(p, w, ev->seq);
    if (text) return text;
    struct encoding *en = &p->encodings[p->encoded++ % ENCODINGS];
    if (!en->repo_status || strcmp(en->repo_status, words_of(w)) != 0) {
        free(en->repo_status);
        en->repo_status = mem_str(words_of(w));
    }
    en->seq = ev->seq;
    en->form = w->form;
    en->dialect = w->dialect.kind;
    buf_clear(&en->text);
    frame_event(&en->text, w->form, &w->dialect, ev, db_epoch(p->o.db));
    return &en->text;
}

/* Gives one event to a reader that is exactly before it, and whose `large` is none. Whether it was anything to
 * that one. */
static bool give(struct watch *w, const struct event *ev)
{
    const struct buf *text = NULL;
    if (event_filter_match(w->filter, ev->type)) text = encode(w->park, w, ev);
    bool given = text && text->len;
    if (given && text->len > SLICE) {
        w->before_large = w->cursor;
        w->large = ev->seq;
        w->sent = 0;
        w->behind = true; /* what follows is read when it has gone */
    } else if (given) {
        buf_add(&w->out, text->data, text->len);
    }
    passed(w, ev, given);
    return given;
}

/* Ends a task's stream when the task is finished and its newest event was given. A task that was
 * retried meanwhile goes on; one that was deleted has nothing more to say. False when the database did
 * not answer. */
static bool end_if_finished(struct watch *w)
{
    enum task_status status = TASK_PENDING;
    int64_t newest = 0;
    enum err rc = task_state(w->park->o.db, w->scope.task, &status, &newest, NULL);
    if (rc && rc != ERR_NOTFOUND) return false;
    w->task_ended = false;
    w->finished = rc == ERR_NOTFOUND || task_status_terminal(status);
    /* Of one that is gone nobody knows whether this was all: who comes back is told. */
    if (rc == ERR_NOTFOUND)
        say_end(w, END_ROTATED);
    else if (w->finished && newest <= position(w))
        say_end(w, END_FINISHED);
    return true;
}

/* Whether something was deleted between a reader of many tasks and what it reads next. Looked at after the
 * reading: what was deleted since then has been read. */
static bool evicted(struct watch *w)
{
    int64_t floor = 0;
    if (w->scope.kind == SCOPE_TASK) return false; /* a task's log never has a gap */
    return events_floor(w->park->o.db, &w->scope, &floor, NULL) || floor > w->cursor;
}

/* Reads the next part of the log for a reader that is behind. False when the database did not answer. */
static bool replay(struct watch *w)
{
    struct event_list *rows = &w->park->rows;
    if (events_read(w->park->o.db, &w->scope, w->cursor, READ_ROWS, READ_BYTES, rows, NULL))
        return false;
    if (evicted(w)) {
        say_end(w, END_ROTATED); /* it comes back with its cursor and is told */
        return true;
    }
    size_t given = 0;
    while (given < rows->count && rows->items[given].seq <= w->until && !w->large)
        give(w, &rows->items[given++]);
    if (w->large || (rows->more && given == rows->count)) return true;

    /* The log was read to its end, which is not before the park's position. */
    w->behind = false;
    if (w->until != INT64_MAX)
        w->ending = true;
    else
        w->task_ended = w->scope.kind == SCOPE_TASK;
    return true;
}

/* What a stream has to say beyond what waits in `out`. False when the database did not answer. */
static bool fill(struct watch *w)
{
    if (w->ending || w->large || w->out.len >= SLICE) return true;
    /* A reader that is always behind never has an empty `out` in which on_time could end it, nor has one
     * whose socket was full then. */
    if (clock_monotonic_ms() >= w->deadline) {
        say_end(w, w->at_deadline);
        return true;
    }
    if (w->behind && !replay(w)) return false;
    return w->behind || w->ending || !w->task_ended || end_if_finished(w);
}

/* The socket is full: false. */
static bool wait_for_room(struct watch *w)
{
    if (w->in_loop) loop_want(w->park->o.loop, &w->fd, w->fd.events | LOOP_OUT);
    return false;
}

/* Writes a slice of what waits, and takes it off `*left`. False: the socket is full, the reader has had its turn,
 * or the client is gone and so is *w. */
static bool write_slice(struct watch *w, const char *bytes, size_t len, size_t *written, int *left)
{
    *written = len < SLICE ? len : SLICE;
    if (!conn_writable(w->conn, *written)) return wait_for_room(w);
    if (!(*left)--) {
        touch(w);
        return false;
    }
    if (conn_write(w->conn, bytes, *written) && (w->ending || conn_flush(w->conn))) return true;
    end_stream(w, "gone");
    return false;
}

static bool flush_out(struct watch *w, int *left)
{
    for (size_t n; w->out.len; buf_drop(&w->out, n))
        if (!write_slice(w, w->out.data, w->out.len, &n, left)) return false;
    buf_free(&w->out);
    return true;
}

/* The text of the large event, encoded again where it is not kept. NULL: the database did not answer, or it is in
 * the log no more, and w->large is none then. */
static const struct buf *large_text(struct watch *w)
{
    struct event_list *rows = &w->park->rows;
    const struct buf *text = kept(w->park, w, w->large);
    if (text) return text;
    if (events_read(w->park->o.db, &w->scope, w->large - 1, 1, READ_BYTES, rows, NULL)) return NULL;
    if (rows->count && rows->items[0].seq == w->large) return encode(w->park, w, rows->items);
    w->large = 0;
    return NULL;
}

/* The database did not answer: an early heartbeat brings the reader back. */
static void try_soon(struct watch *w)
{
    int64_t again = clock_monotonic_ms() + CHECK_MS;
    if (w->heartbeat_at > again) w->heartbeat_at = again;
    set_timer(w);
}

/* Each slow reader of a large event keeps how far it has come in it, and no copy. */
static bool flush_large(struct watch *w, int *left)
{
    const struct buf *text = large_text(w);
    if (!text && w->large)
        try_soon(w);
    else if (!text)
        end_stream(w, "gone"); /* it comes back with its cursor and is told */
    if (!text) return false;
    for (size_t n; w->sent < text->len; w->sent += n)
        if (!write_slice(w, text->data + w->sent, text->len - w->sent, &n, left)) return false;
    w->large = 0;
    return true;
}

/* Writes what waits. False: not all of it; the rest goes when the socket takes it, or in the next turn, or
 * never, because the client is gone and so is *w. */
static bool flush(struct watch *w)
{
    int left = SLICES;
    if (!(w->large && w->sent) && !flush_out(w, &left)) return false;
    if (w->large && !flush_large(w, &left)) return false;
    if (!flush_out(w, &left)) return false;
    if (w->ending) return true; /* the last of it leaves with the end */
    if (!conn_flush(w->conn)) {
        end_stream(w, "gone");
        return false;
    }
    if (!conn_writable(w->conn, 0)) return wait_for_room(w);
    if (w->in_loop) loop_want(w->park->o.loop, &w->fd, w->fd.events & ~LOOP_OUT);
    return true;
}

/* Moves a stream on as far as its socket allows, at most one part of the log. */
static void serve_stream(struct watch *w)
{
    if (!fill(w)) {
        conn_flush(w->conn); /* the head of the answer waits for nothing */
        try_soon(w);
        return;
    }
    if (w->out.len || w->large) w->silent = 0;
    if (!flush(w)) return;
    if (w->live) {
        /* Events that leave together are as old as the first of them. */
        metrics_observe(w->park->o.metrics, METRIC_DELIVERY, NULL,
                        (clock_wall_ms() - w->live_since) * 1000, w->live);
        w->live = 0;
    }
    if (w->ending)
        end_stream(w, NULL);
    else if (w->behind || w->task_ended)
        touch(w); /* the next part, after the others had their turn */
}

static void serve_wait(struct watch *w, bool last)
{
    struct park *p = w->park;
    bool portions = w->kind == WATCH_PORTIONS;
    /* who looks in portions may give the connection to a stream, which watches it then */
    if (portions && w->in_loop) loop_del(p->o.loop, &w->fd);
    if (portions) w->in_loop = false;
    if (w->wait->look(w->exchange, w->wait->arg, last)) {
        end_wait(w, false);
    } else if (portions) {
        w->in_loop = !loop_add(p->o.loop, &w->fd, NULL);
        touch(w);
    }
}

/* Ends a stream whose credential is worth nothing any more, also one whose socket is full: what it still
 * has to take was made before. A database that does not answer leaves it until the next heartbeat. */
static bool end_if_unauthorized(struct watch *w, int64_t now)
{
    enum credential_state state = CREDENTIAL_VALID;
    int64_t wall = clock_wall_ms();
    if (w->credential && credential_check(w->park->o.db, w->credential, wall, &state, NULL))
        return false;
    if (wall >= w->expires_at) state = CREDENTIAL_EXPIRED;
    if (state == CREDENTIAL_VALID) return false;
    say_end(w, state == CREDENTIAL_EXPIRED ? END_EXPIRED : END_REVOKED);
    w->deadline = now;
    touch(w);
    return true;
}

/* What has come due for a stream: a heartbeat, the end. False: it is gone. */
static bool serve_time(struct watch *w, int64_t now)
{
    bool beat = now >= w->heartbeat_at;
    if (beat) w->heartbeat_at = now + w->heartbeat_ms;
    bool look = beat || (w->at_deadline == END_EXPIRED && now >= w->deadline);
    if (look && !w->ending && end_if_unauthorized(w, now)) return true;
    if (w->ending || w->large || w->out.len) {
        if (w->large && beat) touch(w); /* the database may not have answered */
        if (now < w->deadline + STUCK_MS) return true;
        end_stream(w, "stuck");
        return false;
    }
    bool silent = beat && !frame_beats(w->form) && ++w->silent >= SILENT_BEATS &&
                  w->silent * w->heartbeat_ms >= SILENT_MS;
    if (now >= w->deadline || silent) {
        bool early = now < w->deadline;
        say_end(w, early ? END_ROTATED : w->at_deadline);
        if (early) w->deadline = now;
        touch(w);
    } else if (beat) {
        frame_heartbeat(&w->out, w->form, clock_wall_ms());
        touch(w);
    }
    return true;
}

static void on_time(void *arg)
{
    struct watch *w = arg;
    int64_t now = clock_monotonic_ms();
    if (w->kind != WATCH_STREAM) {
        serve_wait(w, true);
        return;
    }
    if (!serve_time(w, now)) return;
    /* Past its deadline only a full socket keeps it, which is looked at with each heartbeat. */
    if (now >= w->deadline)
        loop_timer_set(w->park->o.loop, &w->timer,
                       w->heartbeat_at < now + STUCK_MS ? w->heartbeat_at : now + STUCK_MS);
    else
        set_timer(w);
}

/* ---- all of them ---- */

/* Gives an event as it happens. */
static void give_live(struct watch *w, const struct event *ev)
{
    if (give(w, ev) && !w->live++) w->live_since = ev->ts;
    if (w->out.len || w->large || w->task_ended) touch(w);
}

/* Offers an event to the readers of one bucket. */
static void offer(struct watch *w, const struct event *ev)
{
    for (; w; w = w->next) {
        if (!event_in_scope(ev, &w->scope)) continue;
        if (w->kind != WATCH_STREAM || w->behind)
            touch(w);
        else if (w->ending || ev->seq <= w->cursor)
            continue;
        else if (w->out.len >= READ_BYTES)
            w->behind = true; /* invariant 1: the log keeps it */
        else
            give_live(w, ev);
    }
}

static void offer_all(struct park *p, const struct event *ev)
{
    struct event_scope s = {SCOPE_TASK, ev->task, ev->owner, ev->group};
    if (ev->task) offer(*bucket_of(p, &s), ev);
    s.kind = SCOPE_GROUP;
    if (ev->group) offer(*bucket_of(p, &s), ev);
    s.kind = SCOPE_OWNER;
    offer(*bucket_of(p, &s), ev);
    s.kind = SCOPE_ALL;
    offer(*bucket_of(p, &s), ev);
    p->position = ev->seq;
}

/* Reads what is new once, and gives it to whoever watches, for as long as a turn may take. */
static void read_new(struct park *p)
{
    const struct event_scope all = {.kind = SCOPE_ALL};
    struct error e = {0};
    int64_t end = clock_monotonic_us() + TURN_US;
    p->unread = false;
    if (events_read(p->o.db, &all, p->position, READ_ROWS, READ_BYTES, &p->rows, &e)) {
        log_failure(LOG_LEVEL_WARN, "cannot read the log", &e); /* on_check comes back to it */
        return;
    }
    size_t i = 0;
    while (i < p->rows.count && (!i || clock_monotonic_us() < end))
        offer_all(p, &p->rows.items[i++]);
    p->unread = p->rows.more || i < p->rows.count;
}

static void serve(struct watch *w)
{
    if (!w->conn)
        free(w); /* ended while it was in the list */
    else if (w->kind == WATCH_STREAM)
        serve_stream(w);
    else
        serve_wait(w, false);
}

/* Takes the whole list of those to be served; *end is where it could be continued. */
static struct watch *take_touched(struct park *p, struct watch ***end)
{
    struct watch *list = p->touched;
    *end = p->touched_end;
    p->touched = NULL;
    p->touched_end = &p->touched;
    return list;
}

/* Serves those that are in the list now, each once, for as long as a turn may take. */
static void serve_touched(struct park *p)
{
    int64_t until = clock_monotonic_us() + TURN_US;
    struct watch **end, *list = take_touched(p, &end);
    while (list) {
        struct watch *w = list;
        list = w->next_touched;
        w->touched = false;
        serve(w);
        if (!list || clock_monotonic_us() < until) continue;
        /* the rest comes first in the next turn */
        *end = p->touched;
        if (!p->touched) p->touched_end = end;
        p->touched = list;
        return;
    }
}

enum err park_open(struct park **out, const struct park_options *options, struct error *e)
{
    struct park *p = mem_alloc(sizeof *p);
    p->o = *options;
    p->touched_end = &p->touched;
    p->check = (struct loop_timer){.fire = on_check, .arg = p};
    p->bell_fd =
        (struct loop_fd){.fd = bell_fd(p->o.bell), .events = LOOP_IN, .ready = on_bell, .arg = p};
    enum err rc = events_newest(p->o.db, &p->position, e);
    if (rc) {
        free(p);
        return rc;
    }
    *out = p;
    return ERR_OK;
}

void park_close(struct park *p)
{
    if (!p) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct watch *w; (w = p->buckets[i]);) {
            if (w->kind == WATCH_STREAM)
                end_stream(w, "shutdown");
            else
                end_wait(w, true);
            assert(p->buckets[i] != w);
        }
    while (p->touched) serve_touched(p);
    for (size_t i = 0; i < ENCODINGS; i++) {
        buf_free(&p->encodings[i].text);
        free(p->encodings[i].repo_status);
    }
    event_list_free(&p->rows);
    free(p);
}

size_t park_count(const struct park *p)
{
    return p->count;
}

enum park_place park_enter(struct park *p, const char *account, int64_t most)
{
    if (p->count >= (size_t)p->o.max_streams) return PARK_FULL;
    switch (stream_slots_take(p->o.slots, account, most)) {
    case SLOT_TAKEN: return PARK_ADMITTED;
    case SLOT_ACCOUNT_FULL: return PARK_ACCOUNT_FULL;
    case SLOT_SITE_FULL: break;
    }
    return PARK_FULL;
}

void park_leave(struct park *p, const char *account)
{
    stream_slots_give_back(p->o.slots, account);
}

/* Sets when it ends, and why. */
static void set_deadline(struct watch *w, int64_t now, int64_t stream_ms)
{
    int64_t wall = clock_wall_ms();
    w->at_deadline = w->park->shutdown ? END_SHUTDOWN : END_ROTATED;
    w->deadline = w->park->shutdown ? now : now + stream_ms;
    if (w->park->shutdown || w->expires_at >= wall + stream_ms) return;
    w->at_deadline = END_EXPIRED;
    w->deadline = w->expires_at > wall ? now + (w->expires_at - wall) : now;
}

void park_stream(struct park *p, const struct park_stream *s)
{
    const char *scope = event_scope_name(s->scope.kind);
    int64_t now = clock_monotonic_ms();
    struct watch *w = add(p, WATCH_STREAM, s->conn, &s->scope, s->account);
    if (s->until == INT64_MAX) {
        metrics_set(p->o.metrics, METRIC_STREAMS_OPEN, ++p->streams);
        metrics_add(p->o.metrics, METRIC_STREAMS_OPENED, &scope, 1);
    }
    w->about = s->about;
    w->opened_at = now;
    w->form = s->form;
    w->repo_status = mem_str(s->dialect.repo_status);
    w->dialect = s->dialect;
    w->dialect.repo_status = w->repo_status;
    w->filter = s->filter;
    w->out = s->prelude;
    w->cursor = s->after;
    w->until = s->until;
    w->behind = true;
    w->credential = s->credential;
    w->expires_at = s->expires_at ? s->expires_at : INT64_MAX;
    set_deadline(w, now, s->account ? stream_slots_length(p->o.slots, s->stream_ms) : s->stream_ms);
    w->heartbeat_ms = s->heartbeat_ms;
    w->heartbeat_at = now + s->heartbeat_ms;
    w->retry_ms = s->retry_ms;
    set_timer(w);
    touch(w);
}

static void hold(struct park *p, struct exchange *x, enum watch_kind kind,
                 const struct park_wait *wait)
{
    struct watch *w = add(p, kind, x->conn, &wait->scope, wait->account);
    w->exchange = x;
    w->wait = mem_dup(wait, sizeof *wait);
    int64_t wait_ms =
        wait->account ? stream_slots_length(p->o.slots, wait->wait_ms) : wait->wait_ms;
    w->deadline = p->shutdown ? 0 : clock_monotonic_ms() + wait_ms;
    exchange_hold(x);
    set_timer(w);
    touch(w);
}

void park_wait(struct park *p, struct exchange *x, const struct park_wait *w)
{
    hold(p, x, WATCH_WAIT, w);
}

void park_portions(struct park *p, struct exchange *x, const struct park_wait *w)
{
    hold(p, x, WATCH_PORTIONS, w);
}

void park_wake(struct park *p)
{
    if (p->count) p->woken = true;
}

bool park_busy(const struct park *p)
{
    return p->touched || p->woken || (p->unread && p->count);
}

void park_turn(struct park *p)
{
    if (p->woken) {
        p->woken = false;
        bell_answer(p->o.bell);
        p->unread = true;
    }
    if (p->unread && p->count) read_new(p);
    serve_touched(p);
    if (!txn_idle(p->o.db)) log_error("a statement is open while the loop waits", "%s", "");
}

void park_shutdown(struct park *p)
{
    p->shutdown = true;
    end_all(p, END_SHUTDOWN);
}
