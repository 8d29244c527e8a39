/* Progress: estimates, and how many of a job's reports are worth a row. */
#ifndef LEAT_TASK_PROGRESS_H
#define LEAT_TASK_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds left when `percent` took `elapsed` seconds: elapsed / (percent / 100) - elapsed.
 * -1 (unknown) while percent or elapsed is not positive. */
double progress_remaining(double elapsed, double percent);

/* Lets the first report through at once, then at most one an interval, and always the last: after
 * a report that was held back, progress_due says when it must be written. */
struct progress_gate {
    int64_t interval_ms;
    int64_t open_at; /* monotonic ms: before this, reports wait */
    bool waiting;    /* a report is held back */
};

/* `per_second` reports a second at most (1 or more). */
struct progress_gate progress_gate(int64_t per_second);

/* A report came at `now`. True: write it now. False: hold it (the newest replaces an older one). */
bool progress_report(struct progress_gate *g, int64_t now);

/* When the held report must be written, or INT64_MAX when none is. */
int64_t progress_due(const struct progress_gate *g);

/* The held report was written at `now` (at its time, or earlier because the task ends). */
void progress_written(struct progress_gate *g, int64_t now);

#endif
