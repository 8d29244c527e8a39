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
        128 * 1024,         /* Linux doubles it; POLLOUT then leaves room for 64 KB and overhead */
    PARAMS_MAX = 64 * 1024, /* of a request, that are waited for without reading them */
    DRAIN_PIECE = 16 * 1024,
    DRAIN_PIECES = 16,      /* in one call, so that nobody else waits */
    SEND_PIECE = 64 * 1024, /* what POLLOUT leaves room for */
    RECORD_MAX = 65528,     /* of content; a multiple of 8, so that it needs no padding */
    SMALL = 4 * 1024,       /* is tried without asking: what has no room is kept */
    SEND_PIECES = 4,        /* in one call */
    CGI_BUFFER = 16 * 1024,
};

struct listener {
    int fd;      /* -1: CGI */
    int reserve; /* /dev/null; -1 while given up. Connections are accepted only while it is held, so
                    that a process that ran out of descriptors has this one left to work with. */
    bool given;  /* CGI: its one request */
};

/* A FastCGI body is a stream of records: header, content, padding. libfcgi reads only the parameters: its reader waits
 * for whole headers, and whoever calls it cannot know whether it will. What it read beyond them is `ahead`; the rest
 * comes from the socket, exactly to the end. Nor does libfcgi write: its writers wait, too. */
enum body_state {
    BODY_COMING,
    BODY_ENDING, /* its last record came, but not all of the padding */
    BODY_ENDED,
    BODY_BROKEN,
};

struct body {
    enum body_state state;
    const unsigned char *ahead; /* in the buffer of request.in, which lives until all is taken */
    size_t ahead_len;
    size_t content; /* of the current record, to be taken */
    size_t skip;    /* then to be thrown away: padding, or a record that is not ours */
    size_t header_len;
    unsigned char header[FCGI_HEADER_LEN];
};

struct conn {
    int fd; /* FastCGI: the connection; CGI: standard output; -1 once closed */
    bool cgi;
    bool begun;
    bool came;      /* conn_request_came has seen something of the next request */
    bool draining;  /* of the body, which is to be thrown away */
    bool closing;   /* nothing more is written: it will not be kept */
    bool failed;    /* the peer is gone or stuck: nothing more is written */
    int64_t unread; /* CGI: bytes of the body still to come */
    struct buf out; /* not yet written; FastCGI: records */
    size_t sent;    /* FastCGI: so much of it is */
    size_t content; /* FastCGI: of the last record in `out`, which is open; 0: none is */
    bool full;      /* FastCGI: the socket took less than it was given */
    bool ended;     /* FastCGI: the end of the request is in `out` */
    struct body body;
    FCGX_Request request; /* libfcgi keeps its address */
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

/* The first members of libfcgi's private FCGX_Stream_Data, the same in all of 2.4. */
struct reader_data {
    unsigned char *buff;
    int bufflen;
    unsigned char *mBuff;
    unsigned char *buffStop;
};

/* Finds what the stream has read from the socket but not given out; false when its buffer does not
 * look as expected. */
static bool read_ahead(const FCGX_Stream *in, const unsigned char **bytes, size_t *len)
{
    struct reader_data data;
    memcpy(&data, in->data, sizeof data);
    if (data.bufflen <= 0 || data.bufflen > FCGI_MAX_LENGTH + 1 || data.buff < data.mBuff ||
        data.buff - data.mBuff >= 8 || in->rdNext < data.buff || in->stop != in->rdNext ||
        data.buffStop < in->rdNext || data.buffStop - data.buff > data.bufflen)
        return false;
    *bytes = in->rdNext;
    *len = (size_t)(data.buffStop - in->rdNext);
    return true;
}

static int accept_on(FCGX_Request *request, int fd)
{
    /* FCGX_Accept_r first finishes what the struct holds: nothing, and keepConnection makes it
     * leave the descriptor alone. Finding one, it reads from that. After a failure it closes it
     * (`detached`: without waiting for the peer) and accepts from -1, which fails at once. */
    FCGX_InitRequest(request, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    request->ipcFd = fd;
    request->keepConnection = 1;
    request->detached = 1;
    return FCGX_Accept_r(request);
}

/* Lets libfcgi read a request of ours with known bytes behind it, so that a library whose streams
 * are laid out differently is noticed before it serves anybody. */
static bool library_fits(void)
{
    static const char sent[] = "\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0" /* begin, as responder */
                               "\1\4\0\1\0\0\0\0"                  /* no parameters */
                               "ahead";
    FCGX_Request request;
    const unsigned char *bytes;
    size_t len;
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) return false;
    bool fits =
        send(fd[0], sent, sizeof sent - 1, 0) == sizeof sent - 1 && !accept_on(&request, fd[1]);
    close(fd[0]);
    if (!fits) return false; /* fd[1] goes with the process, which does not start */
    fits = read_ahead(request.in, &bytes, &len) && len == 5 && !memcmp(bytes, "ahead", 5);
    FCGX_Free(&request, 0);
    close(fd[1]);
    return fits;
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
        if (!library_fits()) return error_set(e, ERR_IO, "libfcgi is none of version 2.4");
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
    /* Apache passes on a body that came in chunks without saying its length: it ends with the input. */
    const char *length = conn_param(c, "CONTENT_LENGTH");
    if (!(length && *length) && conn_param(c, "HTTP_TRANSFER_ENCODING")) c->unread = INT64_MAX;
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

/* Reads from what libfcgi has read ahead, then from the socket. */
static ssize_t pull(struct conn *c, void *to, size_t size)
{
    struct body *b = &c->body;
    if (!b->ahead_len) return recv(c->fd, to, size, MSG_DONTWAIT);
    if (size > b->ahead_len) size = b->ahead_len;
    memcpy(to, b->ahead, size);
    b->ahead += size;
    b->ahead_len -= size;
    if (!b->ahead_len) FCGX_FreeStream(&c->request.in);
    return (ssize_t)size;
}

/* What a pull that gave nothing means: CONN_AGAIN, or -1 and the body is broken. */
static ssize_t no_bytes(struct conn *c, ssize_t n)
{
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return CONN_AGAIN;
    c->body.state = BODY_BROKEN;
    return -1;
}

static void use_header(struct conn *c)
{
    struct body *b = &c->body;
    const unsigned char *h = b->header;
    int id = h[2] << 8 | h[3];
    size_t len = (size_t)h[4] << 8 | h[5], padding = h[6];
    b->header_len = 0;
    if (id == c->request.requestId && h[1] == FCGI_STDIN) {
        b->content = len;
        b->skip = padding;
        if (!len) b->state = BODY_ENDING;
    } else {
        b->skip = len + padding;
    }
    /* Given up, or several requests mixed on one connection, which no web server does. */
    bool ours = id == c->request.requestId && h[1] != FCGI_STDIN;
    if (h[0] != FCGI_VERSION_1 || ours || h[1] == FCGI_BEGIN_REQUEST) b->state = BODY_BROKEN;
}

/* Reads up to the next content: 1, or 0 at the end of the body, -1, CONN_AGAIN. */
static ssize_t find_content(struct conn *c)
{
    struct body *b = &c->body;
    while (!b->content && b->state != BODY_BROKEN) {
        unsigned char trash[512];
        ssize_t n;
        if (b->skip) {
            n = pull(c, trash, b->skip < sizeof trash ? b->skip : sizeof trash);
            if (n > 0) b->skip -= (size_t)n;
        } else if (b->state != BODY_COMING) {
            b->state = BODY_ENDED;
            return 0;
        } else {
            n = pull(c, b->header + b->header_len, sizeof b->header - b->header_len);
            if (n > 0) b->header_len += (size_t)n;
            if (b->header_len == sizeof b->header) use_header(c);
        }
        if (n <= 0) return no_bytes(c, n);
    }
    return b->state == BODY_BROKEN ? -1 : 1;
}

static ssize_t take_fastcgi(struct conn *c, void *to, size_t size)
{
    struct body *b = &c->body;
    if (!size) return 0;
    ssize_t n = find_content(c);
    if (n <= 0) return n;
    n = pull(c, to, size < b->content ? size : b->content);
    if (n <= 0) return no_bytes(c, n);
    b->content -= (size_t)n;
    return n;
}

/* Whether the web server has closed the connection, with nothing more to read on it. */
static bool peer_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE));
}

/* Whether the records there are hold all parameters, or something with which no request begins. */
static bool params_end(const unsigned char *bytes, size_t len)
{
    for (size_t at = 0; len - at >= FCGI_HEADER_LEN;) {
        const unsigned char *h = bytes + at;
        size_t content = (size_t)h[4] << 8 | h[5], record = FCGI_HEADER_LEN + content + h[6];
        bool params = h[1] == FCGI_PARAMS;
        if (h[0] != FCGI_VERSION_1 || (!params && h[1] != FCGI_BEGIN_REQUEST)) return true;
        if (record > len - at) return false;
        if (params && !content) return true;
        at += record;
    }
    return false;
}

bool conn_request_came(struct conn *c)
{
    unsigned char bytes[PARAMS_MAX];
    if (c->cgi || c->closing) return true;
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    c->came = n > 0;
    if (n < 0) return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    return !n || n == sizeof bytes || params_end(bytes, (size_t)n);
}

enum err conn_begin(struct conn *c, struct error *e)
{
    if (c->cgi) {
        c->begun = true;
        return ERR_OK;
    }
    bool closed = c->closing || (!c->came && peer_closed(c->fd));
    c->came = false;
    if (closed) return error_set(e, ERR_NOTFOUND, "the web server closed the connection");
    if (accept_on(&c->request, c->fd)) {
        c->fd = -1;
        return error_set(e, ERR_IO, "no FastCGI request came");
    }
    /* Parameters that stop between two pairs look complete to libfcgi: only the error tells. */
    if (FCGX_GetError(c->request.in)) return error_set(e, ERR_IO, "the FastCGI request has no end");
    if (c->request.role != FCGI_RESPONDER)
        return error_set(e, ERR_IO, "FastCGI role %d instead of responder", c->request.role);

    c->body = (struct body){0};
    if (!read_ahead(c->request.in, &c->body.ahead, &c->body.ahead_len))
        return error_set(e, ERR_IO, "libfcgi's buffer is unknown");
    if (!c->body.ahead_len) FCGX_FreeStream(&c->request.in);
    /* the records that go out are made here */
    FCGX_FreeStream(&c->request.out);
    FCGX_FreeStream(&c->request.err);

    /* The end of a body that is not expected has come by now, nearly always; else conn_finish looks for it. */
    if (!expects_body(c) && find_content(c) == -1)
        return error_set(e, ERR_IO, "the FastCGI request has no end");
    c->begun = true;
    return ERR_OK;
}

char *const *conn_params(const struct conn *c)
{
    return c->cgi ? environ : c->request.envp;
}

void conn_forget_params(struct conn *c)
{
    if (c->cgi) return;
    FCGX_Stream *in = c->request.in; /* what it has read ahead may be of the body */
    c->request.in = NULL;
    FCGX_Free(&c->request, 0);
    c->request.in = in;
    c->request.envp = NULL;
}

const char *conn_param(const struct conn *c, const char *name)
{
    char *const *at = conn_params(c);
    const char *value = NULL;
    size_t len = strlen(name);
    for (; at && *at; at++)
        if (**at == *name && !strncmp(*at, name, len) && (*at)[len] == '=') value = *at + len + 1;
    return value;
}

static ssize_t take_cgi(struct conn *c, void *to, size_t size)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    if (c->unread <= 0) return 0;
    if (!poll(&p, 1, 0)) return CONN_AGAIN;
    if ((uint64_t)c->unread < size) size = (size_t)c->unread;
    ssize_t n;
    do n = read(STDIN_FILENO, to, size);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) return CONN_AGAIN;
    if (n > 0) c->unread -= n;
    if (n == 0) c->unread = 0;
    return n;
}

ssize_t conn_take(struct conn *c, void *to, size_t size)
{
    return c->cgi ? take_cgi(c, to, size) : take_fastcgi(c, to, size);
}

int conn_body_fd(const struct conn *c)
{
    return c->cgi ? STDIN_FILENO : c->fd;
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

/* Writing would not wait: there is room, or nobody at the other end any more. */
static bool has_room(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents & (POLLOUT | POLLERR | POLLHUP);
}

/* Sends of what waits as much as the socket takes. */
static bool send_waiting(struct conn *c)
{
    for (int i = 0; c->sent < c->out.len && i < SEND_PIECES; i++) {
        size_t left = c->out.len - c->sent, size = left < SEND_PIECE ? left : SEND_PIECE;
        ssize_t n = send(c->fd, c->out.data + c->sent, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return false;
        if (n > 0) c->sent += (size_t)n;
        c->full = n < (ssize_t)size;
        if (c->full) return true;
    }
    if (c->sent < c->out.len) return true;
    buf_free(&c->out);
    c->sent = 0;
    return true;
}

static void put_header(struct conn *c, int type, size_t len)
{
    int id = c->request.requestId;
    const unsigned char header[FCGI_HEADER_LEN] = {
        FCGI_VERSION_1,    (unsigned char)type,       (unsigned char)(id >> 8),
        (unsigned char)id, (unsigned char)(len >> 8), (unsigned char)len,
    };
    buf_add(&c->out, header, sizeof header);
}

/* Nothing more goes into the record that is open. */
static void close_record(struct conn *c)
{
    if (!c->content) return;
    unsigned char *header =
        (unsigned char *)c->out.data + c->out.len - c->content - FCGI_HEADER_LEN;
    header[4] = (unsigned char)(c->content >> 8);
    header[5] = (unsigned char)c->content;
    c->content = 0;
}

static bool flush_fastcgi(struct conn *c)
{
    close_record(c);
    return send_waiting(c);
}

/* Adds to the record that is open, or opens one. What has come together is sent, so that no more is copied than the
 * socket has no room for. */
static bool write_fastcgi(struct conn *c, const char *bytes, size_t len)
{
    while (len) {
        size_t room = RECORD_MAX - c->content, n = len < room ? len : room;
        if (!c->content) put_header(c, FCGI_STDOUT, 0);
        buf_add(&c->out, bytes, n);
        c->content += n;
        bytes += n;
        len -= n;
        if (c->content == RECORD_MAX) close_record(c);
        if (!c->content && !c->full && !send_waiting(c)) return false;
    }
    return true;
}

/* FastCGI 1.0, 5.5: the end of standard output, and of the request. */
static void put_end(struct conn *c)
{
    static const char completed[8] = {0, 0, 0, 0, FCGI_REQUEST_COMPLETE};
    if (c->ended) return;
    close_record(c);
    put_header(c, FCGI_STDOUT, 0);
    put_header(c, FCGI_END_REQUEST, sizeof completed);
    buf_add(&c->out, completed, sizeof completed);
    c->ended = true;
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
    c->failed = !(c->cgi ? flush_cgi(c) : flush_fastcgi(c));
    return !c->failed;
}

/* Whether the socket would not take all of it when it was tried. */
static bool stuck(const struct conn *c)
{
    return c->sent || c->full;
}

bool conn_writable(struct conn *c, size_t len)
{
    if (c->cgi) return has_room(c);
    /* What was not tried yet goes with what comes: a head is not sent alone. */
    bool send = c->out.len && (stuck(c) || !len || c->out.len > SMALL);
    if (c->begun && send && !conn_flush(c)) return true; /* writing will tell */
    if (!len || (c->out.len && stuck(c))) return !c->out.len;
    if (c->out.len + len > SMALL || c->full) c->full = !has_room(c);
    return !c->full;
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

/* Gives all buffers back; but for what is still to come of its body, the connection is as after
 * listener_accept. */
static void forget_request(struct conn *c)
{
    struct body left = c->body;
    FCGX_Free(&c->request, 0);
    c->request.envp = NULL;
    c->begun = c->ended = c->full = false;
    c->body = c->draining ? left : (struct body){0};
}

/* Throws away what has come of the body; not more than 256 KB, so that nobody else waits. A web server keeps
 * a connection by which it has sent everything, so ours is read to the end rather than closed. */
static enum conn_end drop_body(struct conn *c)
{
    char trash[DRAIN_PIECE];
    ssize_t n = 1;
    for (int i = 0; i < DRAIN_PIECES && n > 0; i++) n = take_fastcgi(c, trash, sizeof trash);
    if (n > 0 || n == CONN_AGAIN) return CONN_DRAINS;
    /* A request that libfcgi has read ahead cannot be given back to it. */
    return !n && !c->body.ahead_len ? CONN_KEPT : CONN_CLOSED;
}

/* Throws away what still comes of the body, which the web server sends before it reads our answer. Under
 * mod_cgid both go by one socket: closed with unread bytes it would be reset, and the answer lost. */
static void drain_cgi(struct conn *c)
{
    char trash[DRAIN_PIECE];
    for (int64_t now, end = clock_monotonic_ms() + CONN_DRAIN_MS;
         c->unread > 0 && (now = clock_monotonic_ms()) < end;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        poll(&p, 1, (int)(end - now));
        ssize_t n = take_cgi(c, trash, sizeof trash);
        if (n <= 0 && n != CONN_AGAIN) return;
    }
}

enum conn_end conn_finish(struct conn *c)
{
    if (!c) return CONN_CLOSED;
    if (c->cgi) {
        conn_flush(c);
        shutdown(c->fd, SHUT_WR); /* where it is a socket */
        drain_cgi(c);
    } else if (c->begun && !c->failed) {
        put_end(c);
        if (conn_flush(c) && c->out.len) return CONN_SENDS;
        enum conn_end end = c->failed ? CONN_CLOSED : drop_body(c);
        c->draining = end == CONN_DRAINS;
        c->closing = !c->request.keepConnection;
        if (c->draining || (end == CONN_KEPT && !c->closing)) {
            forget_request(c);
            if (c->closing) shutdown(c->fd, SHUT_WR);
            return end;
        }
    }
    conn_free(c);
    return CONN_CLOSED;
}

/* Of a connection that will be closed, whatever comes until the web server has closed it too. */
static enum conn_end drop_bytes(struct conn *c)
{
    char trash[DRAIN_PIECE];
    for (int i = 0; i < DRAIN_PIECES; i++) {
        ssize_t n = recv(c->fd, trash, sizeof trash, MSG_DONTWAIT);
        if (n > 0) continue;
        bool later = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
        return later ? CONN_DRAINS : CONN_CLOSED;
    }
    return CONN_DRAINS;
}

enum conn_end conn_drain(struct conn *c)
{
    enum conn_end end = c->closing ? drop_bytes(c) : drop_body(c);
    if (end != CONN_KEPT) return end;
    c->draining = false;
    c->body = (struct body){0};
    return end;
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
