/* Tasks whose runner is gone: another takes care of them, but never before their old processes are
 * dead. */
#ifndef LEAT_RUNNER_RECOVER_H
#define LEAT_RUNNER_RECOVER_H

#include "base/error.h"
#include "runner/workdir.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

/* Who looks. Borrowed. */
struct rescuer {
    struct db *db;
    int64_t runner;    /* its id */
    const char *place; /* of process_place */
    const char *jobs;
    const struct workroot *work;
    bool doubtful; /* the clock jumped: leases that seem to have ended may be of those who live */
};

/* Looks at every task that another runner holds. One whose runner is provably gone, or whose lease
 * ended, loses what is left of its process group and goes back to waiting, or fails when it has lost
 * too many runners. *again: something is still dying, look again soon. Writes in transactions of its
 * own. Errors as db_commit; what was not written is found again. */
enum err recover_lost(const struct rescuer *who, bool *again, struct error *e);

/* Removes the folders that killed runners left behind. */
void recover_folders(const struct rescuer *who);

#endif
