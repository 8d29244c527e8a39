/* Tasks as people name them: by their id, or by its beginning or end. */
#ifndef LEAT_CLI_TASK_REF_H
#define LEAT_CLI_TASK_REF_H

#include "base/id.h"
#include "cli/command.h"
#include "task/task.h"

enum {
    TASK_REF_MIN = 8,    /* characters of a part */
    TASK_REF_SHOWN = 12, /* of the end of an id, where the whole is too wide */
};

/* The end of an id, for tables. Borrowed from it. */
const char *task_ref_short(const char *id);

/* Reads the task that `text` means into *out, whoever's (free with task_free). EX_OK, or another status after
 * saying why: 65 where there is none, or several, which are then listed. The database is open. */
int task_ref_read(struct cli *cli, const char *text, struct task *out);

#endif
