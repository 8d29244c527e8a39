/* What an administrator wants to know of a site at a glance: queue, types, processes, streams, delays, sizes. */
#ifndef LEAT_METRICS_STATS_H
#define LEAT_METRICS_STATS_H

#include "base/buf.h"
#include "metrics/metrics.h"
#include "store/queue_stats.h"
#include "store/type_rows.h"

#include <stdint.h>

/* All that is known, from one moment. */
struct stats {
    int64_t now; /* wall-clock ms */
    struct queue_stats queue;
    struct type_rows types;
    struct metrics_snapshot metrics;
};

/* Reads it. `m`: that of this process, NULL where it has none. Errors of the store; *out is empty then. Free with
 * stats_free. */
enum err stats_read(struct db *db, const struct metrics *m, struct stats *out, struct error *e);
void stats_free(struct stats *s);

/* Tasks in one status; TASK_STATUSES: in any. */
int64_t stats_tasks(const struct stats *s, enum task_status status);

/* How long the task that is due longest has waited; 0: none waits. */
double stats_due_seconds(const struct stats *s);

/* The sum of a counter or gauge; of a histogram its observations. */
int64_t stats_total(const struct metrics_snapshot *m, enum metric metric);

/* Below which of its bounds so much (0 to 1) of a histogram lies, in ms; -1: it is empty, or that lies above all. */
double stats_quantile(const struct metrics_snapshot *m, enum metric metric, double share);

/* Resident memory of all processes, as far as it is known. */
int64_t stats_resident_bytes(const struct stats *s);

/* When the oldest living process was started (wall-clock ms); `now` where there is none. */
int64_t stats_started_at(const struct stats *s);

/* Appends all of it as one JSON object: the answer to GET /stats. */
void stats_document(struct buf *out, const struct stats *s);

#endif
