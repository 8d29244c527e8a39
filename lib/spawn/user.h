/* Whom a job runs as (`user` in TYPE.conf). */
#ifndef LEAT_SPAWN_USER_H
#define LEAT_SPAWN_USER_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct job_user {
    bool set; /* false: the runner's own, and nothing else here counts */
    uid_t uid;
    gid_t gid;
    gid_t groups[64];
    int group_count;
    char home[256];
};

/* Finds the user `name`; "" and the runner's own name are its own. Only root can be another.
 * ERR_INVALID: there is no such user, it is in too many groups, or the runner is not root. ERR_IO: the
 * system cannot tell (errno of getpwnam_r(3)). */
enum err job_user_find(struct job_user *out, const char *name, struct error *e);

#endif
