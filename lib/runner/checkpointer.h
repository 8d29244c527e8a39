/* Keeps the write-ahead log short: checkpoints when it has become long, whoever made it so, and when nothing
 * else is to be done. */
#ifndef LEAT_RUNNER_CHECKPOINTER_H
#define LEAT_RUNNER_CHECKPOINTER_H

#include "base/loop.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

/* Start with checkpointer_open, end with checkpointer_close, before the loop is closed. */
struct checkpointer {
    struct loop *loop;
    struct db *db;
    int64_t mark;             /* pages of log at the last checkpoint */
    int64_t seen;             /* pages of log in the last turn */
    int64_t at;               /* monotonic ms: of the last checkpoint */
    bool foreign;             /* others have written since then */
    struct loop_timer due;    /* the log is long: at once */
    struct loop_timer idle;   /* there was no commit of ours for long: also when the log is short */
    struct loop_timer recent; /* set: a commit of ours has told how long the log is */
    struct loop_timer look;   /* looks how long others have made it; set: not before */
};

/* All are borrowed. */
void checkpointer_open(struct checkpointer *c, struct loop *loop, struct db *db);
void checkpointer_close(struct checkpointer *c);

/* Once a turn: looks whether this process has committed, whatever that was. */
void checkpointer_turn(struct checkpointer *c);

/* Others have. */
void checkpointer_noticed(struct checkpointer *c);

#endif
