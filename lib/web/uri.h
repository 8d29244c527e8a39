/* The parts of a request target (RFC 3986, RFC 9112, 3.2): percent-encoding, the segments of a path, the
 * parameters of a query. Pure. */
#ifndef LEAT_WEB_URI_H
#define LEAT_WEB_URI_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { URI_SEGMENTS_MAX = 16 };

/* A part of a text that is somebody else's. p NULL: nothing (left). */
struct span {
    const char *p;
    size_t len;
};

/* Appends `len` bytes percent-decoded. False: bad encoding, a NUL, or what was appended is not UTF-8. */
bool uri_decode(struct buf *out, const char *text, size_t len, bool plus_is_space);

/* Whether it has a control byte. */
bool uri_has_control(const char *text);

/* The segments of a path; owned. A zeroed one is empty. */
struct uri_path {
    char *at[URI_SEGMENTS_MAX];
    size_t count;
};
void uri_path_free(struct uri_path *s);

/* Splits a path at '/' and decodes each segment once, where it is encoded; empty segments and "." are dropped.
 * ERR_INVALID: control bytes, bad encoding, "..", too deep. Free with uri_path_free, also after an error. */
enum err uri_split(struct uri_path *s, const char *path, size_t len, bool encoded, struct error *e);

/* How many first segments are those of `prefix` ("/a/b"; "" and NULL have none), or -1 when they do not lie
 * below it. A NULL segment is none of a prefix. */
int uri_below(char *const *segments, size_t count, const char *prefix);

/* Takes the next parameter of a query, as it is encoded. False: there is none. */
bool uri_parameter(const char **at, struct span *name, struct span *value);

#endif
