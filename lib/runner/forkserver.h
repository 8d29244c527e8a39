/* A small process that forks for a large one. Forking copies page tables, and every page that either
 * side then writes is copied too: a runner with a database open pays more for that than for all the
 * rest of a task. The fork server is forked before there is anything to copy, is told over a socket
 * what to run, and makes children that are the runner's own (CLONE_PARENT of clone(2)): the runner
 * waits for them, and they die with it. So no process is ever forked that has a database open. */
#ifndef LEAT_RUNNER_FORKSERVER_H
#define LEAT_RUNNER_FORKSERVER_H

#include "base/error.h"
#include "runner/user.h"
#include "task/jobtype.h"

#include <sys/resource.h>
#include <sys/types.h>

struct forkserver;

/* What is to run, and with what. Borrowed; the descriptors stay the caller's. */
struct child_plan {
    const char *file;   /* absolute path of the executable */
    const char *folder; /* to work in */
    char *const *env;
    const struct jobtype *type;  /* name, nice, limits */
    const struct job_user *user; /* NULL: the runner's own */
    int descriptors[4];          /* its 0 to 3; it gets no other */
    rlim_t nofile;               /* its soft limit of open files */
};

/* Sent over the control socket by a child that could not become its program. */
enum refused_step {
    STEP_DESCRIPTORS,
    STEP_FOLDER,
    STEP_LIMITS,
    STEP_NICE,
    STEP_USER,
    STEP_PRIVILEGES,
    STEP_EXEC
};
struct refusal {
    enum refused_step step;
    int number; /* errno */
};

/* Starts one; it ends when its socket closes, and with this process. Call it before there is a
 * thread, and early. Stop with forkserver_stop. ERR_IO. */
enum err forkserver_start(struct forkserver **out, struct error *e);
void forkserver_stop(struct forkserver *f); /* NULL is fine */

/* Has a child of this process forked, the leader of its own process group. It becomes what the plan says
 * when a byte comes over `control`, the socket of which it gets the descriptor; a struct refusal comes
 * back if it cannot. A fork server that is gone is replaced. ERR_INVALID: the plan is too large.
 * ERR_STATE: it went away in the middle, and whether it forked is not known; close the control socket,
 * which ends such a child, and try again with another. Two must never wait for one byte.
 * ERR_IO: the system refused. */
enum err forkserver_fork(struct forkserver *f, const struct child_plan *plan, int control,
                         pid_t *pid, struct error *e);

#endif
