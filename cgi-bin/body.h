/* Bodies of requests: read, or refused with the answer that fits. */
#ifndef LEAT_BODY_H
#define LEAT_BODY_H

#include "base/buf.h"
#include "base/conf.h"
#include "web/request.h"

#include <jansson.h>
#include <stdbool.h>

/* What a Content-Type says about a body. */
enum body_kind {
    BODY_JSON,  /* it is JSON */
    BODY_MAYBE, /* nothing, or application/x-www-form-urlencoded, which is what `curl -d` sends */
    BODY_OTHER,
};
enum body_kind body_kind(const char *content_type);

/* Those that return false or NULL have answered the request. */

/* Appends the body, at most as many bytes as the setting `limit` says. 413, 415 (a Content-Encoding), 400. */
bool body_read(struct request *request, enum conf_key limit, struct buf *out);

/* Reads a body that has to be JSON, by http.max_body_bytes; its text, which keeps every digit, goes to *out.
 * As body_read, and 415 for another Content-Type, 400 for bad JSON. A new reference. */
json_t *body_json(struct request *request, struct buf *out);

#endif
