/* Following the log: of a task, a group, an owner; as a stream, as lines, as a page. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "handlers.h"
#include "limits.h"
#include "site.h"
#include "store/events.h"
#include "store/figures.h"
#include "store/groups.h"
#include "store/tasks.h"

#include <stdlib.h>
#include <string.h>

enum {
    READ_ROWS = 256,
    READ_BYTES = 256 * 1024,
    PAGE_LIMIT = 1000, /* events in a JSON page unless ?limit= says */
    PAGE_LIMIT_MAX = 10000,
    PAGE_BYTES = 4 * 1024 * 1024,
    SNAPSHOT_TASKS = 1000,
};

/* What is to be followed, and from where. */
struct follow {
    struct event_scope scope;
    char *owner, *group;         /* of the scope */
    struct task task;            /* SCOPE_TASK */
    struct event_filter *filter; /* NULL: everything */
    struct dialect dialect;      /* borrowed from the request */
    struct cursor cursor;        /* what the client sent */
    bool lines_follow;           /* ?follow=1 */

    /* found out in one read transaction */
    int64_t newest, floor;
    int64_t after;       /* where it starts */
    const char *reset;   /* why the client's cursor cannot be used, or NULL */
    bool at_now;         /* starts with a snapshot */
    bool nothing_to_say; /* a finished task, all of it seen */
    struct buf snapshot;
};

static void follow_free(struct follow *f)
{
    free(f->owner);
    free(f->group);
    task_free(&f->task);
    event_filter_free(f->filter);
    buf_free(&f->snapshot);
}

/* ---- reading the request ---- */

static enum err read_cursor(struct site *site, const struct request *request, struct follow *f,
                            struct error *e)
{
    static const char *const names[] = {"last_event_id", "lastEventId", "starting_after"};
    const char *header = request_header(request, "Last-Event-ID");
    f->cursor = cursor_parse(header, db_epoch(site->db));
    for (size_t i = 0; i < 3 && f->cursor.kind == CURSOR_NONE; i++) {
        char *text = NULL;
        enum err rc = request_query(request, names[i], &text, e);
        if (rc) return rc;
        f->cursor = cursor_parse(text, db_epoch(site->db));
        free(text);
    }
    return ERR_OK;
}

static enum err read_flags(const struct request *request, struct follow *f, struct error *e)
{
    char *follow = NULL;
    enum err rc = site_types(request, &f->filter, e);
    if (!rc) rc = site_dialect(request, &f->dialect, e);
    if (!rc) rc = request_query(request, "follow", &follow, e);
    if (!rc && follow && strcmp(follow, "1") && strcmp(follow, "0"))
        rc = error_set(e, ERR_INVALID, "follow: not 1 or 0");
    f->lines_follow = follow && !strcmp(follow, "1");
    free(follow);
    return rc;
}

/* ---- finding out where it starts ---- */

/* Whether an event is for this reader. */
static bool shown(const struct follow *f, const struct event *ev)
{
    return event_filter_match(f->filter, ev->type) && dialect_shows(&f->dialect, ev->type);
}

/* Whether the log has an event after `after` that would be shown. */
static enum err anything_after(struct site *site, const struct follow *f, bool *found,
                               struct error *e)
{
    struct event_list rows = {0};
    int64_t after = f->after;
    *found = false;
    enum err rc = ERR_OK;
    do {
        rc = events_read(site->db, &f->scope, after, READ_ROWS, READ_BYTES, &rows, e);
        for (size_t i = 0; !rc && !*found && i < rows.count; i++) {
            *found = shown(f, &rows.items[i]);
            after = rows.items[i].seq;
        }
    } while (!rc && !*found && rows.more);
    event_list_free(&rows);
    return rc;
}

static enum err take_snapshot(struct site *site, struct request *request, struct follow *f,
                              struct error *e)
{
    struct task_view view = site_view(site, request);
    struct buf *out = &f->snapshot;
    if (f->scope.kind == SCOPE_TASK) {
        dialect_task(out, &f->dialect, &f->task, &view);
        return ERR_OK;
    }
    if (f->scope.kind == SCOPE_GROUP) {
        struct group g = {0};
        enum err rc = group_get(site->db, f->owner, f->group, &g, e);
        if (!rc) dialect_group(out, &f->dialect, &g, view.prefix);
        group_free(&g);
        return rc;
    }
    struct task_list list = {0};
    enum err rc = task_list_unfinished(site->db, f->owner, SNAPSHOT_TASKS, &list, e);
    buf_str(out, "{\"tasks\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i) buf_char(out, ',');
        dialect_task(out, &f->dialect, &list.items[i], &view);
    }
    buf_fmt(out, "],\"more\":%s}", list.more ? "true" : "false");
    task_list_free(&list);
    return rc;
}

/* Decides the start from one state of the database: inside one read transaction. */
static enum err locate_in(struct site *site, struct request *request, const char *id,
                          struct follow *f, struct error *e)
{
    enum err rc = ERR_OK;
    if (id) {
        rc = task_get(site->db, id, auth_reader(request), &f->task, e);
        f->scope = (struct event_scope){.kind = SCOPE_TASK, .task = f->task.n};
    }
    if (!rc) rc = events_newest(site->db, &f->newest, e);
    if (!rc) rc = events_floor(site->db, &f->scope, &f->floor, e);
    if (rc) return rc;

    enum cursor_kind kind = f->cursor.kind;
    if (kind == CURSOR_NONE) kind = f->scope.kind == SCOPE_TASK ? CURSOR_EARLIEST : CURSOR_NOW;
    bool whole =
        f->scope.kind == SCOPE_TASK; /* a task's events go with the task, never before it */
    f->at_now = kind == CURSOR_NOW;
    f->after = kind == CURSOR_NOW ? f->newest : kind == CURSOR_AT ? f->cursor.seq : f->floor;
    if (kind == CURSOR_FOREIGN)
        f->reset = "epoch";
    else if (kind == CURSOR_AT && f->cursor.seq > f->newest)
        f->reset = "future";
    else if (kind == CURSOR_AT && !whole && f->cursor.seq < f->floor)
        f->reset = "evicted";
    if (f->reset) f->after = f->floor;

    if (f->reset || f->at_now) rc = take_snapshot(site, request, f, e);
    if (!rc && whole && task_status_terminal(f->task.status) && !f->reset) {
        bool found = false;
        rc = anything_after(site, f, &found, e);
        f->nothing_to_say = !found;
    }
    return rc;
}

static enum err locate(struct site *site, struct request *request, const char *id, struct follow *f,
                       struct error *e)
{
    enum err rc = db_read_begin(site->db, e);
    if (rc) return rc;
    rc = locate_in(site, request, id, f, e);
    db_read_end(site->db);
    return rc;
}

/* ---- streams ---- */

/* `retry_ms` with up to a quarter more or less, so that clients do not come back all at once. */
static int64_t jittered_retry(const struct conf *conf)
{
    int64_t ms = conf_int(conf, CONF_STREAM_RETRY_MS);
    return ms - ms / 4 + id_random((uint32_t)(ms / 2) + 1);
}

void follow_overloaded(struct site *site, struct request *request)
{
    static const char *const reason = "overloaded";
    const char *epoch = site->db ? db_epoch(site->db) : "";
    if (site->db) figures_add(site->db, FIGURE_STREAM_ENDS, &reason, 1);
    int64_t retry = jittered_retry(request->conf);
    struct buf out = {0};
    struct dialect d;
    site_dialect(request, &d, NULL);
    frame_retry(&out, FRAME_SSE, retry);
    frame_end(&out, FRAME_SSE, &d, END_OVERLOADED, clock_wall_ms(), retry, 0, epoch);
    struct response r;
    response_start(&r, request, 200);
    response_header(&r, "Cache-Control", "no-store, no-transform");
    response_header(&r, "X-Accel-Buffering", "no");
    response_body(&r, frame_content_type(FRAME_SSE), out.data, out.len);
    buf_free(&out);
}

static void say_connected(struct buf *out, struct site *site, const struct follow *f)
{
    const char *epoch = db_epoch(site->db);
    int64_t now = clock_wall_ms();
    struct buf payload = {0};
    struct notice n = {.ts = now, .task_id = *f->task.id ? f->task.id : NULL};
    if (f->reset) {
        buf_fmt(&payload, "{\"reason\":\"%s\",\"oldest\":", f->reset);
        cursor_quote(&payload, epoch, f->floor);
        buf_str(&payload, ",\"latest\":");
        cursor_quote(&payload, epoch, f->newest);
        buf_char(&payload, '}');
        n.type = "stream.reset";
        n.payload = payload.data;
        frame_notice(out, FRAME_SSE, &f->dialect, &n, f->after, epoch);
        buf_clear(&payload);
    }
    buf_str(&payload, "{\"cursor\":");
    cursor_quote(&payload, epoch, f->after);
    if (f->snapshot.len) {
        buf_str(&payload, ",\"snapshot\":");
        buf_add(&payload, f->snapshot.data, f->snapshot.len);
    }
    buf_fmt(&payload, ",\"server_time\":%lld,\"message\":\"%s\"}", (long long)now,
            f->reset                      ? "starting again"
            : f->cursor.kind == CURSOR_AT ? "resumed"
                                          : "connected");
    bool with_id = f->reset || f->at_now || f->cursor.kind == CURSOR_AT;
    n.type = "stream.connected";
    n.payload = payload.data;
    frame_notice(out, FRAME_SSE, &f->dialect, &n, with_id ? f->after : -1, epoch);
    buf_free(&payload);
}

/* The head of a stream, sent at once. One that follows shall not be buffered; for any other the web
 * server's buffer keeps a slow reader from holding leat-api. nginx passes on a head without a body
 * only if nothing of its FastCGI record is left over, and records are padded to 8 bytes: blanks,
 * which it drops, make this one fit. */
static void stream_head(struct request *request, enum frame_form form, bool follows)
{
    const char *type = frame_content_type(form);
    struct response r;
    response_start(&r, request, 200);
    response_header(&r, "Cache-Control", "no-store, no-transform");
    if (follows) {
        size_t len =
            r.head.len + strlen(type) + strlen("X-Accel-Buffering: no\r\nContent-Type: \r\n\r\n");
        response_header_fmt(&r, "X-Accel-Buffering", "no%*s", (int)(-len & 7), "");
    }
    response_stream(&r, type);
}

/* ` key=value` pairs that name a stream in the log. The caller frees. */
static char *about_stream(const struct request *request, const struct follow *f)
{
    static const char *const scopes[] = {[SCOPE_TASK] = "task",
                                         [SCOPE_GROUP] = "group",
                                         [SCOPE_OWNER] = "owner",
                                         [SCOPE_ALL] = "all"};
    struct buf out = {0};
    char text[256]; /* longer ones are cut: this is kept as long as the stream */
    buf_fmt(&out, " request_id=%s scope=%s", request->request_id, scopes[f->scope.kind]);
    if (*f->task.id) buf_fmt(&out, " task_id=%s", f->task.id);
    if (f->group) buf_fmt(&out, " group=\"%s\"", log_quote(text, sizeof text, f->group));
    const char *owner = f->owner ? f->owner : f->task.owner;
    if (owner) buf_fmt(&out, " owner=\"%s\"", log_quote(text, sizeof text, owner));
    buf_fmt(&out, " ip=%s", log_quote(text, 64, conn_param(request->conn, "REMOTE_ADDR")));
    buf_fmt(&out, " user_agent=\"%s\"",
            log_quote(text, sizeof text, request_header(request, "User-Agent")));
    return out.data;
}

/* Counts and logs a stream that is about to follow. */
static void note_open(struct site *site, const struct follow *f, const char *about)
{
    bool resumed = !f->reset && f->cursor.kind == CURSOR_AT;
    if (resumed) figures_add(site->db, FIGURE_STREAM_RESUMES, NULL, 1);
    if (f->reset) figures_add(site->db, FIGURE_STREAM_RESETS, &f->reset, 1);
    if (!about) return;
    struct buf from = {0};
    cursor_write(&from, db_epoch(site->db), f->after);
    log_info("stream_open", "%s from=%s start=%s", about, from.data,
             f->reset    ? f->reset
             : resumed   ? "resumed"
             : f->at_now ? "now"
                         : "earliest");
    buf_free(&from);
}

/* Hands the connection to the hub. */
static void start_stream(struct site *site, struct request *request, struct follow *f,
                         enum frame_form form, bool follows)
{
    const struct conf *conf = request->conf;
    struct hub_stream s = {
        .conn = request->conn,
        .account = request->owner,
        .form = form,
        .dialect = f->dialect,
        .scope = f->scope,
        .filter = f->filter,
        .after = f->after,
        .until = follows ? INT64_MAX : f->newest,
        .stream_ms = conf_ms(conf, CONF_STREAM_STREAM_SECONDS),
        .heartbeat_ms = conf_ms(conf, CONF_STREAM_HEARTBEAT),
        .retry_ms = jittered_retry(conf),
        .credential = request->credential,
        .expires_at = request->expires_at,
    };
    f->filter = NULL;
    if (form == FRAME_SSE) {
        frame_retry(&s.prelude, form, s.retry_ms);
        say_connected(&s.prelude, site, f);
    }
    stream_head(request, form, follows);
    site->current->given = true;
    if (follows) {
        if (log_writes(LOG_LEVEL_INFO)) s.about = about_stream(request, f);
        note_open(site, f, s.about);
    }
    hub_add_stream(site->hub, &s);
}

/* Whether this process may take one more stream that waits; counts it among the asker's openings. Comes
 * last, when nothing else is in its way: what can never work is no opening, and must not be told to come
 * back. False: answered. */
static bool may_stream(struct site *site, struct request *request, enum frame_form form)
{
    if (!site->streams) {
        problem(request, 421, "wrong_program",
                "streams are served by leat-events: the web server must send this path there");
        return false;
    }
    int64_t most = conf_int(request->conf, CONF_LIMITS_STREAMS_PER_OWNER);
    struct limit_hit hit = {0};
    struct error e = {0};
    enum err rc = ERR_OK;
    bool full = hub_count(site->hub) >= (size_t)conf_int(site->conf, CONF_STREAM_MAX_STREAMS);
    if (!full && most && hub_count_of(site->hub, request->owner) >= (size_t)most)
        hit = (struct limit_hit){"streams_per_owner", most, 0, 1};
    if (!full && !hit.name) rc = limits_stream(site, request, &hit, &e);
    if (!full && !hit.name && !rc) return true;
    if (form == FRAME_SSE)
        follow_overloaded(site, request);
    else if (hit.name)
        limits_answer(request, &hit);
    else if (rc)
        site_fail(site, request, &e);
    else
        problem(request, 503, "overloaded", "too many streams are open");
    return false;
}

static void answer_sse(struct site *site, struct request *request, const char *id, struct follow *f)
{
    bool head = request->method == METHOD_HEAD;
    struct error e = {0};
    enum err rc = locate(site, request, id, f, &e);
    if (rc == ERR_BUSY) {
        follow_overloaded(site, request);
    } else if (rc) {
        site_fail(site, request, &e);
    } else if (f->nothing_to_say) {
        struct response r;
        response_start(&r, request, 204);
        response_body(&r, NULL, NULL, 0);
    } else if (head) {
        stream_head(request, FRAME_SSE, true);
    } else if (may_stream(site, request, FRAME_SSE)) {
        start_stream(site, request, f, FRAME_SSE, true);
    }
}

/* A cursor that cannot be used, for readers of JSON. */
static void answer_bad_cursor(struct site *site, struct request *request, const struct follow *f)
{
    bool future = !strcmp(f->reset, "future");
    figures_add(site->db, FIGURE_STREAM_RESETS, &f->reset, 1);
    struct buf oldest = {0};
    cursor_write(&oldest, db_epoch(site->db), f->floor);
    char code[32] = "cursor_";
    strncat(code, f->reset, sizeof code - strlen(code) - 1);
    problem(request, future ? 400 : 410, code, "the cursor is %s; what is retained begins after %s",
            future                       ? "beyond the newest event"
            : !strcmp(f->reset, "epoch") ? "not of this log"
                                         : "older than the retained log",
            oldest.data);
    buf_free(&oldest);
}

static void answer_lines(struct site *site, struct request *request, const char *id,
                         struct follow *f, enum frame_form form)
{
    bool head = request->method == METHOD_HEAD;
    struct error e = {0};
    if (locate(site, request, id, f, &e))
        site_fail(site, request, &e);
    else if (f->reset)
        answer_bad_cursor(site, request, f);
    else if (head)
        stream_head(request, form, f->lines_follow);
    else if (!f->lines_follow || may_stream(site, request, form))
        start_stream(site, request, f, form, f->lines_follow);
}

/* ---- pages of JSON ---- */

/* A page that may wait for its first event. Owns what it points to. */
struct page {
    struct site *site;
    struct exchange *exchange;
    struct follow follow;
    int64_t limit;
};

static void drop_page(void *arg)
{
    struct page *p = arg;
    exchange_end(p->exchange);
    follow_free(&p->follow);
    free(p);
}

/* Reads the page into `body`; *count is how many events it has. */
static enum err read_page(struct page *p, struct buf *body, int64_t *count, struct error *e)
{
    struct site *site = p->site;
    struct follow *f = &p->follow;
    struct event_list rows = {0};
    int64_t at = f->after;
    bool more = true;
    *count = 0;
    enum err rc = db_read_begin(site->db, e);
    if (rc) return rc;
    rc = events_newest(site->db, &f->newest, e);
    buf_str(body, "{\"events\":[");
    while (!rc && more && *count < p->limit && body->len < PAGE_BYTES) {
        rc = events_read(site->db, &f->scope, at, READ_ROWS, READ_BYTES, &rows, e);
        size_t i = 0;
        for (; !rc && i < rows.count && *count < p->limit; i++) {
            at = rows.items[i].seq;
            if (!shown(f, &rows.items[i])) continue;
            if ((*count)++) buf_char(body, ',');
            dialect_event(body, &f->dialect, &rows.items[i], db_epoch(site->db));
        }
        more = rows.more || i < rows.count;
    }
    /* "more" is what the log says, not how the reading was cut. */
    if (!rc && more) {
        rc = events_read(site->db, &f->scope, at, 1, 1, &rows, e);
        more = rows.count > 0;
    }
    db_read_end(site->db);
    event_list_free(&rows);
    buf_str(body, "],\"cursor\":");
    cursor_quote(body, db_epoch(site->db), more || f->newest < at ? at : f->newest);
    buf_fmt(body, ",\"more\":%s}", more ? "true" : "false");
    return rc;
}

static bool look_page(void *arg, bool last)
{
    struct page *p = arg;
    struct request *request = &p->exchange->request;
    struct buf body = {0};
    struct error e = {0};
    int64_t count = 0;
    bool done = true;
    if (read_page(p, &body, &count, &e)) {
        site_fail(p->site, request, &e);
    } else if (count || last) {
        struct response r;
        response_start(&r, request, 200);
        if (request_wait_ms(request) >= 0)
            response_header_fmt(&r, "Preference-Applied", "wait=%g",
                                (double)request_wait_ms(request) / 1000);
        response_json(&r, &body);
    } else {
        done = false;
    }
    buf_free(&body);
    return done;
}

static void answer_page(struct site *site, struct request *request, const char *id,
                        struct follow *f)
{
    struct error e = {0};
    char *text = NULL;
    int64_t limit = PAGE_LIMIT;
    enum err rc = request_query(request, "limit", &text, &e);
    if (!rc && text && conf_parse_int(text, 1, PAGE_LIMIT_MAX, &limit, NULL))
        rc = error_set(&e, ERR_INVALID, "limit: not a number from 1 to %d", PAGE_LIMIT_MAX);
    free(text);
    struct limit_hit hit = {0};
    if (!rc) rc = limits_poll(site, request, &hit, &e);
    if (!rc && !hit.name) rc = locate(site, request, id, f, &e);
    if (rc || hit.name) {
        if (rc)
            site_fail(site, request, &e);
        else
            limits_answer(request, &hit);
        return;
    }
    if (f->reset) {
        answer_bad_cursor(site, request, f);
        return;
    }
    struct page *p = mem_alloc(sizeof *p);
    *p = (struct page){.site = site, .exchange = site->current, .follow = *f, .limit = limit};
    *f = (struct follow){0};
    int64_t wait_ms = request_wait_ms(request);
    if (wait_ms > 0 && !look_page(p, false)) {
        site_wait(site, &p->follow.scope, wait_ms, look_page, drop_page, p);
        return;
    }
    if (wait_ms <= 0) look_page(p, true);
    follow_free(&p->follow);
    free(p);
}

/* ---- handlers ---- */

/* Streams unless JSON is asked for by name: `curl -N` and EventSource both get the live stream. */
static void follow(struct route_match *m, const char *id, struct follow *f)
{
    struct site *site = site_of(m);
    struct error e = {0};
    bool stream = request_accepts(m->request, "text/event-stream");
    if (read_flags(m->request, f, &e) || read_cursor(site, m->request, f, &e))
        site_fail(site, m->request, &e);
    else if (!stream && request_accepts(m->request, "application/x-ndjson"))
        answer_lines(site, m->request, id, f, FRAME_NDJSON);
    else if (!stream && request_accepts(m->request, "application/json"))
        answer_page(site, m->request, id, f);
    else
        answer_sse(site, m->request, id, f);
    follow_free(f);
}

/* GET /tasks/{id}/events */
void follow_task(struct route_match *m)
{
    struct follow f = {0};
    follow(m, m->params[0], &f);
}

/* GET /groups/{group}/events */
void follow_group(struct route_match *m)
{
    struct follow f = {.owner = group_owner(m->request), .group = mem_str(m->params[0])};
    f.scope = (struct event_scope){.kind = SCOPE_GROUP, .owner = f.owner, .group = f.group};
    if (f.owner)
        follow(m, NULL, &f);
    else
        follow_free(&f);
}

/* GET /events: all that the caller may see. */
void follow_owner(struct route_match *m)
{
    const char *reader = auth_reader(m->request);
    struct follow f = {.owner = mem_str(reader)};
    f.scope = (struct event_scope){.kind = reader ? SCOPE_OWNER : SCOPE_ALL, .owner = f.owner};
    follow(m, NULL, &f);
}

/* GET /tasks/{id}/log: what the job said on stderr and in {"log"} lines, as text. */
void follow_task_log(struct route_match *m)
{
    struct site *site = site_of(m);
    struct follow f = {0};
    struct error e = {0};
    if (read_flags(m->request, &f, &e) || read_cursor(site, m->request, &f, &e))
        site_fail(site, m->request, &e);
    else
        answer_lines(site, m->request, m->params[0], &f, FRAME_LOG);
    follow_free(&f);
}
