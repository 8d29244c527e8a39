/* Processes of this machine, named so that one is never taken for another that has its pid now. */
#ifndef LEAT_SPAWN_PROCESS_H
#define LEAT_SPAWN_PROCESS_H

#include "base/id.h"
#include "task/process_id.h"

#include <stdbool.h>

/* Where pids mean what they mean here: the boot of the machine and the pid namespace in it, in the
 * form of an id. "" where the system does not tell. */
void process_scope(char out[ID_SIZE]);

/* Names the living process `pid`; .start is 0 when there is none. */
struct process_id process_name(int64_t pid);

enum process_seen {
    PROCESS_ALIVE,
    PROCESS_GONE,   /* proven */
    PROCESS_UNSEEN, /* not to be told from here */
};

/* Whether a process that was named at `its_scope` lives, seen from `scope`. */
enum process_seen process_look(const struct process_id *p, const char *its_scope,
                               const char *scope);

/* Sends SIGKILL to that very process, and to no other that has its pid by now. False: it is gone, or may not be
 * signalled. */
bool process_kill(const struct process_id *p);

/* Whether nothing is left of the process group that `leader` led for the task; sends SIGKILL to what
 * is, so that a later call finds it gone. Without its leader a process counts when it has the
 * group and the session, was not started before the leader, and does not say in its environment
 * (LEAT_TASK_ID) that it is another task's. Both scopes must be the same. */
bool process_group_gone(const struct process_id *leader, const char *task_id);

#endif
