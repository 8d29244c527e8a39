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
    size_t
        tail; /* so many of these bytes are its end; the rest is cut out of its middle. 0: the end is */
    bool returns; /* a carriage return ends a line too */
    struct buf held;
    size_t at;      /* where the next line begins in `held` */
    size_t dropped; /* bytes of it that were not kept */
    bool returned;  /* the last line ended with a carriage return, and nothing has come since */
};

enum line_end {
    LINE_FEED,   /* also CR LF; and the last line */
    LINE_RETURN, /* a carriage return: what comes next is drawn over it */
    LINE_RETURN_FEED, /* no line: the line feed right behind such a return, so that what was drawn stays */
};

/* One line without its end; borrowed until the next call. */
struct line {
    const char *text;
    size_t len;
    size_t cut; /* bytes that were left out because the line was too long */
    enum line_end end;
};

void lines_free(struct lines *l);

void lines_feed(struct lines *l, const char *bytes, size_t len);

/* The next complete line. False: there is none yet. */
bool lines_next(struct lines *l, struct line *out);

/* At the end of input: what came behind the last line. False: nothing. */
bool lines_last(struct lines *l, struct line *out);

/* Whether lines_next would give one. */
bool lines_waiting(const struct lines *l);

#endif
