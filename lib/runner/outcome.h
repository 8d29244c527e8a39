/* How an attempt ended, and what that makes of the task (SPEC, section 5). Pure. */
#ifndef LEAT_RUNNER_OUTCOME_H
#define LEAT_RUNNER_OUTCOME_H

#include "task/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Why the runner ended a job before it ended by itself. */
enum stop {
    STOP_NONE,
    STOP_TIMEOUT,    /* its time was up */
    STOP_CANCEL,     /* somebody asked for it */
    STOP_DRAIN,      /* the runner itself stops */
    STOP_RESTART,    /* somebody asked for it to run anew */
    STOP_TOO_LARGE,  /* its result went over the bound */
    STOP_CONTEXT,    /* the context for its group did */
    STOP_CHECKPOINT, /* what it saved did */
    STOP_FILES,      /* its files did; said: which bound */
    STOP_REFUSED,    /* the database will not take what it says */
};

/* What became of its process. */
enum ending {
    ENDING_EXIT,      /* number: exit status */
    ENDING_SIGNAL,    /* number: signal */
    ENDING_NO_EXEC,   /* said: why the program could not be executed */
    ENDING_NO_TYPE,   /* said: why there is no such type (any more) */
    ENDING_UNUSABLE,  /* said: what is wrong with the type or the task itself */
    ENDING_NO_FILES,  /* said: why the files that it made could not be kept */
    ENDING_HELD,      /* said: what the site has to mend; the task waits for that */
    ENDING_NO_SYSTEM, /* said: what the system refused: processes, files, space */
};

struct attempt_end {
    enum stop stop;
    enum ending ending;
    int number;
    const char *said; /* as above; for exit and signal: its last line on stderr, or NULL */
    int64_t attempt, max_attempts;
    int64_t timeout_ms;
    int64_t result_max; /* bytes */
    int64_t state_max;  /* bytes of a context or a checkpoint */
};

struct outcome {
    enum task_status status; /* TASK_PENDING: again */
    bool unspent;            /* without counting this attempt */
    bool backoff;            /* not before its time */
    const char *code;        /* of the error, NULL: none; a constant */
    char *message; /* owned; free it. Of a job that failed its own words, where it said any */
    int exit_status, signal; /* of the error that is one of these, else 0 */
    bool retryable;          /* whether the same input may do better another time */
};

/* The stop decides before the ending does: a job that exits with 0 because it was told to stop has not
 * completed. */
void outcome_decide(struct outcome *out, const struct attempt_end *a);

#endif
