/* A task as lines of a terminal: how far it is, how long it will take, what it says. */
#ifndef LEAT_CLI_BAR_H
#define LEAT_CLI_BAR_H

#include "base/buf.h"
#include "cli/terminal.h"
#include "task/task.h"

#include <stdint.h>

/* What is drawn. Borrowed. */
struct bar {
    const struct task *task;
    const char *label; /* which one it is, where there are several; NULL: only one */
    const char *log;   /* the last line of its log, with its colours, or NULL */
    int64_t now;
    bool gone; /* it was deleted */
};

/* Appends one line of less than the terminal's columns, without its end: label, bar, percent, time, and in what is
 * left phase and message (of a task with a label and neither of them, the line of its log). */
void bar_line(struct buf *out, const struct terminal *t, const struct bar *b);

/* Appends a second line, of one task alone: what went wrong, or the last line of its log; nothing where there is
 * neither. */
void bar_second(struct buf *out, const struct terminal *t, const struct bar *b);

/* Appends the state of a task in words: "waiting, number 3", "running, attempt 2", "completed in 3.2 s". */
void bar_state(struct buf *out, const struct task *t, int64_t now);

/* How a task failed. Text is borrowed; NULL and 0: not told. */
struct failure {
    const char *code, *message;
    int64_t exit_status, signal;
};

/* Appends what went wrong, in words: "exit status 3: no such file"; nothing where nothing did, and nothing that the
 * status says already. */
void bar_failure(struct buf *out, enum task_status status, const struct failure *f);
void bar_error(struct buf *out, const struct task *t); /* the same of a task */

/* The colour of a status. */
enum colour bar_colour(enum task_status status);

#endif
