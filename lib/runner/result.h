/* What the bytes on standard output are: the result of a task. Pure. */
#ifndef LEAT_RUNNER_RESULT_H
#define LEAT_RUNNER_RESULT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct result {
    const char *type; /* media type; the conf's own, or a constant */
    char *value;      /* the JSON value for documents, owned; NULL: too large, or bytes */
};

/* JSON if it parses, else text if it is UTF-8, else bytes; `type` (or "") is what TYPE.conf calls it,
 * and text/ there keeps JSON from being looked for. A value of text drops one final newline; none is
 * made of more than `inline_max` bytes. Free `value`. */
void result_read(struct result *out, const struct buf *body, const char *type, size_t inline_max);

/* Whether the bytes are one JSON value (RFC 8259), nested at most JSON_DEPTH deep. Builds nothing:
 * the tree of a large result would take twenty times its size. */
bool result_is_json(const char *text, size_t len);

#endif
