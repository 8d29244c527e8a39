#include "runner/job_token.h"

#include "base/clock.h"
#include "store/credentials.h"
#include "task/access.h"

#include <string.h>

enum err job_token_make(struct db *db, const struct task *t, int64_t longest_ms,
                        char secret[SECRET_SIZE], struct error *e)
{
    int64_t now = clock_wall_ms(), id;
    unsigned char hash[SECRET_HASH_BYTES];
    const struct credential c = {
        .owner = t->owner,
        .scopes = AUTH_USUAL,
        .task = t->n,
        .created_at = now,
        .expires_at = now + longest_ms,
    };
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    return credential_add(db, &c, hash, &id, e);
}
