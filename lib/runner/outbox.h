/* What a job has said and the database has not yet heard: events in their order, and progress,
 * which is merged to so many reports a second. */
#ifndef LEAT_RUNNER_OUTBOX_H
#define LEAT_RUNNER_OUTBOX_H

#include "base/error.h"
#include "store/claims.h"
#include "task/progress.h"

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

/* Puts the held report in if its time has come, or at once if the task ends (`now_or_never`). */
void outbox_due(struct outbox *o, int64_t mono, int64_t wall, bool now_or_never);

/* Writes all into the open transaction; nothing is forgotten before outbox_clear, so that it can be
 * written again after a rollback. Errors as claim_event. */
enum err outbox_write(const struct outbox *o, struct db *db, const struct claim *c,
                      struct error *e);

/* Forgets what was written. The held report stays. */
void outbox_clear(struct outbox *o);

#endif
