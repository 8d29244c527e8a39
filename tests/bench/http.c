#include "http.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 65536 };

_Noreturn void http_die(const char *what, const char *more)
{
    fprintf(stderr, "%s: %s\n", what, more);
    exit(1);
}

void http_wait(struct loop *loop, const size_t *count, size_t all)
{
    enum { DEADLINE_MS = 60000 };
    struct error e = {0};
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (*count < all && clock_monotonic_ms() < until)
        if (loop_wait(loop, 100, &e)) http_die("loop", e.text);
}

void http_raise_files(void)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

void http_close(struct http *c)
{
    if (c->open) {
        loop_del(c->loop, &c->fd);
        close(c->fd.fd);
    }
    c->open = false;
    c->status = 0;
    buf_free(&c->in);
    buf_free(&c->text);
}

/* ---- what comes ---- */

static const char *header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

/* Takes the head out of c->in. False: it is not whole. */
static bool take_head(struct http *c)
{
    char *end = c->in.len ? strstr(c->in.data, "\r\n\r\n") : NULL;
    if (!end) return false;
    *end = '\0';
    const char *length = header(c->in.data, "\r\nContent-Length: ");
    const char *coding = header(c->in.data, "\r\nTransfer-Encoding: chunked");
    if (sscanf(c->in.data, "HTTP/1.1 %d", &c->status) != 1) http_die("not an answer", c->in.data);
    c->chunked = coding != NULL;
    c->left = c->chunked ? 0 : length ? strtoll(length, NULL, 10) : INT64_MAX;
    buf_drop(&c->in, (size_t)(end + 4 - c->in.data));
    return true;
}

/* The size of the next chunk in c->left. False: it has not come. The last one makes the body whole: *end. */
static bool take_size(struct http *c, bool *end)
{
    const char *from = buf_text(&c->in), *stop = strstr(from, "\r\n");
    if (stop == from) stop = strstr(from += 2, "\r\n"); /* the end of the chunk before */
    if (!stop) return false;
    int64_t size = strtoll(from, NULL, 16);
    size_t used = (size_t)(stop + (size ? 2 : 4) - c->in.data);
    if (used > c->in.len) return false;
    c->left = size;
    *end = !size;
    buf_drop(&c->in, used);
    return true;
}

/* Moves what is there of the body to c->text. True: that was all of it. */
static bool take_body(struct http *c)
{
    for (bool end = false;;) {
        if (c->chunked && !c->left && (!take_size(c, &end) || end)) return end;
        size_t n = (int64_t)c->in.len < c->left ? c->in.len : (size_t)c->left;
        buf_add(&c->text, buf_text(&c->in), n);
        buf_drop(&c->in, n);
        c->left -= (int64_t)n;
        if (!c->chunked) return !c->left;
        if (!n) return false;
    }
}

/* Calls back for each whole frame. */
static void take_frames(struct http *c)
{
    size_t used = 0;
    for (char *end; c->open && used < c->text.len && (end = strstr(c->text.data + used, "\n\n"));) {
        *end = '\0';
        const char *frame = c->text.data + used;
        used = (size_t)(end + 2 - c->text.data);
        c->frame(c->arg, frame);
    }
    if (c->open) buf_drop(&c->text, used);
}

static void end_stream(struct http *c)
{
    http_close(c);
    if (c->ended) c->ended(c->arg);
}

static void on_ready(void *arg, int events)
{
    (void)events;
    struct http *c = arg;
    ssize_t n = recv(c->fd.fd, buf_reserve(&c->in, PIECE), PIECE, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 && c->stream && c->status) {
        end_stream(c);
        return;
    }
    if (n <= 0) http_die("a connection was closed", n ? strerror(errno) : "without an answer");
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    if (!c->status && !take_head(c)) return;
    if (c->stream && c->status != 200) http_die("a stream was refused", buf_text(&c->in));
    bool end = take_body(c);
    if (c->stream) {
        take_frames(c);
        if (end && c->open) end_stream(c);
    } else if (end) {
        struct buf body = c->text;
        int status = c->status;
        c->text = (struct buf){0};
        c->status = 0;
        c->answered(c->arg, status, buf_text(&body));
        buf_free(&body);
    }
}

/* ---- what goes ---- */

static void connect_it(struct http *c)
{
    struct error e = {0};
    int one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)c->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = (struct loop_fd){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                             .events = LOOP_IN,
                             .ready = on_ready,
                             .arg = c};
    if (c->fd.fd < 0 || connect(c->fd.fd, (struct sockaddr *)&to, sizeof to))
        http_die("connect", strerror(errno));
    setsockopt(c->fd.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (loop_add(c->loop, &c->fd, &e)) http_die("loop", e.text);
    c->open = true;
}

static void send_all(struct http *c, const struct buf *request)
{
    if (!c->open) connect_it(c);
    for (size_t at = 0; at < request->len;) {
        ssize_t n = write(c->fd.fd, request->data + at, request->len - at);
        if (n < 0) http_die("write", strerror(errno));
        at += (size_t)n;
    }
}

void http_send(struct http *c, const char *method, const char *path, const char *body, size_t len)
{
    struct buf request = {0};
    buf_fmt(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path,
            c->headers ? c->headers : "");
    if (body) buf_fmt(&request, "Content-Length: %zu\r\n", len);
    buf_str(&request, "\r\n");
    if (body) buf_add(&request, body, len);
    send_all(c, &request);
    buf_free(&request);
}

void http_watch(struct http *c, const char *path, const char *last_id)
{
    struct buf request = {0};
    buf_fmt(&request,
            "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n%s%s%s%s\r\n", path,
            c->headers ? c->headers : "", last_id ? "Last-Event-ID: " : "", last_id ? last_id : "",
            last_id ? "\r\n" : "");
    c->stream = true;
    send_all(c, &request);
    buf_free(&request);
}

bool http_member(const char *json, const char *name, char *out, size_t size)
{
    struct buf quoted = {0};
    buf_fmt(&quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted.data);
    if (at) at += quoted.len + strspn(at + quoted.len, " ");
    buf_free(&quoted);
    if (!at || *at != '"') return false;
    size_t len = strcspn(++at, "\"");
    if (len >= size) return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}
