/* What the database holds, in numbers that are cheap to find out. */
#ifndef LEAT_STORE_QUEUE_STATS_H
#define LEAT_STORE_QUEUE_STATS_H

#include "base/error.h"
#include "store/db.h"
#include "task/status.h"

#include <stddef.h>
#include <stdint.h>

/* Tasks of one type in one status. */
struct queue_stats_tasks {
    char *type;
    enum task_status status;
    int64_t count;
};

struct queue_stats {
    struct queue_stats_tasks *tasks; /* by type, then status */
    size_t task_rows;
    int64_t
        due_since; /* wall-clock ms: of the longest waiting task at the head of a queue; TASK_NONE */
    int64_t runners;              /* that live */
    int64_t events, newest_event; /* how many the log holds; its highest seq */
    int64_t database_bytes, log_bytes;
    int64_t
        log_pages; /* in use of the write-ahead log when this process last wrote; 0: not known */
};

/* Reads them, from one state of the database. Free with queue_stats_free, also after an error. */
enum err queue_stats_read(struct db *db, int64_t now, struct queue_stats *out, struct error *e);
void queue_stats_free(struct queue_stats *c);

#endif
