#include "store/credentials.h"

#include "store/stmt.h"
#include "task/task.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The columns of credential_find and credential_tokens, in their order. */
enum column {
    C_ID,
    C_KIND,
    C_OWNER,
    C_SCOPES,
    C_NAME,
    C_SUBJECT_KIND,
    C_SUBJECT,
    C_CREATED_AT,
    C_EXPIRES_AT,
    C_REVOKED_AT,
    C_HASH
};

/* How long an expired ticket stays, so that whoever shows it is told why it is refused. */
enum { REMEMBER_MS = 3600 * 1000 };

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

static enum err forget_expired(struct db *db, int64_t now, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_EXPIRE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":before", now - REMEMBER_MS);
    return stmt_run(db, st, e);
}

enum err credential_add(struct db *db, const struct credential *c,
                        const unsigned char hash[SECRET_HASH_BYTES], int64_t *id, struct error *e)
{
    assert(db_writing(db));
    assert(!c->ticket || c->expires_at != TASK_NONE);
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_ADD, e);
    if (!st) return stmt_failed(db);
    struct buf scopes = {0};
    scopes_write(&scopes, c->scopes);
    stmt_blob(st, ":hash", hash, SECRET_HASH_BYTES);
    stmt_text(st, ":kind", c->ticket ? "ticket" : "token");
    stmt_text(st, ":owner", c->owner);
    stmt_text(st, ":scopes", buf_text(&scopes));
    stmt_text(st, ":name", c->name);
    stmt_text(st, ":subject_kind", ticket_kind_name(c->ticket));
    stmt_text(st, ":subject", c->subject);
    stmt_int(st, ":now", c->created_at);
    stmt_int(st, ":expires_at", c->expires_at);
    enum err rc = stmt_run(db, st, e);
    buf_free(&scopes);
    if (rc) return rc;
    *id = sqlite3_last_insert_rowid(db_sqlite(db));
    return c->ticket ? forget_expired(db, c->created_at, e) : ERR_OK;
}

static void read_row(sqlite3_stmt *st, struct credential *c)
{
    assert(!strcmp(sqlite3_column_name(st, C_REVOKED_AT), "revoked_at"));
    *c = (struct credential){
        .id = sqlite3_column_int64(st, C_ID),
        .owner = stmt_column_text(st, C_OWNER),
        .name = stmt_column_text(st, C_NAME),
        .ticket = ticket_kind_parse((const char *)sqlite3_column_text(st, C_SUBJECT_KIND)),
        .subject = stmt_column_text(st, C_SUBJECT),
        .created_at = sqlite3_column_int64(st, C_CREATED_AT),
        .expires_at = stmt_column_int(st, C_EXPIRES_AT),
        .revoked_at = stmt_column_int(st, C_REVOKED_AT),
    };
    /* What a newer program may have written there gives nothing here. */
    scopes_parse((const char *)sqlite3_column_text(st, C_SCOPES), true, &c->scopes, NULL);
}

enum err credential_find(struct db *db, const unsigned char hash[SECRET_HASH_BYTES], int64_t now,
                         enum credential_state *state, struct credential *out, struct error *e)
{
    *state = CREDENTIAL_UNKNOWN;
    *out = (struct credential){0};
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_FIND, e);
    if (!st) return stmt_failed(db);
    stmt_blob(st, ":hash", hash, SECRET_HASH_BYTES);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row && sqlite3_column_bytes(st, C_HASH) == SECRET_HASH_BYTES &&
        secret_equal(sqlite3_column_blob(st, C_HASH), hash, SECRET_HASH_BYTES)) {
        read_row(st, out);
        bool ticket = !strcmp((const char *)sqlite3_column_text(st, C_KIND), "ticket");
        *state = credential_state(out, now);
        /* A ticket for nothing that is known here must not pass for a token. */
        if (ticket != (out->ticket != TICKET_NONE)) *state = CREDENTIAL_UNKNOWN;
    }
    stmt_end(st);
    if (*state != CREDENTIAL_VALID) credential_free(out);
    return ERR_OK;
}

enum err credential_check(struct db *db, int64_t id, int64_t now, enum credential_state *state,
                          struct error *e)
{
    *state = CREDENTIAL_UNKNOWN;
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_STATE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":id", id);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) *state = state_at(stmt_column_int(st, 0), stmt_column_int(st, 1), now);
    stmt_end(st);
    return ERR_OK;
}

enum err credential_tokens(struct db *db, struct credential_list *out, struct error *e)
{
    *out = (struct credential_list){0};
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_TOKENS, e);
    if (!st) return stmt_failed(db);
    size_t cap = 0;
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) {
            credential_list_free(out);
            return rc;
        }
        if (!row) break;
        if (out->count == cap)
            out->items = mem_grow(out->items, cap = cap ? cap * 2 : 16, sizeof *out->items);
        read_row(st, &out->items[out->count++]);
    }
    stmt_end(st);
    return ERR_OK;
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
    sqlite3_stmt *st = stmt_begin(db, Q_CREDENTIAL_REVOKE, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":id", token->id);
    stmt_int(st, ":now", now);
    enum err rc = stmt_run(db, st, e);
    if (rc) return rc;
    if (!(st = stmt_begin(db, Q_CREDENTIAL_REVOKE_TICKETS, e))) return stmt_failed(db);
    stmt_text(st, ":owner", token->owner);
    stmt_int(st, ":now", now);
    return stmt_run(db, st, e);
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
    assert(db_writing(db));
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
