/* Processes as rows of the database name them. */
#ifndef LEAT_TASK_PROCESS_ID_H
#define LEAT_TASK_PROCESS_ID_H

#include <stdint.h>

/* A process, named so that no later one of the same pid is taken for it. */
struct process_id {
    int64_t pid;
    int64_t start; /* clock ticks since boot, proc(5) field 22; 0: not known */
    int64_t
        session; /* its session, which is its runner's; 0: it began outside this pid namespace */
};

#endif
