/* What a job says: the grammar of its lines on descriptor 3 and on stderr. Pure. */
#ifndef LEAT_TASK_SAYS_H
#define LEAT_TASK_SAYS_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum says_kind {
    SAYS_NOTHING,    /* an empty line */
    SAYS_PROGRESS,   /* percent, phase, message: what was given */
    SAYS_EVENT,      /* type, json */
    SAYS_LOG,        /* level, message */
    SAYS_CHECKPOINT, /* json */
    SAYS_CONTEXT,    /* json */
};

/* One line understood. Text is owned; absent text is NULL, absent percent -1. */
struct says {
    enum says_kind kind;
    double percent;
    char *phase, *message;
    char *type;
    const char *level; /* debug, info, warn or error; not owned */
    char *json;        /* payload, checkpoint or context: one JSON value on one line, as
                          it was written */
};

/* Understands one line of descriptor 3 (without its newline). ERR_INVALID with the reason when it is
 * malformed: not a percentage, no UTF-8, badly typed members or none that is known, a reserved event
 * type. */
enum err says_parse(struct says *out, const char *line, size_t len, struct error *e);

/* Understands one line of stderr: an sd-daemon(3) prefix "<0>" to "<7>" gives the level (0-3 error,
 * 4 warn, 5-6 info, 7 debug). Never fails; invalid UTF-8 becomes U+FFFD. */
void says_log_line(struct says *out, const char *line, size_t len);

void says_free(struct says *s);

#endif
