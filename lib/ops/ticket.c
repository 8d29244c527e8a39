#include "ops/ticket.h"

#include "base/clock.h"
#include "ops/limits.h"
#include "store/credentials.h"

#include <stdlib.h>
#include <string.h>

static enum err apply(struct operation *op, struct db *db, struct error *e)
{
    struct make_ticket *t = (struct make_ticket *)op;
    unsigned char hash[SECRET_HASH_BYTES];
    int64_t now = clock_wall_ms(), id = 0;
    if (!*t->secret) secret_new(t->secret);
    secret_hash(hash, t->secret, strlen(t->secret));
    t->expires_at = now + t->ttl_ms;
    struct credential c = {
        .owner = (char *)t->caller.owner,
        .scopes = t->scopes,
        .ticket = t->kind,
        .subject = t->subject,
        .made_with = t->made_with,
        .created_at = now,
        .expires_at = t->expires_at,
    };
    enum err rc = limits_write(db, &t->caller, &op->limit, e);
    return rc ? rc : credential_add(db, &c, hash, &id, e);
}

void make_ticket_init(struct make_ticket *t, const struct caller *caller)
{
    *t = (struct make_ticket){.op = {.apply = apply}, .caller = *caller};
}

void make_ticket_free(struct make_ticket *t)
{
    free(t->subject);
    secret_wipe(t->secret, sizeof t->secret);
}
