/* What cancel and retry share: tasks that are named, each changed by an operation of its own. */
#ifndef LEAT_CLI_CHANGE_H
#define LEAT_CLI_CHANGE_H

#include "cli/command.h"
#include "ops/change.h"

#include <stdbool.h>

struct change_wish {
    enum change_kind kind;
    bool force;       /* as in struct change_task */
    bool json;        /* their documents: {"tasks":[...]} */
    const char *next; /* what may be done with a task in another state, for messages */
};

/* Changes each of the tasks, also when an earlier one could not be. EX_OK, or the status of the first that failed,
 * after saying why. */
int change_named(struct cli *cli, const struct change_wish *w, int argc, char **argv);

#endif
