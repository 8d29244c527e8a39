/* Job types: an executable in the jobs folder, and the optional TYPE.conf beside it. */
#ifndef LEAT_TASK_JOBTYPE_H
#define LEAT_TASK_JOBTYPE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBTYPE_NAME_MAX 64
#define JOBTYPE_USER_MAX 32

/* What TYPE.conf says, over the defaults. Durations in milliseconds. */
struct jobtype {
    char name[JOBTYPE_NAME_MAX + 1];
    int64_t timeout_ms;      /* 600 s */
    int64_t kill_grace_ms;   /* 5 s */
    int64_t attempts;        /* 1 */
    int64_t backoff_ms;      /* 2 s, doubling, at most 300 s */
    int64_t max_input_bytes; /* -1: the server's own bound */
    char result_type[128];   /* "": found out from the result */
    int64_t nice;            /* 0 */
    int64_t stdout_log;      /* 1: standard output is its log, and there is no result */
    int64_t serialize;       /* 1: one such task of a group at a time, in order */
    int64_t get;             /* 1: a bare EventSource may start it (GET /api/run/TYPE) */
    int64_t concurrency; /* so many of them run at a time, on all runners together; 0: no bound */
    char user[JOBTYPE_USER_MAX + 1]; /* who runs it; "": the runner itself */
    int64_t token;                   /* 1: the job is told LEAT_URL and LEAT_TOKEN */
    int64_t retain_ms;     /* how long finished tasks are kept; 0: for ever; -1: as the site's */
    int64_t lost_attempts; /* 3: so many runners may be lost under it before it fails */

    /* Limits of each process of the job (setrlimit(2)); 0: none. `processes` counts all that the
     * user runs, as the kernel does, and does not bind root. */
    int64_t memory_bytes; /* address space; memory_mb */
    int64_t cpu_ms;       /* cpu_seconds; the system rounds it up to whole ones */
    int64_t file_bytes;   /* of each file; file_mb */
    int64_t processes;
};

/* Whether `name` can be a type: [a-z][a-z0-9_-]{0,63}. */
bool jobtype_name_valid(const char *name);

/* The defaults, for a type called `name` (cut to JOBTYPE_NAME_MAX). */
void jobtype_defaults(struct jobtype *out, const char *name);

/* Reads TYPE.conf, whether there is such an executable or not: the defaults where there is no such
 * file. ERR_INVALID (file:line) when it is wrong, ERR_IO when it cannot be read; *out then holds what came
 * before the error. */
enum err jobtype_parse(struct jobtype *out, const char *jobs, const char *name, struct error *e);

/* Milliseconds to wait after `tries` attempts: backoff, doubled for each but the first, at most 300 s,
 * then spread by up to a quarter either way by `random` in [0, 1). */
int64_t jobtype_backoff(const struct jobtype *t, int64_t tries, double random);

#endif
