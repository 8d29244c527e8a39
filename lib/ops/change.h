/* What is done to tasks that there are: cancelled, retried, deleted; one, or all of a group. */
#ifndef LEAT_OPS_CHANGE_H
#define LEAT_OPS_CHANGE_H

#include "base/id.h"
#include "ops/operation.h"
#include "task/task.h"

#include <stdbool.h>
#include <stdint.h>

enum change_kind { CHANGE_CANCEL, CHANGE_RETRY, CHANGE_DELETE };

/* One task. */
struct change_task {
    struct operation op;
    struct caller caller;
    char id[ID_SIZE];
    enum change_kind kind;
    bool
        force; /* of CHANGE_RETRY: a completed or running one too, from the beginning; set after init */

    struct task task; /* as it is then; empty once it was deleted */
};

/* `caller` is copied and borrows. Outcome: ERR_NOTFOUND, ERR_STATE, ERR_LIMIT. */
void change_task_init(struct change_task *c, const struct caller *caller, enum change_kind kind,
                      const char *id);
void change_task_free(struct change_task *c);

/* All tasks of a group that allow it, in portions. */
struct change_group {
    struct operation op;
    struct caller caller;
    enum change_kind kind; /* CHANGE_CANCEL or CHANGE_RETRY */
    char *owner, *group;   /* owned */
    int64_t after, until;  /* tasks.n: done up to here, to be done up to there */
    bool begun;

    int64_t changed, requested; /* cancelled or retried; running ones that are being cancelled */
};
void change_group_init(struct change_group *c, const struct caller *caller, enum change_kind kind,
                       const char *owner, const char *group);
void change_group_free(struct change_group *c);

#endif
