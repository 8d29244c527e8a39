/* Answers that several handlers give, at once or when something has happened. */
#ifndef LEAT_ANSWERS_H
#define LEAT_ANSWERS_H

#include "base/buf.h"
#include "render/dialect.h"
#include "server/exchange.h"
#include "server/park.h"
#include "task/event.h"
#include "task/task.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* How documents are shown to this request. */
struct task_view answer_view(struct exchange *x);

/* The dialect that its query asks for, borrowed from the request; ERR_INVALID names the field, and *out is
 * then the envelope. */
enum err answer_dialect(const struct request *request, struct dialect *out, struct error *e);

/* The types of events that it asks for; NULL: all. The caller frees. ERR_INVALID names the field. */
enum err answer_types(const struct request *request, struct event_filter **out, struct error *e);

/* How long a stream may last that it asks for, in ms; INT64_MAX: as long as others. ERR_INVALID names the field. */
enum err answer_seconds(const struct request *request, int64_t *ms, struct error *e);

/* A number in the query, from `min` to `max`; *out stays where there is none. ERR_INVALID names the field. */
enum err answer_number(const struct request *request, const char *name, int64_t min, int64_t max,
                       int64_t *out, struct error *e);

/* Whether the query says `name`=1; 0 is no, as is nothing. ERR_INVALID names the field. */
enum err answer_flag(const struct request *request, const char *name, bool *out, struct error *e);

/* How many documents of a list it asks for by page_size, within [http] page_size_max. ERR_INVALID names the field. */
enum err answer_page_size(const struct request *request, int64_t *size, struct error *e);

/* Whether all of these can be understood, found out before anything is changed. False: answered. */
bool answer_shown(struct exchange *x);

/* The body, which has to be JSON. A new reference; NULL: answered, with 415 or 400. */
json_t *answer_body_json(struct exchange *x);

/* What a Content-Type says about a body. */
enum body_kind {
    BODY_JSON,  /* it is JSON */
    BODY_MAYBE, /* nothing, or application/x-www-form-urlencoded, which is what `curl -d` sends */
    BODY_LINES, /* newline-delimited JSON */
    BODY_OTHER,
};
enum body_kind body_kind(const char *content_type);

/* 200 with a JSON body, which is freed. */
void answer_json(struct exchange *x, struct buf *body);

/* An answer without a body. */
void answer_empty(struct exchange *x, int status);

/* Tasks are answered in the dialect that the request asks for. Who answers one has looked before, by
 * answer_shown, whether there is such a dialect: here it is too late to say so. */

/* The task document with its ETag. */
void answer_task(struct exchange *x, const struct task *t, int status);

/* 304 with `etag`. `waited_ms` -1: nobody asked to wait. */
void answer_not_modified(struct exchange *x, const char *etag, int64_t waited_ms);

/* The answer to a create: 202; 200 when the task is finished and was waited for. `waited_ms` -1: nobody
 * asked to wait, or no more may. */
void answer_created(struct exchange *x, const struct task *t, bool joined, int64_t waited_ms);

/* Holds the exchange, and answers it as created when the task is finished or the time is over; at once where
 * no more may wait. Takes what *t owns. */
void answer_when_finished(struct exchange *x, struct task *t, bool joined, int64_t wait_ms);

/* Holds the exchange, and answers it with the task when that no longer has an `etag` of the list; when the
 * time is over, with 304 (`not_modified`) or the task. 429 where no more may wait. */
void answer_when_changed(struct exchange *x, const struct task *t, const char *etag,
                         bool not_modified, int64_t wait_ms);

/* A place for a stream or a wait of the caller (server/park.h). Where there is none, *hit is why: the limit of the
 * owner, or that of the process or, as CGI, of all processes. */
enum park_place answer_may_wait(struct exchange *x, struct limit_hit *hit);

/* What remains of `wait_ms` where the credential ends before. */
int64_t answer_wait_ms(const struct exchange *x, int64_t wait_ms);

#endif
