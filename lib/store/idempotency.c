#include "store/idempotency.h"

#include "gen/query.h"

#include <assert.h>

enum { KEYS_AT_ONCE = 10 }; /* that go, at the most, beside one that comes */

enum err idempotency_find(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t now,
                          int64_t *n, bool *joined, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_idempotency_get_in in = {
        .owner = owner,
        .key = key,
        .now = now,
        .fingerprint = fingerprint,
        .fingerprint_len = FINGERPRINT_BYTES,
    };
    struct q_idempotency_get_row row;
    bool found;
    enum err rc = q_idempotency_get(db, &in, &row, &found, e);
    *n = row.task;
    *joined = row.joined;
    if (rc || !found || row.same) return rc;
    return error_set(e, ERR_STATE, "this key was used for another request");
}

enum err idempotency_keep(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t n,
                          bool joined, int64_t now, int64_t expires_at, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_idempotency_put_in in = {
        .owner = owner,
        .key = key,
        .fingerprint = fingerprint,
        .fingerprint_len = FINGERPRINT_BYTES,
        .task = n,
        .joined = joined,
        .expires_at = expires_at,
    };
    enum err rc = q_idempotency_put(db, &in, e);
    int64_t gone;
    return rc ? rc : q_retention_keys(db, now, KEYS_AT_ONCE, &gone, e);
}
