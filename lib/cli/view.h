/* What a person sees of tasks while they are waited for: bars on a terminal, lines elsewhere, or their events as
 * JSON. Bars go to standard error, so that the result, on standard output, can go into a file; lines and the result
 * share standard output where standard error is no terminal. */
#ifndef LEAT_CLI_VIEW_H
#define LEAT_CLI_VIEW_H

#include "cli/watcher.h"

enum view_form {
    VIEW_WATCH, /* bars or lines, and of one task its result */
    VIEW_JSON,  /* an event a line */
    VIEW_QUIET, /* what went wrong, on standard error */
};

/* Watches the tasks of `w`, which have all been added and begin before their first event. Gives the exit status that
 * tells what became of them, or another after saying why. */
int view_run(struct watcher *w, enum view_form form);

/* Writes the result of a task to standard output, byte for byte; on a terminal without what would steer it. EX_OK, also
 * where there is none, or another status after saying why. */
int view_result(struct cli *cli, const struct task *t);

#endif
