/* JSON (RFC 8259): writing into a buf, and reading through jansson with the project's limits. */
#ifndef LEAT_BASE_JSON_H
#define LEAT_BASE_JSON_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Deeper documents are refused: SQLite and browsers have limits of their own. */
#define JSON_DEPTH 200

/* Reads one JSON value (scalars too) from `len` bytes. Returns a new reference, or NULL with `e`
 * naming line and column (ERR_INVALID): syntax, invalid UTF-8, nesting over JSON_DEPTH. A number beyond
 * 64 bits or beyond a double reads as 1e308 or -1e308: whoever passes it on takes it from the text. */
json_t *json_read(const char *text, size_t len, struct error *e);

/* Whether the bytes are one JSON value that json_read would take. */
bool json_valid(const char *text, size_t len);

enum { UTF8_BYTES_MAX = 4 /* of a character */ };

/* How long the UTF-8 character is that the `left` bytes begin with; 0: they begin with none. */
size_t utf8_length(const char *text, size_t left);

/* Whether `len` bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms). NUL is allowed. */
bool utf8_valid(const char *text, size_t len);

/* The longest length <= `len` that does not cut a UTF-8 character. */
size_t utf8_cut(const char *text, size_t len);

/* `len` bytes of UTF-8 as a quoted JSON string. Invalid bytes become U+FFFD, so that the output is
 * always JSON. */
void json_quote(struct buf *out, const char *text, size_t len);

/* As json_quote for a C string; NULL becomes null. */
void json_text(struct buf *out, const char *text);

/* Text that is known to be JSON, without the blanks between its parts: on one line. */
void json_squeeze(struct buf *out, const char *text);

/* A number with at most three decimals and no trailing zeros: 40, 33.3, 0.125. */
void json_number(struct buf *out, double value);

/* A stretch of somebody else's text; `at` NULL: none. */
struct json_span {
    const char *at;
    size_t len;
};

/* Walks the members of an object in text that is known to be JSON, and builds nothing: values stay
 * as they were written, digit for digit. `*at` begins at the text, and moves on. False: no further
 * member, or no object. `name` is what stands between the quotes. */
struct json_member {
    struct json_span name, value;
};
bool json_next(const char **at, struct json_member *out);

/* Whether the name of a member is `name`, however it is written. */
bool json_named(const struct json_member *m, const char *name);

/* The first member of an object that has this name; {NULL, 0} when there is none. */
struct json_span json_find(const char *object, const char *name);

/* The last one: the one that counts for the parser. */
struct json_span json_find_last(const char *object, const char *name);

/* `"key":` preceded by a comma unless the buffer ends in '{' or '['. `key` is the program's own. */
void json_key(struct buf *out, const char *key);

#endif
