/* Removing what is old (store/retention.h) and giving the space back, a little at a time, so that neither claims nor
 * other writers notice. Any runner does it; that several do is harmless. */
#ifndef LEAT_RUNNER_RETENTION_TIMER_H
#define LEAT_RUNNER_RETENTION_TIMER_H

#include "base/loop.h"
#include "ops/job_types.h"
#include "store/db.h"
#include "store/files.h"
#include "store/retention.h"

#include <stdbool.h>
#include <stdint.h>

/* Start with retention_timer_open. */
struct retention_timer {
    struct loop *loop;
    struct db *db;
    struct job_types *types; /* what they say of this comes first */
    int64_t retain_ms;       /* how long finished tasks are kept; 0: for ever */
    struct loop_timer step;  /* set: something is to be removed then */
    struct loop_timer
        files;      /* set: the walk through the folders of files begins, or goes on, then */
    size_t steps;   /* in a row that left something */
    bool more;      /* the next step comes soon: there is more, and the log is not stuck */
    bool gave_back; /* the last look gave some of the file back, and there may be more */
    struct retention_step last;     /* what it removed */
    size_t folders;                 /* of its tasks that were removed too */
    struct retention_count removed; /* since there was nothing to remove */
    struct files_sweep orphans;     /* the walk for folders of files that belong to no task */
};

/* Begins to remove: at most what some 5 ms allow at a time, between transactions. Failures are logged and
 * tried again later. All are borrowed. */
void retention_timer_open(struct retention_timer *t, struct loop *loop, struct db *db,
                          struct job_types *types, int64_t retain_ms);

/* Finished tasks are kept for so long from now on. */
void retention_timer_retain(struct retention_timer *t, int64_t retain_ms);

/* Others have committed, and may have left something to be removed, as a deleted task leaves its large input: looks
 * within a second. */
void retention_timer_soon(struct retention_timer *t);

/* Nothing is removed before `until_ms` (monotonic): the database takes nothing. */
void retention_timer_postpone(struct retention_timer *t, int64_t until_ms);

/* Ends it; harmless after {0}. Before the loop is closed. */
void retention_timer_close(struct retention_timer *t);

#endif
