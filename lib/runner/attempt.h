/* One attempt at a task: from the claim until its end is in the database. An object is used for one task after
 * another; IDLE, it has none.
 *
 *     IDLE ─> CLAIMED (─> INPUT) ─> RUNNING ─> REMAINDER (─> ARTIFACTS) ─> ENDED (─> CLEANUP) ─> IDLE
 *                                      └─> STOPPING ─> KILLED ─┘
 *
 *     CLAIMED    taken in the database, for a child that waits
 *     INPUT      its input, which is large, is copied, a slice a turn
 *     RUNNING    the child is the job
 *     STOPPING   SIGTERM was sent
 *     KILLED     SIGKILL was sent
 *     REMAINDER  the process is gone; what it left in its pipes is read
 *     ARTIFACTS  a helper takes over the files that the job made, if there are any
 *     ENDED      the outcome is known and not yet written
 *     CLEANUP    it is written; a helper still removes what the attempt left, which was much
 *     FENCED     the claim is gone: writes nothing more, and is IDLE as soon as the process is gone
 *
 * What happens in which state is one table, in attempt.c.
 *
 * Invariants:
 *  1. An attempt writes to the database in attempt_write alone, and forgets what it wrote in attempt_written,
 *     after the commit: a transaction that was rolled back is written again, whole.
 *  2. While the database takes nothing (attempt_pause) nothing is read from the job.
 *  3. Its folders are removed, or set aside, before the end of the attempt is written: from then on another
 *     runner may own the task. Only what is kept of its files stays, and is moved to its place in the
 *     transaction that writes the end. */
#ifndef LEAT_RUNNER_ATTEMPT_H
#define LEAT_RUNNER_ATTEMPT_H

#include "base/error.h"
#include "base/loop.h"
#include "ops/job_types.h"
#include "runner/broken_types.h"
#include "runner/jobenv.h"
#include "runner/outcome.h"
#include "runner/workdir.h"
#include "spawn/escaped.h"
#include "spawn/forkserver.h"
#include "store/claims.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What all attempts of a runner share. Borrowed for the life of the attempts. */
struct attempt_host {
    struct loop *loop;
    struct db *db;
    struct forkserver *forks;
    struct job_types *types;
    struct broken_types *broken;
    struct jobenv_own own;
    const char *jobs; /* absolute path of the jobs folder */
    struct workroot *work;
    const struct escaped *escaped; /* whether a job has left somebody behind */
    const char *prefix;            /* of result_url */
    const char *url;               /* of the site, for jobs; NULL: not known */
    int64_t runner;                /* its id */
    int64_t result_max;            /* bytes */
    int64_t inline_max;            /* bytes */
    int64_t files_max;             /* files of one task */
    int64_t files_bytes;           /* and bytes in all */
    gid_t files_group;             /* of files_make_root */
    int64_t progress_rate;         /* reports a second */
    rlim_t nofile;                 /* soft limit of jobs */
};

struct attempt;

struct attempt *attempt_new(const struct attempt_host *host);
void attempt_free(
    struct attempt *a); /* IDLE, or after attempt_abandon; before the loop is closed */

/* Ends the process, if any, without waiting for it or writing anything: the runner itself fails. */
void attempt_abandon(struct attempt *a);

bool attempt_is_idle(const struct attempt *a);

/* Whether it has a job on its hands: neither IDLE nor ENDED nor CLEANUP. */
bool attempt_is_working(const struct attempt *a);

/* CLAIMED: `t` (taken over: *t is empty after it) for `child` (taken over too). */
void attempt_claim(struct attempt *a, struct task *t, const struct child *child);

/* In the same transaction: makes the token that its job is given, where its type says so and the site has a url.
 * Errors of the store: roll back. */
enum err attempt_permit(struct attempt *a, struct error *e);

/* The transaction was rolled back: CLAIMED is IDLE again. */
void attempt_unclaim(struct attempt *a);

/* The transaction was committed: CLAIMED becomes RUNNING or INPUT, or ENDED when the job cannot be started. Nothing
 * happens in other states. ERR_IO and the like when it was the system that refused; the task will be tried
 * again. */
enum err attempt_start(struct attempt *a, struct error *e);

/* While `paused`, the database takes nothing, and nothing is read from the job. */
void attempt_pause(struct attempt *a, bool paused);

/* Has the job stopped, unless it has ended or is being stopped already. */
void attempt_stop(struct attempt *a, enum stop why);

/* The process of its job or its helper; 0: none. */
int64_t attempt_child(const struct attempt *a);

/* Which task; 0 when IDLE. */
int64_t attempt_task(const struct attempt *a);

/* Whether attempt_write has something to write, and whether that is the end of the attempt: one that
 * nobody may read before it is durable. */
bool attempt_has_news(const struct attempt *a);
bool attempt_has_end(const struct attempt *a);

/* Writes all that is new into the open transaction. ERR_FENCED: the claim is gone, which attempt_written
 * takes notice of. Other errors: roll back. */
enum err attempt_write(struct attempt *a, struct error *e);

/* What attempt_write wrote is committed. Where it found the claim gone: kills the job and forgets all. */
void attempt_written(struct attempt *a);

/* The database refused, not for the moment but for good, what this attempt had to say: drops it and fails
 * the task. False: that was its end already, there is nothing left to try. */
bool attempt_refuse(struct attempt *a);

#endif
