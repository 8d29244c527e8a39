/* Members of JSON objects, as documents and dialects write them: `"key":value`, preceded by a comma unless it
 * is the first of its object. `key` is the program's own. Pure. */
#ifndef LEAT_RENDER_MEMBER_H
#define LEAT_RENDER_MEMBER_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

/* A string; NULL is null. */
void member_text(struct buf *out, const char *key, const char *value);

/* A whole number; TASK_NONE is null. */
void member_int(struct buf *out, const char *key, int64_t value);

/* A number; a negative one is not known, and null. */
void member_number(struct buf *out, const char *key, double value);

void member_bool(struct buf *out, const char *key, bool value);

/* A time in milliseconds as ISO 8601, in UTC: "2023-12-21T01:50:56.789Z". TASK_NONE is null. */
void member_iso_time(struct buf *out, const char *key, int64_t ms);

/* JSON as it was written; none is null. */
void member_json(struct buf *out, const char *key, struct json_span value);

/* A member of another object, name and value as they were written. */
void member_copy(struct buf *out, const struct json_member *m);

#endif
