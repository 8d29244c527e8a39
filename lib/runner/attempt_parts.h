/* What the files of an attempt share: attempt.c (its states), attempt_start.c, attempt_input.c,
 * attempt_output.c and attempt_end.c. Nobody else includes this. */
#ifndef LEAT_RUNNER_ATTEMPT_PARTS_H
#define LEAT_RUNNER_ATTEMPT_PARTS_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/secret.h"
#include "runner/attempt.h"
#include "runner/channel.h"
#include "runner/lines.h"
#include "runner/outbox.h"
#include "runner/outcome.h"
#include "runner/result.h"
#include "runner/workdir.h"
#include "spawn/child.h"
#include "spawn/user.h"
#include "store/claims.h"
#include "store/files.h"
#include "store/inputs.h"
#include "task/job_protocol.h"
#include "task/jobtype.h"
#include "task/task.h"

enum {
    ATTEMPT_LINE_MAX = JOB_LINE_MAX,
    ATTEMPT_STATE_MAX = TASK_STATE_MAX, /* bytes of a context or a checkpoint */
    ATTEMPT_LINE_TAIL = 4096,           /* of these the last, of a line on stderr that was longer */
    ATTEMPT_NEWS_MAX = 256,             /* events of one attempt in one transaction */
    ATTEMPT_SAID_MAX = 479,             /* bytes of the last words that are kept for the error */
};

/* The states of attempt.h. The first is none: a row of the table that says nothing. */
enum attempt_state {
    STATE_NONE,
    STATE_IDLE,
    STATE_CLAIMED,
    STATE_INPUT,
    STATE_RUNNING,
    STATE_STOPPING,
    STATE_KILLED,
    STATE_REMAINDER,
    STATE_ARTIFACTS,
    STATE_ENDED,
    STATE_CLEANUP,
    STATE_FENCED,
    ATTEMPT_STATES
};

enum attempt_event {
    EVENT_ROLLED_BACK, /* the transaction of the claim */
    EVENT_COPYING,     /* its input is large, and is copied in the turns that follow */
    EVENT_STARTED,     /* the child has become the job */
    EVENT_NOT_STARTED, /* it cannot; `ending` and `said` tell why */
    EVENT_STOP,        /* the job is to end; `stop` tells why */
    EVENT_TIME_UP,     /* the timer `deadline` has fired */
    EVENT_TOO_LARGE,   /* what it gave; `excess` tells what */
    EVENT_REFUSED,     /* the database will not take what it said */
    EVENT_CHILD_ENDED, /* the job or the helper */
    EVENT_KEEPING,     /* all was read, and a helper takes over the files of the job */
    EVENT_OVER,        /* all was read, and there are no files */
    EVENT_FENCED,      /* the claim is gone */
    EVENT_WRITTEN,     /* the end is committed */
    EVENT_CLEAN,       /* nothing is left to be removed */
    ATTEMPT_EVENTS
};

struct attempt {
    const struct attempt_host *host;
    enum attempt_state state;
    enum stop stop;
    enum stop excess; /* of EVENT_TOO_LARGE */
    struct task task;
    struct claim claim;
    struct jobtype type;
    struct job_user user;
    char token[SECRET_SIZE]; /* until the job has it; "": it gets none */
    struct workdir dir;
    struct child child; /* the job, or a helper */
    struct loop_child watch;
    struct loop_timer deadline; /* RUNNING: the time is up; STOPPING: kill it */
    struct loop_timer progress; /* a report that was held back is due */
    struct loop_timer retry;    /* a pipe could not be watched, or too much was said */
    int64_t started;            /* monotonic ms; of the fork */
    int64_t timeout_ms;
    bool paused; /* attempt_pause */
    bool muted;  /* its log is full: what it says is dropped, and not read as fast as it comes */
    bool mended; /* its log says that half of a surrogate pair was replaced */
    bool fenced; /* attempt_write found that the claim is gone */

    struct input input;        /* what it is given, until it has it */
    int in;                    /* its standard input, until it has it; -1 */
    int in_to;                 /* INPUT: where that is copied to; -1 */
    struct loop_timer copying; /* INPUT: the next piece */
    struct channel out, err, events;
    struct buf result;
    struct lines out_lines, err_lines, event_lines; /* out_lines: with `stdout = log` */
    int turn; /* whose lines are read first, when there was no room for all */
    struct outbox outbox;
    char *context;           /* the newest that it gave to its group; NULL: none */
    int64_t context_version; /* of the one that it was given */
    char *checkpoint;        /* the newest that it saved and that is not written; NULL: none */

    /* Once the process is gone. */
    enum ending ending;
    int ending_number;
    char said[ATTEMPT_SAID_MAX +
              1]; /* the last words: of the job on stderr, or why it could not run */
    struct outcome outcome;
    struct result read_result;
    char *result_url;
    struct process_id leader; /* what the process was */
    int artifacts_report;     /* of the helper that takes over its files; -1: none */
    struct file_list files;   /* kept */
    bool files_placed;        /* as in files_end */
    int64_t ended_at;         /* wall-clock ms */
};

/* Has the event happen: does what the table says for it in the present state, if it says anything. */
void attempt_happens(struct attempt *a, enum attempt_event event);

/* Has EVENT_CHILD_ENDED happen when the child, which was just started, has ended. */
void attempt_watch(struct attempt *a);

/* Takes the child, which has ended, off the process table. */
void attempt_reap(struct attempt *a, struct child_end *out);

/* ---- attempt_start.c */

/* All of the input is there, or copying it has failed: starts the job, or ends the attempt. */
void attempt_input_copied(struct attempt *a, enum err rc, struct error *e);

/* The job is to end before it was started; has EVENT_NOT_STARTED happen. */
void attempt_end_unstarted(struct attempt *a);

/* ---- attempt_input.c */

/* Finds what the job is given. ERR_INVALID: it is larger than the type takes; errors of the store. */
enum err attempt_find_input(struct attempt *a, struct error *e);

/* Opens the job's standard input. Where a->in_to is open then, the input has to be copied into that first. ERR_IO;
 * errors of the store. */
enum err attempt_open_input(struct attempt *a, struct error *e);
void attempt_close_input(struct attempt *a);

/* Copies a slice of it, and comes back for the next. */
void attempt_copy_input(struct attempt *a);

/* ---- attempt_output.c */

/* Makes the pipes; the writing ends become the job's descriptors 1 to 3 (fds[1] to fds[3]). ERR_IO. */
enum err attempt_open_pipes(struct attempt *a, int fds[4], struct error *e);
void attempt_close_pipes(struct attempt *a);

/* Has the loop read in the pipes as far as the state and the outbox allow. */
void attempt_listen(struct attempt *a);

/* Turns lines that were read into news while there is room for it. */
void attempt_read_lines(struct attempt *a);

/* The process is gone: only what is in the pipes now counts. */
void attempt_last_output(struct attempt *a);

/* Reads on in that, as far as there is room for the news. Whether all was read. */
bool attempt_read_remainder(struct attempt *a);

/* Keeps the last words, for the error. */
void attempt_remember_said(struct attempt *a, const char *text);

/* ---- attempt_end.c, actions of the table */

void attempt_take_end(struct attempt *a);       /* of the job */
void attempt_conclude(struct attempt *a);       /* what it makes of the task */
void attempt_take_artifacts(struct attempt *a); /* the helper's report */
void attempt_take_cleanup(struct attempt *a);   /* the helper has ended */
void attempt_remove_all(struct attempt *a);     /* what the attempt left */

/* Reads what is left in the pipes, and has the next event happen when that was all. */
void attempt_finish_reading(struct attempt *a);

#endif
