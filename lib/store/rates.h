/* What an owner has done lately: the numbers behind limits. */
#ifndef LEAT_STORE_RATES_H
#define LEAT_STORE_RATES_H

#include "base/error.h"
#include "store/db.h"

#include <stdint.h>

/* How many tasks of an owner are due and wait for a runner, and how many wait for their time. */
struct rate_queue {
    int64_t pending, delayed;
};
enum err rate_queued(struct db *db, const char *owner, struct rate_queue *out, struct error *e);

/* When the owner's `nth` newest task was created (1: the newest); 0 when there are fewer. */
enum err rate_created(struct db *db, const char *owner, int64_t nth, int64_t *created_at,
                      struct error *e);

/* Counts `more` uses of `what` in a window of time (any number that changes from one to the next); *used is
 * how many that makes. Between txn_begin and txn_commit. */
enum err rate_count(struct db *db, const char *owner, const char *what, int64_t window,
                    int64_t more, int64_t *used, struct error *e);

/* How many have been counted in that window. */
enum err rate_used(struct db *db, const char *owner, const char *what, int64_t window,
                   int64_t *used, struct error *e);

/* The bytes of what an owner has: inputs, results, events, contexts, files. Kept by the schema. */
enum err owner_bytes(struct db *db, const char *owner, int64_t *bytes, struct error *e);

#endif
