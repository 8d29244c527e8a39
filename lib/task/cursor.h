/* Positions in the log, as clients hold them: EPOCH-SEQ. */
#ifndef LEAT_TASK_CURSOR_H
#define LEAT_TASK_CURSOR_H

#include "base/buf.h"

#include <stdint.h>

#define EPOCH_DIGITS 8 /* lower-case hex */

enum cursor_kind {
    CURSOR_NONE,     /* no text at all */
    CURSOR_EARLIEST, /* "earliest" */
    CURSOR_NOW,      /* "now" */
    CURSOR_AT,       /* a position of this epoch, in .seq */
    CURSOR_FOREIGN,  /* of another epoch, or no cursor of ours */
};

struct cursor {
    enum cursor_kind kind;
    int64_t seq;
};

/* Reads what a client sent (NULL or "": CURSOR_NONE). Only the exact form that cursor_write makes is
 * CURSOR_AT. */
struct cursor cursor_parse(const char *text, const char *epoch);

void cursor_write(struct buf *out, const char *epoch, int64_t seq);
void cursor_quote(struct buf *out, const char *epoch, int64_t seq); /* as a JSON string */

#endif
