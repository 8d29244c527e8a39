/* What tasks gave. */
#ifndef LEAT_STORE_RESULTS_H
#define LEAT_STORE_RESULTS_H

#include "base/error.h"
#include "store/db.h"

#include <stddef.h>
#include <stdint.h>

struct task_result {
    int64_t task;
    int64_t bytes;
    char *content_type;
    int64_t of; /* when the task ended that gave it */
};

/* Finds the result of task `n`; free with task_result_free. ERR_NOTFOUND when it has none. */
enum err task_result_find(struct db *db, int64_t n, struct task_result *out, struct error *e);
void task_result_free(struct task_result *r);

/* Reads the `len` bytes at `at`. ERR_STATE: another result is in its place, or none. */
enum err task_result_read(struct db *db, const struct task_result *r, void *to, size_t len,
                          int64_t at, struct error *e);

#endif
