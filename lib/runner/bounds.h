/* How many tasks of a type may run at a time (`concurrency` in TYPE.conf), as far as this runner has met
 * the type. */
#ifndef LEAT_RUNNER_BOUNDS_H
#define LEAT_RUNNER_BOUNDS_H

#include "base/buf.h"
#include "task/jobtype.h"

#include <stddef.h>
#include <stdint.h>

/* A zeroed struct is empty. Free with bounds_free. */
struct bounds {
    struct bound {
        char type[JOBTYPE_NAME_MAX + 1];
        int64_t tasks;
    } * items;
    size_t count;
    struct buf json;
};

enum { BOUNDS_HELD = -1 }; /* none of the type may run */

/* `tasks` 0: no bound. */
void bounds_set(struct bounds *b, const char *type, int64_t tasks);

/* A JSON object of all there are, or NULL when there is none. Borrowed, until bounds_set. */
const char *bounds_json(const struct bounds *b);

void bounds_free(struct bounds *b);

#endif
