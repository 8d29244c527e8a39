/* Requests for tasks, read into operations. */
#ifndef LEAT_TASK_REQUEST_H
#define LEAT_TASK_REQUEST_H

#include "ops/submit.h"
#include "server/exchange.h"

#include <stdbool.h>

/* Whether a POST is many requests, one a line. */
bool task_request_is_many(const struct request *request);

/* Those that return bool have answered the request when they return false. */

/* Reads the fields of a raw POST, which stand in its query. */
bool task_request_read_fields(struct exchange *x, struct submit *s);

/* Reads a POST: a JSON request, or with ?type= a raw input, which stays in the exchange where that has a spool. */
bool task_request_read(struct exchange *x, struct submit *s);

/* Reads what a POST of newline-delimited JSON requests says of all of them. */
bool task_request_read_many(struct exchange *x, struct submit_many *m);

/* Reads one of its lines, the `line`th, and checks it; a blank one is skipped. */
bool task_request_read_line(struct exchange *x, struct submit_many *m, int64_t line,
                            const char *text, size_t len);

/* Reads GET /run/{type}?group=&input=&key=. Without a key the request itself is one: it joins the task of
 * an identical one of the same caller until http.run_grace after that task's end. ERR_INVALID names the
 * field. */
enum err task_request_from_run(struct exchange *x, struct submit *s, const char *type,
                               struct error *e);

#endif
