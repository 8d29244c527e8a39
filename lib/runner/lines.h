/* Bytes into lines, in bounded memory. Pure. */
#ifndef LEAT_RUNNER_LINES_H
#define LEAT_RUNNER_LINES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Holds at most `max` bytes of an unfinished line and what was fed last. Start from
 * {.max = …}; free with lines_free. */
struct lines {
    size_t max; /* a longer line is cut to this */
    struct buf held;
    size_t at;      /* where the next line begins in `held` */
    size_t dropped; /* bytes of it that were not kept */
};

/* One line without its newline; borrowed until the next call. */
struct line {
    const char *text;
    size_t len;
    size_t cut; /* bytes that were left out because the line was too long */
};

void lines_free(struct lines *l);

void lines_feed(struct lines *l, const char *bytes, size_t len);

/* The next complete line. False: there is none yet. */
bool lines_next(struct lines *l, struct line *out);

/* At the end of input: what came behind the last newline. False: nothing. */
bool lines_last(struct lines *l, struct line *out);

/* Whether lines_next would give one. */
bool lines_waiting(const struct lines *l);

#endif
