#include "cli/curl.h"

#include "base/clock.h"
#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY_MAX = 4 << 20, REQUESTS_MAX = 8, STREAMS = 2 };

/* ---- starting ---- */

/* What curl reads as its input: header lines that are not for everybody, or nothing. -1 with errno. */
static int open_input(const char *secret)
{
    if (!secret) return open("/dev/null", O_RDONLY);
    int fd = memfd_create("leat-check", 0);
    bool written = fd >= 0 && write_all(fd, secret, strlen(secret)) && !lseek(fd, 0, SEEK_SET);
    return written ? fd : -1;
}

static _Noreturn void become(const struct curl *c, const int *out, const int *err)
{
    /* -q: what the user's .curlrc says is not what others send */
    const char *argv[CURL_ARGUMENTS_MAX + 12] = {"curl", "-q", "-sS", "-N",
                                                 "-i",   "-g", "-H",  "Expect:"};
    size_t n = 8;
    if (c->secret) argv[n++] = "-H", argv[n++] = "@-";
    for (size_t i = 0; c->arguments[i]; i++) argv[n++] = c->arguments[i];
    int in = open_input(c->secret);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    if (in >= 0 && dup2(in, STDIN_FILENO) >= 0) execvp("curl", (char *const *)argv);
    dprintf(STDERR_FILENO, "curl: %s", strerror(errno));
    _exit(127);
}

static void start(struct curl *c)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    c->begun = clock_monotonic_ms();
    c->out = c->err = -1;
    c->pid = -1;
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        buf_fmt(&c->said, "pipe: %s", strerror(errno));
    } else {
        c->pid = fork();
        if (!c->pid) become(c, out, err);
        c->out = out[0];
        c->err = err[0];
        out[0] = err[0] = -1;
    }
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0) close(out[i]);
        if (err[i] >= 0) close(err[i]);
    }
}

/* ---- reading ---- */

/* Takes the header lines off the front of what was read, those of interim answers too. False: they are not whole. */
static bool take_head(struct curl *c)
{
    while (!c->head.len || c->status / 100 == 1) {
        char *end = c->raw.data ? strstr(c->raw.data, "\r\n\r\n") : NULL;
        if (!end) return false;
        buf_clear(&c->head);
        buf_add(&c->head, c->raw.data, (size_t)(end - c->raw.data) + 2);
        c->status = 0;
        sscanf(c->head.data, "HTTP/%*s %d", &c->status);
        buf_drop(&c->raw, (size_t)(end - c->raw.data) + 4);
    }
    return true;
}

static void take(struct curl *c)
{
    if (!take_head(c) || !c->raw.len) return;
    buf_add(&c->body, c->raw.data, c->raw.len);
    buf_clear(&c->raw);
    c->pieces = mem_grow(c->pieces, c->piece_count + 1, sizeof *c->pieces);
    c->pieces[c->piece_count++] = (struct curl_piece){clock_monotonic_ms(), c->body.len};
}

/* Reads what there is of one of its two streams. */
static void read_some(struct curl *c, bool errors)
{
    int *fd = errors ? &c->err : &c->out;
    struct buf *to = errors ? &c->said : &c->raw;
    char piece[16384];
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0 || c->body.len > BODY_MAX) {
        close(*fd);
        *fd = -1;
    } else {
        buf_add(to, piece, (size_t)n);
        if (!errors) take(c);
    }
}

static void finish(struct curl *c)
{
    int status = 0;
    c->ended = clock_monotonic_ms();
    c->exit_status = -1;
    if (c->pid > 0) {
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
        if (WIFEXITED(status)) c->exit_status = WEXITSTATUS(status);
    }
    if (c->exit_status == 127) c->exit_status = -1;
    while (c->said.len && c->said.data[c->said.len - 1] == '\n') c->said.data[--c->said.len] = '\0';
    c->pid = -1;
}

void curl_run(struct curl *requests, size_t count)
{
    struct pollfd fds[REQUESTS_MAX * STREAMS];
    for (size_t i = 0; i < count; i++) start(&requests[i]);
    for (bool open = true; open;) {
        open = false;
        for (size_t i = 0; i < count; i++) {
            struct curl *c = &requests[i];
            fds[STREAMS * i] = (struct pollfd){.fd = c->out, .events = POLLIN};
            fds[STREAMS * i + 1] = (struct pollfd){.fd = c->err, .events = POLLIN};
            if (c->pid > 0 && c->out < 0 && c->err < 0) finish(c);
            open = open || c->out >= 0 || c->err >= 0;
        }
        if (!open || poll(fds, STREAMS * count, -1) < 0) continue;
        for (size_t i = 0; i < STREAMS * count; i++)
            if (fds[i].fd >= 0 && fds[i].revents) read_some(&requests[i / STREAMS], i % STREAMS);
    }
}

void curl_free(struct curl *c)
{
    buf_free(&c->said);
    buf_free(&c->head);
    buf_free(&c->body);
    buf_free(&c->raw);
    free(c->pieces);
    c->pieces = NULL;
    c->piece_count = 0;
}

bool curl_header(const struct curl *c, const char *name, struct buf *out)
{
    size_t len = strlen(name);
    for (const char *line = buf_text(&c->head); *line;) {
        const char *end = strstr(line, "\r\n");
        size_t size = end ? (size_t)(end - line) : strlen(line);
        if (size > len && line[len] == ':' && !strncasecmp(line, name, len)) {
            const char *value = line + len + 1;
            value += strspn(value, " \t");
            buf_add(out, value, (size_t)(line + size - value));
            return true;
        }
        line += size + (end ? 2 : 0);
    }
    return false;
}

int64_t curl_arrival(const struct curl *c, size_t at)
{
    for (size_t i = 0; i < c->piece_count; i++)
        if (at < c->pieces[i].end) return c->pieces[i].at;
    return c->ended;
}

bool curl_there(void)
{
    struct curl r = {.arguments = {"--version"}};
    curl_run(&r, 1);
    bool there = !r.exit_status;
    curl_free(&r);
    return there;
}
