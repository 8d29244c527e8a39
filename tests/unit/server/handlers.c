/* Every handler by the shortest way: the process is a CGI program for each request, with variables and a body,
 * and what it answers is looked at. Refusals are tables; none of them may change the database. */
#include "../ops/fixture.h"

#include "base/json.h"
#include "base/secret.h"
#include "handlers.h"
#include "server/server.h"
#include "store/credentials.h"
#include "streams.h"

#include <getopt.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define NONE "01890000-0000-7000-8000-000000000000"
#define SSE  "HTTP_ACCEPT=text/event-stream"
#define PAGE "HTTP_ACCEPT=application/json"
#define ROWS "HTTP_ACCEPT=application/x-ndjson"

enum { HEADERS = 3, COUNT_MAX = 32 };
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- a site in which everything there is to refuse is at hand ---- */

static const struct {
    const char *name, *owner;
    unsigned scopes;
    int64_t expires_at; /* 0: never */
    bool revoked;
} tokens[] = {
    {"alice", "alice", AUTH_CREATE | AUTH_READ | AUTH_PUBLISH, 0, false},
    {"bob", "bob", AUTH_CREATE | AUTH_READ | AUTH_PUBLISH, 0, false},
    {"reader", "alice", AUTH_READ, 0, false},
    {"creator", "alice", AUTH_CREATE, 0, false},
    {"publisher", "alice", AUTH_PUBLISH, 0, false},
    {"full", "full", AUTH_CREATE | AUTH_READ, 0, false},
    {"admin", "admin", 15, 0, false},
    {"expired", "alice", AUTH_CREATE | AUTH_READ, T0, false},
    {"revoked", "alice", AUTH_CREATE | AUTH_READ, 0, true},
};

struct world {
    struct site *s;
    char secrets[COUNT(tokens)][SECRET_SIZE];
    char ticket[SECRET_SIZE];
    char *done, *failed, *gone, *late, *running, *stuck;
    char now[64], old[64], future[64], foreign[64]; /* cursors */
    char variables[8][128];                         /* the settings */
};

static void credential(struct world *w, char secret[SECRET_SIZE], struct credential c)
{
    unsigned char hash[SECRET_HASH_BYTES];
    int64_t id = 0;
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    c.created_at = T0;
    OK(w->s->r, txn_begin(w->s->db, TXN_SYNC_NONE, &w->s->r->e));
    OK(w->s->r, credential_add(w->s->db, &c, hash, &id, &w->s->r->e));
    OK(w->s->r, txn_commit(w->s->db, &w->s->r->e));
}

/* A task in a state; its id. */
static char *task_in(struct world *w, struct sketch sketch, enum task_status status)
{
    struct room *r = w->s->r;
    sketch.now = clock_wall_ms();
    if (!sketch.type) sketch.type = "cat";
    int64_t n = make(r, sketch);
    if (status == TASK_PENDING) {
        /* it is not to be claimed in the place of another one */
        assert_int_equal(
            sql_try(w->s->db, "UPDATE tasks SET blocked = 1 WHERE n = %lld", (long long)n), 0);
    } else {
        struct claim c = take(r, 7, sketch.now);
        struct claim_end end = {.status = status, .run_at = TASK_NONE, .now = sketch.now};
        assert_int_equal(c.n, n);
        if (status != TASK_RUNNING) OK(r, finish(r, &c, &end));
    }
    return id_of(w->s->db, n);
}

static void change(struct world *w,
                   enum err (*how)(struct db *, const char *, const char *, int64_t,
                                   struct error *),
                   const char *id)
{
    OK(w->s->r, txn_begin(w->s->db, TXN_SYNC_BEFORE, &w->s->r->e));
    OK(w->s->r, how(w->s->db, id, NULL, clock_wall_ms(), &w->s->r->e));
    OK(w->s->r, txn_commit(w->s->db, &w->s->r->e));
}

static int enter(void **state)
{
    if (site_enter(state)) return -1;
    struct world *w = mem_alloc(sizeof *w);
    struct site *s = w->s = *state;
    *state = w;
    site_job(s, "cat", NULL);
    site_job(s, "small", "max_input_bytes = 10\nget = yes\n");
    site_job(s, "wrong", "get = yes\nnope = 1\n");
    site_file(s, "notes", "no job\n", 0644);
    for (size_t i = 0; i < COUNT(tokens); i++)
        credential(w, w->secrets[i],
                   (struct credential){.owner = (char *)tokens[i].owner,
                                       .name = (char *)tokens[i].name,
                                       .scopes = tokens[i].scopes,
                                       .expires_at = tokens[i].expires_at ? tokens[i].expires_at
                                                                          : TASK_NONE});
    int64_t id;
    OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
    OK(s->r, credential_revoke(s->db, "revoked", clock_wall_ms(), &id, &s->r->e));
    OK(s->r, txn_commit(s->db, &s->r->e));

    w->done = task_in(w, (struct sketch){.group = "g"}, TASK_COMPLETED);
    int64_t seq = sql_number(s->db, "SELECT max(seq) FROM events");
    snprintf(w->old, sizeof w->old, "%s-%lld", db_epoch(s->db), (long long)seq);
    w->failed = task_in(w, (struct sketch){.group = "g"}, TASK_FAILED);
    w->gone = task_in(w, (struct sketch){.group = "g"}, TASK_COMPLETED);
    change(w, task_delete, w->gone);
    w->stuck = task_in(w, (struct sketch){.owner = "full", .group = "later"}, TASK_PENDING);
    change(w, task_cancel, w->stuck);
    for (int i = 0; i < 2; i++) free(task_in(w, (struct sketch){.owner = "full"}, TASK_PENDING));
    w->running = task_in(w, (struct sketch){0}, TASK_RUNNING);
    w->late = task_in(w, (struct sketch){0}, TASK_PENDING);
    credential(w, w->ticket,
               (struct credential){.owner = (char *)"alice",
                                   .scopes = AUTH_READ,
                                   .ticket = TICKET_TASK,
                                   .subject = w->done,
                                   .expires_at = clock_wall_ms() + 3600000});
    seq = sql_number(s->db, "SELECT max(seq) FROM events");
    snprintf(w->now, sizeof w->now, "%s-%lld", db_epoch(s->db), (long long)seq);
    snprintf(w->future, sizeof w->future, "%s-999999999", db_epoch(s->db));
    snprintf(w->foreign, sizeof w->foreign, "00000000-%lld", (long long)seq);

    snprintf(w->variables[0], sizeof *w->variables, "LEAT_DATABASE_PATH=%s", s->r->path);
    snprintf(w->variables[1], sizeof *w->variables, "LEAT_RUNNER_JOBS=%s/jobs", s->r->dir);
    snprintf(w->variables[2], sizeof *w->variables, "LEAT_LOG_TARGET=file %s/log", s->r->dir);
    strcpy(w->variables[3], "LEAT_HTTP_MAX_BODY_BYTES=2000");
    strcpy(w->variables[4], "LEAT_HTTP_MAX_RAW_BYTES=3000");
    strcpy(w->variables[5], "LEAT_HTTP_ALLOWED_ORIGINS=https://app.example");
    strcpy(w->variables[6], "LEAT_LIMITS_QUEUED_PER_OWNER=2");
    strcpy(w->variables[7], "LEAT_CONF=/dev/null");
    return 0;
}

static int leave(void **state)
{
    struct world *w = *state;
    void *site = w->s;
    char *ids[] = {w->done, w->failed, w->gone, w->late, w->running, w->stuck};
    for (size_t i = 0; i < COUNT(ids); i++) free(ids[i]);
    free(w);
    return site_leave(&site);
}

/* ---- a request and its answer ---- */

struct request_row {
    const char *method, *uri;
    const char *headers[HEADERS]; /* CGI variables */
    const char *body;
};

struct answer {
    int exit_status;
    int status;
    char *text; /* headers and body */
    const char *body;
    json_t *json; /* NULL: it is none */
};

/* "{done}" and its like by what they are in this world. */
static char *expand(const struct world *w, const char *text)
{
    const struct {
        const char *name, *value;
    } names[] = {
        {"{done}", w->done},     {"{failed}", w->failed},   {"{gone}", w->gone},
        {"{late}", w->late},     {"{stuck}", w->stuck},     {"{running}", w->running},
        {"{ticket}", w->ticket}, {"{now}", w->now},         {"{old}", w->old},
        {"{future}", w->future}, {"{foreign}", w->foreign},
    };
    struct buf out = {0};
    buf_str(&out, "");
    while (*text) {
        size_t i = 0;
        while (i < COUNT(names) && strncmp(text, names[i].name, strlen(names[i].name))) i++;
        if (i < COUNT(names)) {
            buf_str(&out, names[i].value);
            text += strlen(names[i].name);
        } else {
            buf_char(&out, *text++);
        }
    }
    return out.data;
}

static const char *secret_of(const struct world *w, const char *who)
{
    for (size_t i = 0; i < COUNT(tokens); i++)
        if (!strcmp(tokens[i].name, who)) return w->secrets[i];
    fail_msg("nobody is called %s", who);
    return NULL;
}

static bool given(const struct request_row *r, const char *variable)
{
    for (size_t i = 0; i < HEADERS && r->headers[i]; i++)
        if (!strncmp(r->headers[i], variable, strlen(variable))) return true;
    return false;
}

/* The variables of a request, and at their end NULL; each is the caller's to free. */
static void variables_of(const struct world *w, const char *who, const struct request_row *r,
                         char *out[COUNT_MAX])
{
    struct buf b[6] = {{0}};
    size_t n = 0, i = 0;
    char *uri = expand(w, r->uri);
    for (size_t j = 0; j < COUNT(w->variables); j++) out[n++] = mem_str(w->variables[j]);
    buf_fmt(&b[i], "REQUEST_METHOD=%s", r->method);
    out[n++] = b[i++].data;
    buf_fmt(&b[i], "REQUEST_URI=%s", uri);
    out[n++] = b[i++].data;
    if (*who) {
        buf_fmt(&b[i], "HTTP_AUTHORIZATION=Bearer %s", secret_of(w, who));
        out[n++] = b[i++].data;
    }
    if (r->body && !given(r, "CONTENT_LENGTH=")) {
        char *body = expand(w, r->body);
        buf_fmt(&b[i], "CONTENT_LENGTH=%zu", strlen(body));
        out[n++] = b[i++].data;
        free(body);
    }
    if (r->body && !given(r, "CONTENT_TYPE=") && !strstr(uri, "type="))
        out[n++] = mem_str("CONTENT_TYPE=application/json");
    for (size_t j = 0; j < HEADERS && r->headers[j]; j++) out[n++] = expand(w, r->headers[j]);
    out[n] = NULL;
    free(uri);
}

static int memory_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Is that CGI process, with `in` for its body. */
static struct answer serve(const struct world *w, const char *who, const struct request_row *r,
                           int in)
{
    static const struct server_program program = {
        .name = "leat.fcgi", .routes = site_routes, .overloaded = stream_overloaded};
    struct server_program mine = program;
    char *variables[COUNT_MAX], **before = environ, *argv[] = {(char *)"leat.fcgi", NULL};
    struct answer a = {0};
    mine.route_count = site_route_count;
    variables_of(w, who, r, variables);
    fflush(stdout);
    int screen = dup(STDOUT_FILENO), out = memory_file();
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    environ = variables;
    optind = 0;
    a.exit_status = server_main(&mine, 1, argv);
    environ = before;
    dup2(screen, STDOUT_FILENO);
    close(screen);
    for (size_t i = 0; variables[i]; i++) free(variables[i]);

    off_t len = lseek(out, 0, SEEK_END);
    a.text = mem_alloc((size_t)len + 1);
    assert_int_equal(pread(out, a.text, (size_t)len, 0), len);
    close(out);
    a.body = strstr(a.text, "\r\n\r\n");
    if (a.body) a.body += 4;
    if (!strncmp(a.text, "Status: ", 8)) a.status = (int)strtol(a.text + 8, NULL, 10);
    if (a.body && *a.body) a.json = json_read(a.body, strlen(a.body), NULL);
    return a;
}

static struct answer ask(const struct world *w, const char *who, const struct request_row *r)
{
    int in = memory_file();
    char *body = expand(w, r->body ? r->body : "");
    assert_int_equal(write(in, body, strlen(body)), strlen(body));
    lseek(in, 0, SEEK_SET);
    free(body);
    struct answer a = serve(w, who, r, in);
    close(in);
    return a;
}

static void answer_free(struct answer *a)
{
    json_decref(a->json);
    free(a->text);
}

/* A header's value up to the line's end, or NULL. */
static const char *header(const struct answer *a, const char *name, char value[256])
{
    struct buf line = {0};
    buf_fmt(&line, "\r\n%s: ", name);
    const char *at = strstr(a->text, line.data);
    size_t len = line.len;
    buf_free(&line);
    if (!at || (a->body && at >= a->body)) return NULL;
    snprintf(value, 256, "%.*s", (int)strcspn(at + len, "\r"), at + len);
    return value;
}

static const char *member(const struct answer *a, const char *name)
{
    const char *text = json_string_value(json_object_get(a->json, name));
    return text ? text : "";
}

/* What the database holds, but what programs note of themselves. */
static char *contents(struct world *w)
{
    static const char *const queries[] = {
        ("SELECT group_concat(id || status || attempt || max_attempts || coalesce(run_at, '') || "
         "cancel_requested) FROM tasks"),
        "SELECT count(*) || ' ' || max(seq) FROM events",
        "SELECT group_concat(owner || name || version) FROM groups",
        "SELECT group_concat(owner || name || json) FROM contexts",
        "SELECT count(*) FROM inputs",
        "SELECT count(*) FROM uploads",
        "SELECT count(*) FROM credentials",
        "SELECT count(*) FROM idempotency",
    };
    struct buf all = {0};
    for (size_t i = 0; i < COUNT(queries); i++) {
        sqlite3_stmt *st = NULL;
        assert_int_equal(sqlite3_prepare_v2(db_sqlite(w->s->db), queries[i], -1, &st, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        const char *text = (const char *)sqlite3_column_text(st, 0);
        buf_fmt(&all, "%s\n", text ? text : "NULL");
        sqlite3_finalize(st);
    }
    return all.data;
}

/* What is wrong with a refusal, as such; NULL: nothing. */
static const char *wrong(const struct answer *a, int status, const char *code)
{
    char v[256], id[256];
    bool retry = status == 429 || status == 503;
    const char *type = header(a, "Content-Type", v);
    if (a->status != status) return "the status";
    if (!type || strcmp(type, "application/problem+json")) return "Content-Type";
    size_t line = json_object_get(a->json, "line") != NULL; /* of one of many requests */
    if (json_object_size(a->json) != 7 + line) return "the members";
    if (strcmp(member(a, "code"), code)) return "code";
    if (strcmp(member(a, "type"), "about:blank")) return "type";
    if (!*member(a, "title") || !*member(a, "detail")) return "title or detail";
    if (json_integer_value(json_object_get(a->json, "status")) != status) return "status in it";
    if (json_is_true(json_object_get(a->json, "retryable")) != retry) return "retryable";
    if (!header(a, "X-Request-ID", id) || strcmp(id, member(a, "request_id"))) return "request_id";
    if (!header(a, "Cache-Control", v) || strcmp(v, "no-store")) return "Cache-Control";
    if (!header(a, "X-Content-Type-Options", v)) return "X-Content-Type-Options";
    if (header(a, "Location", v) || header(a, "Set-Cookie", v)) return "a header too many";
    if ((header(a, "Allow", v) != NULL) != (status == 405)) return "Allow";
    if ((header(a, "WWW-Authenticate", v) != NULL) != (status == 401)) return "WWW-Authenticate";
    if ((header(a, "Retry-After", v) != NULL) != retry) return "Retry-After";
    if ((header(a, "RateLimit", v) != NULL) != (status == 429)) return "RateLimit";
    if ((header(a, "RateLimit-Policy", v) != NULL) != (status == 429)) return "RateLimit-Policy";
    return NULL;
}

/* Asks, and fails unless the answer is this refusal, its detail holds `says` (where that is not NULL), and
 * nothing has changed. */
static void refused(struct world *w, const char *who, int status, const char *code,
                    const char *says, const struct request_row *r)
{
    char *before = contents(w);
    struct answer a = ask(w, who, r);
    char *after = contents(w);
    const char *what = wrong(&a, status, code);
    if (!what && a.exit_status) what = "the exit status";
    if (!what && says && !strstr(member(&a, "detail"), says)) what = "what it says";
    if (!what && strcmp(before, after)) what = "a change of the database";
    if (what)
        fail_msg("%s %s %s %s %s: wrong is %s\n%s", who, r->method, r->uri,
                 r->headers[0] ? r->headers[0] : "", r->body ? r->body : "", what, a.text);
    answer_free(&a);
    free(before);
    free(after);
}

static void all_refused(struct world *w, const char *who, int status, const char *code,
                        const struct request_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) refused(w, who, status, code, NULL, &rows[i]);
}

/* ---- lists of requests ---- */

static const struct request_row changing[] = {
    {"POST", "/api/tasks", {NULL}, "{\"type\":\"cat\"}"},
    {"POST", "/api/tasks?type=cat", {NULL}, "x"},
    {"POST", "/api/tasks", {"HTTP_PREFER=wait=5"}, "{\"type\":\"cat\"}"},
    {"POST", "/api/tasks", {SSE}, "{\"type\":\"cat\"}"},
    {"GET", "/api/run/small?input=1", {SSE}, NULL},
    {"POST", "/api/tasks", {"CONTENT_TYPE=application/x-ndjson"}, "{\"type\":\"cat\"}\n"},
    {"POST", "/api/tasks/{late}/cancel", {NULL}, NULL},
    {"POST", "/api/tasks/{failed}/retry", {NULL}, NULL},
    {"DELETE", "/api/tasks/{done}", {NULL}, NULL},
    {"POST", "/api/groups/g/cancel", {NULL}, NULL},
    {"POST", "/api/groups/g/retry", {NULL}, NULL},
};
enum { CHANGING_RUN = 4 }; /* an EventSource asks for that one */
static const struct request_row publishing[] = {
    {"PUT", "/api/groups/g/context", {NULL}, "{\"a\":1}"},
    {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"doc.created\"}"},
};
static const struct request_row reading[] = {
    {"GET", "/api/tasks", {NULL}, NULL},
    {"GET", "/api/tasks/{done}", {NULL}, NULL},
    {"GET", "/api/tasks/{done}", {"HTTP_PREFER=wait=5"}, NULL},
    {"GET", "/api/tasks/{done}/result", {NULL}, NULL},
    {"GET", "/api/tasks/{done}/log", {NULL}, NULL},
    {"GET", "/api/tasks/{done}/log?follow=1", {NULL}, NULL},
    {"GET", "/api/tasks/{done}/events", {SSE}, NULL},
    {"GET", "/api/tasks/{done}/events", {PAGE}, NULL},
    {"GET", "/api/tasks/{done}/events", {ROWS}, NULL},
    {"GET", "/api/groups", {NULL}, NULL},
    {"GET", "/api/groups/g", {NULL}, NULL},
    {"GET", "/api/groups/g/context", {NULL}, NULL},
    {"GET", "/api/groups/g/events", {SSE}, NULL},
    {"GET", "/api/groups/-/events?group=g", {PAGE}, NULL},
    {"GET", "/api/events", {SSE}, NULL},
    {"GET", "/api/events", {ROWS}, NULL},
};
static const struct request_row tickets[] = {
    {"POST", "/api/tickets", {NULL}, "{\"task\":\"{done}\"}"},
};
static const struct request_row admin[] = {
    {"GET", "/api/metrics", {NULL}, NULL},
    {"GET", "/api/stats", {NULL}, NULL},
};
static const struct request_row types[] = {{"GET", "/api/types", {NULL}, NULL}};

#define ALL_REFUSED(w, who, status, code, list) all_refused(w, who, status, code, list, COUNT(list))

/* ---- who may ---- */

static void who_is_nobody_is_401(void **state)
{
    static const struct request_row shown[] = {
        {"GET", "/api/tasks", {"HTTP_AUTHORIZATION=Bearer nonsense"}, NULL},
        {"GET", "/api/tasks", {"HTTP_AUTHORIZATION=Bearer {ticket}"}, NULL},
        {"POST", "/api/tasks", {"HTTP_AUTHORIZATION=Bearer nonsense"}, "{\"type\":\"cat\"}"},
        {"GET", "/api/events?ticket=nonsense", {SSE}, NULL},
        {"GET", "/api/events", {SSE, "HTTP_COOKIE=leat_ticket=nonsense"}, NULL},
    };
    static const struct request_row basic = {
        "GET", "/api/tasks", {"HTTP_AUTHORIZATION=Basic YTpi"}, NULL};
    struct world *w = *state;
    ALL_REFUSED(w, "", 401, "unauthorized", changing);
    ALL_REFUSED(w, "", 401, "unauthorized", publishing);
    ALL_REFUSED(w, "", 401, "unauthorized", reading);
    ALL_REFUSED(w, "", 401, "unauthorized", tickets);
    ALL_REFUSED(w, "", 401, "unauthorized", admin);
    ALL_REFUSED(w, "", 401, "unauthorized", types);
    ALL_REFUSED(w, "", 401, "invalid_token", shown);
    refused(w, "", 401, "unauthorized", NULL, &basic);
    static const char *const worthless[] = {"expired", "revoked"};
    for (size_t i = 0; i < 2; i++) {
        refused(w, worthless[i], 401, "invalid_token", worthless[i], &changing[0]);
        refused(w, worthless[i], 401, "invalid_token", worthless[i], &reading[0]);
        refused(w, worthless[i], 401, "invalid_token", worthless[i], &publishing[0]);
    }
}

static void who_may_do_less_is_403(void **state)
{
    static const struct request_row of_others[] = {
        {"GET", "/api/groups/g?owner=bob", {NULL}, NULL},
        {"GET", "/api/groups/g/context?owner=bob", {NULL}, NULL},
        {"PUT", "/api/groups/g/context?owner=bob", {NULL}, "{}"},
        {"GET", "/api/groups/g/events?owner=bob", {SSE}, NULL},
        {"POST", "/api/groups/g/events?owner=bob", {NULL}, "{\"type\":\"a.b\"}"},
        {"POST", "/api/groups/g/cancel?owner=bob", {NULL}, NULL},
        {"POST", "/api/groups/g/retry?owner=bob", {NULL}, NULL},
        {"GET", "/api/groups?owner=bob", {NULL}, NULL},
    };
    static const struct request_row by_ticket[] = {
        {"GET", "/api/tasks/{failed}?ticket={ticket}", {NULL}, NULL},
        {"GET", "/api/events?ticket={ticket}", {SSE}, NULL},
        {"POST", "/api/tasks/{failed}/retry?ticket={ticket}", {NULL}, NULL},
        {"DELETE", "/api/tasks/{done}?ticket={ticket}", {NULL}, NULL},
        {"POST", "/api/tasks/{done}/cancel?ticket={ticket}", {NULL}, NULL},
        {"POST", "/api/tasks?ticket={ticket}", {NULL}, "{\"type\":\"cat\"}"},
    };
    static const struct request_row ticket_for_run = {
        "POST", "/api/tickets", {NULL}, "{\"run\":\"small\"}"};
    static const struct request_row not_by_get = {"GET", "/api/run/cat?input=x", {SSE}, NULL};
    struct world *w = *state;
    ALL_REFUSED(w, "reader", 403, "insufficient_scope", changing);
    ALL_REFUSED(w, "reader", 403, "insufficient_scope", publishing);
    ALL_REFUSED(w, "reader", 403, "insufficient_scope", admin);
    ALL_REFUSED(w, "reader", 403, "insufficient_scope", types);
    refused(w, "reader", 403, "insufficient_scope", "create", &ticket_for_run);
    ALL_REFUSED(w, "creator", 403, "insufficient_scope", reading);
    ALL_REFUSED(w, "creator", 403, "insufficient_scope", publishing);
    ALL_REFUSED(w, "creator", 403, "insufficient_scope", tickets);
    refused(w, "creator", 403, "insufficient_scope", "read", &changing[CHANGING_RUN]);
    refused(w, "publisher", 403, "insufficient_scope", "create", &changing[0]);
    refused(w, "publisher", 403, "insufficient_scope", "read", &reading[0]);
    ALL_REFUSED(w, "alice", 403, "insufficient_scope", admin);
    ALL_REFUSED(w, "alice", 403, "insufficient_scope", of_others);
    ALL_REFUSED(w, "", 403, "ticket_scope", by_ticket);
    refused(w, "alice", 403, "not_by_get", "get = yes", &not_by_get);
}

static void pages_of_other_origins_are_403(void **state)
{
    static const struct request_row streams[] = {
        {"GET", "/api/events", {SSE}, NULL},
        {"GET", "/api/tasks/{done}/events", {PAGE}, NULL},
        {"GET", "/api/tasks/{done}/log?follow=1", {NULL}, NULL},
        {"OPTIONS", "/api/tasks", {"HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST"}, NULL},
    };
    static const char *const from[] = {"HTTP_ORIGIN=https://evil.example", "HTTP_ORIGIN=null",
                                       "HTTP_SEC_FETCH_SITE=cross-site"};
    const struct {
        const struct request_row *rows;
        size_t count, ways; /* the last of `from` is not for streams */
    } lists[] = {{changing, COUNT(changing), 3},
                 {publishing, COUNT(publishing), 3},
                 {tickets, COUNT(tickets), 3},
                 {streams, COUNT(streams), 2}};
    struct world *w = *state;
    for (size_t l = 0; l < COUNT(lists); l++) {
        for (size_t i = 0; i < lists[l].count * lists[l].ways; i++) {
            struct request_row r = lists[l].rows[i / lists[l].ways];
            r.headers[HEADERS - 1] = NULL;
            r.headers[r.headers[0] ? 1 : 0] = from[i % lists[l].ways];
            refused(w, "alice", 403, "origin_not_allowed", NULL, &r);
        }
    }
    /* where a type may be started by GET, a listed origin does not help */
    static const struct request_row listed = {
        "GET",
        "/api/run/small?input=1",
        {SSE, "HTTP_ORIGIN=https://app.example", "HTTP_SEC_FETCH_SITE=cross-site"},
        NULL};
    refused(w, "alice", 403, "origin_not_allowed", NULL, &listed);
}

/* ---- what there is not ---- */

static void unknown_or_not_yours_is_404_in_the_same_words(void **state)
{
    static const struct {
        const char *method, *tail, *header;
    } of_task[] = {
        {"GET", "", NULL},
        {"DELETE", "", NULL},
        {"POST", "/cancel", NULL},
        {"POST", "/retry", NULL},
        {"GET", "/result", NULL},
        {"GET", "/log", NULL},
        {"GET", "/log?follow=1", NULL},
        {"GET", "/events", SSE},
        {"GET", "/events", PAGE},
        {"GET", "/events", ROWS},
        {"GET", "", "HTTP_PREFER=wait=5"},
    };
    static const struct {
        const char *who, *id;
    } ids[] = {{"alice", NONE}, {"alice", "{gone}"}, {"bob", "{done}"}, {"bob", "{late}"}};
    static const struct request_row nothing[] = {
        {"GET", "/api/", {NULL}, NULL},
        {"GET", "/", {NULL}, NULL},
        {"POST", "/api/nothing", {NULL}, NULL},
        {"GET", "/api/TASKS", {NULL}, NULL},
        {"GET", "/api/tasks/nonsense", {NULL}, NULL},
        {"GET", "/api/tasks/{done}/nothing", {NULL}, NULL},
        {"GET", "/api/tasks/{done}/result/more", {NULL}, NULL},
        {"GET", "/api/tasks/{done}%2Fresult", {NULL}, NULL},
        {"GET", "/api/tasks/{done}%20", {NULL}, NULL},
        {"GET", "/api/tasks/%252e%252e", {NULL}, NULL},
        {"GET", "/api%2Ftasks", {NULL}, NULL},
        {"GET", "/api/internal/tasks/{done}", {NULL}, NULL},
        {"GET", "/api/run/UPPER", {SSE}, NULL},
        {"GET", "/api/tasks/{failed}/result", {NULL}, NULL},
        {"GET", "/api/tasks/{done}/files/none", {NULL}, NULL},
    };
    static const struct request_row for_others[] = {
        {"POST", "/api/tickets", {NULL}, "{\"task\":\"{done}\"}"},
        {"POST", "/api/tickets", {NULL}, "{\"task\":\"" NONE "\"}"},
        {"POST", "/api/tickets", {NULL}, "{\"task\":\"x\"}"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(of_task); i++) {
        char said[256] = "";
        for (size_t j = 0; j < COUNT(ids); j++) {
            struct buf uri = {0};
            buf_fmt(&uri, "/api/tasks/%s%s", ids[j].id, of_task[i].tail);
            const struct request_row r = {of_task[i].method, uri.data, {of_task[i].header}, NULL};
            refused(w, ids[j].who, 404, "not_found", NULL, &r);
            struct answer a = ask(w, ids[j].who, &r);
            if (!j) snprintf(said, sizeof said, "%s", member(&a, "detail"));
            assert_string_equal(member(&a, "detail"), said); /* nobody learns which */
            answer_free(&a);
            buf_free(&uri);
        }
    }
    ALL_REFUSED(w, "alice", 404, "not_found", nothing);
    ALL_REFUSED(w, "bob", 404, "not_found", for_others);
}

static void methods_that_a_path_does_not_know_are_405(void **state)
{
    static const struct {
        struct request_row r;
        const char *allow;
    } rows[] = {
        {{"PUT", "/api/tasks", {NULL}, NULL}, "GET, HEAD, POST, OPTIONS"},
        {{"PATCH", "/api/tasks", {NULL}, NULL}, "GET, HEAD, POST, OPTIONS"},
        {{"POST", "/api/tasks/{done}", {NULL}, NULL}, "GET, HEAD, DELETE, OPTIONS"},
        {{"POST", "/api/tasks/{done}/result", {NULL}, NULL}, "GET, HEAD, OPTIONS"},
        {{"GET", "/api/tasks/{done}/cancel", {NULL}, NULL}, "POST, OPTIONS"},
        {{"DELETE", "/api/groups/g/context", {NULL}, NULL}, "GET, HEAD, PUT, OPTIONS"},
        {{"BREW", "/api/health", {NULL}, NULL}, "GET, HEAD, OPTIONS"},
        {{"POST", "/api/run/small", {SSE}, NULL}, "GET, OPTIONS"},
    };
    struct world *w = *state;
    char v[256];
    for (size_t i = 0; i < COUNT(rows); i++) {
        refused(w, "alice", 405, "method_not_allowed", NULL, &rows[i].r);
        struct answer a = ask(w, "alice", &rows[i].r);
        assert_string_equal(header(&a, "Allow", v), rows[i].allow);
        answer_free(&a);
    }
}

/* ---- states and versions ---- */

static void what_the_state_does_not_allow_is_409(void **state)
{
    static const struct request_row rows[] = {
        {"POST", "/api/tasks/{done}/cancel", {NULL}, NULL},
        {"POST", "/api/tasks/{failed}/cancel", {NULL}, NULL},
        {"POST", "/api/tasks/{done}/retry", {NULL}, NULL},
        {"POST", "/api/tasks/{late}/retry", {NULL}, NULL},
        {"POST", "/api/tasks/{running}/retry", {NULL}, NULL},
        {"DELETE", "/api/tasks/{late}", {NULL}, NULL},
        {"DELETE", "/api/tasks/{running}", {NULL}, NULL},
    };
    static const struct request_row results[] = {
        {"GET", "/api/tasks/{late}/result", {NULL}, NULL},
        {"GET", "/api/tasks/{running}/result", {NULL}, NULL},
    };
    struct world *w = *state;
    ALL_REFUSED(w, "alice", 409, "state", rows);
    ALL_REFUSED(w, "alice", 409, "not_finished", results);
}

static void versions_that_have_passed_are_412(void **state)
{
    static const char *const matches[] = {"\"1\"", "\"3\"", "\"0\"", "\"nonsense\"", "2"};
    struct world *w = *state;
    char v[256];
    for (int i = 1; i <= 2; i++) {
        struct answer a = ask(w, "alice", &publishing[0]);
        assert_int_equal(a.status, 200);
        assert_string_equal(header(&a, "ETag", v), i == 1 ? "\"1\"" : "\"2\"");
        answer_free(&a);
    }
    for (size_t i = 0; i < COUNT(matches); i++) {
        char match[64];
        snprintf(match, sizeof match, "HTTP_IF_MATCH=%s", matches[i]);
        const struct request_row r = {"PUT", "/api/groups/g/context", {match}, "{\"a\":1}"};
        refused(w, "alice", 412, "version_clash", NULL, &r);
    }
    static const struct request_row unused = {
        "PUT", "/api/groups/unused/context", {"HTTP_IF_MATCH=*"}, "{}"};
    static const struct request_row fits = {
        "PUT", "/api/groups/-/context?group=g", {"HTTP_IF_MATCH=\"1\", \"2\""}, "{}"};
    refused(w, "alice", 412, "version_clash", NULL, &unused);
    struct answer a = ask(w, "alice", &fits);
    assert_int_equal(a.status, 200);
    assert_string_equal(header(&a, "ETag", v), "\"3\"");
    answer_free(&a);
}

static void cursors_that_nothing_begins_at_are_400_and_410(void **state)
{
    static const char *const paths[] = {"/api/groups/g/events", "/api/events",
                                        "/api/tasks/{done}/events"};
    static const char *const forms[] = {PAGE, ROWS};
    struct world *w = *state;
    for (size_t i = 0; i < 6; i++) {
        const char *path = paths[i / 2], *form = forms[i % 2];
        const struct request_row future = {
            "GET", path, {form, "HTTP_LAST_EVENT_ID={future}"}, NULL};
        const struct request_row foreign = {
            "GET", path, {form, "HTTP_LAST_EVENT_ID={foreign}"}, NULL};
        const struct request_row nonsense = {"GET", path, {form, "HTTP_LAST_EVENT_ID=x"}, NULL};
        const struct request_row old = {"GET", path, {form, "HTTP_LAST_EVENT_ID={old}"}, NULL};
        refused(w, "alice", 400, "cursor_future", NULL, &future);
        refused(w, "alice", 410, "cursor_epoch", NULL, &foreign);
        refused(w, "alice", 410, "cursor_epoch", NULL, &nonsense);
        if (i < 4) refused(w, "alice", 410, "cursor_evicted", NULL, &old);
    }
}

/* ---- bodies ---- */

static void bodies_that_are_no_json_are_400(void **state)
{
    static const struct {
        const char *body, *says;
    } bad[] = {
        {"{\"type\":", "line 1, column "},
        {"{\n'a':1}", "line 2, column "},
        {"{\"a\":\n\"\xff\"}", "line 2, column "},
        {"{} x", "line 1, column "},
        {"", "line 1, column "},
        {"{\"a\":\"\\ud800\"}", "line 1, column "},
        {"{\"type\":\"cat\",}", "line 1"},
        {"{\"type\":\"cat\",\"input\":NaN}", "line 1"},
        {"{\"a\":\"\xc0\xaf\"}", "line 1"},
    };
    static const struct request_row at[] = {
        {"POST", "/api/tasks", {NULL}, NULL},
        {"PUT", "/api/groups/g/context", {NULL}, NULL},
        {"POST", "/api/groups/g/events", {NULL}, NULL},
        {"POST", "/api/tickets", {NULL}, NULL},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(at) * COUNT(bad); i++) {
        struct request_row r = at[i / COUNT(bad)];
        r.body = bad[i % COUNT(bad)].body;
        refused(w, "alice", 400, "bad_json", bad[i % COUNT(bad)].says, &r);
    }
}

static void bodies_of_another_kind_are_415(void **state)
{
    static const char *const media[] = {"CONTENT_TYPE=text/plain",
                                        "CONTENT_TYPE=text/csv",
                                        "CONTENT_TYPE=application/octet-stream",
                                        "CONTENT_TYPE=multipart/form-data; boundary=x",
                                        "CONTENT_TYPE=application/jsonx",
                                        "CONTENT_TYPE=x"};
    const struct request_row *const at[] = {&changing[0], &publishing[0], &publishing[1],
                                            &tickets[0]};
    static const struct request_row encoded[] = {
        {"POST", "/api/tasks", {"HTTP_CONTENT_ENCODING=gzip"}, "{\"type\":\"cat\"}"},
        {"POST", "/api/tasks?type=cat", {"HTTP_CONTENT_ENCODING=br"}, "x"},
        {"PUT", "/api/groups/g/context", {"HTTP_CONTENT_ENCODING=gzip"}, "{}"},
    };
    static const struct request_row form = {
        "POST", "/api/tasks", {"CONTENT_TYPE=application/x-www-form-urlencoded"}, "type=cat"};
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(at) * COUNT(media); i++) {
        struct request_row r = *at[i / COUNT(media)];
        r.headers[0] = media[i % COUNT(media)];
        refused(w, "alice", 415, "unsupported_media_type", NULL, &r);
    }
    ALL_REFUSED(w, "alice", 415, "unsupported_encoding", encoded);
    refused(w, "alice", 415, "unsupported_media_type", NULL, &form);
}

/* {"FIELD":"xxx..."} of more than max_body_bytes; the caller frees. */
static char *large_json(const char *field)
{
    struct buf b = {0};
    buf_fmt(&b, "{\"type\":\"cat\",\"%s\":\"", field);
    for (int i = 0; i < 2000; i++) buf_char(&b, 'x');
    buf_str(&b, "\"}");
    return b.data;
}

static void bodies_that_are_too_large_are_413(void **state)
{
    struct world *w = *state;
    char *json = large_json("input"), raw[3002];
    memset(raw, 'x', sizeof raw);
    raw[3001] = '\0';
    const struct request_row rows[] = {
        {"POST", "/api/tasks", {NULL}, json},
        {"PUT", "/api/groups/g/context", {NULL}, json},
        {"POST", "/api/groups/g/events", {NULL}, json},
        {"POST", "/api/tickets", {NULL}, json},
    };
    const struct request_row raws[] = {
        {"POST", "/api/tasks?type=cat", {NULL}, raw},
        {"POST", "/api/tasks?type=nosuch", {NULL}, raw},
        {"POST", "/api/tasks", {"CONTENT_TYPE=application/x-ndjson"}, raw},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(w, "alice", 413, "body_too_large", "2000", &rows[i]);
    for (size_t i = 0; i < COUNT(raws); i++)
        refused(w, "alice", 413, "body_too_large", "3000", &raws[i]);
    static const struct request_row of_type[] = {
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"small\",\"input\":\"12345678901\"}"},
        {"POST", "/api/tasks?type=small", {NULL}, "12345678901"},
        {"GET", "/api/run/small?input=12345678901", {SSE}, NULL},
    };
    ALL_REFUSED(w, "alice", 413, "body_too_large", of_type);
    free(json);
}

static void a_body_must_have_its_length(void **state)
{
    static const struct {
        const char *length, *says;
    } rows[] = {
        {"CONTENT_LENGTH=x", "Content-Length"},
        {"CONTENT_LENGTH=-1", "Content-Length"},
        {"CONTENT_LENGTH=100", NULL}, /* the client left in its middle */
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct request_row r = {"POST", "/api/tasks?type=cat", {rows[i].length}, "half"};
        refused(w, "alice", 400, "bad_request", rows[i].says, &r);
    }
}

enum { LARGE = 2000000 };

static void *write_large(void *arg)
{
    char piece[4096];
    memset(piece, 'b', sizeof piece);
    for (size_t left = LARGE; left;) {
        ssize_t n = write(*(int *)arg, piece, left < sizeof piece ? left : sizeof piece);
        if (n <= 0) break;
        left -= (size_t)n;
    }
    return NULL;
}

/* More than is read in one turn, from a file as some web servers give it, and from a pipe. */
static void a_large_body_comes_in_over_many_turns(void **state)
{
    struct world *w = *state;
    static const struct request_row r = {
        "POST", "/api/tasks?type=cat", {"CONTENT_LENGTH=2000000"}, NULL};
    strcpy(w->variables[4], "LEAT_HTTP_MAX_RAW_BYTES=3000000");
    for (int piped = 0; piped < 2; piped++) {
        struct signal_pipe pipe = pipe_open();
        int file = memory_file();
        pthread_t writer;
        if (piped) {
            assert_int_equal(pthread_create(&writer, NULL, write_large, &pipe.to), 0);
        } else {
            write_large(&file);
            lseek(file, 0, SEEK_SET);
        }
        struct answer a = serve(w, "bob", &r, piped ? pipe.from : file);
        if (a.status != 202) fail_msg("piped %d: %s", piped, a.text);
        if (piped) pthread_join(writer, NULL);
        assert_int_equal(sql_number(w->s->db, "SELECT bytes FROM uploads ORDER BY task DESC"),
                         LARGE);
        assert_int_equal(sql_number(w->s->db,
                                    "SELECT sum(length(body)) FROM portions WHERE upload ="
                                    " (SELECT id FROM uploads ORDER BY task DESC)"),
                         LARGE);
        answer_free(&a);
        pipe_close(&pipe);
        close(file);
    }
}

/* No room for what is written to files without a name. */
static bool disk_full;

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct stat st;
    if (!disk_full || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink || st.st_size < 600000)
        return syscall(SYS_write, fd, bytes, len);
    errno = ENOSPC;
    return -1;
}

static void a_body_that_the_disk_has_no_room_for_is_503_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    static const struct request_row r = {
        "POST", "/api/tasks?type=cat", {"CONTENT_LENGTH=2000000"}, NULL};
    strcpy(w->variables[4], "LEAT_HTTP_MAX_RAW_BYTES=3000000");
    int file = memory_file();
    char *before = contents(w);
    write_large(&file);
    lseek(file, 0, SEEK_SET);
    disk_full = true;
    struct answer a = serve(w, "bob", &r, file);
    disk_full = false;
    close(file);
    char *after = contents(w);
    assert_int_equal(a.status, 503);
    assert_string_equal(member(&a, "code"), "database_full");
    assert_string_equal(before, after);
    answer_free(&a);
    free(before);
    free(after);
}

static void a_body_that_does_not_come_is_408(void **state)
{
    struct world *w = *state;
    static const struct request_row r = {
        "POST", "/api/tasks?type=cat", {"CONTENT_LENGTH=100"}, NULL};
    struct signal_pipe pipe = pipe_open();
    char *before = contents(w);
    strcpy(w->variables[3], "LEAT_HTTP_BODY_SECONDS=0.1");
    assert_int_equal(write(pipe.to, "half", 4), 4);
    int64_t begun = clock_monotonic_ms();
    struct answer a = serve(w, "alice", &r, pipe.from);
    char *after = contents(w);
    assert_int_equal(a.status, 408);
    assert_string_equal(member(&a, "code"), "request_timeout");
    assert_true(clock_monotonic_ms() - begun >= 100);
    assert_string_equal(before, after);
    answer_free(&a);
    free(before);
    free(after);
    pipe_close(&pipe);
}

/* ---- values ---- */

/* An admin names an owner, and not what can be none. */
static void nobody_is_no_owner(struct world *w)
{
    static const char *const paths[][2] = {{"GET", ""},
                                           {"GET", "/g"},
                                           {"PUT", "/g/context"},
                                           {"POST", "/g/events"},
                                           {"POST", "/g/cancel"}};
    char longest[TASK_OWNER_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const names[] = {"", "a%1Bb", "%7F", longest};
    for (size_t i = 0; i < COUNT(paths); i++)
        for (size_t k = 0; k < COUNT(names); k++) {
            struct buf path = {0};
            buf_fmt(&path, "/api/groups%s?owner=%s", paths[i][1], names[k]);
            const char *body = i == 2 ? "{}" : i == 3 ? "{\"type\":\"a.b\"}" : NULL;
            struct request_row row = {paths[i][0], path.data, {NULL}, body};
            refused(w, "admin", 422, "invalid_request", "owner", &row);
            buf_free(&path);
        }
}

static void wrong_values_are_422_and_name_their_field(void **state)
{
    static const struct {
        const char *field;
        struct request_row r;
    } rows[] = {
#define CREATE(field, value)                                                                       \
    {                                                                                              \
        field,                                                                                     \
        {                                                                                          \
            "POST", "/api/tasks", {NULL}, "{\"type\":\"cat\",\"" field "\":" value "}"             \
        }                                                                                          \
    }
#define QUERY(field, value)                                                                        \
    {                                                                                              \
        field,                                                                                     \
        {                                                                                          \
            "POST", "/api/tasks?type=cat&" field "=" value, {NULL}, "x"                            \
        }                                                                                          \
    }
        CREATE("group", "\"\""),
        CREATE("group", "5"),
        CREATE("group", "\".\""),
        CREATE("group", "\"..\""),
        CREATE("group", "\"../../data\""),
        CREATE("group", "\"a/./b\""),
        CREATE("group", "\"-\""),
        CREATE("group", "\"a\\nb\""),
        CREATE("group", "\"\\u007f\""),
        CREATE("group", "[]"),
        CREATE("priority", "\"x\""),
        CREATE("priority", "1.5"),
        CREATE("priority", "101"),
        CREATE("priority", "-101"),
        CREATE("max_attempts", "0"),
        CREATE("max_attempts", "1.5"),
        CREATE("timeout", "0"),
        CREATE("timeout", "\"10\""),
        CREATE("run_at", "-1"),
        CREATE("run_at", "\"tomorrow\""),
        CREATE("delay", "-1"),
        CREATE("delay", "{}"),
        CREATE("unique", "\"\""),
        CREATE("nope", "1"),
        CREATE("Input", "1"),
        QUERY("group", ""),
        QUERY("group", "a%0ab"),
        QUERY("group", "..%2F..%2Fdata"),
        QUERY("priority", "high"),
        QUERY("max_attempts", "0"),
        QUERY("timeout", "1s"),
        QUERY("run_at", "-5"),
        QUERY("delay", "null"),
        {"type", {"POST", "/api/tasks", {NULL}, "{\"input\":1}"}},
        {"type", {"POST", "/api/tasks", {NULL}, "{\"type\":5}"}},
        {"delay", {"POST", "/api/tasks", {NULL}, "{\"type\":\"cat\",\"run_at\":1,\"delay\":1}"}},
        {"object", {"POST", "/api/tasks", {NULL}, "[]"}},
        {"group", {"GET", "/api/run/small?group=..", {SSE}, NULL}},
        {"key", {"GET", "/api/run/small?key=", {SSE}, NULL}},
        {"dialect", {"POST", "/api/tasks?dialect=x", {NULL}, "{\"type\":\"cat\"}"}},
        {"dialect", {"GET", "/api/tasks/{done}?dialect=x", {NULL}, NULL}},
        {"dialect", {"POST", "/api/tasks/{late}/cancel?dialect=x", {NULL}, NULL}},
        {"dialect", {"POST", "/api/tasks/{failed}/retry?dialect=x", {NULL}, NULL}},
        {"dialect", {"GET", "/api/tasks/{done}/events?dialect=x", {SSE}, NULL}},
        {"dialect", {"GET", "/api/run/small?dialect=x", {SSE}, NULL}},
        {"types", {"GET", "/api/tasks/{done}/events?types=A", {SSE}, NULL}},
        {"types", {"GET", "/api/groups/g/events?types=task.*,", {PAGE}, NULL}},
        {"types", {"GET", "/api/events?types=a%20b", {PAGE}, NULL}},
        {"limit", {"GET", "/api/events?limit=0", {PAGE}, NULL}},
        {"limit", {"GET", "/api/groups/g/events?limit=10001", {PAGE}, NULL}},
        {"follow", {"GET", "/api/events?follow=x", {ROWS}, NULL}},
        {"follow", {"GET", "/api/tasks/{done}/log?follow=2", {NULL}, NULL}},
        {"status", {"GET", "/api/tasks?status=done", {NULL}, NULL}},
        {"page_size", {"GET", "/api/tasks?page_size=0", {NULL}, NULL}},
        {"page_size", {"GET", "/api/tasks?page_size=1%20", {NULL}, NULL}},
        {"page_token", {"GET", "/api/tasks?page_token=x", {NULL}, NULL}},
        {"page_size", {"GET", "/api/groups?page_size=x", {NULL}, NULL}},
        {"page_token", {"GET", "/api/groups?page_token=!", {NULL}, NULL}},
        {"type", {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"one\"}"}},
        {"type", {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"Doc.made\"}"}},
        {"type", {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"task.created\"}"}},
        {"type", {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"stream.end\"}"}},
        {"type", {"POST", "/api/groups/g/events", {NULL}, "{\"payload\":1}"}},
        {"nope", {"POST", "/api/groups/g/events", {NULL}, "{\"type\":\"a.b\",\"nope\":1}"}},
        {"ttl", {"POST", "/api/tickets", {NULL}, "{\"task\":\"{done}\",\"ttl\":0}"}},
        {"all", {"POST", "/api/tickets", {NULL}, "{\"all\":5}"}},
        {"group", {"POST", "/api/tickets", {NULL}, "{\"group\":\"\"}"}},
        {"group", {"POST", "/api/tickets", {NULL}, "{\"group\":\"../../data\"}"}},
        {"Idempotency-Key",
         {"POST", "/api/tasks", {"HTTP_IDEMPOTENCY_KEY="}, "{\"type\":\"cat\"}"}},
        {"Idempotency-Key", {"POST", "/api/tasks?type=cat", {"HTTP_IDEMPOTENCY_KEY="}, "x"}},
        {"Idempotency-Key",
         {"POST",
          "/api/tasks",
          {"HTTP_IDEMPOTENCY_KEY=", "CONTENT_TYPE=application/x-ndjson"},
          "{\"type\":\"cat\"}\n"}},
        {"cookie", {"POST", "/api/tickets?cookie=x", {NULL}, "{\"task\":\"{done}\"}"}},
        {NULL, {"POST", "/api/tickets", {NULL}, "{}"}},
        {NULL, {"POST", "/api/tickets", {NULL}, "{\"task\":\"{done}\",\"group\":\"g\"}"}},
#undef CREATE
#undef QUERY
    };
    static const struct request_row unknown[] = {
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"nosuch\"}"},
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"../cat\"}"},
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"notes\"}"},
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"\"}"},
        {"POST", "/api/tasks?type=nosuch", {NULL}, "x"},
        {"POST", "/api/tasks?type=", {NULL}, "x"},
        {"GET", "/api/run/nosuch", {SSE}, NULL},
        {"POST", "/api/tickets", {NULL}, "{\"run\":\"nosuch\"}"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(w, "alice", 422, "invalid_request", rows[i].field, &rows[i].r);
    ALL_REFUSED(w, "alice", 422, "unknown_type", unknown);
    char key[300] = "HTTP_IDEMPOTENCY_KEY=";
    size_t len = strlen(key);
    memset(key + len, 'x', 256);
    key[len + 256] = '\0';
    const struct request_row long_key = {"POST", "/api/tasks", {key}, "{\"type\":\"cat\"}"};
    refused(w, "alice", 422, "invalid_request", "Idempotency-Key", &long_key);
    nobody_is_no_owner(w);
}

static void a_type_whose_conf_is_wrong_is_500_and_names_the_line(void **state)
{
    static const struct request_row rows[] = {
        {"POST", "/api/tasks", {NULL}, "{\"type\":\"wrong\"}"},
        {"POST", "/api/tasks?type=wrong", {NULL}, "x"},
        {"POST", "/api/tickets", {NULL}, "{\"run\":\"wrong\"}"},
        {"GET", "/api/run/wrong", {SSE}, NULL},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(w, "alice", 500, "type_misconfigured", "wrong.conf:2: unknown key 'nope'",
                &rows[i]);
}

static void paths_and_queries_that_are_none_are_400(void **state)
{
    static const struct request_row rows[] = {
        {"GET", "/api/tasks/%0a", {NULL}, NULL},
        {"GET", "/api/tasks/%7f", {NULL}, NULL},
        {"GET", "/api/groups/%ff", {NULL}, NULL},
        {"GET", "/api/groups/%c0%af", {NULL}, NULL},
        {"DELETE", "/api/tasks/x/../{done}", {NULL}, NULL},
        {"POST", "/api/tasks/{done}/%2e%2e/{done}/retry", {NULL}, NULL},
        {"PUT", "/api/groups/%2e%2e/context", {NULL}, "{}"},
        {"GET", "/api/x/x/x/x/x/x/x/x/x/x/x/x/x", {NULL}, NULL},
        {"GET", "/api/tasks?group=%ff", {NULL}, NULL},
        {"GET", "/api/tasks?of_nobody=%zz", {NULL}, NULL},
        {"GET", "/api/tasks?%=1", {NULL}, NULL},
        {"GET", "/api/groups/-?group=%00", {NULL}, NULL},
        {"POST", "/api/tasks?type=cat&group=%4", {NULL}, "x"},
        {"GET", "/api/run/small?input=%ff", {SSE}, NULL},
        {"GET", "/api/events?types=%", {SSE}, NULL},
        {"DELETE", "/api/tasks/{done}?of_nobody=%ed%a0%80", {NULL}, NULL},
    };
    struct world *w = *state;
    ALL_REFUSED(w, "alice", 400, "bad_request", rows);
}

static void a_stream_that_starts_a_task_must_be_asked_for(void **state)
{
    static const struct request_row rows[] = {
        {"GET", "/api/run/small?input=1", {PAGE}, NULL},
        {"GET", "/api/run/small?input=1", {"HTTP_ACCEPT=text/event-stream;q=0"}, NULL},
    };
    ALL_REFUSED(*state, "alice", 406, "not_acceptable", rows);
}

/* ---- limits, names, locks ---- */

/* What makes a task cannot now: an EventSource, which gives up for good on any status but 200, is told to come back;
 * who asks otherwise is refused. */
static void not_now(struct world *w, const char *who, int status, const char *code)
{
    all_refused(w, who, status, code, changing, CHANGING_RUN);
    refused(w, who, status, code, NULL, &changing[CHANGING_RUN + 1]);
    char *before = contents(w);
    struct answer a = ask(w, who, &changing[CHANGING_RUN]);
    char *now = contents(w);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.exit_status, 0);
    assert_non_null(strstr(a.text, "text/event-stream"));
    assert_non_null(strstr(a.body, "\"overloaded\""));
    assert_string_equal(before, now);
    answer_free(&a);
    free(before);
    free(now);
}

static void a_queue_that_is_full_is_429(void **state)
{
    static const struct request_row retries[] = {
        {"POST", "/api/tasks/{stuck}/retry", {NULL}, NULL},
        {"POST", "/api/groups/later/retry", {NULL}, NULL},
        {"POST", "/api/groups/-/retry?group=later", {NULL}, NULL},
    };
    static const struct request_row nothing = {"POST", "/api/groups/g/retry", {NULL}, NULL};
    struct world *w = *state;
    not_now(w, "full", 429, "rate_limited");
    ALL_REFUSED(w, "full", 429, "rate_limited", retries);
    struct answer a =
        ask(w, "full", &nothing); /* where there is nothing to retry, nothing is refused */
    assert_int_equal(json_integer_value(json_object_get(a.json, "retried")), 0);
    assert_int_equal(a.status, 202);
    answer_free(&a);
}

static void a_site_answers_to_its_own_names_only(void **state)
{
    static const struct {
        const char *host;
        bool may;
    } rows[] = {
        {"HTTP_HOST=site.example", true},  {"HTTP_HOST=SITE.example:8080", true},
        {"HTTP_HOST=[::1]:80", true},      {NULL, true},
        {"HTTP_HOST=evil.example", false}, {"HTTP_HOST=site.example.evil", false},
        {"HTTP_HOST=127.0.0.1", false},
    };
    struct world *w = *state;
    strcpy(w->variables[5], "LEAT_HTTP_HOSTS=site.example, [::1]");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_row health = {"GET", "/api/groups/g", {rows[i].host}, NULL};
        struct request_row create = changing[0];
        create.headers[0] = rows[i].host;
        if (rows[i].may) {
            struct answer a = ask(w, "alice", &health);
            assert_int_equal(a.status, 200);
            answer_free(&a);
        } else {
            refused(w, "alice", 421, "wrong_host", NULL, &health);
            refused(w, "alice", 421, "wrong_host", NULL, &create);
        }
    }
}

static void a_ticket_goes_by_secure_connections_alone_where_it_was_made_by_one(void **state)
{
    static const struct {
        const char *peer, *proto; /* variables */
        bool secure;
    } rows[] = {
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_PROTO=https", true},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_PROTO=http", false},
        {"REMOTE_ADDR=11.0.0.1", "HTTP_X_FORWARDED_PROTO=https", false}, /* anybody could say so */
        {"REMOTE_ADDR=11.0.0.1", "HTTPS=on", true},
        {"REMOTE_ADDR=11.0.0.1", NULL, false},
    };
    struct world *w = *state;
    strcpy(w->variables[5], "LEAT_HTTP_TRUSTED_PROXIES=10.0.0.0/8");
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct request_row r = {
            "POST", "/api/tickets?cookie=1", {rows[i].peer, rows[i].proto}, "{\"all\":true}"};
        char cookie[256];
        struct answer a = ask(w, "alice", &r);
        assert_int_equal(a.status, 201);
        assert_non_null(header(&a, "Set-Cookie", cookie));
        if (!strstr(cookie, "; Secure") == rows[i].secure) fail_msg("row %zu: %s", i, cookie);
        answer_free(&a);
    }
}

static void a_database_that_is_busy_is_503(void **state)
{
    struct world *w = *state;
    strcpy(w->variables[5], "LEAT_DATABASE_BUSY_MS=20");
    OK(w->s->r, txn_begin(w->s->db, TXN_SYNC_NONE, &w->s->r->e));
    not_now(w, "alice", 503, "database_busy");
    all_refused(w, "alice", 503, "database_busy", &changing[CHANGING_RUN + 2],
                COUNT(changing) - CHANGING_RUN - 2);
    ALL_REFUSED(w, "alice", 503, "database_busy", publishing);
    ALL_REFUSED(w, "alice", 503, "database_busy", tickets);
    struct answer a = ask(w, "alice", &reading[1]); /* reading goes on */
    assert_int_equal(a.status, 200);
    answer_free(&a);
    txn_rollback(w->s->db);
    a = ask(w, "alice", &tickets[0]);
    assert_int_equal(a.status, 201);
    answer_free(&a);
}

/* ---- what is not refused ---- */

static void what_is_asked_for_is_done(void **state)
{
    static const struct {
        struct request_row r;
        int status;
        const char *holds; /* the answer, somewhere */
    } rows[] = {
        {{"GET", "/api/tasks", {NULL}, NULL}, 200, "\"next_page_token\":\"\""},
        {{"GET", "/api//tasks/./{done}?", {NULL}, NULL}, 200, "\"status\":\"completed\""},
        {{"HEAD", "/api/tasks/{done}", {NULL}, NULL}, 200, "ETag: W/"},
        {{"GET", "/api/tasks/{done}", {"HTTP_IF_NONE_MATCH=*"}, NULL}, 304, "ETag: W/"},
        {{"GET", "/api/tasks/{done}", {"HTTP_PREFER=wait=5"}, NULL}, 200, "\"id\":"},
        {{"GET", "/api/tasks/{done}/log", {NULL}, NULL}, 200, "text/plain; charset=utf-8"},
        {{"GET", "/api/tasks/{done}/events", {SSE}, NULL}, 200, "\"reason\":\"finished\""},
        {{"GET", "/api/tasks/{done}/events", {SSE, "HTTP_LAST_EVENT_ID={now}"}, NULL}, 204, ""},
        {{"GET", "/api/tasks/{done}/events", {ROWS}, NULL}, 200, "\"task.created\""},
        {{"GET", "/api/events?last_event_id={now}", {PAGE}, NULL}, 200, "\"events\":[]"},
        {{"GET", "/api/tasks/{done}?ticket={ticket}", {"HTTP_AUTHORIZATION="}, NULL},
         200,
         "\"id\":"},
        {{"GET", "/api/groups/g", {NULL}, NULL}, 200, "\"failed\":1"},
        {{"GET", "/api/groups/-?group=g", {NULL}, NULL}, 200, "\"failed\":1"},
        {{"GET", "/api/groups/-?group=a%2F..b%20c", {NULL}, NULL}, 200, "\"id\":\"a/..b c\""},
        {{"GET", "/api/groups/-/context?group=new", {NULL}, NULL}, 200, "ETag: \"0\""},
        {{"PUT", "/api/groups/-/context?group=n%2Fm", {NULL}, "{\"a\":1}"}, 200, "ETag: \"1\""},
        {{"GET", "/api/groups/n%2Fm/context", {NULL}, NULL}, 200, "{\"a\":1}"},
        {{"POST", "/api/groups/-/events?group=n%2Fm", {NULL}, "{\"type\":\"a.b\"}"}, 202, ""},
        {{"POST", "/api/tasks/{late}/cancel", {NULL}, NULL}, 202, "\"cancelled\""},
        {{"POST", "/api/tasks/{running}/cancel", {NULL}, NULL}, 202, "\"cancel_requested\":true"},
        {{"POST", "/api/tasks/{failed}/retry", {NULL}, NULL}, 202, "\"pending\""},
        {{"POST", "/api/groups/-/cancel?group=g", {NULL}, NULL}, 202, "\"cancelled\":1"},
        {{"POST", "/api/groups/g/retry", {NULL}, NULL}, 202, "\"retried\":1"},
        {{"POST", "/api/groups/g/cancel", {NULL}, NULL}, 202, "\"cancelled\":1"},
        {{"DELETE", "/api/tasks/{done}", {NULL}, NULL}, 204, ""},
        {{"POST", "/api/tickets", {NULL}, "{\"group\":\"g\",\"ttl\":5}"}, 201, "\"ticket\":"},
        {{"POST", "/api/tickets?cookie=1", {NULL}, "{\"all\":true}"},
         201,
         "Set-Cookie: leat_ticket="},
        {{"GET", "/api/types", {NULL}, NULL}, 200, "\"small\""},
        {{"GET", "/api/openapi.json", {NULL}, NULL}, 200, "\"openapi\":"},
        {{"OPTIONS", "/api/tasks", {NULL}, NULL}, 204, "Allow: GET, HEAD, POST, OPTIONS"},
        {{"POST", "/api/tasks", {NULL}, "{\"type\":\"cat\",\"group\":\"c\"}"},
         202,
         "Location: /api/tasks/"},
        {{"POST", "/api/tasks?type=cat", {"HTTP_PREFER=wait=0"}, "x"},
         202,
         "Preference-Applied: wait=0"},
        {{"POST", "/api/groups/c/cancel", {NULL}, NULL}, 202, "\"cancelled\":1"},
        {{"POST",
          "/api/tasks",
          {"CONTENT_TYPE=application/x-www-form-urlencoded"},
          "{\"type\":\"cat\"}"},
         202,
         "\"task_id\":"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool by_ticket = strstr(rows[i].r.uri, "ticket=") != NULL;
        struct answer a = ask(w, by_ticket ? "" : "alice", &rows[i].r);
        if (a.status != rows[i].status || !strstr(a.text, rows[i].holds) || a.exit_status)
            fail_msg("%s %s\n%s", rows[i].r.method, rows[i].r.uri, a.text);
        if (!strcmp(rows[i].r.method, "HEAD")) assert_string_equal(a.body, "");
        answer_free(&a);
    }
    assert_int_equal(sql_try(w->s->db, "UPDATE tasks SET blocked = 0 WHERE blocked = 1"), 0);
    assert_consistent(w->s->db);
}

static void an_equal_key_is_answered_alike(void **state)
{
    static const struct request_row one = {
        "POST", "/api/tasks", {"HTTP_IDEMPOTENCY_KEY=k"}, "{\"type\":\"cat\",\"delay\":60}"};
    static const struct request_row other = {
        "POST", "/api/tasks", {"HTTP_IDEMPOTENCY_KEY=k"}, "{\"type\":\"cat\",\"delay\":61}"};
    struct world *w = *state;
    struct answer first = ask(w, "bob", &one), second = ask(w, "bob", &one);
    assert_int_equal(first.status, 202);
    assert_int_equal(second.status, 202);
    assert_true(*member(&first, "task_id") != '\0');
    assert_string_equal(member(&first, "task_id"), member(&second, "task_id"));
    refused(w, "bob", 422, "idempotency_key_reused", NULL, &other);
    answer_free(&first);
    answer_free(&second);
}

static void of_lines_all_are_made_or_none(void **state)
{
    static const struct request_row fine = {
        "POST",
        "/api/tasks",
        {"CONTENT_TYPE=application/x-ndjson"},
        "{\"type\":\"cat\",\"delay\":60}\n\n  \n{\"type\":\"small\",\"unique\":\"u\"}\n"};
    static const struct {
        const char *body, *code;
        int status, line;
    } rows[] = {
        {"{\"type\":\"cat\"}\n\n{\"type\":\"nosuch\"}\n", "unknown_type", 422, 3},
        {"{\"type\":\"cat\"}\n{\"type\":\n", "bad_json", 400, 2},
        {"{\"type\":\"cat\",\"nope\":1}\n", "invalid_request", 422, 1},
        {"\n\n", "invalid_request", 422, 0},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct request_row r = {
            "POST", "/api/tasks", {"CONTENT_TYPE=application/x-ndjson"}, rows[i].body};
        char *before = contents(w);
        struct answer a = ask(w, "bob", &r);
        char *after = contents(w);
        if (a.status != rows[i].status || strcmp(member(&a, "code"), rows[i].code) ||
            json_integer_value(json_object_get(a.json, "line")) != rows[i].line)
            fail_msg("row %zu: %s", i, a.text);
        assert_string_equal(before, after);
        answer_free(&a);
        free(before);
        free(after);
    }
    struct answer a = ask(w, "bob", &fine);
    assert_int_equal(a.status, 202);
    assert_int_equal(json_array_size(json_object_get(a.json, "tasks")), 2);
    answer_free(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_nobody_is_401),
        TEST(who_may_do_less_is_403),
        TEST(pages_of_other_origins_are_403),
        TEST(unknown_or_not_yours_is_404_in_the_same_words),
        TEST(methods_that_a_path_does_not_know_are_405),
        TEST(what_the_state_does_not_allow_is_409),
        TEST(versions_that_have_passed_are_412),
        TEST(cursors_that_nothing_begins_at_are_400_and_410),
        TEST(bodies_that_are_no_json_are_400),
        TEST(bodies_of_another_kind_are_415),
        TEST(bodies_that_are_too_large_are_413),
        TEST(a_body_must_have_its_length),
        TEST(a_large_body_comes_in_over_many_turns),
        TEST(a_body_that_the_disk_has_no_room_for_is_503_and_leaves_nothing),
        TEST(a_body_that_does_not_come_is_408),
        TEST(wrong_values_are_422_and_name_their_field),
        TEST(a_type_whose_conf_is_wrong_is_500_and_names_the_line),
        TEST(paths_and_queries_that_are_none_are_400),
        TEST(a_stream_that_starts_a_task_must_be_asked_for),
        TEST(a_queue_that_is_full_is_429),
        TEST(a_site_answers_to_its_own_names_only),
        TEST(a_ticket_goes_by_secure_connections_alone_where_it_was_made_by_one),
        TEST(a_database_that_is_busy_is_503),
        TEST(what_is_asked_for_is_done),
        TEST(an_equal_key_is_answered_alike),
        TEST(of_lines_all_are_made_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
