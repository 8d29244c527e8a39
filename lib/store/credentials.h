/* Tokens and tickets in the database, by the SHA-256 of what the client holds. Functions that write
 * must run between txn_begin and txn_commit. Times are wall-clock milliseconds given by the caller.
 * Common errors: ERR_BUSY, ERR_FULL, ERR_IO, ERR_INTERNAL. */
#ifndef LEAT_STORE_CREDENTIALS_H
#define LEAT_STORE_CREDENTIALS_H

#include "base/error.h"
#include "base/secret.h"
#include "store/db.h"
#include "task/access.h"

#include <stddef.h>
#include <stdint.h>

/* How long an expired ticket stays, so that whoever shows it is told why it is refused. */
enum { TICKET_REMEMBERED_MS = 3600 * 1000 };

/* All text is owned by the struct (borrowed in credential_add); absent text is NULL, absent times
 * TASK_NONE. */
struct credential {
    int64_t id;
    char *owner;
    unsigned scopes;         /* see task/access.h */
    char *name;              /* of a token, for people */
    enum ticket_kind ticket; /* TICKET_NONE: a token */
    char *subject;           /* task id, group name or job type; NULL: a token, or TICKET_ALL */
    int64_t
        task; /* of a job's token: tasks.n; it ends with the attempt that runs now. 0: none. Not read */
    int64_t
        made_with; /* of a ticket: the token that asked, with which it ends; 0: none. Not read */
    int64_t created_at;
    int64_t expires_at; /* never, if absent; a ticket has one */
    int64_t revoked_at;
};

enum credential_state {
    CREDENTIAL_VALID,
    CREDENTIAL_UNKNOWN,
    CREDENTIAL_EXPIRED,
    CREDENTIAL_REVOKED,
};

/* Writes a credential that `created_at` makes and that nobody has revoked, but for what it was made with; `id` is not
 * read. *id gets its number. With a ticket go a few of those that expired an hour ago or earlier. */
enum err credential_add(struct db *db, const struct credential *c,
                        const unsigned char hash[SECRET_HASH_BYTES], int64_t *id, struct error *e);

/* Looks one up. *state says what it is worth at `now`; only a valid one is read into *out (free with
 * credential_free). Not finding one is no error. */
enum err credential_find(struct db *db, const unsigned char hash[SECRET_HASH_BYTES], int64_t now,
                         enum credential_state *state, struct credential *out, struct error *e);

/* What credential `id` is worth at `now`. */
enum err credential_check(struct db *db, int64_t id, int64_t now, enum credential_state *state,
                          struct error *e);

/* What a credential that was read is worth at `now`. */
enum credential_state credential_state(const struct credential *c, int64_t now);

struct credential_list {
    struct credential *items;
    size_t count;
};

/* Every token that is not a job's, oldest first; those that expired or were revoked too. Free with credential_list_free. */
enum err credential_tokens(struct db *db, struct credential_list *out, struct error *e);
void credential_list_free(struct credential_list *l);

/* Revokes the token whose id is `which`, else the one token in force that has this name; *id gets its
 * id. The live tickets of its owner go with it: any of them may have been made with it. ERR_NOTFOUND;
 * ERR_STATE when it is revoked already, or when several have that name (the text lists their ids). */
enum err credential_revoke(struct db *db, const char *which, int64_t now, int64_t *id,
                           struct error *e);

void credential_free(struct credential *c); /* the members, not `c` itself */

#endif
