/* Pausing a type, and resuming it: while it is paused no runner claims a task of it; what runs goes on. */
#ifndef LEAT_OPS_PAUSE_H
#define LEAT_OPS_PAUSE_H

#include "ops/operation.h"
#include "store/type_rows.h"
#include "task/jobtype.h"

#include <stdbool.h>

struct pause_type {
    struct operation op;
    struct caller caller; /* its types as of their last refresh count */
    char type[JOBTYPE_NAME_MAX + 1];
    bool paused; /* what it is to be */

    struct type_rows rows; /* as they are then */
};

/* `caller` is copied and borrows; `type` may be any text. Outcome: ERR_NOTFOUND where there is no such type,
 * neither among the job files nor among tasks; ERR_LIMIT. Free with pause_type_free. */
void pause_type_init(struct pause_type *p, const struct caller *caller, const char *type,
                     bool paused);
void pause_type_free(struct pause_type *p);

#endif
