/* Following the log: of a task, a group, an owner; as a stream, as lines, as a page. */
#include "streams.h"

#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "groups.h"
#include "handlers.h"
#include "metrics/metrics.h"
#include "ops/limits.h"
#include "server/server.h"
#include "store/events.h"
#include "store/groups.h"
#include "store/tasks.h"
#include "web/auth.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>

enum {
    READ_ROWS = 256,
    READ_BYTES = 256 * 1024,
    PAGE_LIMIT = 1000, /* events in a JSON page unless ?limit= says */
    PAGE_LIMIT_MAX = 10000,
    PAGE_BYTES = 4 * 1024 * 1024,
    PAGE_ROWS = 8192,     /* looked at for one page: some 10 ms */
    SNAPSHOT_TASKS = 250, /* some 10 ms */
};

/* What is to be followed, and from where. */
struct follow {
    struct exchange *x;
    struct event_scope scope;
    char *id;                    /* of the task, SCOPE_TASK */
    char *owner, *group;         /* of the scope */
    struct task task;            /* SCOPE_TASK */
    struct event_filter *filter; /* NULL: everything */
    struct dialect dialect;      /* borrowed from the request */
    struct cursor cursor;        /* what the client sent */
    int64_t since;               /* ... or when it wants to start; TASK_NONE */
    int64_t seconds_ms;          /* how long it may last at most */
    int64_t limit;               /* events in a page of JSON */
    enum frame_form form;
    bool lines_follow; /* ?follow=1 */
    bool located;      /* the answer to another request: Content-Location says where it is */

    /* found out in one read transaction */
    int64_t newest, floor;
    int64_t after;     /* where it starts */
    const char *reset; /* why the client's cursor cannot be used, or NULL */
    bool at_now;       /* starts with a snapshot */
    bool
        at_position; /* starts behind a position that is neither the earliest nor the newest by itself */
    bool finished; /* a finished task, of which perhaps all was seen */
    struct buf snapshot;

    bool placed;    /* it has a place in the park */
    int64_t looked; /* the position up to which nothing is to be shown */
    struct count_use count;
};

static void follow_free(void *arg)
{
    struct follow *f = arg;
    if (f->placed) park_leave(f->x->server->park, exchange_caller(f->x).account);
    free(f->id);
    free(f->owner);
    free(f->group);
    task_free(&f->task);
    event_filter_free(f->filter);
    buf_free(&f->snapshot);
    count_use_free(&f->count);
    free(f);
}

static struct follow *follow_new(struct exchange *x)
{
    struct follow *f = mem_alloc(sizeof *f);
    f->x = x;
    f->since = TASK_NONE;
    f->seconds_ms = INT64_MAX;
    f->limit = PAGE_LIMIT;
    return f;
}

/* ---- reading the request ---- */

/* since=: a moment, in milliseconds or as RFC 3339 writes it. Malformed it is refused also where a cursor comes first. */
static enum err read_since(struct follow *f, struct error *e)
{
    char *text = NULL;
    enum err rc = request_query(&f->x->request, "since", &text, e);
    if (!rc && text && conf_parse_int(text, 0, INT64_MAX, &f->since, NULL) &&
        !timestamp_parse(text, &f->since))
        rc = error_set(e, ERR_INVALID,
                       "since: neither milliseconds since 1970 nor a time as of RFC 3339");
    if (f->cursor.kind != CURSOR_NONE) f->since = TASK_NONE;
    free(text);
    return rc;
}

enum err stream_cursor(const struct exchange *x, struct cursor *out, struct error *e)
{
    static const char *const names[] = {"last_event_id", "lastEventId", "starting_after"};
    const char *epoch = db_epoch(x->server->db);
    *out = cursor_parse(request_header(&x->request, "Last-Event-ID"), epoch);
    for (size_t i = 0; i < 3 && out->kind == CURSOR_NONE; i++) {
        char *text = NULL;
        enum err rc = request_query(&x->request, names[i], &text, e);
        if (rc) return rc;
        *out = cursor_parse(text, epoch);
        free(text);
    }
    return ERR_OK;
}

static enum err read_cursor(struct follow *f, struct error *e)
{
    enum err rc = stream_cursor(f->x, &f->cursor, e);
    return rc ? rc : read_since(f, e);
}

static enum err read_flags(struct follow *f, struct error *e)
{
    const struct request *request = &f->x->request;
    enum err rc = answer_types(request, &f->filter, e);
    if (!rc) rc = answer_dialect(request, &f->dialect, e);
    if (!rc) rc = answer_seconds(request, &f->seconds_ms, e);
    /* the answer to a create follows anyway, and must not be refused once that is made */
    if (!rc && !f->located) rc = answer_flag(request, "follow", &f->lines_follow, e);
    if (!rc && !f->located) rc = answer_number(request, "limit", 1, PAGE_LIMIT_MAX, &f->limit, e);
    return rc;
}

/* ---- finding out where it starts ---- */

/* Whether an event is for this reader. */
static bool shown(const struct follow *f, const struct event *ev)
{
    return event_filter_match(f->filter, ev->type) && dialect_shows_event(&f->dialect, ev);
}

static enum err take_snapshot(struct follow *f, struct error *e)
{
    struct db *db = f->x->server->db;
    struct task_view view = answer_view(f->x);
    struct buf *out = &f->snapshot;
    if (f->scope.kind == SCOPE_TASK) {
        dialect_task(out, &f->dialect, &f->task, &view);
        return ERR_OK;
    }
    if (f->scope.kind == SCOPE_GROUP) {
        struct group g = {0};
        enum err rc = group_get(db, f->owner, f->group, &g, e);
        if (!rc) dialect_group_state(out, &f->dialect, &g, &view);
        group_free(&g);
        return rc;
    }
    struct task_list list = {0};
    enum err rc = task_list_unfinished(db, f->owner, SNAPSHOT_TASKS, &list, e);
    buf_str(out, "{\"tasks\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i) buf_char(out, ',');
        dialect_task(out, &f->dialect, &list.items[i], &view);
    }
    buf_fmt(out, "],\"more\":%s}", list.more ? "true" : "false");
    task_list_free(&list);
    return rc;
}

/* Where a stream starts that is asked for by time: *kind CURSOR_AT with *seq; CURSOR_EARLIEST before what is retained,
 * CURSOR_NOW behind the newest. */
static enum err locate_since(const struct follow *f, enum cursor_kind *kind, int64_t *seq,
                             struct error *e)
{
    bool later;
    enum err rc = events_since(f->x->server->db, f->since, seq, &later, e);
    *kind = later ? CURSOR_NOW : *seq <= f->floor ? CURSOR_EARLIEST : CURSOR_AT;
    return rc;
}

/* Decides the start from one state of the database: inside one read transaction. */
static enum err locate_in(struct follow *f, struct error *e)
{
    struct db *db = f->x->server->db;
    enum err rc = ERR_OK;
    if (f->id) {
        task_free(&f->task);
        f->task = (struct task){0};
        rc = task_get(db, f->id, auth_reader(&f->x->request), &f->task, e);
        f->scope = (struct event_scope){.kind = SCOPE_TASK, .task = f->task.n};
    }
    if (!rc) rc = events_newest(db, &f->newest, e);
    if (!rc) rc = events_floor(db, &f->scope, &f->floor, e);
    if (rc) return rc;

    enum cursor_kind kind = f->cursor.kind;
    int64_t seq = f->cursor.seq;
    if (f->since != TASK_NONE) rc = locate_since(f, &kind, &seq, e);
    if (rc) return rc;
    if (kind == CURSOR_NONE) kind = f->scope.kind == SCOPE_TASK ? CURSOR_EARLIEST : CURSOR_NOW;
    bool whole =
        f->scope.kind == SCOPE_TASK; /* a task's events go with the task, never before it */
    f->reset = NULL;
    f->at_now = kind == CURSOR_NOW;
    f->at_position = kind == CURSOR_AT;
    f->after = kind == CURSOR_NOW ? f->newest : kind == CURSOR_AT ? seq : f->floor;
    if (kind == CURSOR_FOREIGN)
        f->reset = "epoch";
    else if (kind == CURSOR_AT && seq > f->newest)
        f->reset = "future";
    else if (kind == CURSOR_AT && !whole && seq < f->floor)
        f->reset = "evicted";
    if (f->reset) f->after = f->floor;
    f->finished = whole && task_status_terminal(f->task.status) && !f->reset;
    f->looked = f->after;
    buf_clear(&f->snapshot);
    return f->reset || f->at_now ? take_snapshot(f, e) : ERR_OK;
}

static enum err locate(struct follow *f, struct error *e)
{
    struct db *db = f->x->server->db;
    enum err rc = txn_read_begin(db, e);
    if (rc) return rc;
    rc = locate_in(f, e);
    txn_read_end(db);
    return rc;
}

/* ---- streams ---- */

/* `retry_ms` with up to a quarter more or less, so that clients do not come back all at once. */
static int64_t jittered_retry(const struct conf *conf)
{
    int64_t ms = conf_int(conf, CONF_STREAM_RETRY_MS);
    return ms - ms / 4 + id_random((uint32_t)(ms / 2) + 1);
}

/* The answer to a stream that is not open now. `location`: of the events, or NULL. `hit`: the limit that was met, or
 * NULL; of one by time the client is told when it lets it in, else as every stream. */
static void answer_overloaded(struct request *request, const char *epoch, const char *location,
                              const struct limit_hit *hit)
{
    int64_t retry = hit && hit->window_s ? hit->retry_s * 1000 : jittered_retry(request->conf);
    struct buf out = {0};
    struct dialect d;
    answer_dialect(request, &d, NULL);
    frame_retry(&out, FRAME_SSE, retry);
    frame_end(&out, FRAME_SSE, &d, END_OVERLOADED, clock_wall_ms(), retry, 0, epoch);
    struct response r;
    response_start(&r, request, 200);
    response_header(&r, "Cache-Control", "no-store, no-transform");
    response_header(&r, "X-Accel-Buffering", "no");
    if (location) response_header(&r, "Content-Location", location);
    response_body(&r, frame_content_type(FRAME_SSE), out.data, out.len);
    buf_free(&out);
}

void stream_overloaded(struct request *request, const char *epoch)
{
    answer_overloaded(request, epoch, NULL, NULL);
}

/* Where the events are, of a stream that answers another request; "" else. */
static void content_location(struct buf *out, const struct follow *f)
{
    buf_str(out, "");
    if (f->located)
        buf_fmt(out, "%s/tasks/%s/events", conf_text(f->x->request.conf, CONF_HTTP_PREFIX), f->id);
}

/* `location` and `hit` as of answer_overloaded. */
static void end_overloaded(struct exchange *x, const char *location, const struct limit_hit *hit)
{
    static const char *const reason = "overloaded";
    metrics_add(x->server->metrics, METRIC_STREAM_ENDS, &reason, 1);
    answer_overloaded(&x->request, db_epoch(x->server->db), location, hit);
}

static void overloaded(struct follow *f, const struct limit_hit *hit)
{
    struct buf location = {0};
    content_location(&location, f);
    end_overloaded(f->x, location.len ? location.data : NULL, hit);
    buf_free(&location);
}

bool stream_refused(struct exchange *x, const struct operation *op)
{
    if (op->error.code != ERR_LIMIT && op->error.code != ERR_BUSY) return exchange_refused(x, op);
    end_overloaded(x, NULL, op->error.code == ERR_LIMIT ? &op->limit : NULL);
    return true;
}

static void say_connected(struct buf *out, const struct follow *f)
{
    const char *epoch = db_epoch(f->x->server->db);
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
    bool with_id = f->reset || f->at_now || f->at_position;
    n.type = "stream.connected";
    n.payload = payload.data;
    frame_notice(out, FRAME_SSE, &f->dialect, &n, with_id ? f->after : -1, epoch);
    buf_free(&payload);
}

/* The head of a stream. One that follows shall not be buffered; for any other the web
 * server's buffer takes what a slow reader leaves. */
static void stream_head(const struct follow *f, bool follows)
{
    struct request *request = &f->x->request;
    struct buf location = {0};
    struct response r;
    content_location(&location, f);
    response_start(&r, request, 200);
    response_header(&r, "Cache-Control", "no-store, no-transform");
    if (location.len) response_header(&r, "Content-Location", location.data);
    if (follows) response_header(&r, "X-Accel-Buffering", "no");
    response_stream(&r, frame_content_type(f->form));
    buf_free(&location);
}

/* ` key=value` pairs that name a stream in the log. The caller frees. */
static char *about_stream(const struct request *request, const struct follow *f)
{
    struct buf out = {0};
    char text[256]; /* longer ones are cut: this is kept as long as the stream */
    buf_fmt(&out, " request_id=%s scope=%s", request->request_id, event_scope_name(f->scope.kind));
    if (*f->task.id) buf_fmt(&out, " task_id=%s", f->task.id);
    if (f->group) buf_fmt(&out, " group=\"%s\"", log_quote(text, sizeof text, f->group));
    const char *owner = f->owner ? f->owner : f->task.owner;
    if (owner) buf_fmt(&out, " owner=\"%s\"", log_quote(text, sizeof text, owner));
    buf_fmt(&out, " ip=%s", log_quote(text, 64, conn_param(request->conn, "REMOTE_ADDR")));
    buf_fmt(&out, " user_agent=\"%s\"",
            log_quote(text, sizeof text, request_header(request, "User-Agent")));
    char *exact = mem_str(out.data); /* a buffer may be twice as large */
    buf_free(&out);
    return exact;
}

/* Counts and logs a stream that is about to follow. */
static void note_open(const struct follow *f, const char *about)
{
    struct db *db = f->x->server->db;
    bool resumed = !f->reset && f->cursor.kind == CURSOR_AT;
    if (resumed) metrics_add(f->x->server->metrics, METRIC_STREAM_RESUMES, NULL, 1);
    if (f->reset) metrics_add(f->x->server->metrics, METRIC_STREAM_RESETS, &f->reset, 1);
    if (!about) return;
    struct buf from = {0};
    cursor_write(&from, db_epoch(db), f->after);
    log_info("stream_open", "%s from=%s start=%s", about, from.data,
             f->reset    ? f->reset
             : resumed   ? "resumed"
             : f->at_now ? "now"
                         : "earliest");
    buf_free(&from);
}

/* Hands the connection to the park, with the place where it has one. *f stays the caller's. */
static void start_stream(struct follow *f, bool follows)
{
    struct request *request = &f->x->request;
    struct park *park = f->x->server->park;
    const struct conf *conf = request->conf;
    int64_t stream_ms = conf_ms(conf, CONF_STREAM_STREAM_SECONDS);
    struct park_stream s = {
        .conn = f->x->conn,
        .account = f->placed ? exchange_caller(f->x).account : NULL,
        .form = f->form,
        .dialect = f->dialect,
        .scope = f->scope,
        .filter = f->filter,
        .after = f->looked,
        .until = follows ? INT64_MAX : f->newest,
        .stream_ms = stream_ms < f->seconds_ms ? stream_ms : f->seconds_ms,
        .heartbeat_ms = conf_ms(conf, CONF_STREAM_HEARTBEAT),
        .retry_ms = jittered_retry(conf),
        .credential = request->credential,
        .expires_at = request->expires_at,
    };
    f->filter = NULL;
    f->placed = false;
    if (f->form == FRAME_SSE) {
        frame_retry(&s.prelude, f->form, s.retry_ms);
        say_connected(&s.prelude, f);
    }
    stream_head(f, follows);
    if (follows) {
        if (log_writes(LOG_LEVEL_INFO)) s.about = about_stream(request, f);
        note_open(f, s.about);
    }
    exchange_give_conn(f->x);
    park_stream(park, &s);
}

/* ---- whether it may be opened ---- */

/* Not now: what a client of this form understands. `rc` ERR_LIMIT: by *hit, or NULL where nobody of the owner is to
 * blame. */
static void refuse(struct follow *f, enum err rc, const struct limit_hit *hit,
                   const struct error *e)
{
    if (f->form == FRAME_SSE)
        overloaded(f, rc == ERR_LIMIT ? hit : NULL);
    else if (rc == ERR_LIMIT && hit)
        exchange_limited(f->x, hit);
    else if (rc == ERR_LIMIT)
        problem(&f->x->request, 503, "overloaded", "too many streams are open");
    else
        exchange_fail(f->x, e);
}

/* Looks at a portion of a finished task's log for something that this reader would be shown: then it is
 * streamed, else there is nothing more to come and the answer is 204. */
static bool look_ahead(struct exchange *x, void *arg, bool last)
{
    struct follow *f = arg;
    struct event_list rows = {0};
    struct error e = {0};
    bool found = last;
    enum err rc =
        events_read(x->server->db, &f->scope, f->looked, READ_ROWS, READ_BYTES, &rows, &e);
    for (size_t i = 0; !rc && !found && i < rows.count; i++) {
        found = shown(f, &rows.items[i]);
        if (!found) f->looked = rows.items[i].seq;
    }
    bool more = rows.more;
    event_list_free(&rows);
    if (rc)
        refuse(f, rc, NULL, &e);
    else if (found)
        start_stream(f, true);
    else if (!more)
        answer_empty(x, 204);
    return rc || found || !more;
}

/* It may: with all that is known of its start. Ends *f, or hands it on. */
static void open_stream(struct follow *f)
{
    bool all = !f->filter && f->dialect.kind == DIALECT_ENVELOPE;
    if (!f->finished || (all && f->after < f->task.cursor)) {
        start_stream(f, true);
        follow_free(f);
        return;
    }
    struct park_wait wait = {
        .scope = f->scope,
        .wait_ms = conf_ms(f->x->request.conf, CONF_STREAM_STREAM_SECONDS),
        .look = look_ahead,
        .drop = follow_free,
        .arg = f,
    };
    park_portions(f->x->server->park, f->x, &wait);
}

/* Its opening was counted. */
static void counted(struct exchange *x, void *arg)
{
    struct follow *f = arg;
    struct error e = f->count.op.error;
    enum err rc = e.code ? e.code : locate(f, &e);
    if (!rc) {
        open_stream(f);
        return;
    }
    if (rc == ERR_NOTFOUND)
        exchange_fail(x, &e);
    else
        refuse(f, rc, &f->count.op.limit, &e);
    follow_free(f);
}

/* Opens a stream that follows, if the limits allow it: those come last, when nothing else is in its way.
 * What can never work is no opening, and must not be told to come back. */
static void enter(struct follow *f)
{
    struct exchange *x = f->x;
    struct limit_hit hit;
    enum park_place place = answer_may_wait(x, &hit);
    if (place != PARK_ADMITTED) {
        refuse(f, ERR_LIMIT, place == PARK_FULL ? NULL : &hit, NULL);
        follow_free(f);
        return;
    }
    f->placed = true;
    if (!limits_counts(x->request.conf, CONF_LIMITS_STREAM_OPENS_PER_MINUTE)) {
        open_stream(f);
        return;
    }
    struct caller caller = exchange_caller(x);
    count_use_init(&f->count, &caller, CONF_LIMITS_STREAM_OPENS_PER_MINUTE);
    commit_group_add(x->server->commits, x, &f->count.op, counted, f);
}

static void answer_sse(struct follow *f)
{
    struct exchange *x = f->x;
    struct error e = {0};
    f->form = FRAME_SSE;
    enum err rc = locate(f, &e);
    bool seen = !rc && f->finished && f->after >= f->task.cursor;
    if (!rc && !seen && x->request.method != METHOD_HEAD) {
        enter(f);
        return;
    }
    /* what was made by this request is there, and named, whatever cannot be read now */
    if (rc == ERR_BUSY || (rc && f->located))
        overloaded(f, NULL);
    else if (rc)
        exchange_fail(x, &e);
    else if (seen)
        answer_empty(x, 204);
    else
        stream_head(f, true);
    follow_free(f);
}

/* A cursor that cannot be used, for readers of JSON. */
static void answer_bad_cursor(const struct follow *f)
{
    struct db *db = f->x->server->db;
    bool future = !strcmp(f->reset, "future");
    metrics_add(f->x->server->metrics, METRIC_STREAM_RESETS, &f->reset, 1);
    struct buf oldest = {0};
    cursor_write(&oldest, db_epoch(db), f->floor);
    char code[32] = "cursor_";
    strncat(code, f->reset, sizeof code - strlen(code) - 1);
    problem(&f->x->request, future ? 400 : 410, code,
            "the cursor is %s; what is retained begins after %s",
            future                       ? "beyond the newest event"
            : !strcmp(f->reset, "epoch") ? "not of this log"
                                         : "older than the retained log",
            oldest.data);
    buf_free(&oldest);
}

static void answer_lines(struct follow *f, enum frame_form form)
{
    struct exchange *x = f->x;
    struct error e = {0};
    bool head = x->request.method == METHOD_HEAD;
    f->form = form;
    enum err rc = locate(f, &e);
    if (!rc && !f->reset && !head && f->lines_follow) {
        f->finished = false; /* its end comes as a line */
        enter(f);
        return;
    }
    if (rc)
        exchange_fail(x, &e);
    else if (f->reset)
        answer_bad_cursor(f);
    else if (head)
        stream_head(f, f->lines_follow);
    else
        start_stream(f, false);
    follow_free(f);
}

/* ---- pages of JSON ---- */

/* Adds the shown of some rows to the page; *at is the last position looked at. */
static size_t add_rows(const struct follow *f, const struct event_list *rows, struct buf *body,
                       int64_t *count, int64_t *at)
{
    size_t i = 0;
    for (; i < rows->count && *count < f->limit && body->len < PAGE_BYTES; i++) {
        *at = rows->items[i].seq;
        if (!shown(f, &rows->items[i])) continue;
        ++*count;
        dialect_page_event(body, &f->dialect, &rows->items[i], db_epoch(f->x->server->db));
    }
    return i;
}

/* Reads the page into `body`: *count is how many events it has, *more whether the log goes on. A bounded
 * number of rows is looked at; where none of them is shown, the next look begins behind them. */
static enum err read_page(struct follow *f, struct buf *body, int64_t *count, bool *more,
                          struct error *e)
{
    struct db *db = f->x->server->db;
    struct event_list rows = {0};
    int64_t at = f->after, looked = 0;
    *count = 0;
    *more = true;
    enum err rc = txn_read_begin(db, e);
    if (rc) return rc;
    rc = events_newest(db, &f->newest, e);
    dialect_page_begin(body, &f->dialect);
    while (!rc && *more && *count < f->limit && body->len < PAGE_BYTES && looked < PAGE_ROWS) {
        rc = events_read(db, &f->scope, at, READ_ROWS, READ_BYTES, &rows, e);
        if (rc) break;
        size_t used = add_rows(f, &rows, body, count, &at);
        looked += (int64_t)rows.count;
        *more = rows.more || used < rows.count;
    }
    /* "more" is what the log says, not how the reading was cut. */
    if (!rc && *more) {
        rc = events_read(db, &f->scope, at, 1, 1, &rows, e);
        *more = rows.count > 0;
    }
    txn_read_end(db);
    event_list_free(&rows);
    int64_t cursor = *more || f->newest < at ? at : f->newest;
    if (!*count) f->after = cursor;
    dialect_page_end(body, cursor, *more, db_epoch(db));
    return rc;
}

static bool look_page(struct exchange *x, void *arg, bool last)
{
    struct buf body = {0};
    struct error e = {0};
    int64_t count = 0;
    bool more, done = true;
    if (read_page(arg, &body, &count, &more, &e)) {
        exchange_fail(x, &e);
    } else if (count || last || more) {
        struct response r;
        int64_t wait_ms = request_wait_ms(&x->request);
        response_start(&r, &x->request, 200);
        if (wait_ms >= 0)
            response_header_fmt(&r, "Preference-Applied", "wait=%g", (double)wait_ms / 1000);
        response_json(&r, &body);
    } else {
        done = false;
    }
    buf_free(&body);
    return done;
}

/* Answers at once what can be, else waits for the first event. Ends *f, or hands it on. */
static void open_page(struct follow *f)
{
    struct exchange *x = f->x;
    struct error e = {0};
    struct limit_hit hit;
    int64_t wait_ms = answer_wait_ms(x, request_wait_ms(&x->request));
    if (locate(f, &e)) {
        exchange_fail(x, &e);
    } else if (f->reset) {
        answer_bad_cursor(f);
    } else if (!look_page(x, f, wait_ms <= 0)) {
        if (answer_may_wait(x, &hit) == PARK_ADMITTED) {
            struct park_wait wait = {
                .scope = f->scope,
                .account = exchange_caller(x).account,
                .wait_ms = wait_ms,
                .look = look_page,
                .drop = follow_free,
                .arg = f,
            };
            park_wait(x->server->park, x, &wait);
            return;
        }
        exchange_limited(x, &hit);
    }
    follow_free(f);
}

static void page_counted(struct exchange *x, void *arg)
{
    struct follow *f = arg;
    if (exchange_refused(x, &f->count.op))
        follow_free(f);
    else
        open_page(f);
}

static void answer_page(struct follow *f)
{
    struct exchange *x = f->x;
    if (!limits_counts(x->request.conf, CONF_LIMITS_POLLS_PER_MINUTE)) {
        open_page(f);
        return;
    }
    struct caller caller = exchange_caller(x);
    count_use_init(&f->count, &caller, CONF_LIMITS_POLLS_PER_MINUTE);
    commit_group_add(x->server->commits, x, &f->count.op, page_counted, f);
}

/* ---- handlers ---- */

/* Streams where nothing decides: `curl -N` and EventSource both get the live stream. */
static void follow(struct follow *f)
{
    static const char *const types[] = {"text/event-stream", "application/x-ndjson",
                                        "application/json"};
    struct exchange *x = f->x;
    struct error e = {0};
    if (read_flags(f, &e) || read_cursor(f, &e)) {
        exchange_fail(x, &e);
        follow_free(f);
        return;
    }
    switch (request_prefers(&x->request, types, 3)) {
    case 1: answer_lines(f, FRAME_NDJSON); break;
    case 2: answer_page(f); break;
    default: answer_sse(f);
    }
}

void stream_of_task(struct exchange *x, const struct task *t, bool resume)
{
    struct follow *f = follow_new(x);
    struct error e = {0};
    f->id = mem_str(t->id);
    f->located = true;
    enum err rc = read_flags(f, &e);
    if (!rc && resume) rc = read_cursor(f, &e);
    if (!rc) {
        answer_sse(f);
        return;
    }
    exchange_fail(x, &e);
    follow_free(f);
}

/* GET /tasks/{id}/events */
void follow_task(struct exchange *x)
{
    struct follow *f = follow_new(x);
    f->id = mem_str(x->route.params[0]);
    follow(f);
}

/* GET /groups/{group}/events */
void follow_group(struct exchange *x)
{
    char *owner = group_owner(x);
    if (!owner) return;
    struct follow *f = follow_new(x);
    f->owner = owner;
    f->group = mem_str(x->route.params[0]);
    f->scope = (struct event_scope){.kind = SCOPE_GROUP, .owner = f->owner, .group = f->group};
    follow(f);
}

/* GET /events: all that the caller may see. */
void follow_owner(struct exchange *x)
{
    const char *reader = auth_reader(&x->request);
    struct follow *f = follow_new(x);
    f->owner = mem_str(reader);
    f->scope = (struct event_scope){.kind = reader ? SCOPE_OWNER : SCOPE_ALL, .owner = f->owner};
    follow(f);
}

/* GET /tasks/{id}/log: what the job said on stderr and in {"log"} lines, as text. */
void follow_task_log(struct exchange *x)
{
    struct follow *f = follow_new(x);
    struct error e = {0};
    f->id = mem_str(x->route.params[0]);
    if (!read_flags(f, &e) && !read_cursor(f, &e)) {
        answer_lines(f, FRAME_LOG);
        return;
    }
    exchange_fail(x, &e);
    follow_free(f);
}
