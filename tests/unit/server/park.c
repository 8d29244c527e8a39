/* The park over a real database, with web servers played here: connections that begin with one GET in
 * FastCGI records, and whose answers are taken out of theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/park.h"

#include "base/clock.h"
#include "base/id.h"
#include "server/server.h"
#include "store/claims.h"
#include "store/credentials.h"
#include "store/tasks.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, LONG_MS = 600000, READERS_MAX = 64 };

static char folder[64];
static char database[80];
static struct listener *listener;

/* made anew for each test */
static struct db *db;     /* the park's */
static struct db *writer; /* everybody else's */
static struct bell *bell;
static struct loop *loop;
static struct stream_slots *slots;
static struct park *park;
static struct server server; /* of the exchanges */

/* ---- the web server's side ---- */

struct reader {
    int fd;
    bool stopped;    /* takes nothing for now */
    bool closed;     /* the connection's end was seen */
    bool ended;      /* and the request's, before it */
    struct buf raw;  /* records that are not yet whole */
    struct buf part; /* a frame that is not yet whole */
    struct buf text; /* the answer */
    long events;     /* of the log, in it */
    long long last;  /* the position of the newest */
    bool gap;        /* they did not rise by one */
};

static struct reader readers[READERS_MAX];
static size_t reader_count;

static int enter_folder(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/leat-park-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder)) return -1;
    snprintf(database, sizeof database, "%s/leat.db", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, READERS_MAX)) return -1;
    dup2(fd, STDIN_FILENO);
    close(fd);
    return (int)listener_open(&listener, NULL);
}

static int leave_folder(void **state)
{
    (void)state;
    listener_close(listener);
    unlink("socket");
    return chdir("/") || rmdir(folder);
}

static void end_conn(void *arg, struct conn *conn)
{
    (void)arg;
    if (conn_finish(conn) != CONN_CLOSED) conn_free(conn);
}

static void end_server_conn(struct server *s, struct conn *conn)
{
    end_conn(s, conn);
}

static enum err make_park(int64_t max_streams)
{
    struct park_options options = {.loop = loop,
                                   .db = db,
                                   .bell = bell,
                                   .slots = slots,
                                   .max_streams = max_streams,
                                   .end_conn = end_conn,
                                   .arg = &server};
    return park_open(&park, &options, NULL);
}

static int enter_park(void **state)
{
    struct db_options options = {.path = database, .busy_ms = 5000, .migrate = true};
    (void)state;
    if (db_open(&db, &options, NULL) || db_open(&writer, &options, NULL) ||
        bell_open(&bell, database, NULL) || loop_open(&loop, NULL) ||
        stream_slots_open(&slots, database, 0, NULL) || make_park(1000))
        return -1;
    txn_never_wait(db);
    server = (struct server){
        .db = db, .bell = bell, .loop = loop, .listener = listener, .end_conn = end_server_conn};
    return 0;
}

static int leave_park(void **state)
{
    static const char *const files[] = {"leat.db",      "leat.db-wal",  "leat.db-shm",
                                        "leat.db.lock", "leat.db.bell", "leat.db.streams"};
    (void)state;
    park_close(park);
    if (server.exchanges) return -1;
    stream_slots_close(slots);
    loop_close(loop);
    bell_close(bell);
    db_close(db);
    db_close(writer);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
    for (; reader_count; reader_count--) {
        struct reader *r = &readers[reader_count - 1];
        if (r->fd >= 0) close(r->fd);
        buf_free(&r->raw);
        buf_free(&r->part);
        buf_free(&r->text);
        *r = (struct reader){0};
    }
    return 0;
}

/* A request that has begun; its reader is *out. */
static struct conn *ask(struct reader **out)
{
    static const char request[] = "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0"       /* begin, responder */
                                  "\1\4\0\1\0\23\0\0\16\3REQUEST_METHODGET" /* its parameter */
                                  "\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0";       /* no more, no body */
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    struct conn *conn;
    struct reader *r = &readers[reader_count++];
    assert_true(reader_count <= READERS_MAX);
    r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    buf_str(&r->text, "");
    assert_int_equal(connect(r->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(r->fd, request, sizeof request - 1), sizeof request - 1);
    assert_int_equal(listener_accept(listener, &conn, NULL), ERR_OK);
    assert_non_null(conn);
    assert_int_equal(conn_begin(conn, NULL), ERR_OK);
    *out = r;
    return conn;
}

/* Counts the events in `text`. A task that is alone writes all events, so they must have no gap. */
static void count(struct reader *r, const char *text)
{
    for (; (text = strstr(text, "data: {\"id\":\"")); text++, r->events++) {
        long long seq = strtoll(strchr(text, '-') + 1, NULL, 10);
        if (r->events && seq != r->last + 1) r->gap = true;
        r->last = seq;
    }
}

/* Takes what has come, out of its records. */
static void take(struct reader *r)
{
    enum { END = 3, STDOUT = 6 };
    ssize_t n = read(r->fd, buf_reserve(&r->raw, 65536), 65536);
    if (n > 0) r->raw.len += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN)) r->closed = true;
    while (r->raw.len >= 8) {
        const unsigned char *h = (const unsigned char *)r->raw.data;
        size_t len = (size_t)h[4] << 8 | h[5], whole = 8 + len + h[6];
        if (r->raw.len < whole) break;
        if (h[1] == STDOUT) buf_add(&r->part, h + 8, len);
        if (h[1] == END) r->ended = true;
        buf_drop(&r->raw, whole);
    }
    size_t len = r->part.len; /* of the frames that are whole; at the end all that is left */
    while (!r->closed && len && (len < 2 || memcmp(r->part.data + len - 2, "\n\n", 2) != 0)) len--;
    size_t from = r->text.len;
    buf_add(&r->text, r->part.data, len);
    buf_drop(&r->part, len);
    count(r, r->text.data + from);
}

static void leave(struct reader *r)
{
    close(r->fd);
    r->fd = -1;
    r->closed = true;
}

/* ---- turning the loop ---- */

static void turn(void)
{
    assert_int_equal(loop_wait(loop, park_busy(park) ? 0 : 5, NULL), ERR_OK);
    park_turn(park);
    assert_true(txn_idle(db));
    for (size_t i = 0; i < reader_count; i++)
        if (!readers[i].stopped && !readers[i].closed) take(&readers[i]);
}

/* Turns until the condition holds; the test fails when it does not in good time. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int64_t until_ = clock_monotonic_ms() + PATIENCE_MS;                                       \
        while (!(condition) && clock_monotonic_ms() < until_) turn();                              \
        assert_true(condition);                                                                    \
    } while (0)

/* Turns until nothing is left to do at once, and some more. */
static void settle(void)
{
    for (int idle = 0; idle < 3;) {
        turn();
        idle = park_busy(park) ? 0 : idle + 1;
    }
}

/* What a reader was told, in words: "TYPE" or "TYPE:TO" for an event, "end:REASON@SEQ" for the end
 * (@SEQ where it has an id), "beat", or a prelude as it is. */
static const char *told(const struct reader *r)
{
    static struct buf words;
    long long id = -1;
    buf_clear(&words);
    for (const char *line = r->text.data, *next; *line; line = next) {
        char type[64] = "", what[32] = "";
        next = strchr(line, '\n');
        next = next ? next + 1 : line + strlen(line);
        if (!strncmp(line, "id: ", 4)) id = strtoll(strchr(line, '-') + 1, NULL, 10);
        if (*line == ':') buf_str(&words, " beat");
        if (!strncmp(line, "retry", 5)) buf_str(&words, " retry");
        if (strncmp(line, "data: ", 6)) continue;
        sscanf(strstr(line, "\"type\":\"") + 8, "%63[^\"]", type);
        const char *to = strstr(line, "\"to\":\"");
        const char *reason = strstr(line, "\"reason\":\"");
        if (to && to < next) sscanf(to + 6, "%31[^\"]", what);
        if (reason && reason < next) sscanf(reason + 10, "%31[^\"]", what);
        const char *dot = strchr(type, '.');
        buf_fmt(&words, " %s%s%s", dot ? dot + 1 : type, *what ? ":" : "", what);
        if (reason && reason < next && id >= 0) buf_fmt(&words, "@%lld", id);
        id = -1;
    }
    if (!words.len) return "";
    return words.data + 1;
}

/* A reader has so many events, each position once. */
static bool has(const struct reader *r, long events)
{
    assert_false(r->gap);
    return r->events == events;
}

static void forget_told(struct reader *r)
{
    buf_clear(&r->text);
}

/* ---- the writer's side ---- */

static int64_t newest(void)
{
    int64_t seq = 0;
    assert_int_equal(events_newest(writer, &seq, NULL), ERR_OK);
    return seq;
}

static void begin(void)
{
    assert_int_equal(txn_begin(writer, TXN_SYNC_NONE, NULL), ERR_OK);
}

static void commit(void)
{
    assert_int_equal(txn_commit(writer, NULL), ERR_OK);
}

/* A running task; two events, and two more of its group. */
static struct claim work(const char *owner, const char *group)
{
    char id[ID_SIZE];
    struct task t = {0};
    struct task_new new = {.id = id,
                           .owner = owner,
                           .group = group,
                           .type = "t",
                           .request_id = "r",
                           .timeout_ms = TASK_NONE,
                           .run_at = TASK_NONE,
                           .max_attempts = 3,
                           .now = clock_wall_ms()};
    int64_t n;
    id_new(id, new.now);
    begin();
    assert_int_equal(task_create(writer, &new, &n, NULL), ERR_OK);
    assert_int_equal(claim_next(writer,
                                &(struct claim_wish){
                                    .runner = 7, .now = new.now, .lease_until = new.now + LONG_MS},
                                &t, NULL),
                     ERR_OK);
    commit();
    struct claim c = {.n = n, .runner = 7, .attempt = 1};
    assert_int_equal(t.n, n);
    task_free(&t);
    return c;
}

static void say(const struct claim *c, const char *type, int count, size_t bytes)
{
    struct buf payload = {0};
    buf_str(&payload, "{\"pad\":\"");
    for (size_t i = 0; i < bytes; i++) buf_char(&payload, 'x');
    buf_str(&payload, "\"}");
    begin();
    for (int i = 0; i < count; i++)
        assert_int_equal(claim_event(writer, c, type, payload.data, 1, NULL, NULL), ERR_OK);
    commit();
    buf_free(&payload);
}

static void finish(const struct claim *c, enum task_status status)
{
    struct claim_end end = {.status = status, .run_at = TASK_NONE, .now = clock_wall_ms()};
    begin();
    assert_int_equal(claim_finish(writer, c, &end, NULL), ERR_OK);
    commit();
}

/* ---- streams ---- */

static struct park_stream stream_of_task(const struct claim *c)
{
    return (struct park_stream){.form = FRAME_SSE,
                                .scope = {.kind = SCOPE_TASK, .task = c->n},
                                .until = INT64_MAX,
                                .stream_ms = LONG_MS,
                                .heartbeat_ms = LONG_MS,
                                .retry_ms = 1};
}

static struct reader *add(struct park_stream s)
{
    struct reader *r;
    s.conn = ask(&r);
    park_stream(park, &s);
    return r;
}

static struct reader *add_scope(enum event_scope_kind kind, const char *owner, const char *group)
{
    struct park_stream s = stream_of_task(&(struct claim){0});
    s.scope = (struct event_scope){.kind = kind, .owner = owner, .group = group};
    return add(s);
}

static void a_finished_task_is_told_and_ended(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    say(&c, "doc.made", 2, 0);
    finish(&c, TASK_COMPLETED);
    frame_retry(&s.prelude, FRAME_SSE, 5);
    struct reader *r = add(s);
    assert_int_equal(park_count(park), 1);
    UNTIL(r->closed);
    assert_true(r->ended);
    assert_string_equal(told(r), "retry created status_changed:running made made "
                                 "status_changed:completed end:finished");
    assert_int_equal(park_count(park), 0);
}

static void what_is_new_is_told_as_it_comes(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    s.after = newest();
    struct reader *r = add(s);
    settle();
    assert_string_equal(told(r), "");
    say(&c, "doc.made", 1, 0);
    UNTIL(!strcmp(told(r), "made"));
    say(&c, "doc.made", 300, 0);
    UNTIL(has(r, 301));
    forget_told(r);
    finish(&c, TASK_FAILED);
    UNTIL(r->closed);
    assert_string_equal(told(r), "status_changed:failed end:finished");
}

/* How many events came in the one turn that brought the first. */
static long in_one_turn(const struct reader *r)
{
    UNTIL(r->events > 0);
    return r->events;
}

static void a_turn_reads_a_part_of_what_is_new(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    s.after = newest();
    struct reader *r = add(s);
    settle();
    say(&c, "doc.made", 2000, 0);
    assert_in_range(in_one_turn(r), 1, 256); /* rows */
    assert_true(park_busy(park));
    UNTIL(has(r, 2000));
    settle();
    say(&c, "doc.made", 30, 60000);
    UNTIL(r->events > 2000);
    assert_in_range(r->events, 2001, 2004); /* bytes */
    UNTIL(has(r, 2030));
}

static void each_scope_sees_its_own(void **state)
{
    (void)state;
    struct claim first = work("a", "g");
    struct park_stream s = stream_of_task(&first);
    s.after = newest();
    struct reader *task = add(s);
    struct reader *group = add_scope(SCOPE_GROUP, "a", "g");
    struct reader *namesake = add_scope(SCOPE_GROUP, "b", "g");
    struct reader *owner = add_scope(SCOPE_OWNER, "a", NULL);
    struct reader *all = add_scope(SCOPE_ALL, NULL, NULL);
    settle();
    for (size_t i = 0; i < reader_count; i++) forget_told(&readers[i]);

    struct claim same = work("a", "g"), plain = work("a", NULL), other = work("b", "h");
    say(&first, "x.first", 1, 0);
    say(&same, "x.same", 1, 0);
    say(&plain, "x.plain", 1, 0);
    say(&other, "x.other", 1, 0);
    UNTIL(strstr(told(all), "other"));
    settle();
    assert_string_equal(told(task), "first");
    assert_string_equal(told(group), "created status_changed:running first same");
    assert_string_equal(told(namesake), "");
    assert_string_equal(told(owner),
                        "created status_changed:running created status_changed:running "
                        "first same plain");
    assert_string_equal(told(all), "created status_changed:running created status_changed:running "
                                   "created status_changed:pending status_changed:running "
                                   "status_changed:running first same plain other");
}

/* ... over the events of the task, and of no other: that it names one of its own tells which task was watched. */
static void a_filter_hides_and_the_position_moves_on(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    assert_true(event_filter_parse(&s.filter, "doc.*"));
    s.stream_ms = 200;
    say(&c, "doc.made", 1, 0);
    say(&c, "page.made", 10, 0);
    int64_t last = newest();
    struct claim other = work("a", NULL);
    say(&other, "doc.made", 10, 0);
    struct reader *r = add(s);
    struct buf expected = {0};
    buf_fmt(&expected, "made end:rotated@%lld", (long long)last);
    UNTIL(r->closed);
    assert_true(r->ended);
    assert_string_equal(told(r), expected.data);
    buf_free(&expected);
}

static void a_bounded_replay_ends_where_it_was_told(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    say(&c, "doc.made", 600, 10);
    s.until = newest();
    say(&c, "doc.late", 5, 0);
    s.form = FRAME_NDJSON;
    struct reader *r = add(s);
    UNTIL(r->closed);
    assert_true(r->ended);
    size_t lines = 0;
    for (const char *p = r->text.data; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 602);
    assert_null(strstr(r->text.data, "doc.late"));
    assert_null(strstr(r->text.data, "stream.end"));
}

static void silence_is_broken_by_heartbeats(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    s.after = newest();
    s.heartbeat_ms = 100;
    int64_t begun = clock_monotonic_ms();
    struct reader *r = add(s);
    UNTIL(!strncmp(told(r), "beat beat beat", 14));
    assert_true(clock_monotonic_ms() - begun >= 300);
}

/* A megabyte that one does not take: the socket holds a part, the log the rest. */
static void a_reader_that_stopped_gets_everything_once_when_it_goes_on(void **state)
{
    struct claim c = work("a", NULL);
    (void)state;
    struct reader *slow = add(stream_of_task(&c)), *quick = add(stream_of_task(&c));
    UNTIL(has(slow, 2) && has(quick, 2));
    slow->stopped = true;
    for (long i = 1; i <= 10; i++) {
        say(&c, "doc.made", 50, 2000);
        UNTIL(has(quick, 2 + 50 * i)); /* who is not kept waiting */
    }
    assert_true(has(slow, 2));
    slow->stopped = false;
    UNTIL(has(slow, 502));
    finish(&c, TASK_COMPLETED);
    UNTIL(slow->closed && quick->closed);
    const char *last = strstr(slow->text.data, "data: {\"type\":\"stream.end\"");
    assert_non_null(last);
    assert_int_equal(slow->text.len, quick->text.len);
    assert_memory_equal(slow->text.data, quick->text.data, (size_t)(last - slow->text.data));
    assert_non_null(strstr(told(slow), "status_changed:completed end:finished"));
}

static void a_reader_that_is_behind_is_ended_in_time_and_between_events(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    say(&c, "doc.made", 3000, 2000);
    s.stream_ms = 300;
    int64_t begun = clock_monotonic_ms();
    struct reader *r = add(s);
    r->stopped = true;
    while (!r->closed && clock_monotonic_ms() < begun + PATIENCE_MS) {
        /* always a little, so that the socket is never empty for long nor full for long, and never all */
        turn();
        r->stopped = (int64_t)r->text.len > (clock_monotonic_ms() - begun) * 10000;
    }
    assert_true(r->ended);
    assert_false(r->gap);
    assert_in_range(r->events, 2, 2900);
    struct buf expected = {0};
    buf_fmt(&expected, "made end:rotated@%lld", r->last); /* the last event that it was given */
    const char *words = told(r);
    assert_true(strlen(words) > expected.len);
    assert_string_equal(words + strlen(words) - expected.len, expected.data);
    buf_free(&expected);
}

static void a_client_that_left_is_dropped_without_any_event(void **state)
{
    struct claim c = work("a", NULL);
    (void)state;
    struct reader *quiet = add(stream_of_task(&c)), *full = add(stream_of_task(&c));
    struct reader *stays = add(stream_of_task(&c));
    UNTIL(has(stays, 2));
    full->stopped = true;
    say(&c, "doc.made", 500, 2000);
    UNTIL(has(stays, 502));
    assert_int_equal(park_count(park), 3);
    leave(quiet);
    leave(full);
    UNTIL(park_count(park) == 1);
    say(&c, "doc.made", 1, 0);
    UNTIL(has(stays, 503));
}

static void a_process_that_stops_says_where_to_go_on(void **state)
{
    struct claim c = work("a", NULL);
    (void)state;
    struct reader *task = add(stream_of_task(&c)), *owner = add_scope(SCOPE_OWNER, "b", NULL);
    settle();
    park_shutdown(park);
    UNTIL(task->closed && owner->closed);
    assert_int_equal(park_count(park), 0);
    assert_true(task->ended && owner->ended);
    assert_string_equal(told(task), "created status_changed:running end:shutdown@2");
    assert_string_equal(told(owner), "end:shutdown@2"); /* looked at, though not his */
}

static void who_comes_or_reads_on_while_it_stops_is_told_too(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    struct reader *slow = add(s), *quick = add(s);
    UNTIL(has(slow, 2) && has(quick, 2));
    slow->stopped = true;
    say(&c, "doc.made", 500, 2000);
    UNTIL(has(quick, 502));
    park_shutdown(park);
    UNTIL(quick->closed);
    struct reader *late = add(s); /* its request was being answered */
    UNTIL(late->closed);
    assert_true(late->ended);
    assert_non_null(strstr(told(late), "end:shutdown@"));
    slow->stopped = false;
    UNTIL(slow->closed);
    assert_true(slow->ended);
    assert_false(slow->gap);
    assert_non_null(strstr(told(slow), "end:shutdown@"));
}

/* The bell is a file: whoever has another one in its place is not heard. */
static void a_commit_without_a_bell_is_noticed_all_the_same(void **state)
{
    struct db_options options = {.path = database, .busy_ms = 5000};
    struct claim c = work("a", NULL);
    (void)state;
    struct reader *r = add(stream_of_task(&c));
    UNTIL(has(r, 2));
    db_close(writer);
    unlink("leat.db.bell");
    assert_int_equal(db_open(&writer, &options, NULL), ERR_OK);
    settle();
    int64_t begun = clock_monotonic_ms();
    say(&c, "doc.made", 1, 0);
    UNTIL(has(r, 3));
    assert_true(clock_monotonic_ms() - begun < 3000);
}

/* ---- credentials and places ---- */

static void a_stream_ends_with_its_credential(void **state)
{
    static const unsigned char hash[SECRET_HASH_BYTES];
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    struct credential token = {.owner = (char *)"a",
                               .name = (char *)"t",
                               .scopes = AUTH_READ,
                               .created_at = clock_wall_ms(),
                               .expires_at = TASK_NONE};
    int64_t id = 0;
    (void)state;
    begin();
    assert_int_equal(credential_add(writer, &token, hash, &id, NULL), ERR_OK);
    commit();
    s.after = newest();
    s.heartbeat_ms = 20;
    s.credential = id;
    struct reader *revoked = add(s);
    s.credential = 0;
    s.expires_at = clock_wall_ms() - 1;
    struct reader *expired = add(s);
    UNTIL(expired->closed);
    assert_string_equal(told(expired), "end:expired");
    UNTIL(!strncmp(told(revoked), "beat", 4));
    begin();
    assert_int_equal(credential_revoke(writer, "t", clock_wall_ms(), &id, NULL), ERR_OK);
    commit();
    UNTIL(revoked->closed);
    assert_true(revoked->ended);
    assert_non_null(strstr(told(revoked), "end:revoked"));
}

static void places_are_counted_and_given_back(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    park_close(park);
    assert_int_equal(make_park(3), ERR_OK);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    s.account = "a";
    struct reader *first = add(s);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    assert_int_equal(park_enter(park, "a", 2), PARK_ACCOUNT_FULL);
    assert_int_equal(park_enter(park, "b", 2), PARK_ADMITTED); /* others have places of their own */
    park_leave(park, "b");
    struct reader *second = add(s);
    s.account = NULL; /* a replay takes none */
    struct reader *third = add(s);
    assert_int_equal(park_enter(park, "b", 0), PARK_FULL);
    UNTIL(has(first, 2) && has(second, 2) && has(third, 2));
    leave(third);
    leave(second);
    UNTIL(park_count(park) == 1);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    assert_int_equal(park_enter(park, "a", 2), PARK_ACCOUNT_FULL);
    park_leave(park, "a");
}

static void a_log_without_heartbeats_is_rotated_before_it_is_taken_for_dead(void **state)
{
    struct claim c = work("a", NULL);
    struct park_stream s = stream_of_task(&c);
    (void)state;
    s.after = newest();
    s.form = FRAME_LOG;
    s.heartbeat_ms = 15; /* 45 s are 3000 of them, so it is not ended yet */
    struct reader *silent = add(s);
    s.stream_ms = 100;
    struct reader *bounded = add(s);
    UNTIL(bounded->closed);
    assert_false(silent->closed);
    assert_non_null(strstr(bounded->text.data, "# "));
}

/* ---- waits ---- */

struct asked {
    int looks, last_looks, drops;
    bool content; /* answers when asked next */
    bool gives;   /* and then gives its connection to this stream */
    struct park_stream stream;
};

static bool look(struct exchange *x, void *arg, bool last)
{
    struct asked *a = arg;
    assert_int_equal(a->drops, 0);
    assert_non_null(x->conn);
    a->looks++;
    a->last_looks += last;
    if (!last && !a->content) return false;
    if (a->gives) {
        a->stream.conn = exchange_give_conn(x);
        park_stream(park, &a->stream);
    }
    return true;
}

static void drop(void *arg)
{
    struct asked *a = arg;
    a->drops++;
}

/* An exchange as the server makes one, its request in hand. */
static struct exchange *exchange_of(struct conn *conn)
{
    struct exchange *x = mem_alloc(sizeof *x);
    x->server = &server;
    x->conn = conn;
    x->link = &server.exchanges;
    x->next = server.exchanges;
    if (x->next) x->next->link = &x->next;
    server.exchanges = x;
    return x;
}

static struct reader *
add_looking(struct asked *a, const struct claim *c, int64_t wait_ms, const char *account,
            void (*hold)(struct park *, struct exchange *, const struct park_wait *))
{
    struct reader *r;
    struct exchange *x = exchange_of(ask(&r));
    hold(park, x,
         &(struct park_wait){.scope = {.kind = SCOPE_TASK, .task = c->n},
                             .account = account,
                             .wait_ms = wait_ms,
                             .look = look,
                             .drop = drop,
                             .arg = a});
    assert_true(x->held);
    return r;
}

static struct reader *add_wait(struct asked *a, const struct claim *c, int64_t wait_ms)
{
    return add_looking(a, c, wait_ms, NULL, park_wait);
}

static void a_wait_looks_when_something_of_its_own_happened(void **state)
{
    struct claim mine = work("a", NULL), other = work("a", NULL);
    struct asked a = {0};
    (void)state;
    struct reader *r = add_wait(&a, &mine, LONG_MS);
    UNTIL(a.looks == 1); /* before anything did */
    settle();
    say(&other, "doc.made", 1, 0);
    settle();
    assert_int_equal(a.looks, 1);
    say(&mine, "doc.made", 1, 0);
    UNTIL(a.looks == 2);
    assert_int_equal(a.drops, 0);
    a.content = true;
    say(&mine, "doc.made", 3, 0);
    UNTIL(r->closed);
    assert_true(r->ended);
    assert_int_equal(a.looks, 3);
    assert_int_equal(a.last_looks, 0);
    assert_int_equal(a.drops, 1);
    assert_int_equal(park_count(park), 0);
    assert_null(server.exchanges);
}

static void a_wait_must_answer_when_its_time_is_over(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0};
    (void)state;
    int64_t begun = clock_monotonic_ms();
    struct reader *r = add_wait(&a, &c, 200);
    UNTIL(a.drops);
    assert_int_equal(a.last_looks, 1);
    assert_int_equal(a.looks, 2);
    assert_true(clock_monotonic_ms() - begun >= 200);
    UNTIL(r->closed);
    assert_true(r->ended);
}

static void a_wait_must_answer_when_the_process_stops(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0}, late = {0};
    (void)state;
    struct reader *r = add_wait(&a, &c, LONG_MS);
    settle();
    park_shutdown(park);
    UNTIL(r->closed);
    assert_true(r->ended);
    assert_int_equal(a.last_looks, 1);
    assert_int_equal(a.drops, 1);
    add_wait(&late, &c, LONG_MS); /* what comes now is answered at once */
    UNTIL(late.drops);
    assert_int_equal(late.last_looks, 1);
}

static void a_wait_whose_client_left_is_dropped_unasked(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0};
    (void)state;
    struct reader *r = add_wait(&a, &c, LONG_MS);
    UNTIL(a.looks == 1);
    leave(r);
    UNTIL(a.drops == 1);
    assert_int_equal(a.looks, 1);
    assert_int_equal(park_count(park), 0);
    assert_null(server.exchanges);
}

static void a_wait_gives_its_place_back(void **state)
{
    struct claim c = work("a", NULL);
    struct asked answered = {.content = true}, left = {0};
    (void)state;
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    add_looking(&answered, &c, LONG_MS, "a", park_wait);
    struct reader *r = add_looking(&left, &c, LONG_MS, "a", park_wait);
    UNTIL(answered.drops);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    assert_int_equal(park_enter(park, "a", 2), PARK_ACCOUNT_FULL);
    leave(r);
    UNTIL(left.drops);
    assert_int_equal(park_enter(park, "a", 2), PARK_ADMITTED);
    assert_int_equal(park_enter(park, "a", 2), PARK_ACCOUNT_FULL);
    park_leave(park, "a");
    park_leave(park, "a");
}

static void portions_are_asked_for_once_a_turn(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0};
    (void)state;
    struct reader *r = add_looking(&a, &c, LONG_MS, NULL, park_portions);
    for (int i = 1; i <= 5; i++) {
        assert_true(park_busy(park));
        turn();
        assert_int_equal(a.looks, i);
    }
    a.content = true;
    turn();
    assert_int_equal(a.drops, 1);
    assert_int_equal(a.last_looks, 0);
    UNTIL(r->closed);
    assert_true(r->ended);
    assert_false(park_busy(park));
}

static void portions_end_when_their_client_leaves(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0};
    (void)state;
    struct reader *r = add_looking(&a, &c, LONG_MS, NULL, park_portions);
    turn();
    leave(r);
    UNTIL(a.drops == 1);
    assert_int_equal(park_count(park), 0);
}

static void who_looks_may_give_the_connection_to_a_stream(void **state)
{
    static void (*const holds[])(struct park *, struct exchange *,
                                 const struct park_wait *) = {park_portions, park_wait};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct claim c = work("a", NULL);
        struct asked a = {.content = true, .gives = true, .stream = stream_of_task(&c)};
        finish(&c, TASK_COMPLETED);
        struct reader *r = add_looking(&a, &c, LONG_MS, NULL, holds[i]);
        UNTIL(r->closed);
        assert_true(r->ended);
        assert_int_equal(a.drops, 1);
        assert_non_null(strstr(told(r), "status_changed:completed end:finished"));
        assert_int_equal(park_count(park), 0);
        assert_null(server.exchanges);
    }
}

static void closing_drops_whoever_is_there(void **state)
{
    struct claim c = work("a", NULL);
    struct asked a = {0};
    (void)state;
    struct reader *r = add(stream_of_task(&c));
    struct reader *waits = add_wait(&a, &c, LONG_MS);
    add(stream_of_task(&c)); /* not served once */
    UNTIL(has(r, 2) && a.looks == 1);
    park_close(park);
    for (int i = 0; i < 2; i++) take(r), take(waits);
    assert_true(r->closed && waits->closed);
    assert_false(r->ended || waits->ended);
    assert_int_equal(a.last_looks, 0);
    assert_int_equal(a.drops, 1);
    assert_null(server.exchanges);
    assert_int_equal(make_park(1000), ERR_OK);
}

static void nobody_there_is_nothing_to_wait_for(void **state)
{
    struct claim c = work("a", NULL);
    (void)state;
    turn();
    assert_false(park_busy(park));
    say(&c, "doc.made", 5, 0); /* while nobody listens */
    turn();
    assert_false(park_busy(park));
    struct park_stream s = stream_of_task(&c);
    s.after = newest();
    struct reader *r = add(s);
    say(&c, "doc.last", 1, 0);
    UNTIL(!strcmp(told(r), "last"));
    settle();
    assert_false(park_busy(park));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_park, leave_park)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_finished_task_is_told_and_ended),
        TEST(what_is_new_is_told_as_it_comes),
        TEST(a_turn_reads_a_part_of_what_is_new),
        TEST(each_scope_sees_its_own),
        TEST(a_filter_hides_and_the_position_moves_on),
        TEST(a_bounded_replay_ends_where_it_was_told),
        TEST(silence_is_broken_by_heartbeats),
        TEST(a_reader_that_stopped_gets_everything_once_when_it_goes_on),
        TEST(a_reader_that_is_behind_is_ended_in_time_and_between_events),
        TEST(a_client_that_left_is_dropped_without_any_event),
        TEST(a_process_that_stops_says_where_to_go_on),
        TEST(who_comes_or_reads_on_while_it_stops_is_told_too),
        TEST(a_commit_without_a_bell_is_noticed_all_the_same),
        TEST(a_stream_ends_with_its_credential),
        TEST(places_are_counted_and_given_back),
        TEST(a_log_without_heartbeats_is_rotated_before_it_is_taken_for_dead),
        TEST(a_wait_looks_when_something_of_its_own_happened),
        TEST(a_wait_must_answer_when_its_time_is_over),
        TEST(a_wait_must_answer_when_the_process_stops),
        TEST(a_wait_whose_client_left_is_dropped_unasked),
        TEST(a_wait_gives_its_place_back),
        TEST(portions_are_asked_for_once_a_turn),
        TEST(portions_end_when_their_client_leaves),
        TEST(who_looks_may_give_the_connection_to_a_stream),
        TEST(closing_drops_whoever_is_there),
        TEST(nobody_there_is_nothing_to_wait_for),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
