/* Counters, gauges and histograms of one process, and their sum over all processes of a site. Each process
 * counts in memory and adds what is new to the database, at most every two seconds, in a transaction that
 * nobody waits for; there they add up, and there a reader finds them.
 *
 * Invariants:
 *  1. A process that has nothing new to write writes nothing, and its own flush is nothing new: it rings no
 *     bell and is not itself counted.
 *  2. Counters and histograms only grow: they outlive processes. A gauge is worth as much as its process:
 *     it counts while that lives.
 *  3. Nothing waits for metrics: a flush that finds the database busy is tried again later. */
#ifndef LEAT_METRICS_METRICS_H
#define LEAT_METRICS_METRICS_H

#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
    METRIC_REQUESTS,
    METRIC_STREAMS_OPEN,
    METRIC_STREAMS_OPENED,
    METRIC_STREAM_RESUMES,
    METRIC_STREAM_RESETS,
    METRIC_STREAM_ENDS,
    METRIC_DELIVERY,
    METRIC_LOCK_WAIT,
    METRIC_CLAIM_WAIT,
    METRIC_RUN_TIME,
    METRICS
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_LABELS_MAX = 3, METRIC_BOUNDS_MAX = 16 };

/* What a metric is. */
struct metric_about {
    const char *name, *help;
    enum metric_kind kind;
    const char *labels[METRIC_LABELS_MAX + 1]; /* their names, NULL-terminated */
    int64_t bounds[METRIC_BOUNDS_MAX + 1]; /* of a histogram: upper bounds in us, 0-terminated */
};
extern const struct metric_about metric_about[METRICS];

struct metrics;

/* Counts for the process `program` from now on, also how long it waits for the write lock and what its
 * transactions do to tasks (store/transitions.h). Writes nothing yet. `db` and `program` are borrowed. One a
 * database, and not across fork. */
struct metrics *metrics_new(struct db *db, const char *program);

/* Writes what is new, takes the gauges of the process out of the database, and frees. Before db_close. NULL
 * is fine. */
void metrics_free(struct metrics *m);

/* ---- counting: cheap, never fails; nothing happens where `m` is NULL ---- */

/* Adds to a counter. `labels`: one value for each of the metric's labels (copied), NULL for none. */
void metrics_add(struct metrics *m, enum metric metric, const char *const *labels, int64_t n);

/* What a gauge without labels is now. */
void metrics_set(struct metrics *m, enum metric metric, int64_t value);

/* Counts `n` observations of the same length in a histogram. */
void metrics_observe(struct metrics *m, enum metric metric, const char *const *labels, int64_t us,
                     int64_t n);

/* ---- writing; nothing happens where `m` is NULL ---- */

/* Milliseconds until metrics_turn has something to do, -1: until something is counted. */
int64_t metrics_wait(const struct metrics *m);

/* Writes what is new when it is time. Between transactions. */
void metrics_turn(struct metrics *m);

/* Writes what is new at once, unless that was done in this second. */
void metrics_flush(struct metrics *m);

/* ---- reading ---- */

/* One value: of a counter or gauge, or of a histogram the observations in one bucket. */
struct metric_value {
    enum metric metric;
    char *labels; /* `a="x",b="y"`, escaped; "" */
    int64_t le;   /* of a histogram: the bucket's upper bound in us, INT64_MAX: none, -1: the sum */
    int64_t value;
};

/* A living process. */
struct metric_process {
    char *program;
    int64_t pid;            /* 0: not known here (another pid namespace) */
    int64_t started_at;     /* wall-clock ms */
    int64_t resident_bytes; /* -1: not known here */
};

/* All that the database knows, ordered by metric, labels and le; gauges are those of the living. */
struct metrics_snapshot {
    struct metric_value *values;
    size_t value_count;
    struct metric_process *processes;
    size_t process_count;
};

/* Reads it. `m`: that of this process, NULL only where it has none. Free with metrics_snapshot_free, also after an error. */
enum err metrics_read(struct db *db, const struct metrics *m, struct metrics_snapshot *out,
                      struct error *e);
void metrics_snapshot_free(struct metrics_snapshot *s);

#endif
