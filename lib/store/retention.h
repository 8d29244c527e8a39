/* What is old goes: finished tasks with all that belongs to them, events of no task, and what has expired.
 *
 * Invariants:
 *  1. A transaction is small, whatever there is to remove: it ends after a few rows or a few
 *     milliseconds, so that whoever waits behind it does not notice.
 *  2. An unfinished task never goes, nor a group's context, nor a token.
 *  3. What a reader finds of a log has no gap: a log goes with its task, which nobody finds any more, or
 *     (a long one) from its newest event on; and a deletion moves owners.evicted_seq with it. */
#ifndef LEAT_STORE_RETENTION_H
#define LEAT_STORE_RETENTION_H

#include "base/error.h"
#include "base/id.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RETENTION_TASKS_A_STEP = 100 };

/* What goes. Wall-clock ms. */
struct retention {
    int64_t
        before; /* tasks that finished, events of no task and groups left before; TASK_NONE: none */
    int64_t now;
    const char *
        own; /* JSON: the bound of types that have another one, {"TYPE":ms}; 0 there: none. NULL: there
                        is no such type */
    bool (*hurry)(void *arg); /* whether the caller has something else to do now; NULL: never */
    void *arg;
};

/* How many rows are, or were, removed. `events` are those of the tasks too. */
struct retention_count {
    int64_t tasks, events, groups, keys, tickets, runners, rates;
    int64_t uploads; /* that became no task's, or whose task was deleted */
};

/* Adds `n` to *to, member by member. */
void retention_add(struct retention_count *to, const struct retention_count *n);

/* What one step did. */
struct retention_step {
    struct retention_count removed;
    char gone[RETENTION_TASKS_A_STEP][ID_SIZE]; /* ids of the tasks */
    size_t gone_count;
    bool more; /* there is more to remove now */
};

/* Removes a little, of each type the oldest first, in one transaction that waits at most `wait_ms` for its turn and
 * rings no bell; in none when there is nothing. It takes some 5 ms, or 1 ms where somebody else waits. ERR_BUSY:
 * somebody else's turn, try later; others as txn_commit. *out is what was committed. */
enum err retention_step(struct db *db, const struct retention *what, int64_t wait_ms,
                        struct retention_step *out, struct error *e);

/* Counts what there is to remove. */
enum err retention_due(struct db *db, const struct retention *what, struct retention_count *out,
                       struct error *e);

#endif
