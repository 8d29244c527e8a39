/* What a child that waits is told to become, over the socket that ties it to the runner (its control
 * socket, of type SOCK_SEQPACKET): one message with its plan and its descriptors. All that happens to a
 * process between its fork and its program is in exec_plan.c. */
#ifndef LEAT_SPAWN_EXEC_PLAN_H
#define LEAT_SPAWN_EXEC_PLAN_H

#include "base/error.h"
#include "spawn/user.h"

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Limits of each process (setrlimit(2)), which only lower what is in force; 0: none. */
struct exec_limits {
    int64_t memory_bytes; /* address space */
    int64_t cpu_ms;       /* rounded up to whole seconds */
    int64_t file_bytes;   /* of each file */
    int64_t processes;    /* all that the user runs, as the kernel counts; does not bind root */
    rlim_t nofile;        /* the soft limit of open files; the hard one stays. Never none */
    int nice;
};

/* What is to run, and with what. Borrowed; the descriptors stay the caller's. */
struct exec_plan {
    const char *file; /* absolute path of the executable */
    char *const *argv;
    char *const *env;
    const char *folder; /* to work in */
    struct exec_limits limits;
    const struct job_user *user; /* NULL: the runner's own */
    int descriptors[4];          /* its 0 to 3; it gets no other */
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
enum err exec_plan_send(int control, const struct exec_plan *plan, struct error *e);

/* In the child, with all signals at their defaults: waits for its plan and carries it out. It ends with
 * `runner`, its parent, and when the other end of `control` is closed before a plan came. Allocates
 * nothing. */
_Noreturn void exec_plan_wait(int control, pid_t runner);

#endif
