/* Making a ticket: a short-lived right to read one thing. */
#ifndef LEAT_OPS_TICKET_H
#define LEAT_OPS_TICKET_H

#include "base/secret.h"
#include "ops/operation.h"
#include "task/access.h"

#include <stdint.h>

struct make_ticket {
    struct operation op;
    struct caller caller;
    enum ticket_kind kind;
    char *subject; /* owned; NULL: all */
    unsigned scopes;
    int64_t made_with; /* the credential that asks; 0: none of ours */
    int64_t ttl_ms;

    char secret[SECRET_SIZE]; /* of the ticket: drawn by the first apply */
    int64_t expires_at;
};
void make_ticket_init(struct make_ticket *t, const struct caller *caller);
void make_ticket_free(struct make_ticket *t); /* wipes the secret */

#endif
