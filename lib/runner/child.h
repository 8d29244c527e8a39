/* The process of a job, from its fork to its end. */
#ifndef LEAT_RUNNER_CHILD_H
#define LEAT_RUNNER_CHILD_H

#include "base/error.h"
#include "runner/forkserver.h"
#include "store/claims.h"

#include <stdbool.h>

/* A child of this process, the leader of its own process group, until child_reap. */
struct child {
    struct process_id id; /* .pid 0: none */
    int control;
};

#define CHILD_NONE ((struct child){.control = -1})

/* Forks it and gets it ready, but executes nothing before child_go: a job's pid is on disk before
 * the job exists. It dies with the runner. Errors are those of forkserver_fork. */
enum err child_fork(struct child *out, struct forkserver *forks, const struct child_plan *plan,
                    struct error *e);

/* Lets it execute its program. False: the system refused, it will wait for ever. */
bool child_go(struct child *c);

/* Signals its whole group. */
void child_signal(const struct child *c, int signo);

struct child_end {
    bool signalled;
    int number;   /* exit status or signal */
    bool no_exec; /* it never became its program; `error` says why */
    struct error error;
};

/* False: it still runs. When it has ended: kills what is left of its group while its pid is still
 * its own, takes it off the process table, and *c is CHILD_NONE. */
bool child_reap(struct child *c, struct child_end *out);

/* Whether it has ended, without taking notice. */
bool child_ended(const struct child *c);

#endif
