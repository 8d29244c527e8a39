/* What a job says: the grammar of its lines on descriptor 3 and on stderr. Pure. */
#ifndef LEAT_TASK_JOB_PROTOCOL_H
#define LEAT_TASK_JOB_PROTOCOL_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a line, unless it is a checkpoint or a context: an event fits in 64 KB with its envelope. */
enum { JOB_LINE_MAX = 65536 - 1024 };

enum job_line_kind {
    JOB_LINE_NOTHING,    /* an empty line */
    JOB_LINE_PROGRESS,   /* percent, phase, message: what was given */
    JOB_LINE_EVENT,      /* type, json */
    JOB_LINE_LOG,        /* level, message, ansi */
    JOB_LINE_CHECKPOINT, /* json */
    JOB_LINE_CONTEXT,    /* json */
};

/* One line understood. Text is owned; absent text is NULL, absent percent -1. */
struct job_line {
    enum job_line_kind kind;
    double percent;
    char *phase, *message;
    char *
        ansi; /* of a log line, its message with colours (escape sequences SGR), where it has any */
    char *type;
    const char *level; /* debug, info, warn or error; not owned */
    bool mended;       /* half of a surrogate pair was in it, and became U+FFFD */
    char *json;        /* payload, checkpoint or context: one JSON value on one line, as
                          it was written */
};

/* Understands one line of descriptor 3 (without its newline). Of {"log"} terminal control is taken out as from a
 * line of stderr; line breaks stay. ERR_INVALID with the reason when it is malformed: not a percentage, no UTF-8,
 * badly typed members or none that is known, a reserved event type. */
enum err job_line_parse(struct job_line *out, const char *line, size_t len, struct error *e);

/* Which kind a line of descriptor 3 is of that was cut because it is too long: JOB_LINE_CHECKPOINT or
 * JOB_LINE_CONTEXT when it begins as such a line does, else JOB_LINE_NOTHING. */
enum job_line_kind job_line_guess(const char *line, size_t len);

/* Understands one line of stderr: an sd-daemon(3) prefix "<0>" to "<7>" gives the level (0-3 error,
 * 4 warn, 5-6 info, 7 debug). Terminal control is taken out: escape sequences and control characters but tabs;
 * colours stay in `ansi`. Never fails; invalid UTF-8 becomes U+FFFD. */
void job_log_line(struct job_line *out, const char *line, size_t len);

/* A copy of text without terminal control, as job_log_line makes it; line breaks stay. The caller frees. */
char *job_plain_text(const char *text, size_t len);

/* The same with its colours: no other escape sequence is left than SGR. The caller frees. */
char *job_coloured_text(const char *text, size_t len);

void job_line_free(struct job_line *s);

#endif
