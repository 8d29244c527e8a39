/* Errors as clients get them: application/problem+json (RFC 9457) with a stable `code`. */
#ifndef LEAT_WEB_PROBLEM_H
#define LEAT_WEB_PROBLEM_H

#include "base/error.h"
#include "web/request.h"

/* Answers `request` with `status` and {"type":"about:blank","title":…,"status":…,"detail":…,
 * "code":…,"retryable":…,"request_id":…} and `line` where request->line says one. `code` is snake_case and stable. 429 and 503
 * are retryable and carry Retry-After: 1. `detail` is a printf format; what a client sent may be
 * quoted, a secret never. */
void problem(struct request *request, int status, const char *code, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));

/* As problem with one more header (`Allow`, `Location`). */
void problem_header(struct request *request, int status, const char *code, const char *header,
                    const char *value, const char *detail);

/* As problem with several headers; a Retry-After among them replaces the usual one. */
struct problem_header {
    const char *name, *value;
};
void problem_headers(struct request *request, int status, const char *code,
                     const struct problem_header *headers, size_t count, const char *detail);

/* As problem with members of its own (RFC 9457, 3.2): `members` is JSON text such as `,"a":1,"b":2`. */
void problem_members(struct request *request, int status, const char *code, const char *members,
                     const char *detail);

/* Answers with the problem that fits an error of the lower floors: ERR_INVALID 422 invalid_request,
 * ERR_NOTFOUND 404 not_found, ERR_STATE 409 state, ERR_LIMIT 429 rate_limited, ERR_BUSY 503 database_busy, ERR_FULL 503
 * database_full, ERR_UNSYNCED 500 outcome_unknown, others 500 internal (whose text is logged, not
 * shown). */
void problem_error(struct request *request, const struct error *e);

#endif
