#include "web/problem.h"

#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "web/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* `members` is JSON text that begins with a comma, or "". */
static void answer(struct request *request, int status, const char *code,
                   const struct problem_header *headers, size_t count, const char *members,
                   const char *detail)
{
    bool retryable = status == 429 || status == 503;
    struct buf body = {0};
    buf_str(&body, "{\"type\":\"about:blank\"");
    json_key(&body, "title");
    json_text(&body, response_reason(status));
    json_key(&body, "status");
    buf_int(&body, status);
    json_key(&body, "detail");
    json_text(&body, detail);
    json_key(&body, "code");
    json_text(&body, code);
    json_key(&body, "retryable");
    buf_str(&body, retryable ? "true" : "false");
    json_key(&body, "request_id");
    json_text(&body, request->request_id);
    if (request->line) buf_fmt(&body, ",\"line\":%lld", (long long)request->line);
    buf_str(&body, members);
    buf_char(&body, '}');

    struct response r = {0};
    response_start(&r, request, status);
    bool retry_given = false;
    for (size_t i = 0; i < count; i++) {
        response_header(&r, headers[i].name, headers[i].value);
        retry_given |= !strcasecmp(headers[i].name, "Retry-After");
    }
    if (retryable && !retry_given) response_header(&r, "Retry-After", "1");
    response_body(&r, "application/problem+json", body.data, body.len);
    buf_free(&body);
}

void problem_headers(struct request *request, int status, const char *code,
                     const struct problem_header *headers, size_t count, const char *detail)
{
    answer(request, status, code, headers, count, "", detail);
}

void problem_members(struct request *request, int status, const char *code, const char *members,
                     const char *detail)
{
    answer(request, status, code, NULL, 0, members, detail);
}

void problem(struct request *request, int status, const char *code, const char *detail, ...)
{
    char text[1024];
    va_list args;
    va_start(args, detail);
    vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    problem_headers(request, status, code, NULL, 0, text);
}

void problem_header(struct request *request, int status, const char *code, const char *header,
                    const char *value, const char *detail)
{
    const struct problem_header one = {header, value};
    problem_headers(request, status, code, &one, header && value ? 1 : 0, detail);
}

/* Clients learn the name of the file, and not where it lies. */
static void file_detail(const struct request *request, char *out, size_t size)
{
    const char *path = request->conf ? conf_text(request->conf, CONF_DATABASE_PATH) : NULL;
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path ? path : "";
    snprintf(out, size, "the database file %.255s is malformed: nothing is written to it", name);
}

void problem_error(struct request *request, const struct error *e)
{
    int status = 500;
    const char *code = "internal";
    const char *detail = "an internal error; the server's log has more under this request_id";
    char text[320];
    switch (e->code) {
    case ERR_INVALID: status = 422, code = "invalid_request", detail = e->text; break;
    case ERR_NOTFOUND: status = 404, code = "not_found", detail = e->text; break;
    case ERR_STATE: status = 409, code = "state", detail = e->text; break;
    case ERR_LIMIT: status = 429, code = "rate_limited", detail = e->text; break;
    case ERR_BUSY:
        status = 503, code = "database_busy";
        detail = "the database is busy; nothing was written";
        break;
    case ERR_FULL:
        status = 503, code = "database_full";
        detail = "the database is full; nothing was written";
        break;
    case ERR_MALFORMED:
        status = 503, code = "database_malformed";
        file_detail(request, text, sizeof text);
        detail = text;
        break;
    case ERR_UNSYNCED:
        code = "outcome_unknown";
        detail = "the disk did not confirm what was written; look before asking again";
        break;
    case ERR_OK:
    case ERR_FENCED:
    case ERR_IO:
    case ERR_NEWER:
    case ERR_INTERNAL: break;
    }
    if (status >= 500) {
        char quoted[sizeof e->text];
        log_error("a request failed", " request_id=%s status=%d code=%s error=\"%s\"",
                  request->request_id, status, code, log_quote(quoted, sizeof quoted, e->text));
    }
    problem_headers(request, status, code, NULL, 0, detail);
}
