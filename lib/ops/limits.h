/* Limits of one owner. They look at what the database holds, so that all processes of a site share them. */
#ifndef LEAT_OPS_LIMITS_H
#define LEAT_OPS_LIMITS_H

#include "ops/operation.h"

#include <stdint.h>

/* Whether the caller may create one more task: limits.queued_per_owner, or limits.delayed_per_owner for one whose
 * `run_at` is to come (TASK_NONE: at once), and creates_per_minute. Inside the transaction that creates it. ERR_LIMIT
 * with *hit; errors of the store. */
enum err limits_create(struct db *db, const struct caller *caller, int64_t run_at, int64_t now,
                       struct limit_hit *hit, struct error *e);

/* Counts so many that an anonymous caller has created, by its address: creates_per_minute. Inside the transaction that
 * creates them, after limits_create. Errors of the store. */
enum err limits_note_created(struct db *db, const struct caller *caller, int64_t count, int64_t now,
                             struct error *e);

/* Whether the caller may certainly create so many tasks at once, of `bytes` of inputs and events together, as far as any
 * limit of tasks and bytes goes: else limits_create and limits_bytes say it of each. */
struct limits_batch {
    int64_t due, delayed, bytes;
};
enum err limits_batch(struct db *db, const struct caller *caller, const struct limits_batch *batch,
                      int64_t now, bool *may, struct error *e);

/* Whether `owner` may have `more` tasks in the queue besides those that there are: limits.queued_per_owner.
 * Inside the transaction that adds them. ERR_LIMIT with *hit; errors of the store. */
enum err limits_queued(struct db *db, const struct conf *conf, const char *owner, int64_t more,
                       struct limit_hit *hit, struct error *e);

/* Counts one change by the caller in this minute: limits.writes_per_minute. Inside the transaction, and in the
 * savepoint, of the change: one that fails is not counted. ERR_LIMIT with *hit; errors of the store. */
enum err limits_write(struct db *db, const struct caller *caller, struct limit_hit *hit,
                      struct error *e);

/* Whether `owner` may have `more` bytes besides those that there are: limits.bytes_per_owner. Inside the
 * transaction that adds them. ERR_FULL with op->code owner_full; errors of the store. */
enum err limits_bytes(struct db *db, const struct conf *conf, const char *owner, int64_t more,
                      struct operation *op, struct error *e);

/* An operation that counts one use of the caller in this minute: of polls_per_minute or
 * stream_opens_per_minute. ERR_LIMIT beyond. */
struct count_use {
    struct operation op;
    const char *account; /* owned */
    const char *name;
    int64_t limit;
};
void count_use_init(struct count_use *c, const struct caller *caller, enum conf_key key);
void count_use_free(struct count_use *c);

/* Whether the setting limits anything. */
bool limits_counts(const struct conf *conf, enum conf_key key);

#endif
