/* Idempotency keys: the first request with a key makes a task, the same request gets it again. */
#ifndef LEAT_STORE_IDEMPOTENCY_H
#define LEAT_STORE_IDEMPOTENCY_H

#include "base/error.h"
#include "store/db.h"

#include <stdint.h>

enum { FINGERPRINT_BYTES = 32 };

/* Looks a key of an owner up, inside the transaction that may use it. *n is the task that it made, 0 when
 * the key is free; *joined: which was there already. ERR_STATE when it was used for another request. */
enum err idempotency_find(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t now,
                          int64_t *n, bool *joined, struct error *e);

/* Remembers that the key made task `n`, or has `joined` it, until `expires_at`; forgets a few that are expired. */
enum err idempotency_keep(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t n,
                          bool joined, int64_t now, int64_t expires_at, struct error *e);

#endif
