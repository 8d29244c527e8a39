/* The web server's side of a request: one FastCGI connection, or a CGI process's environment and
 * pipes. Nothing else in the project knows libfcgi. A signal handler that runs while a call waits
 * makes it fail: programs block signals but while they wait themselves (loop_open does). */
#ifndef LEAT_WEB_FCGI_H
#define LEAT_WEB_FCGI_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct listener; /* where requests come from */
struct conn;     /* one request */

/* Requests from descriptor 0: a listening socket (FastCGI), anything else is one CGI request.
 * Makes the socket non-blocking and close-on-exec, and ignores SIGPIPE; other signals stay with
 * their handlers. ERR_IO. */
enum err listener_open(struct listener **out, struct error *e);

/* Closes the socket; descriptor 0 is /dev/null then. Connections in hand live on. */
void listener_close(struct listener *l);

bool listener_is_cgi(const struct listener *l);

/* The listening descriptor, to wait on; -1 for CGI. */
int listener_fd(const struct listener *l);

/* Accepts one connection without waiting. *out is NULL when none is there (or another process was
 * faster). Its request has not been read yet: wait until conn_fd is readable, then conn_begin.
 * ERR_FULL: out of descriptors; the connection stays in the backlog, stop asking for a while (a
 * reserve descriptor keeps the process able to work). ERR_IO. CGI: gives the one request, once. */
enum err listener_accept(struct listener *l, struct conn **out, struct error *e);

/* Whether conn_begin will find all that it reads, so that it need not wait: the parameters of the next request have
 * come whole, or the connection is at its end. True also once 64 KB of parameters have come. Looks, and takes nothing. */
bool conn_request_came(struct conn *c);

/* Reads the parameters of the next request. It waits for the rest of what has begun to come, at most 2 s for each
 * piece: ask conn_request_came before. Works again on a connection that conn_finish kept.
 * ERR_NOTFOUND: the web server closed the connection before a request began, as it may at any time.
 * ERR_IO: it fell silent, left in the middle or talked no FastCGI. After both call conn_free. The
 * descriptor may be closed then, so stop watching it (loop_del) before this call; once begun it is
 * the same until the connection is freed. */
enum err conn_begin(struct conn *c, struct error *e);

/* A CGI variable ("REQUEST_METHOD", "HTTP_ACCEPT", ...), or NULL; of several the last, as the web
 * servers' configurations expect. Borrowed for the request's life. */
const char *conn_param(const struct conn *c, const char *name);

/* All of them, "NAME=value", NULL-terminated. Borrowed. */
char *const *conn_params(const struct conn *c);

/* Gives the parameters back, which are some KB, once nobody asks for them any more: of a stream, which says the rest
 * of its answer over an hour. There are none from then on. */
void conn_forget_params(struct conn *c);

enum { CONN_AGAIN = -2 };

/* Takes what is there of the body, without waiting: > 0 bytes, 0 at its end, -1 on error (and from
 * then on), CONN_AGAIN when nothing is there now: wait until conn_body_fd is readable. Never ask
 * poll before asking this: the body may lie in memory already. Whoever parks the request takes to
 * the end first: that gives 8 KB back. */
ssize_t conn_take(struct conn *c, void *to, size_t size);

/* The descriptor on which the body comes: conn_fd, for CGI standard input. */
int conn_body_fd(const struct conn *c);

/* Whether `len` bytes, at most 64 KB, can be written and flushed now without that more than 4 KB of them have to wait:
 * less than that is tried without asking the socket. 0: whether nothing waits. CGI promises only 4 KB. */
bool conn_writable(struct conn *c, size_t len);

/* Queues bytes for the response (header block included) and sends them with conn_flush. False when the peer is gone.
 * FastCGI never blocks: what the socket has no room for waits, for conn_writable or conn_finish to send it. So whoever
 * has much to say, or says it for long, writes only what conn_writable promises, and the rest when it does again. CGI,
 * whose process has nobody else to keep waiting, waits: false too when the peer took nothing for 10 s. */
bool conn_write(struct conn *c, const void *bytes, size_t len);
bool conn_flush(struct conn *c);

/* The descriptor that shows a hang-up of the web server; for CGI standard output. -1 after a
 * conn_begin that failed, perhaps. */
int conn_fd(const struct conn *c);

/* How a connection stands after conn_finish. */
enum conn_end {
    CONN_CLOSED, /* closed and freed */
    CONN_KEPT,   /* the web server may send another request: watch conn_fd, then conn_begin or
                    conn_free. It holds no buffers; when an idle one is given up is the caller's. */
    CONN_SENDS, /* not all of the answer has gone yet: watch conn_fd until it is writable, then call
                    conn_finish again */
    CONN_DRAINS, /* answered, but more of the body is on its way: watch conn_fd, then conn_drain */
};

/* Ends the response, with at most 64 bytes more than is queued. The connection is kept when the web
 * server asked for that, the body has come to its end, nothing came after it and nothing failed.
 * NULL: CONN_CLOSED. */
enum conn_end conn_finish(struct conn *c);

/* CONN_SENDS: who takes nothing for so long is given up by conn_free. */
enum { CONN_STUCK_MS = 10000 };

enum { CONN_DRAIN_MS = 2000 };

/* Closing a socket with unread bytes resets it, and the web server may lose the answer; one that keeps its
 * connections may have sent all it has, and send the next request. So after CONN_DRAINS what still comes is
 * thrown away: call this whenever conn_fd is readable. It never waits and reads at most 256 KB.
 * CONN_DRAINS: go on watching. CONN_KEPT: as of conn_finish. CONN_CLOSED: nothing more comes; then, and when
 * CONN_DRAIN_MS have passed since conn_finish (the caller's timer), stop watching and conn_free. */
enum conn_end conn_drain(struct conn *c);

/* Drops the connection, without ending the response. Takes NULL. */
void conn_free(struct conn *c);

#endif
