/* The answer to a request: a head, then a body. Which of the two it is in is known, so that a late
 * header is a fault found at once. */
#ifndef LEAT_WEB_RESPONSE_H
#define LEAT_WEB_RESPONSE_H

#include "base/buf.h"
#include "base/error.h"
#include "web/request.h"

#include <stdbool.h>
#include <stddef.h>

/* One answer; response_start makes it ready. */
struct response {
    struct request *request; /* borrowed */
    int status;
    struct buf head;
    bool cache_given; /* a Cache-Control of the handler's own */
    bool body_begun;
};

/* The reason phrase of a status (RFC 9110, 15). */
const char *response_reason(int status);

/* Sets the status and starts the head. Always adds X-Request-ID, X-Content-Type-Options: nosniff
 * and Cache-Control: no-store (unless response_header gave another one), and what a page of another
 * origin needs to read the answer (web/origin.h). */
void response_start(struct response *r, struct request *request, int status);

/* Adds `Name: value`; line breaks in the value are dropped. Before the body only (asserted). */
void response_header(struct response *r, const char *name, const char *value);
void response_header_fmt(struct response *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes head and the whole body with Content-Length, and frees the head. A HEAD request, 204 and
 * 304 get no body; `content_type` may be NULL. What fits into a buffer leaves when the request is finished, with
 * its end, so that the web server is woken once. False when the peer is gone. */
bool response_body(struct response *r, const char *content_type, const void *body, size_t len);

/* Sends the head for a body of `len` bytes, which the caller then writes by conn_write, unless the
 * request is a HEAD. */
bool response_length(struct response *r, const char *content_type, int64_t len);

/* Writes the head for a body of unknown length, which the caller then writes by conn_write, unless
 * the request is a HEAD. It leaves with what is flushed next, or with the end. */
bool response_stream(struct response *r, const char *content_type);

/* Sends an application/json body. */
bool response_json(struct response *r, const struct buf *body);

#endif
