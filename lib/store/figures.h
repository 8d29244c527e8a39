/* What the processes of a site count. Each counts in memory and adds what is new to the database, at
 * most every two seconds, in a transaction that nobody waits for; there they add up, and there a reader
 * finds them.
 *
 * Invariants:
 *  1. A process that has nothing new to say writes nothing, and its own flush is nothing new: it rings no
 *     bell and is not itself counted.
 *  2. Counters and histograms only grow: they outlive processes. A gauge is worth as much as its process:
 *     it counts while that lives.
 *  3. Nothing waits for figures: a flush that finds the database busy is tried again later. */
#ifndef LEAT_STORE_FIGURES_H
#define LEAT_STORE_FIGURES_H

#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum figure {
    FIGURE_REQUESTS,
    FIGURE_STREAMS_OPEN,
    FIGURE_STREAMS_OPENED,
    FIGURE_STREAM_RESUMES,
    FIGURE_STREAM_RESETS,
    FIGURE_STREAM_ENDS,
    FIGURE_DELIVERY,
    FIGURE_LOCK_WAIT,
    FIGURE_CLAIM_WAIT,
    FIGURE_RUN_TIME,
    FIGURES
};

enum figure_kind { FIGURE_COUNTER, FIGURE_GAUGE, FIGURE_HISTOGRAM };

enum { FIGURE_LABELS_MAX = 3, FIGURE_BOUNDS_MAX = 16 };

/* What a figure is. */
struct figure_about {
    const char *name, *help;
    enum figure_kind kind;
    const char *labels[FIGURE_LABELS_MAX + 1]; /* their names, NULL-terminated */
    int64_t bounds[FIGURE_BOUNDS_MAX + 1]; /* of a histogram: upper bounds in us, 0-terminated */
};
extern const struct figure_about figure_about[FIGURES];

/* ---- counting: cheap, never fails ---- */

/* Adds to a counter. `labels`: one value for each of the figure's labels (copied), NULL for none. */
void figures_add(struct db *db, enum figure f, const char *const *labels, int64_t n);

/* What a gauge without labels is now. */
void figures_set(struct db *db, enum figure f, int64_t value);

/* Counts `n` observations of the same length in a histogram. */
void figures_observe(struct db *db, enum figure f, const char *const *labels, int64_t us,
                     int64_t n);

/* ---- telling ---- */

/* From now on this process, which is `program` (borrowed), has something to tell. Writes nothing yet. A
 * process joins one database once, and not across fork; what has not joined counts for itself. */
void figures_join(struct db *db, const char *program);
bool figures_joined(const struct db *db);

/* Milliseconds until figures_turn has something to do, -1: until something is counted. */
int64_t figures_wait(const struct db *db);

/* Writes what is new when it is time. Between transactions. */
void figures_turn(struct db *db);

/* Writes what is new at once, unless that was done in this second. */
void figures_flush(struct db *db);

/* Writes what is new and takes leave; db_close does it for those who do not. */
void figures_leave(struct db *db);

/* ---- reading ---- */

/* One value: of a counter or gauge, or of a histogram the observations in one bucket. */
struct figure_value {
    enum figure figure;
    char *labels; /* `a="x",b="y"`, escaped; "" */
    int64_t
        le; /* of a histogram: the bucket's upper bound in us, INT64_MAX: none, -1: the sum in us */
    int64_t value;
};

/* A living process. */
struct figure_process {
    char *program;
    int64_t pid;            /* 0: not to be told from here */
    int64_t started_at;     /* wall-clock ms */
    int64_t resident_bytes; /* -1: not to be told from here */
};

/* All that the database knows, ordered by figure, labels and le; gauges are those of the living. */
struct figures_told {
    struct figure_value *values;
    size_t value_count;
    struct figure_process *processes;
    size_t process_count;
};

/* Reads it. Free with figures_told_free, also after an error. */
enum err figures_read(struct db *db, struct figures_told *out, struct error *e);
void figures_told_free(struct figures_told *t);

/* ---- for db.c ---- */

struct figures;
struct figures *figures_new(void);
void figures_free(struct figures *f); /* releases the lock of the process too */

#endif
