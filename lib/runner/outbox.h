/* What a job has said and the database has not yet heard: events in their order, and progress and redrawn
 * lines, which are merged to so many a second. */
#ifndef LEAT_RUNNER_OUTBOX_H
#define LEAT_RUNNER_OUTBOX_H

#include "base/error.h"
#include "store/claims.h"
#include "task/job_protocol.h"
#include "task/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A report of progress: percent -1 and NULL text were not given. Text is owned. */
struct report {
    double percent;
    char *phase, *message;
};

struct said; /* an event or a report, ready to be written */

struct outbox {
    struct said *items;
    size_t count, cap;
    struct progress_gate gate;
    struct report held; /* while gate.waiting */
    struct progress_gate redraw_gate;
    char *redrawn; /* the log.append that is held back, while redraw_gate.waiting */
};

void outbox_open(struct outbox *o, int64_t progress_per_second);
void outbox_free(struct outbox *o);

/* Each takes the time in two forms: `mono` decides, `wall` is written. */

/* Puts a report in, or merges it into the one that is held back. Takes the text of `r` over. */
void outbox_progress(struct outbox *o, struct report *r, int64_t mono, int64_t wall);

/* Puts an event in. Takes `type` and `json` (one value on one line) over; both are malloc'ed. */
void outbox_event(struct outbox *o, char *type, char *json, int64_t wall);

/* Puts a log.append in; `len` bytes of text, in which what is no UTF-8 or a NUL becomes U+FFFD. */
void outbox_log(struct outbox *o, const char *level, const char *text, size_t len, int64_t wall);

/* Puts a line of the job's log in: level and message, and its colours where it has any. */
void outbox_line(struct outbox *o, const struct job_line *said, int64_t wall);

/* The same for a line that will be drawn over: merged with the one that is held back, of which only the newest
 * counts. */
void outbox_redraw(struct outbox *o, const struct job_line *said, int64_t mono, int64_t wall);

/* Puts the held line in at once: nothing is drawn over it. */
void outbox_settle(struct outbox *o, int64_t mono, int64_t wall);

/* When outbox_due has something to do (monotonic ms); INT64_MAX: nothing is held back. */
int64_t outbox_next(const struct outbox *o);

/* Puts in what is held back and whose time has come, or all of it if the task ends (`now_or_never`). */
void outbox_due(struct outbox *o, int64_t mono, int64_t wall, bool now_or_never);

/* Writes all into the open transaction; nothing is forgotten before outbox_clear, so that it can be
 * written again after a rollback. *dropped: the log has reached a bound, and events were dropped. Errors as
 * claim_event. */
enum err outbox_write(const struct outbox *o, struct db *db, const struct claim *c, bool *dropped,
                      struct error *e);

/* Forgets what was written. What is held back stays. */
void outbox_clear(struct outbox *o);

#endif
