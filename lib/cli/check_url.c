#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "cli/check.h"
#include "cli/curl.h"
#include "cli/servers.h"
#include "ops/job_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICKS = 8,      /* a quarter of a second apart */
    TICK_MS = 250,  /* runner/check_job.c */
    RESUMED_AT = 4, /* the tick after which a client is lost */
    WAIT_S = 2,     /* of Prefer: wait */
    UPLOAD_BYTES = 3 << 20,
    QUIET_MORE_S = 4, /* of silence beyond a heartbeat */
    QUIET_MAX_S = 40,
    ABOUT_AT_ONCE_MS = TICK_MS * TICKS / 3,
};

#define PATIENCE_S "90" /* for any answer */

/* What is tried. */
struct chain {
    struct cli *cli;
    struct findings *f;
    struct buf api;           /* where the API is: without a slash at its end */
    struct buf authorization; /* a header line with its end, or empty */
    struct buf server;        /* what calls itself the server; empty: nothing does */
};

static const char *mend(const struct chain *c, enum server_fault fault)
{
    return server_mend(c->server.len ? c->server.data : NULL, fault);
}

static const char *seen(const struct chain *c)
{
    return c->server.len ? c->server.data : "a server that does not say its name";
}

/* ---- requests ---- */

static size_t add(struct curl *r, size_t n, const char *option, const char *value)
{
    r->arguments[n++] = option;
    if (value) r->arguments[n++] = value;
    return n;
}

/* A request of the API; `path` is owned by the caller until curl_free. */
static size_t request(const struct chain *c, struct curl *r, const char *path)
{
    size_t n = add(r, 0, "--max-time", PATIENCE_S);
    if (c->authorization.len) r->secret = c->authorization.data;
    return add(r, n, path, NULL);
}

static char *path_of(const struct chain *c, const char *format, const char *word)
{
    struct buf path = {0};
    buf_str(&path, c->api.data);
    buf_str(&path, format);
    if (word) buf_str(&path, word);
    return path.data;
}

/* A member of the answer's JSON, as text; the caller frees, NULL: it has none. */
static char *member_of(const struct curl *r, const char *name)
{
    json_t *body = json_read(buf_text(&r->body), r->body.len, NULL);
    char *text = mem_str(json_string_value(json_object_get(body, name)));
    json_decref(body);
    return text;
}

/* Whether the problem that was answered is Leat's, and has this code. */
static bool has_code(const struct curl *r, const char *code)
{
    char *found = member_of(r, "code");
    bool has = found && (!code || !strcmp(found, code));
    free(found);
    return has;
}

/* Makes a task of leat-check; its id, which the caller frees, or NULL after saying why. */
static char *make_task(const struct chain *c, const char *input)
{
    struct curl r = {0};
    char *path = path_of(c, "/tasks?type=" JOB_TYPE_CHECK, NULL);
    size_t n = request(c, &r, path);
    add(&r, n, "--data-binary", input);
    curl_run(&r, 1);
    char *id = r.status == 202 ? member_of(&r, "task_id") : NULL, *detail = member_of(&r, "detail");
    if (!id && (r.status == 401 || r.status == 403))
        findings_add(c->f, FINDING_PROBLEM, "submit",
                     "--token TOKEN, with the scopes create and read: leat token add makes one",
                     "the site takes no task from us: %d%s%s", r.status, detail ? ", " : "",
                     detail ? detail : "");
    else if (!id)
        findings_add(c->f, FINDING_PROBLEM, "submit", NULL, "no task could be made: %d%s%s %s",
                     r.status, detail ? ", " : "", detail ? detail : "", buf_text(&r.said));
    free(detail);
    free(path);
    curl_free(&r);
    return id;
}

/* ---- the steps ---- */

/* Who answers. False: nothing further can be tried. */
static bool check_reached(struct chain *c)
{
    struct curl r = {0};
    struct buf to = {0};
    char *path = path_of(c, "/health", NULL);
    request(c, &r, path);
    curl_run(&r, 1);
    curl_header(&r, "Server", &c->server);
    char *status = member_of(&r, "status"), *detail = member_of(&r, "detail");
    bool ours = (status && !strcmp(status, "ok")) || has_code(&r, NULL);
    if (!r.status) {
        findings_add(c->f, FINDING_PROBLEM, "reach", NULL, "%s: %s", path,
                     r.said.len ? r.said.data : "no answer");
    } else if (r.status / 100 == 3) {
        curl_header(&r, "Location", &to);
        findings_add(c->f, FINDING_PROBLEM, "redirect", mend(c, FAULT_REDIRECTS),
                     "%s redirects %s to %s: on the way credentials are lost", seen(c), path,
                     buf_text(&to));
    } else if (has_code(&r, "wrong_host")) {
        findings_add(c->f, FINDING_PROBLEM, "host", "add the name to [http] hosts",
                     "the site does not answer to this name");
    } else if (!ours) {
        findings_add(c->f, FINDING_PROBLEM, "reach", mend(c, FAULT_NOT_FOUND),
                     "%s answers %s with %d, and not as Leat", seen(c), path, r.status);
    } else if (r.status != 200) {
        findings_add(c->f, FINDING_PROBLEM, "health", "leat check without a URL, there, says more",
                     "%d: %s", r.status, detail ? detail : "not well");
    } else {
        findings_add(c->f, FINDING_OK, "reach", NULL, "Leat behind %s", seen(c));
    }
    bool go_on = ours && r.status == 200;
    free(status);
    free(detail);
    free(path);
    buf_free(&to);
    curl_free(&r);
    return go_on;
}

/* A token that nobody has is refused as one, if it arrives. */
static void check_authorization(struct chain *c)
{
    struct curl r = {0};
    char *path = path_of(c, "/tasks?page_size=1", NULL);
    size_t n = add(&r, 0, "--max-time", PATIENCE_S);
    n = add(&r, n, "-H", "Authorization: Bearer leat-check-of-a-token-that-nobody-has");
    add(&r, n, path, NULL);
    curl_run(&r, 1);
    if (r.status == 401 && has_code(&r, "invalid_token"))
        findings_add(c->f, FINDING_OK, "authorization", NULL, "the header field arrives");
    else
        findings_add(c->f, FINDING_PROBLEM, "authorization", mend(c, FAULT_AUTHORIZATION),
                     "Authorization does not arrive: %s, or something before it, takes it out",
                     seen(c));
    free(path);
    curl_free(&r);
}

/* Where tick number `n` begins in the body, or SIZE_MAX. */
static size_t find_tick(const struct curl *r, int n)
{
    char payload[32];
    snprintf(payload, sizeof payload, "\"payload\":{\"n\":%d}", n);
    const char *at = r->body.len ? strstr(r->body.data, payload) : NULL;
    return at ? (size_t)(at - r->body.data) : SIZE_MAX;
}

/* Takes the id of the frame around byte `at`. */
static void take_id(const struct curl *r, size_t at, struct buf *out)
{
    const char *found = NULL;
    for (const char *p = r->body.data; (p = strstr(p, "id: ")) && p < r->body.data + at; p++)
        if (p == r->body.data || p[-1] == '\n') found = p + strlen("id: ");
    if (found) buf_add(out, found, strcspn(found, "\r\n"));
}

/* How far apart its first and last piece came. */
static int64_t spread(const struct curl *r)
{
    return r->piece_count ? r->pieces[r->piece_count - 1].at - r->pieces[0].at : 0;
}

static void judge_compression(struct chain *c, const struct curl *r)
{
    struct buf coding = {0};
    bool coded =
        curl_header(r, "Content-Encoding", &coding) && strcmp(coding.data, "identity") != 0;
    bool late = spread(r) < ABOUT_AT_ONCE_MS;
    if (coded)
        findings_add(
            c->f, late ? FINDING_PROBLEM : FINDING_NOTE, "compression", mend(c, FAULT_COMPRESSES),
            "%s compresses streams (%s)%s", seen(c), coding.data,
            late ? ", and holds them back for it" : "; the events come in time all the same");
    else
        findings_add(c->f, FINDING_OK, "compression", NULL, "streams are not compressed");
    buf_free(&coding);
}

static void judge_stream(struct chain *c, const struct curl *r, const struct curl *other)
{
    size_t first = find_tick(r, 1), last = find_tick(r, TICKS);
    if (r->status != 200 || first == SIZE_MAX || last == SIZE_MAX) {
        findings_add(c->f, FINDING_PROBLEM, "stream", mend(c, FAULT_TIMEOUT),
                     "a stream ended after %.1f s without all of its events (%d) %s",
                     (double)(r->ended - r->begun) / 1000, r->status, buf_text(&r->said));
        return;
    }
    if (curl_arrival(r, last) - curl_arrival(r, first) < ABOUT_AT_ONCE_MS)
        findings_add(c->f, FINDING_PROBLEM, "buffering", mend(c, FAULT_BUFFERS),
                     "%s buffers streams: events of %.1f s came together", seen(c),
                     (double)TICK_MS * (TICKS - 1) / 1000);
    else
        findings_add(c->f, FINDING_OK, "stream", NULL, "events come one by one");
    if (find_tick(other, TICKS) == SIZE_MAX)
        findings_add(c->f, FINDING_PROBLEM, "two tabs", mend(c, FAULT_PROCESSES),
                     "of two streams at a time one did not get its events (%d)", other->status);
    else
        findings_add(c->f, FINDING_OK, "two tabs", NULL, "two streams at a time get all events");
}

/* The client of `r` comes back behind its fourth tick. */
static void check_resume(struct chain *c, const struct curl *r, const char *path)
{
    struct buf header = {0}, from = {0};
    struct curl again = {0};
    size_t lost = find_tick(r, RESUMED_AT);
    if (lost == SIZE_MAX) return;
    take_id(r, lost, &from);
    buf_fmt(&header, "Last-Event-ID: %s", buf_text(&from));
    size_t n = request(c, &again, path);
    n = add(&again, n, "-H", "Accept: text/event-stream");
    add(&again, n, "-H", header.data);
    curl_run(&again, 1);
    if (find_tick(&again, RESUMED_AT) == SIZE_MAX && find_tick(&again, RESUMED_AT + 1) != SIZE_MAX)
        findings_add(c->f, FINDING_OK, "resume", NULL,
                     "a client that comes back goes on where it was");
    else
        findings_add(
            c->f, FINDING_PROBLEM, "resume", mend(c, FAULT_HEADERS),
            "Last-Event-ID does not arrive: a client that comes back gets everything again");
    buf_free(&header);
    buf_free(&from);
    curl_free(&again);
}

/* Two tabs watch one task, and a third client would take compressed bytes. False: no task can be made. */
static bool check_stream(struct chain *c)
{
    enum { TABS = 2, ALL = 3 };
    char words[24];
    struct curl r[ALL] = {0};
    struct buf path = {0};
    snprintf(words, sizeof words, "ticks %d", TICKS);
    char *id = make_task(c, words);
    if (!id) return false;
    buf_fmt(&path, "%s/tasks/%s/events", c->api.data, id);
    for (int i = 0; i < ALL; i++) {
        size_t n = request(c, &r[i], path.data);
        n = add(&r[i], n, "-H", "Accept: text/event-stream");
        if (i == TABS) add(&r[i], n, "-H", "Accept-Encoding: gzip, deflate, br");
    }
    curl_run(r, ALL);
    judge_stream(c, &r[0], &r[1]);
    judge_compression(c, &r[TABS]);
    check_resume(c, &r[0], path.data);
    for (int i = 0; i < ALL; i++) curl_free(&r[i]);
    buf_free(&path);
    free(id);
    return true;
}

static void judge_quiet(struct chain *c, const struct curl *r, int quiet_s)
{
    double after = (double)(r->ended - r->begun) / 1000;
    struct buf text = {0};
    buf_add(&text, buf_text(&r->body), r->body.len);
    const char *first = strstr(buf_text(&text), "\"payload\":{\"n\":1}");
    bool whole = find_tick(r, 2) != SIZE_MAX;
    bool beat = first && (strstr(first, "\n:") != NULL);
    if (r->status != 200 || !whole)
        findings_add(c->f, FINDING_PROBLEM, "timeout", mend(c, FAULT_TIMEOUT),
                     "a stream that is silent is cut after %.0f s (%d)", after, r->status);
    else if (!beat)
        findings_add(c->f, FINDING_PROBLEM, "heartbeat", mend(c, FAULT_BUFFERS),
                     "heartbeats do not come through: a client cannot tell that the stream lives");
    else
        findings_add(c->f, FINDING_OK, "timeout", NULL, "a stream may be silent for %d s", quiet_s);
    buf_free(&text);
}

static void judge_wait(struct chain *c, const struct curl *r)
{
    struct buf applied = {0};
    double took = (double)(r->ended - r->begun) / 1000;
    if (curl_header(r, "Preference-Applied", &applied) && r->status == 202 && took >= WAIT_S - 0.5)
        findings_add(c->f, FINDING_OK, "wait", NULL, "Prefer: wait is answered after %.1f s", took);
    else if (r->status / 100 == 5 || !r->status)
        findings_add(c->f, FINDING_PROBLEM, "wait", mend(c, FAULT_TIMEOUT),
                     "an answer that takes %d s is cut (%d)", WAIT_S, r->status);
    else
        findings_add(c->f, FINDING_PROBLEM, "wait", mend(c, FAULT_HEADERS),
                     "Prefer: wait does not arrive: the answer (%d) came after %.1f s", r->status,
                     took);
    buf_free(&applied);
}

/* A stream that says nothing for longer than a heartbeat, and meanwhile a request that waits. */
static void check_silence(struct chain *c)
{
    int quiet = (int)(conf_ms(c->cli->conf, CONF_STREAM_HEARTBEAT) / 1000) + QUIET_MORE_S;
    char words[24], prefer[32];
    if (quiet > QUIET_MAX_S) quiet = QUIET_MAX_S;
    snprintf(words, sizeof words, "quiet %d", quiet);
    snprintf(prefer, sizeof prefer, "Prefer: wait=%d", WAIT_S);
    struct curl r[2] = {0};
    char *id = make_task(c, words), *make = path_of(c, "/tasks?type=" JOB_TYPE_CHECK, NULL);
    if (id) {
        struct buf path = {0};
        buf_fmt(&path, "%s/tasks/%s/events", c->api.data, id);
        size_t n = request(c, &r[0], path.data);
        add(&r[0], n, "-H", "Accept: text/event-stream");
        n = request(c, &r[1], make);
        n = add(&r[1], n, "-H", prefer);
        add(&r[1], n, "--data-binary", "quiet 4");
        curl_run(r, 2);
        judge_wait(c, &r[1]);
        judge_quiet(c, &r[0], quiet);
        buf_free(&path);
    }
    curl_free(&r[0]);
    curl_free(&r[1]);
    free(make);
    free(id);
}

/* A file of zeros, unlinked by the caller; NULL: it cannot be made. */
static char *make_upload(void)
{
    char *name = mem_str("/tmp/leat-check-XXXXXX");
    int fd = mkstemp(name);
    if (fd >= 0 && !ftruncate(fd, UPLOAD_BYTES)) {
        close(fd);
        return name;
    }
    if (fd >= 0) close(fd);
    free(name);
    return NULL;
}

static void check_upload(struct chain *c)
{
    char *file = make_upload(), *path = path_of(c, "/tasks?type=" JOB_TYPE_CHECK, NULL);
    struct buf data = {0};
    struct curl r = {0};
    if (file) {
        buf_fmt(&data, "@%s", file);
        size_t n = request(c, &r, path);
        n = add(&r, n, "-H", "Content-Type: application/octet-stream");
        add(&r, n, "--data-binary", data.data);
        curl_run(&r, 1);
        unlink(file);
    }
    if (!file)
        findings_add(c->f, FINDING_NOTE, "upload", NULL, "not tried: /tmp cannot be written");
    else if (r.status == 202)
        findings_add(c->f, FINDING_OK, "upload", NULL, "3 MB arrive, in %.1f s",
                     (double)(r.ended - r.begun) / 1000);
    else if (has_code(&r, "body_too_large") && !strstr(r.body.data, "than this server takes"))
        findings_add(c->f, FINDING_PROBLEM, "upload", "raise [http] max_raw_bytes",
                     "Leat itself takes no 3 MB");
    else
        findings_add(c->f, FINDING_PROBLEM, "upload", mend(c, FAULT_BODY),
                     "%s takes no 3 MB: %d %s", seen(c), r.status, buf_text(&r.said));
    free(file);
    free(path);
    buf_free(&data);
    curl_free(&r);
}

/* ---- all of them ---- */

/* The API below a URL that may be the site's, or the API's own. */
static void find_api(struct chain *c, const char *url)
{
    const char *prefix = conf_text(c->cli->conf, CONF_HTTP_PREFIX);
    size_t len = strlen(url), tail = strlen(prefix);
    while (len && url[len - 1] == '/') len--;
    buf_add(&c->api, url, len);
    if (!strcmp(prefix, "/") || (len > tail && !strncmp(url + len - tail, prefix, tail))) return;
    buf_str(&c->api, prefix);
}

void check_url(struct cli *cli, struct findings *f, const char *url, const char *token)
{
    struct chain c = {.cli = cli, .f = f};
    find_api(&c, url);
    if (token) buf_fmt(&c.authorization, "Authorization: Bearer %s\n", token);
    if (check_reached(&c)) {
        check_authorization(&c);
        if (check_stream(&c)) {
            check_silence(&c);
            check_upload(&c);
        }
    }
    buf_free(&c.api);
    if (token) secret_wipe(c.authorization.data, c.authorization.len);
    buf_free(&c.authorization);
    buf_free(&c.server);
}
