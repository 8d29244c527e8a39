#include "store/rates.h"

#include "gen/query.h"

#include <assert.h>

enum err rate_queued(struct db *db, const char *owner, struct rate_queue *out, struct error *e)
{
    struct q_rate_queued_row row;
    bool found;
    enum err rc = q_rate_queued(db, owner, &row, &found, e);
    *out = found ? (struct rate_queue){row.pending, row.delayed} : (struct rate_queue){0};
    return rc;
}

enum err rate_created(struct db *db, const char *owner, int64_t nth, int64_t *created_at,
                      struct error *e)
{
    return q_rate_created(db, owner, nth - 1, created_at, e);
}

enum err rate_count(struct db *db, const char *owner, const char *what, int64_t window,
                    int64_t more, int64_t *used, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_rate_count_in in = {
        .owner = owner, .what = what, .window = window, .more = more};
    return q_rate_count(db, &in, used, e);
}

enum err rate_used(struct db *db, const char *owner, const char *what, int64_t window,
                   int64_t *used, struct error *e)
{
    return q_rate_used(db, owner, what, window, used, e);
}

enum err owner_bytes(struct db *db, const char *owner, int64_t *bytes, struct error *e)
{
    return q_owner_bytes(db, owner, bytes, e);
}
