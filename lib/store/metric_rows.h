/* The rows that metrics are stored in, and the processes that count. What the names and labels mean is known
 * above. */
#ifndef LEAT_STORE_METRIC_ROWS_H
#define LEAT_STORE_METRIC_ROWS_H

#include "base/error.h"
#include "store/db.h"

#include <stddef.h>
#include <stdint.h>

/* One number. */
struct metric_row {
    const char *name, *labels; /* borrowed */
    int64_t le; /* of a histogram: the bucket's upper bound in us, INT64_MAX: none, -1: the sum */
    int64_t process; /* 0: a sum over all processes that ever lived; else of a gauge */
    int64_t value;
};

/* Adds to a sum, or replaces the gauge of a process. In a write transaction. */
enum err metric_row_put(struct db *db, const struct metric_row *row, struct error *e);

/* Gives all rows to `each`, ordered by name, labels, le and process. */
enum err metric_rows_read(struct db *db, void (*each)(void *arg, const struct metric_row *row),
                          void *arg, struct error *e);

/* A process that is registered; whether it lives is not known here. */
struct process_row {
    int64_t id;
    char *program;
    int64_t started_at; /* wall-clock ms */
};

struct process_rows {
    struct process_row *items;
    size_t count;
};

/* Registers one; *id gets its number. In a write transaction. */
enum err process_row_add(struct db *db, const char *program, int64_t started_at, int64_t *id,
                         struct error *e);

/* Removes one with its gauges. In a write transaction. */
enum err process_row_remove(struct db *db, int64_t id, struct error *e);

/* All of them. Free with process_rows_free. */
enum err process_rows_read(struct db *db, struct process_rows *out, struct error *e);
void process_rows_free(struct process_rows *rows);

#endif
