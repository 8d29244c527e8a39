/* The environment of a job (SPEC, section 5): nothing of the runner's but four variables. Pure. */
#ifndef LEAT_RUNNER_JOBENV_H
#define LEAT_RUNNER_JOBENV_H

#include "task/task.h"

#include <stdint.h>

/* What the runner passes on; NULL where it has none itself. Borrowed. */
struct jobenv_own {
    const char *path, *lang, *tz, *home;
};

struct jobenv {
    const struct jobenv_own *own;
    const struct task *task;
    const char *content_type; /* of the input; NULL: no input */
    const char *folder;       /* HOME where the runner has none */
    const char *events;       /* path of the pipe */
    const char *files;        /* path of the folder for its files */
    const char *checkpoint;   /* path of what an earlier attempt saved, if one did */
    const char *context;      /* path of the group's context; NULL: the task has no group */
    const char *url, *token;  /* of the site, and to show there; NULL: the job is told neither */
    int64_t deadline;         /* wall-clock ms, when the time is up */
};

/* A NULL-terminated list of "NAME=value"; free with jobenv_free. */
char **jobenv_make(const struct jobenv *what);
void jobenv_free(char **env);

#endif
