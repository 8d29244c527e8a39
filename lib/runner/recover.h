/* Tasks whose runner is gone: another takes care of them, but never before their old processes are
 * dead. */
#ifndef LEAT_RUNNER_RECOVER_H
#define LEAT_RUNNER_RECOVER_H

#include "base/error.h"
#include "ops/job_types.h"
#include "runner/workdir.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

/* Who looks. Borrowed. */
struct rescuer {
    struct db *db;
    int64_t runner;                /* its id */
    const char *scope;             /* of process_scope */
    const struct job_types *types; /* as of the last refresh */
    const struct workroot *work;
    bool doubtful; /* nobody had time to renew: a lease may have ended whose runner lives */
};

/* Looks at every task that another runner holds. One whose runner is provably gone, or whose lease
 * ended, loses what is left of its process group and goes back to waiting, or fails when it has lost
 * too many runners. *again: something is still dying, look again soon. Writes in transactions of its
 * own. Errors as txn_commit; what was not written is found again. */
enum err recover_lost(const struct rescuer *who, bool *again, struct error *e);

/* Removes the folders that killed runners left behind. */
void recover_folders(const struct rescuer *who);

#endif
