/* Checkpoints of a process that answers requests: a process of their own makes them, because copying the log
 * into the database takes longer than a turn of the loop. The runner makes them too; this is for times without
 * one, and for commits that come faster than it looks. */
#ifndef LEAT_SERVER_CHECKPOINT_H
#define LEAT_SERVER_CHECKPOINT_H

#include "base/conf.h"
#include "base/loop.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

struct checkpoints {
    struct loop *loop; /* all are borrowed */
    struct db *db;
    const struct conf *conf;
    struct loop_child child;
    bool running;
    int64_t mark; /* pages of log at the last one */
    int64_t at;   /* monotonic ms: when it began */
};

/* Zeroed structs need no closing. */
void checkpoints_open(struct checkpoints *c, struct loop *loop, struct db *db,
                      const struct conf *conf);
void checkpoints_close(struct checkpoints *c);

/* Once a turn: starts one when the commits of this process say that the log is long. */
void checkpoints_turn(struct checkpoints *c);

/* What the process does that was started: opens the database, makes one checkpoint. An exit status. */
int checkpoint_alone(const struct conf *conf);

#endif
