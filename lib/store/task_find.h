/* Finding tasks by a part of their ids, for people who type them. */
#ifndef LEAT_STORE_TASK_FIND_H
#define LEAT_STORE_TASK_FIND_H

#include "base/error.h"
#include "base/id.h"
#include "store/db.h"

#include <stddef.h>

enum { TASK_FIND_MAX = 10 };

/* Those that were found, the newest first. */
struct task_found {
    char ids[TASK_FIND_MAX][ID_SIZE];
    size_t count;
    bool more; /* there are others */
};

/* The tasks whose id begins or ends with `part` (hex digits and dashes). Beginnings are looked up, ends take a
 * walk over all ids. Common errors of the store. */
enum err task_find(struct db *db, const char *part, struct task_found *out, struct error *e);

#endif
