#include "store/credentials.h"

#include "gen/query.h"
#include "task/task.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TICKETS_AT_ONCE = 20 }; /* that go, at the most, beside one that comes */

void credential_free(struct credential *c)
{
    free(c->owner);
    free(c->name);
    free(c->subject);
    *c = (struct credential){0};
}

static enum credential_state state_at(int64_t expires_at, int64_t revoked_at, int64_t now)
{
    if (revoked_at != TASK_NONE) return CREDENTIAL_REVOKED;
    if (expires_at != TASK_NONE && now >= expires_at) return CREDENTIAL_EXPIRED;
    return CREDENTIAL_VALID;
}

enum credential_state credential_state(const struct credential *c, int64_t now)
{
    return state_at(c->expires_at, c->revoked_at, now);
}

enum err credential_add(struct db *db, const struct credential *c,
                        const unsigned char hash[SECRET_HASH_BYTES], int64_t *id, struct error *e)
{
    assert(txn_is_open(db));
    assert(!c->ticket || c->expires_at != TASK_NONE);
    struct buf scopes = {0};
    scopes_write(&scopes, c->scopes);
    const struct q_credential_add_in in = {
        .hash = hash,
        .hash_len = SECRET_HASH_BYTES,
        .kind = c->ticket ? "ticket" : "token",
        .owner = c->owner,
        .scopes = buf_text(&scopes),
        .name = c->name,
        .subject_kind = ticket_kind_name(c->ticket),
        .subject = c->subject,
        .now = c->created_at,
        .expires_at = c->expires_at,
        .task = c->task ? c->task : TASK_NONE,
        .made_with = c->made_with ? c->made_with : TASK_NONE,
    };
    enum err rc = q_credential_add(db, &in, id, e);
    buf_free(&scopes);
    if (rc || !c->ticket) return rc;
    int64_t gone;
    return q_retention_tickets(db, c->created_at - TICKET_REMEMBERED_MS, TICKETS_AT_ONCE, &gone, e);
}

static void read_row(const struct q_credential_find_row *row, struct credential *c)
{
    *c = (struct credential){
        .id = row->id,
        .owner = mem_str(row->owner),
        .name = mem_str(row->name),
        .ticket = ticket_kind_parse(row->subject_kind),
        .subject = mem_str(row->subject),
        .created_at = row->created_at,
        .expires_at = row->expires_at,
        .revoked_at = row->revoked_at,
    };
    /* What a newer program may have written there gives nothing here. */
    scopes_parse(row->scopes, true, &c->scopes, NULL);
}

enum err credential_find(struct db *db, const unsigned char hash[SECRET_HASH_BYTES], int64_t now,
                         enum credential_state *state, struct credential *out, struct error *e)
{
    *state = CREDENTIAL_UNKNOWN;
    *out = (struct credential){0};
    struct q_credential_find_row row;
    struct q_credential_find_cursor c = q_credential_find(db, hash, SECRET_HASH_BYTES, now, e);
    if (q_credential_find_next(&c, &row) && row.hash_len == SECRET_HASH_BYTES &&
        secret_equal(row.hash, hash, SECRET_HASH_BYTES)) {
        read_row(&row, out);
        bool ticket = !strcmp(row.kind, "ticket");
        *state = credential_state(out, now);
        /* A ticket for nothing that is known here must not pass for a token. */
        if (ticket != (out->ticket != TICKET_NONE)) *state = CREDENTIAL_UNKNOWN;
    }
    if (*state != CREDENTIAL_VALID) credential_free(out);
    return q_credential_find_close(&c);
}

enum err credential_check(struct db *db, int64_t id, int64_t now, enum credential_state *state,
                          struct error *e)
{
    struct q_credential_state_row row;
    bool found;
    enum err rc = q_credential_state(db, id, now, &row, &found, e);
    *state = found ? state_at(row.expires_at, row.revoked_at, now) : CREDENTIAL_UNKNOWN;
    return rc;
}

enum err credential_tokens(struct db *db, struct credential_list *out, struct error *e)
{
    *out = (struct credential_list){0};
    struct q_credential_find_row row;
    struct q_credential_find_cursor c = q_credential_tokens(db, e);
    size_t cap = 0;
    while (q_credential_find_next(&c, &row)) {
        if (out->count == cap)
            out->items = mem_grow(out->items, cap = cap ? cap * 2 : 16, sizeof *out->items);
        read_row(&row, &out->items[out->count++]);
    }
    enum err rc = q_credential_find_close(&c);
    if (rc) credential_list_free(out);
    return rc;
}

void credential_list_free(struct credential_list *l)
{
    for (size_t i = 0; i < l->count; i++) credential_free(&l->items[i]);
    free(l->items);
    *l = (struct credential_list){0};
}

/* Marks the token, and the live tickets of its owner. */
static enum err mark_revoked(struct db *db, const struct credential *token, int64_t now,
                             struct error *e)
{
    enum err rc = q_credential_revoke(db, token->id, now, e);
    return rc ? rc : q_credential_revoke_tickets(db, token->owner, now, e);
}

/* The number that `text` is, or 0. */
static int64_t number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return *text >= '1' && *text <= '9' && !*end && !errno ? value : 0;
}

/* The token with this id, not revoked yet. Borrowed from `l`; NULL with *rc and `e`. */
static const struct credential *choose_by_id(const struct credential_list *l, int64_t id,
                                             enum err *rc, struct error *e)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].id != id) continue;
        if (l->items[i].revoked_at == TASK_NONE) return &l->items[i];
        *rc = error_set(e, ERR_STATE, "token %lld is revoked already", (long long)id);
        return NULL;
    }
    *rc = error_set(e, ERR_NOTFOUND, "there is no token with the id %lld", (long long)id);
    return NULL;
}

/* The one token in force with this name. As choose_by_id. */
static const struct credential *choose_by_name(const struct credential_list *l, const char *name,
                                               int64_t now, enum err *rc, struct error *e)
{
    const struct credential *found = NULL;
    struct buf ids = {0};
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct credential *c = &l->items[i];
        if (!c->name || strcmp(c->name, name) != 0 || credential_state(c, now)) continue;
        buf_fmt(&ids, "%s%lld", count++ ? ", " : "", (long long)c->id);
        found = c;
    }
    if (!found) *rc = error_set(e, ERR_NOTFOUND, "no token in force is named '%.100s'", name);
    if (count > 1) {
        *rc = error_set(e, ERR_STATE, "several tokens are named '%.100s', with the ids %.200s",
                        name, ids.data);
        found = NULL;
    }
    buf_free(&ids);
    return found;
}

enum err credential_revoke(struct db *db, const char *which, int64_t now, int64_t *id,
                           struct error *e)
{
    assert(txn_is_open(db));
    struct credential_list tokens;
    enum err rc = credential_tokens(db, &tokens, e);
    if (rc) return rc;
    int64_t n = number(which);
    const struct credential *token =
        n ? choose_by_id(&tokens, n, &rc, e) : choose_by_name(&tokens, which, now, &rc, e);
    if (token) {
        *id = token->id;
        rc = mark_revoked(db, token, now, e);
    }
    credential_list_free(&tokens);
    return rc;
}
