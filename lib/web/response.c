#include "web/response.h"

#include "web/origin.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *response_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"}, /* RFC 6585, 4 */
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}

void response_start(struct response *r, struct request *request, int status)
{
    *r = (struct response){.request = request, .status = status};
    request->status = status;
    buf_fmt(&r->head, "Status: %d %s\r\n", status, response_reason(status));
    response_header(r, "X-Request-ID", request->request_id);
    response_header(r, "X-Content-Type-Options", "nosniff");
    origin_headers(&r->head, request);
}

void response_header(struct response *r, const char *name, const char *value)
{
    assert(!r->body_begun);
    if (!strcasecmp(name, "Cache-Control")) r->cache_given = true;
    buf_str(&r->head, name);
    buf_str(&r->head, ": ");
    for (size_t run; *value; value += run + (value[run] != '\0')) {
        run = strcspn(value, "\r\n");
        buf_add(&r->head, value, run);
    }
    buf_str(&r->head, "\r\n");
}

void response_header_fmt(struct response *r, const char *name, const char *format, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof small) {
        response_header(r, name, small);
    } else if (n >= 0) {
        char *whole = mem_alloc((size_t)n + 1);
        vsnprintf(whole, (size_t)n + 1, format, again);
        response_header(r, name, whole);
        free(whole);
    }
    va_end(again);
}

/* Ends the head, writes it and frees it. */
static bool send_head(struct response *r, const char *content_type)
{
    if (content_type) response_header(r, "Content-Type", content_type);
    if (!r->cache_given) response_header(r, "Cache-Control", "no-store");
    buf_str(&r->head, "\r\n");
    r->body_begun = true;
    bool sent = conn_write(r->request->conn, r->head.data, r->head.len);
    buf_free(&r->head);
    return sent;
}

bool response_body(struct response *r, const char *content_type, const void *body, size_t len)
{
    struct conn *conn = r->request->conn;
    bool none = r->status == 204 || r->status == 304;
    if (!none) response_header_fmt(r, "Content-Length", "%zu", len);
    bool sent = send_head(r, none ? NULL : content_type);
    if (sent && !none && r->request->method != METHOD_HEAD) sent = conn_write(conn, body, len);
    return sent;
}

bool response_length(struct response *r, const char *content_type, int64_t len)
{
    response_header_fmt(r, "Content-Length", "%lld", (long long)len);
    return send_head(r, content_type);
}

bool response_stream(struct response *r, const char *content_type)
{
    return send_head(r, content_type);
}

bool response_json(struct response *r, const struct buf *body)
{
    return response_body(r, "application/json", buf_text(body), body->len);
}
