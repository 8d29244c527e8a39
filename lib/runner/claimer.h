/* Which task is next: looks for tasks that are due, has children ready for them, and claims. Reads only when
 * something may have changed. */
#ifndef LEAT_RUNNER_CLAIMER_H
#define LEAT_RUNNER_CLAIMER_H

#include "base/error.h"
#include "base/loop.h"
#include "ops/job_types.h"
#include "runner/bounds.h"
#include "runner/broken_types.h"
#include "spawn/forkserver.h"
#include "store/db.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start with claimer_open, end with claimer_close, before the loop is closed. */
struct claimer {
    struct loop *loop;
    struct db *db;
    struct forkserver *forks;
    struct job_types *types;
    struct broken_types *broken;
    struct bounds bounds;
    bool look;               /* something may have become due */
    int64_t due_at;          /* wall-clock ms: when the next task is due; INT64_MAX: none waits */
    size_t spares;           /* children to have ready for what comes */
    struct loop_timer due;   /* wakes the loop at due_at */
    struct loop_timer pause; /* set: the system refused a process or a file; nothing is claimed */
    struct loop_timer warm;  /* set: claimer_is_warm */
};

/* All are borrowed. */
void claimer_open(struct claimer *c, struct loop *loop, struct db *db, struct forkserver *forks,
                  struct job_types *types, struct broken_types *broken);
void claimer_close(struct claimer *c);

/* A type that was held may be tried again. */
void claimer_release(struct claimer *c, const char *type);

/* Something may have become due: the database has changed, or a worker is free. */
void claimer_look(struct claimer *c);

/* Whether a task is due and a child is ready for it. Outside of transactions. */
bool claimer_can_claim(struct claimer *c);

/* Whether claimer_can_claim may say otherwise at once, so that the loop must not wait. */
bool claimer_is_pending(const struct claimer *c);

/* Whether nothing is due, as far as it is known. */
bool claimer_is_idle(const struct claimer *c);

/* Claims one task in the open transaction: *t and *child are the caller's. `workers`: how many children are
 * worth having ready. ERR_NOTFOUND: nothing more can be claimed now. ERR_IO: no child is to be had. Errors as
 * claim_next. */
enum err claimer_claim(struct claimer *c, int64_t runner, int64_t lease_until, size_t workers,
                       struct task *t, struct child *child, struct error *e);

/* The transaction that claimed is over; nothing was claimed although it was due: another runner has it. */
void claimer_claimed(struct claimer *c);

/* The system refused what a job needs: claims nothing for a while. */
void claimer_pause(struct claimer *c, const struct error *e);

/* Whether something was claimed a moment ago, so that more may come. */
bool claimer_is_warm(const struct claimer *c);

/* Has children made ahead of what they will run, while it is due or was a moment ago; `claiming`: whether
 * this runner claims at all. */
void claimer_prepare(struct claimer *c, bool claiming);

#endif
