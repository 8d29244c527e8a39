#include "web/fcgi.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECEIVE_SECONDS = 2, /* silence of the web server inside a request */
    SEND_SECONDS = 10,   /* a web server that takes nothing */
    SEND_BUFFER =
        128 * 1024,        /* Linux doubles it; POLLOUT then leaves room for 64 KB and overhead */
    LINGER_MS = 2000,      /* for a body that nobody read, in all */
    LINGER_QUIET_MS = 100, /* and for each further piece of it */
    CGI_BUFFER = 16 * 1024,
};

struct listener {
    int fd;      /* -1: CGI */
    int reserve; /* /dev/null; -1 while given up. Connections are accepted only while it is held, so
                    that a process that ran out of descriptors has this one left to work with. */
    bool given;  /* CGI: its one request */
};

struct conn {
    int fd; /* FastCGI: the connection; CGI: standard output; -1 once closed */
    bool cgi;
    bool begun;
    bool failed;    /* the peer is gone or stuck: nothing more is written */
    int64_t unread; /* CGI: bytes of the body still to come */
    struct buf out; /* CGI: not yet written */
    FCGX_Request
        request; /* libfcgi keeps its address. `in` is NULL once the body's end was seen. */
};

/* libfcgi takes SIGTERM and SIGUSR1 for itself where nobody has yet. What was there comes back. */
static int init_library(void)
{
    static const int taken[] = {SIGPIPE, SIGUSR1, SIGTERM};
    struct sigaction before[3];
    for (size_t i = 0; i < 3; i++) sigaction(taken[i], NULL, &before[i]);
    int rc = FCGX_Init();
    for (size_t i = 0; i < 3; i++) sigaction(taken[i], &before[i], NULL);
    return rc;
}

static void ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

enum err listener_open(struct listener **out, struct error *e)
{
    int listening = 0;
    socklen_t size = sizeof listening;
    bool cgi = getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || !listening;
    if (!cgi) {
        int flags = fcntl(STDIN_FILENO, F_GETFL);
        if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) ||
            fcntl(STDIN_FILENO, F_SETFD, FD_CLOEXEC))
            return error_errno(e, ERR_IO, "the listening socket");
        if (init_library()) return error_set(e, ERR_IO, "libfcgi does not start");
    }
    ignore_sigpipe();

    int reserve = cgi ? -1 : open_reserve();
    if (!cgi && reserve < 0) return error_errno(e, ERR_IO, "cannot open /dev/null");

    struct listener *l = mem_alloc(sizeof *l);
    l->fd = cgi ? -1 : STDIN_FILENO;
    l->reserve = reserve;
    *out = l;
    return ERR_OK;
}

void listener_close(struct listener *l)
{
    if (!l) return;
    if (l->fd >= 0) {
        /* /dev/null takes its number, so that no later file becomes descriptor 0. */
        if (l->reserve < 0)
            close(l->fd);
        else
            dup2(l->reserve, l->fd);
    }
    if (l->reserve >= 0) close(l->reserve);
    free(l);
}

bool listener_is_cgi(const struct listener *l)
{
    return l->fd < 0;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

/* Digits only, as far as they fit; -1 for anything else. */
static int64_t parse_length(const char *text)
{
    int64_t value = 0;
    if (!text || !*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return -1;
        if (value > (INT64_MAX - 9) / 10) return INT64_MAX;
        value = value * 10 + (*text - '0');
    }
    return value;
}

static struct conn *conn_cgi(void)
{
    struct conn *c = mem_alloc(sizeof *c);
    c->cgi = true;
    c->fd = STDOUT_FILENO;
    c->unread = parse_length(conn_param(c, "CONTENT_LENGTH"));
    return c;
}

/* Limits on waiting, so that no peer can hold the process. */
static bool set_limits(int fd, int family)
{
    struct timeval receive = {.tv_sec = RECEIVE_SECONDS};
    struct timeval send = {.tv_sec = SEND_SECONDS};
    int buffer = SEND_BUFFER, on = 1;
    if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return !setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) &&
           !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive) &&
           !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send);
}

enum err listener_accept(struct listener *l, struct conn **out, struct error *e)
{
    *out = NULL;
    if (l->fd < 0) {
        if (!l->given) *out = conn_cgi();
        l->given = true;
        return ERR_OK;
    }
    if (l->reserve < 0) l->reserve = open_reserve();
    if (l->reserve < 0) return error_errno(e, ERR_FULL, "no descriptor for another connection");

    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    int fd = accept4(l->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            error_errno(e, ERR_FULL, "no descriptor for another connection");
            close(l->reserve);
            l->reserve = -1;
            return ERR_FULL;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP: return error_errno(e, ERR_IO, "accept");
        default: return ERR_OK; /* nobody there, or gone again: EAGAIN, ECONNABORTED, EINTR, ... */
        }
    }
    if (!set_limits(fd, peer.ss_family)) {
        error_errno(e, ERR_IO, "a connection's time limits");
        close(fd);
        return ERR_IO;
    }
    struct conn *c = mem_alloc(sizeof *c);
    c->fd = fd;
    *out = c;
    return ERR_OK;
}

/* Whether a body may follow the parameters. */
static bool expects_body(const struct conn *c)
{
    const char *method = conn_param(c, "REQUEST_METHOD");
    const char *length = conn_param(c, "CONTENT_LENGTH");
    bool safe = method && (!strcmp(method, "GET") || !strcmp(method, "HEAD"));
    return length && *length ? strcmp(length, "0") != 0 : !safe;
}

/* Reads the empty record that ends an absent body, and gives its buffer back: half of what a parked
 * request would weigh. False when it does not come. */
static bool end_input(struct conn *c)
{
    int byte = FCGX_GetChar(c->request.in);
    if (byte != EOF) {
        FCGX_UnGetChar(byte, c->request.in);
        return true;
    }
    if (FCGX_GetError(c->request.in)) return false;
    FCGX_FreeStream(&c->request.in);
    return true;
}

enum err conn_begin(struct conn *c, struct error *e)
{
    if (c->cgi) {
        c->begun = true;
        return ERR_OK;
    }
    /* FCGX_Accept_r first finishes what the struct holds: nothing, and keepConnection makes it
     * leave the descriptor alone. Finding one, it reads from that. After a failure it closes it
     * (`detached`: without waiting for the peer) and accepts from -1, which fails at once. */
    FCGX_InitRequest(&c->request, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    c->request.ipcFd = c->fd;
    c->request.keepConnection = 1;
    c->request.detached = 1;
    if (FCGX_Accept_r(&c->request)) {
        c->fd = -1;
        return error_set(e, ERR_IO, "no FastCGI request came");
    }
    /* Parameters that stop between two pairs look complete to libfcgi: only the error tells. */
    if (FCGX_GetError(c->request.in)) return error_set(e, ERR_IO, "the FastCGI request has no end");
    if (c->request.role != FCGI_RESPONDER)
        return error_set(e, ERR_IO, "FastCGI role %d instead of responder", c->request.role);

    /* The error stream is never used; without it, the end of `out` ends the request. */
    FCGX_FreeStream(&c->request.err);
    c->request.nWriters = 1;

    if (!expects_body(c) && !end_input(c))
        return error_set(e, ERR_IO, "the FastCGI request has no end");
    c->begun = true;
    return ERR_OK;
}

char *const *conn_params(const struct conn *c)
{
    return c->cgi ? environ : c->request.envp;
}

const char *conn_param(const struct conn *c, const char *name)
{
    char *const *at = conn_params(c);
    const char *value = NULL;
    size_t len = strlen(name);
    for (; at && *at; at++)
        if (!strncmp(*at, name, len) && (*at)[len] == '=') value = *at + len + 1;
    return value;
}

static ssize_t read_cgi(struct conn *c, void *to, size_t size)
{
    if (c->unread <= 0) return 0;
    if ((uint64_t)c->unread < size) size = (size_t)c->unread;
    ssize_t n;
    do n = read(STDIN_FILENO, to, size);
    while (n < 0 && errno == EINTR);
    if (n > 0) c->unread -= n;
    if (n == 0) c->unread = 0;
    return n;
}

ssize_t conn_read(struct conn *c, void *to, size_t size)
{
    if (c->cgi) return read_cgi(c, to, size);
    if (!c->request.in || !size) return 0;
    int n = FCGX_GetStr(to, size < INT_MAX ? (int)size : INT_MAX, c->request.in);
    if (n > 0) return n;
    if (FCGX_GetError(c->request.in)) return -1;
    FCGX_FreeStream(&c->request.in);
    return 0;
}

bool conn_writable(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

/* Standard output may be a blocking pipe: after POLLOUT it takes PIPE_BUF bytes without waiting. */
static bool flush_cgi(struct conn *c)
{
    size_t done = 0;
    while (done < c->out.len) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        int ready = poll(&p, 1, SEND_SECONDS * 1000);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        size_t left = c->out.len - done;
        ssize_t n = write(c->fd, c->out.data + done, left < PIPE_BUF ? left : PIPE_BUF);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return false;
    }
    buf_clear(&c->out);
    return true;
}

static bool write_cgi(struct conn *c, const char *bytes, size_t len)
{
    while (len) {
        size_t n = CGI_BUFFER - c->out.len < len ? CGI_BUFFER - c->out.len : len;
        buf_add(&c->out, bytes, n);
        bytes += n;
        len -= n;
        if (c->out.len == CGI_BUFFER && !flush_cgi(c)) return false;
    }
    return true;
}

static bool write_fastcgi(struct conn *c, const char *bytes, size_t len)
{
    while (len) {
        int n = len < INT_MAX ? (int)len : INT_MAX;
        if (FCGX_PutStr(bytes, n, c->request.out) != n) return false;
        bytes += n;
        len -= (size_t)n;
    }
    return !FCGX_GetError(c->request.out);
}

bool conn_write(struct conn *c, const void *bytes, size_t len)
{
    if (!c->begun || c->failed) return false;
    c->failed = !(c->cgi ? write_cgi(c, bytes, len) : write_fastcgi(c, bytes, len));
    return !c->failed;
}

bool conn_flush(struct conn *c)
{
    if (!c->begun || c->failed) return false;
    /* A stream that failed before answers 0 to FCGX_FFlush: only its error tells. */
    if (c->cgi)
        c->failed = !flush_cgi(c);
    else
        c->failed = FCGX_FFlush(c->request.out) || FCGX_GetError(c->request.out);
    return !c->failed;
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

/* Closing a socket with unread bytes resets it, and the web server may then lose the answer. So
 * what is left of the body is thrown away first, as fast as it comes. */
static void linger(int fd)
{
    char trash[16384];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t end = clock_monotonic_ms() + LINGER_MS;
    shutdown(fd, SHUT_WR);
    while (clock_monotonic_ms() < end && poll(&p, 1, LINGER_QUIET_MS) > 0 &&
           recv(fd, trash, sizeof trash, MSG_DONTWAIT) > 0) {
    }
}

void conn_finish(struct conn *c)
{
    if (!c) return;
    if (c->cgi) {
        conn_flush(c);
    } else if (c->begun && !c->failed) {
        /* Not FCGX_Finish_r: it closes nothing once `in` is gone. Never after a failure:
         * FCGX_FClose would wait for the stuck peer again. */
        c->failed = FCGX_FClose(c->request.out) != 0;
        if (!c->failed && c->request.in) linger(c->fd);
    }
    conn_free(c);
}

void conn_free(struct conn *c)
{
    if (!c) return;
    if (!c->cgi) {
        FCGX_Free(&c->request, 0);
        if (c->fd >= 0) close(c->fd);
    }
    buf_free(&c->out);
    free(c);
}
