/* Removing what is old (store/retention.h), a little at a time, so that neither claims nor other writers
 * notice. Any runner does it; that several do is harmless. */
#ifndef LEAT_RUNNER_SWEEP_H
#define LEAT_RUNNER_SWEEP_H

#include "store/db.h"
#include "store/files.h"
#include "store/retention.h"

#include <stdbool.h>
#include <stdint.h>

/* Begins as {0}. */
struct sweep {
    int64_t at; /* monotonic ms: when sweep_turn has something to do */
    bool more;  /* the last turn left something, and it was its time that was up */
    struct retention_count removed; /* since there was nothing to remove */
    struct files_sweep files;       /* the walk for folders of files that belong to no task */
    int64_t files_at;               /* monotonic ms: when it begins, or goes on */
};

/* Removes at most what some 10 ms allow, when it is time to. `retain_ms`: how long finished tasks are
 * kept, 0: for ever. Failures are logged and tried again later. Between transactions. */
void sweep_turn(struct sweep *s, struct db *db, int64_t retain_ms, int64_t now);

/* Ends what it has open. */
void sweep_end(struct sweep *s);

#endif
