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

/* Reads the parameters of the request, waiting at most 2 s for each piece, then ERR_IO. ERR_IO also
 * when the peer left or talked no FastCGI: call conn_free. The descriptor may be closed then, so
 * stop watching it (loop_del) before this call; once begun it is the same until the connection is
 * freed. */
enum err conn_begin(struct conn *c, struct error *e);

/* A CGI variable ("REQUEST_METHOD", "HTTP_ACCEPT", ...), or NULL; of several the last, as the web
 * servers' configurations expect. Borrowed for the request's life. */
const char *conn_param(const struct conn *c, const char *name);

/* All of them, "NAME=value", NULL-terminated. Borrowed. */
char *const *conn_params(const struct conn *c);

/* Reads the body: > 0 bytes, 0 at its end, -1 on error. May wait for the web server, at most 2 s
 * for each piece. Whoever parks the request reads to the end first: that gives 8 KB back. (A GET
 * without a body has none left to give.) */
ssize_t conn_read(struct conn *c, void *to, size_t size);

/* Whether at least 64 KB can be written and flushed now without blocking. CGI promises only 4 KB:
 * its process has nobody else to keep waiting. */
bool conn_writable(const struct conn *c);

/* Queues bytes for the response (header block included) and sends them with conn_flush. False when
 * the peer is gone or took nothing for the send limit (10 s). A caller that must not wait calls
 * them only after conn_writable and with at most 64 KB between two flushes. */
bool conn_write(struct conn *c, const void *bytes, size_t len);
bool conn_flush(struct conn *c);

/* The descriptor that shows a hang-up of the web server; for CGI standard output. -1 after a
 * conn_begin that failed, perhaps. */
int conn_fd(const struct conn *c);

/* Ends the response and frees. What was not read of a body is thrown away first, in at most 2 s and
 * mostly none. conn_free alone drops the connection without ending the response. Both take NULL. */
void conn_finish(struct conn *c);
void conn_free(struct conn *c);

#endif
