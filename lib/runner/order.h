/* What a child that waits is told to become, over the socket that ties it to the runner (its control
 * socket, of type SOCK_SEQPACKET): one message with its plan and its descriptors. All that happens to a
 * process between its fork and its program is in order.c. */
#ifndef LEAT_RUNNER_ORDER_H
#define LEAT_RUNNER_ORDER_H

#include "base/error.h"
#include "runner/user.h"
#include "task/jobtype.h"

#include <sys/resource.h>
#include <sys/types.h>

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

/* What a child that could not become its program sends back. */
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

/* Tells the child at the other end of `control`; does not wait. One that is dead already is told too: it
 * will be reaped. ERR_INVALID: the plan is too large. ERR_IO: the system refused. */
enum err order_send(int control, const struct child_plan *plan, struct error *e);

/* In the child, with all signals at their defaults: waits for its order and carries it out. It ends with
 * `runner`, its parent, and when the other end of `control` is closed before an order came. Allocates
 * nothing. */
_Noreturn void order_wait(int control, pid_t runner);

#endif
