#include "sse/hub.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/credentials.h"
#include "store/figures.h"
#include "store/tasks.h"
#include "task/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    READ_ROWS = 256, /* one read of the log, for all or for one reader */
    READ_BYTES = 64 * 1024,
    SLICE = 48 * 1024, /* written between two looks at the socket (conn_writable) */
    CHECK_MS = 1000,   /* covers a bell that was not heard, and foreign writers */
    GRAIN_MS = 50,     /* deadlines are met within this */
    /* Text without heartbeats is ended before a web server takes it for dead: after three of them, and
     * after this long, however quick they are, for the usual limit is 60 s. */
    SILENT_BEATS = 3,
    SILENT_MS = 45000,
    STUCK_MS = 10000, /* a reader that takes nothing is dropped this long after its end */
};

enum watch_kind { WATCH_STREAM, WATCH_POLL };

struct watch {
    struct watch *next, **link; /* in its bucket */
    struct watch *next_touched; /* in this turn's list */
    bool touched;
    struct hub *hub;
    enum watch_kind kind;
    struct conn *conn;
    struct loop_fd fd;
    bool in_loop;
    struct event_scope scope;
    char *owner, *group; /* of the scope */
    char *account;

    /* a stream */
    char *about; /* as in hub_stream */
    enum frame_form form;
    struct dialect dialect;
    char *repo_status; /* of the dialect */
    struct event_filter *filter;
    struct buf out; /* what the socket did not take yet */
    int64_t cursor; /* the last position given or examined */
    int64_t until;
    bool behind;     /* the log after `cursor` has not been read for it */
    bool task_ended; /* saw an event that may end the stream */
    bool finished;   /* its task was, when last looked at: any event may be the last */
    bool ending;     /* the last frame is in `out` */
    int64_t deadline, heartbeat_at, heartbeat_ms, retry_ms;
    int silent; /* heartbeats that would have come since it was given something */
    enum frame_end_reason at_deadline;
    int64_t credential, expires_at; /* as in hub_stream */
    int64_t opened_at;              /* monotonic ms */
    int64_t events;                 /* given, also those that wait in `out` */
    int64_t live;                   /* of these in `out`: given as they happened ... */
    int64_t live_since;             /* ... the first of them then (wall-clock ms) */
    const char *reason;             /* why it ends by itself */

    struct hub_poll poll;
    bool shutdown;
};

struct hub {
    struct loop *loop;
    struct db *db;
    struct bell *bell;
    struct loop_fd bell_fd;
    struct watch *buckets[BUCKETS];
    size_t count;
    int64_t streams;       /* of these: that follow */
    int64_t position;      /* every event up to here has been handed out */
    bool woken;            /* the bell rang */
    int64_t check_at;      /* when to look at db_changed next */
    int64_t due_at;        /* when the next deadline or heartbeat may come */
    struct watch *touched; /* to be served in this turn */
    struct event_list rows;
};

/* ---- who watches what ---- */

static size_t hash(enum event_scope_kind kind, int64_t task, const char *owner, const char *group)
{
    uint64_t h = 14695981039346656037U ^ (uint64_t)kind; /* FNV-1a */
    h = (h ^ (uint64_t)task) * 1099511628211U;
    for (; owner && *owner; owner++) h = (h ^ (unsigned char)*owner) * 1099511628211U;
    for (; group && *group; group++) h = (h ^ (unsigned char)*group) * 1099511628211U;
    return (size_t)((h ^ h >> 32) % BUCKETS);
}

static struct watch **bucket_of(struct hub *h, const struct event_scope *s)
{
    switch (s->kind) {
    case SCOPE_TASK: return &h->buckets[hash(s->kind, s->task, NULL, NULL)];
    case SCOPE_GROUP: return &h->buckets[hash(s->kind, 0, s->owner, s->group)];
    case SCOPE_OWNER: return &h->buckets[hash(s->kind, 0, s->owner, NULL)];
    case SCOPE_ALL: break;
    }
    return &h->buckets[hash(SCOPE_ALL, 0, NULL, NULL)];
}

static void touch(struct watch *w)
{
    if (w->touched) return;
    w->touched = true;
    w->next_touched = w->hub->touched;
    w->hub->touched = w;
}

static void on_ready(void *arg, int events);

static struct watch *add(struct hub *h, enum watch_kind kind, struct conn *conn,
                         const struct event_scope *scope)
{
    struct watch *w = mem_alloc(sizeof *w);
    w->hub = h;
    w->kind = kind;
    w->conn = conn;
    w->owner = mem_str(scope->owner);
    w->group = mem_str(scope->group);
    w->scope = *scope;
    w->scope.owner = w->owner;
    w->scope.group = w->group;
    w->link = bucket_of(h, &w->scope);
    w->next = *w->link;
    if (w->next) w->next->link = &w->next;
    *w->link = w;

    /* A file (a CGI process's output) cannot be waited for and never blocks: it is written at once. */
    w->fd = (struct loop_fd){.fd = conn_fd(conn), .events = LOOP_HALF, .ready = on_ready, .arg = w};
    if (conn_fd(conn) <= 2) w->fd.events = 0;
    w->in_loop = !loop_add(h->loop, &w->fd, NULL);

    if (!h->count++) {
        /* Nobody was here to listen for. What happened meanwhile is in the log for those who want it. */
        if (loop_add(h->loop, &h->bell_fd, NULL)) log_error("cannot listen at the bell", "%s", "");
        bell_answer(h->bell);
        events_newest(h->db, &h->position, NULL);
    }
    h->due_at = 0;
    return w;
}

/* Frees it; its connection has been ended by the caller. A touched one stays in the list, empty. */
static void forget(struct watch *w)
{
    struct hub *h = w->hub;
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    if (w->in_loop) loop_del(h->loop, &w->fd);
    w->conn = NULL;
    if (!--h->count) loop_del(h->loop, &h->bell_fd);
    event_filter_free(w->filter);
    w->filter = NULL;
    buf_free(&w->out);
    free(w->owner);
    free(w->group);
    free(w->account);
    free(w->repo_status);
    free(w->about);
    w->owner = w->group = w->account = w->repo_status = w->about = NULL;
    if (!w->touched) free(w);
}

/* The last position examined for a reader. */
static int64_t position(const struct watch *w)
{
    return !w->behind && w->hub->position > w->cursor ? w->hub->position : w->cursor;
}

/* Counts and logs the end of a stream that follows. */
static void note_end(const struct watch *w, const char *reason)
{
    struct hub *h = w->hub;
    figures_set(h->db, FIGURE_STREAMS_OPEN, --h->streams);
    figures_add(h->db, FIGURE_STREAM_ENDS, (const char *const[]){reason}, 1);
    if (!w->about) return;
    struct buf cursor = {0};
    cursor_write(&cursor, db_epoch(h->db), position(w));
    log_info("stream_close", "%s cursor=%s reason=%s events=%lld elapsed_ms=%lld", w->about,
             cursor.data, reason, (long long)w->events,
             (long long)(clock_monotonic_ms() - w->opened_at));
    buf_free(&cursor);
}

/* Ends the request: properly (`gone` NULL), or because its client is gone, and why. */
static void end(struct watch *w, const char *gone)
{
    if (w->kind == WATCH_STREAM && w->until == INT64_MAX) note_end(w, gone ? gone : w->reason);
    struct conn *conn = w->conn;
    struct hub_poll poll = w->poll;
    enum watch_kind kind = w->kind;
    forget(w);
    if (kind == WATCH_POLL)
        poll.drop(poll.arg);
    else if (gone)
        conn_free(conn);
    else
        conn_finish(conn);
}

static void on_ready(void *arg, int events)
{
    struct watch *w = arg;
    if (events & LOOP_HUP)
        end(w, "gone");
    else
        touch(w);
}

/* ---- one stream ---- */

static void say_end(struct watch *w, enum frame_end_reason reason)
{
    frame_end(&w->out, w->form, &w->dialect, reason, clock_wall_ms(), w->retry_ms, position(w),
              db_epoch(w->hub->db));
    w->reason = frame_end_name(reason);
    w->ending = true;
}

/* Gives one event to a reader that is exactly before it. */
static void give(struct watch *w, const struct event *ev)
{
    size_t before = w->out.len;
    if (event_filter_match(w->filter, ev->type))
        frame_event(&w->out, w->form, &w->dialect, ev, db_epoch(w->hub->db));
    w->events += w->out.len > before;
    w->cursor = ev->seq;
    if (w->scope.kind == SCOPE_TASK && (w->finished || event_finishes(ev))) w->task_ended = true;
}

/* Ends a task's stream when the task is finished and its newest event was given. A task that was
 * retried meanwhile goes on; one that was deleted has nothing more to say. False when the database did
 * not answer. */
static bool end_if_finished(struct watch *w)
{
    enum task_status status = TASK_PENDING;
    int64_t newest = 0;
    enum err rc = task_state(w->hub->db, w->scope.task, &status, &newest, NULL);
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
    return events_floor(w->hub->db, &w->scope, &floor, NULL) || floor > w->cursor;
}

/* Reads the next part of the log for a reader that is behind. False when the database did not answer. */
static bool replay(struct watch *w)
{
    struct event_list *rows = &w->hub->rows;
    if (events_read(w->hub->db, &w->scope, w->cursor, READ_ROWS, READ_BYTES, rows, NULL))
        return false;
    if (evicted(w)) {
        say_end(w, END_ROTATED); /* it comes back with its cursor and is told */
        return true;
    }
    size_t given = 0;
    while (given < rows->count && rows->items[given].seq <= w->until)
        give(w, &rows->items[given++]);
    if (rows->more && given == rows->count) return true;

    /* The log was read to its end, which is not before hub's position. */
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
    if (w->ending || w->out.len >= SLICE) return true;
    /* A reader that is always behind never has an empty `out` in which serve_time could end it. */
    if (w->behind && clock_monotonic_ms() >= w->deadline) {
        say_end(w, w->at_deadline);
        return true;
    }
    if (w->behind && !replay(w)) return false;
    return w->behind || w->ending || !w->task_ended || end_if_finished(w);
}

/* Moves a stream on as far as its socket allows, at most one part of the log. */
static void serve_stream(struct watch *w)
{
    if (!fill(w)) {
        /* An early heartbeat brings it back here. */
        int64_t again = clock_monotonic_ms() + CHECK_MS;
        if (w->heartbeat_at > again) w->heartbeat_at = again;
        w->hub->due_at = 0;
        return;
    }
    if (w->out.len) w->silent = 0;
    while (w->out.len) {
        if (!conn_writable(w->conn)) {
            if (w->in_loop) loop_want(w->hub->loop, &w->fd, w->fd.events | LOOP_OUT);
            return;
        }
        size_t n = w->out.len < SLICE ? w->out.len : SLICE;
        if (!conn_write(w->conn, w->out.data, n) || !conn_flush(w->conn)) {
            end(w, "gone");
            return;
        }
        buf_drop(&w->out, n);
    }
    buf_free(&w->out);
    if (w->live) {
        /* Events that leave together are as old as the first of them. */
        figures_observe(w->hub->db, FIGURE_DELIVERY, NULL, (clock_wall_ms() - w->live_since) * 1000,
                        w->live);
        w->live = 0;
    }
    if (w->in_loop) loop_want(w->hub->loop, &w->fd, w->fd.events & ~LOOP_OUT);
    if (w->ending)
        end(w, NULL);
    else if (w->behind || w->task_ended)
        touch(w); /* the next part, after the others had their turn */
}

static void serve_poll(struct watch *w, bool last)
{
    if (w->poll.look(w->poll.arg, last)) end(w, NULL);
}

/* Ends a stream whose credential is worth nothing any more, also one whose socket is full: what it still
 * has to take was made before. A database that does not answer leaves it until the next heartbeat. */
static bool end_if_unauthorized(struct watch *w, int64_t now)
{
    enum credential_state state = CREDENTIAL_VALID;
    int64_t wall = clock_wall_ms();
    if (w->credential && credential_check(w->hub->db, w->credential, wall, &state, NULL))
        return false;
    if (wall >= w->expires_at) state = CREDENTIAL_EXPIRED;
    if (state == CREDENTIAL_VALID) return false;
    say_end(w, state == CREDENTIAL_EXPIRED ? END_EXPIRED : END_REVOKED);
    w->deadline = now;
    touch(w);
    return true;
}

/* What has come due: a heartbeat, the end. */
static void serve_time(struct watch *w, int64_t now)
{
    if (w->kind == WATCH_POLL) {
        if (now >= w->deadline || w->shutdown) serve_poll(w, true);
        return;
    }
    bool beat = now >= w->heartbeat_at;
    if (beat) w->heartbeat_at = now + w->heartbeat_ms;
    bool look = beat || (w->at_deadline == END_EXPIRED && now >= w->deadline);
    if (look && !w->ending && end_if_unauthorized(w, now)) return;
    if (w->ending || w->out.len) {
        if (now >= w->deadline + STUCK_MS) end(w, "stuck");
        return;
    }
    bool silent = beat && !frame_beats(w->form) && ++w->silent >= SILENT_BEATS &&
                  w->silent * w->heartbeat_ms >= SILENT_MS;
    if (now >= w->deadline || w->shutdown || silent) {
        bool early = now < w->deadline;
        say_end(w, w->shutdown ? END_SHUTDOWN : early ? END_ROTATED : w->at_deadline);
        if (early) w->deadline = now;
        touch(w);
    } else if (beat) {
        frame_heartbeat(&w->out, w->form);
        touch(w);
    }
}

/* ---- all of them ---- */

/* Gives an event as it happens. */
static void give_live(struct watch *w, const struct event *ev)
{
    int64_t before = w->events;
    give(w, ev);
    if (w->events > before && !w->live++) w->live_since = ev->ts;
}

/* Offers an event to the readers of one bucket. */
static void offer(struct watch *w, const struct event *ev)
{
    for (; w; w = w->next) {
        if (!event_in_scope(ev, &w->scope)) continue;
        touch(w);
        if (w->kind == WATCH_POLL || w->behind || w->ending || ev->seq <= w->cursor) continue;
        if (w->out.len >= READ_BYTES)
            w->behind = true; /* invariant 1: the log keeps it */
        else
            give_live(w, ev);
    }
}

/* Reads what is new once, and gives it to whoever watches. True: there is more. */
static bool read_new(struct hub *h)
{
    const struct event_scope all = {.kind = SCOPE_ALL};
    struct error e = {0};
    if (events_read(h->db, &all, h->position, READ_ROWS, READ_BYTES, &h->rows, &e)) {
        log_warn("cannot read the log", " error=\"%s\"", e.text);
        h->check_at = clock_monotonic_ms() + CHECK_MS;
        return false;
    }
    for (size_t i = 0; i < h->rows.count; i++) {
        const struct event *ev = &h->rows.items[i];
        struct event_scope s = {SCOPE_TASK, ev->task, ev->owner, ev->group};
        if (ev->task) offer(*bucket_of(h, &s), ev);
        s.kind = SCOPE_GROUP;
        if (ev->group) offer(*bucket_of(h, &s), ev);
        s.kind = SCOPE_OWNER;
        offer(*bucket_of(h, &s), ev);
        s.kind = SCOPE_ALL;
        offer(*bucket_of(h, &s), ev);
        h->position = ev->seq;
    }
    return h->rows.more;
}

static void serve_touched(struct hub *h)
{
    struct watch *w = h->touched;
    h->touched = NULL;
    while (w) {
        struct watch *next = w->next_touched;
        w->touched = false;
        if (!w->conn)
            free(w); /* ended while it was in the list */
        else if (w->kind == WATCH_POLL)
            serve_poll(w, false);
        else
            serve_stream(w);
        w = next;
    }
}

static void on_bell(void *arg, int events)
{
    (void)events;
    ((struct hub *)arg)->woken = true;
}

enum err hub_open(struct hub **out, struct loop *loop, struct db *db, struct bell *bell,
                  struct error *e)
{
    struct hub *h = mem_alloc(sizeof *h);
    h->loop = loop;
    h->db = db;
    h->bell = bell;
    h->bell_fd =
        (struct loop_fd){.fd = bell_fd(bell), .events = LOOP_IN, .ready = on_bell, .arg = h};
    enum err rc = events_newest(db, &h->position, e);
    if (rc) {
        free(h);
        return rc;
    }
    *out = h;
    return ERR_OK;
}

void hub_close(struct hub *h)
{
    if (!h) return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct watch *w; (w = h->buckets[i]);) {
            end(w, "shutdown");
            assert(h->buckets[i] != w);
        }
    serve_touched(h);
    event_list_free(&h->rows);
    free(h);
}

size_t hub_count(const struct hub *h)
{
    return h->count;
}

size_t hub_count_of(const struct hub *h, const char *account)
{
    size_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct watch *w = h->buckets[i]; w; w = w->next)
            count += w->account && !strcmp(w->account, account);
    return count;
}

void hub_add_stream(struct hub *h, const struct hub_stream *s)
{
    int64_t now = clock_monotonic_ms();
    struct watch *w = add(h, WATCH_STREAM, s->conn, &s->scope);
    static const char *const scopes[] = {[SCOPE_TASK] = "task",
                                         [SCOPE_GROUP] = "group",
                                         [SCOPE_OWNER] = "owner",
                                         [SCOPE_ALL] = "all"};
    if (s->until == INT64_MAX) {
        figures_set(h->db, FIGURE_STREAMS_OPEN, ++h->streams);
        figures_add(h->db, FIGURE_STREAMS_OPENED, &scopes[s->scope.kind], 1);
    }
    w->about = s->about;
    w->opened_at = now;
    w->account = mem_str(s->account);
    w->form = s->form;
    w->repo_status = mem_str(s->dialect.repo_status);
    w->dialect = (struct dialect){s->dialect.kind, w->repo_status};
    w->filter = s->filter;
    w->out = s->prelude;
    w->cursor = s->after;
    w->until = s->until;
    w->behind = true;
    w->credential = s->credential;
    w->expires_at = s->expires_at ? s->expires_at : INT64_MAX;
    w->at_deadline = END_ROTATED;
    w->deadline = now + s->stream_ms;
    int64_t wall = clock_wall_ms();
    if (w->expires_at < wall + s->stream_ms) {
        w->at_deadline = END_EXPIRED;
        w->deadline = w->expires_at > wall ? now + (w->expires_at - wall) : now;
    }
    w->heartbeat_ms = s->heartbeat_ms;
    w->heartbeat_at = now + s->heartbeat_ms;
    w->retry_ms = s->retry_ms;
    touch(w);
}

void hub_add_poll(struct hub *h, const struct hub_poll *p)
{
    struct watch *w = add(h, WATCH_POLL, p->conn, &p->scope);
    w->poll = *p;
    w->deadline = clock_monotonic_ms() + p->wait_ms;
    touch(w);
}

int64_t hub_timeout(struct hub *h)
{
    if (h->touched || h->woken) return 0;
    if (!h->count) return -1;
    int64_t now = clock_monotonic_ms();
    int64_t next = h->due_at < h->check_at ? h->due_at : h->check_at;
    return next > now ? next - now : 0;
}

/* Looks at every deadline, and finds out when the next one is. */
static void look_at_time(struct hub *h, int64_t now)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct watch *w = h->buckets[i], *next; w; w = next) {
            next = w->next;
            int64_t at = w->kind == WATCH_STREAM && w->heartbeat_at < w->deadline ? w->heartbeat_at
                                                                                  : w->deadline;
            if (now >= at || w->shutdown) {
                serve_time(w, now);
                at = now;
            }
            if (at < due) due = at;
        }
    }
    h->due_at = due < now + GRAIN_MS ? now + GRAIN_MS : due;
}

void hub_turn(struct hub *h)
{
    int64_t now = clock_monotonic_ms();
    if (h->woken) {
        h->woken = false;
        bell_answer(h->bell);
        h->check_at = 0;
    }
    if (now >= h->check_at && h->count) {
        bool rung = h->check_at == 0;
        h->check_at = now + CHECK_MS;
        bool more = rung || db_changed(h->db);
        while (more) {
            more = read_new(h);
            serve_touched(h);
        }
    }
    if (h->count && now >= h->due_at) look_at_time(h, now);
    serve_touched(h);
    if (!db_idle(h->db)) log_error("a statement is open while the loop waits", "%s", "");
}

void hub_shutdown(struct hub *h)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct watch *w = h->buckets[i]; w; w = w->next) w->shutdown = true;
    h->due_at = 0;
}
