/* A place where one task at a time runs.
 *
 *     FREE ─> CLAIMED ─> RUNNING ─> DRAINING (─> KEEPING) ─> ENDED (─> CLEARING) ─> FREE
 *                           └─> STOPPING ─> KILLED ─┘
 *
 * CLAIMED: taken in the database, for a child that waits. STOPPING: SIGTERM was sent, KILLED: SIGKILL. DRAINING: the process is gone, what it left in its pipes is
 * read. KEEPING: a process takes over the files that it made, if there are any. ENDED: the outcome is known and not yet
 * written. CLEARING: it is written, and a process still removes what the attempt left, which was much. From RUNNING on, a slot whose claim is gone
 * (slot_fence) is FENCED until its process is gone, and then FREE: it writes nothing more.
 *
 * Invariants:
 *  1. A slot writes to the database in slot_write alone, and forgets what it wrote in slot_written,
 *     after the commit: a transaction that was rolled back is written again, whole.
 *  2. It reads from its job only while nothing of what it read waits for the database.
 *  3. Its folders are removed, or set aside, before the end of the attempt is written: from then on another
 *     runner may own the task. Only what is kept of its files stays, and is moved to its place in the
 *     transaction that writes the end. */
#ifndef LEAT_RUNNER_SLOT_H
#define LEAT_RUNNER_SLOT_H

#include "base/error.h"
#include "base/loop.h"
#include "runner/forkserver.h"
#include "runner/jobenv.h"
#include "runner/outcome.h"
#include "runner/workdir.h"
#include "store/claims.h"
#include "store/db.h"
#include "task/jobtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What all slots of a runner share. Borrowed for the life of the slots. */
struct slot_shop {
    struct loop *loop;
    struct db *db;
    struct forkserver *forks;
    struct jobenv_own own;
    const char *jobs; /* absolute path of the jobs folder */
    const struct workroot *work;
    const char *prefix;    /* of result_url */
    int64_t runner;        /* its id */
    int64_t result_max;    /* bytes */
    int64_t inline_max;    /* bytes */
    int64_t files_max;     /* files of one task */
    int64_t files_bytes;   /* and bytes in all */
    gid_t files_group;     /* of files_make_root */
    int64_t progress_rate; /* reports a second */
    rlim_t nofile;         /* soft limit of jobs */
};

struct slot;

struct slot *slot_new(const struct slot_shop *shop);
void slot_free(struct slot *s); /* FREE, or after slot_abandon */

/* Ends the process, if any, without waiting for it or writing anything: the runner itself fails. */
void slot_abandon(struct slot *s);

bool slot_is_free(const struct slot *s);

/* Whether it has a job on its hands: neither FREE nor ENDED nor CLEARING. */
bool slot_is_working(const struct slot *s);

/* CLAIMED by `t` (taken over: *t is empty after it) for `child` (taken over too), whose type is `type`,
 * or not known ("") and then looked for by slot_start. */
void slot_claim(struct slot *s, struct task *t, const struct jobtype *type,
                const struct child *child);

/* The transaction was rolled back: CLAIMED is FREE again. */
void slot_unclaim(struct slot *s);

/* The transaction was committed: CLAIMED becomes RUNNING, or ENDED when the job cannot be started.
 * ERR_IO and the like when it was the system that refused; the task will be tried again. */
enum err slot_start(struct slot *s, struct error *e);

/* Looks after the process, the pipes and the times of the slot. `blocked`: the database takes
 * nothing at present, so nothing is read. */
void slot_turn(struct slot *s, bool blocked);

/* Has the job stopped, unless it has ended or is being stopped already. */
void slot_stop(struct slot *s, enum stop why);

/* Which task; 0 when FREE. */
int64_t slot_task(const struct slot *s);

/* When slot_turn must be called at the latest (monotonic ms, 0: at once, INT64_MAX: whenever a
 * descriptor or a signal says so). */
int64_t slot_deadline(const struct slot *s);

/* Whether slot_write has something to write, and whether that is the end of the attempt: one that
 * nobody may read before it is durable. */
bool slot_has_news(const struct slot *s);
bool slot_has_end(const struct slot *s);

/* Writes all that is new into the open transaction. ERR_FENCED: the claim is gone, see slot_fence.
 * Other errors: roll back. */
enum err slot_write(struct slot *s, struct error *e);

/* What slot_write wrote is committed. */
void slot_written(struct slot *s);

/* The task belongs to somebody else now: kills the job and forgets everything. */
void slot_fence(struct slot *s);

/* The database refused, not for the moment but for good, what this slot had to say: drops it and fails
 * the task. False: that was its end already, there is nothing left to try. */
bool slot_refuse(struct slot *s);

#endif
