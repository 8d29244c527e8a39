/* The tasks of a group, in portions. */
#ifndef LEAT_STORE_GROUP_TASKS_H
#define LEAT_STORE_GROUP_TASKS_H

#include "base/error.h"
#include "store/db.h"
#include "task/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group_portion {
    struct group_task {
        int64_t n; /* tasks.n */
        char *type;
        enum task_status status;
    } * items;
    size_t count;
    bool more; /* perhaps: the next portion tells */
};

/* The next tasks behind `after`, at most `limit` of them, none behind `until`; oldest first. */
enum err group_portion_read(struct db *db, const char *owner, const char *group, int64_t after,
                            int64_t until, int64_t limit, struct group_portion *out,
                            struct error *e);
void group_portion_free(struct group_portion *p);

/* The number of the newest task of all, 0 at first. */
enum err group_tasks_newest(struct db *db, int64_t *n, struct error *e);

#endif
