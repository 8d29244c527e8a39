/* The process of a job, from its fork to its end. spawn/forkserver.h makes them. */
#ifndef LEAT_SPAWN_CHILD_H
#define LEAT_SPAWN_CHILD_H

#include "base/error.h"
#include "spawn/exec_plan.h"
#include "task/process_id.h"

#include <stdbool.h>

/* A child of this process, the leader of its own process group, until child_reap. It executes nothing
 * before child_go, so that a job's pid is on disk before the job exists, and dies with the runner. */
struct child {
    struct process_id id; /* .pid 0: none */
    int control;          /* spawn/exec_plan.h */
};

#define CHILD_NONE ((struct child){.control = -1})

/* Has it become what the plan says. Errors are those of exec_plan_send: it still waits, see child_drop. */
enum err child_go(const struct child *c, const struct exec_plan *plan, struct error *e);

/* Ends one that waits, and is not needed; *c is CHILD_NONE. */
void child_drop(struct child *c);

/* Signals its whole group. */
void child_signal(const struct child *c, int signo);

struct child_end {
    bool signalled;
    int number;     /* exit status or signal */
    bool no_exec;   /* it never became its program; `error` says why */
    int exec_errno; /* of execve(2), when it was that; else 0 */
    struct error error;
};

/* False: it still runs. When it has ended: kills what is left of its group while its pid is still
 * its own, takes it off the process table, and *c is CHILD_NONE. */
bool child_reap(struct child *c, struct child_end *out);

/* Whether it has ended, without taking notice. */
bool child_ended(const struct child *c);

#endif
