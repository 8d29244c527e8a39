/* Tasks of a group name that several owners use, as who sees everyone's asks for them: of each of these groups the
 * newest, merged. Costs a few looks an owner who has a group of that name, and what is shown, however many tasks
 * there are. */
#ifndef LEAT_STORE_TASK_MERGE_H
#define LEAT_STORE_TASK_MERGE_H

#include "base/error.h"
#include "store/db.h"
#include "store/tasks.h"

#include <stddef.h>
#include <stdint.h>

/* Numbers of tasks, the newest first; free with free(ns). */
struct task_numbers {
    int64_t *ns;
    size_t count;
};

/* The newest `want` tasks that `q` asks for, which names a group and no owner; its limit and skip do not count. Inside
 * a transaction, of reading at least, so that all are of one moment. */
enum err task_merge_groups(struct db *db, const struct task_query *q, size_t want,
                           struct task_numbers *out, struct error *e);

#endif
