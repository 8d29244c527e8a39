#include "store/idempotency.h"

#include "store/stmt.h"

#include <assert.h>
#include <string.h>

enum err idempotency_find(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t now,
                          int64_t *n, struct error *e)
{
    assert(db_writing(db));
    *n = 0;
    sqlite3_stmt *st = stmt_begin(db, Q_IDEMPOTENCY_GET, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":key", key);
    stmt_int(st, ":now", now);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    bool same = row && sqlite3_column_bytes(st, 0) == FINGERPRINT_BYTES &&
                !memcmp(sqlite3_column_blob(st, 0), fingerprint, FINGERPRINT_BYTES);
    if (row) *n = sqlite3_column_int64(st, 1);
    stmt_end(st);
    if (!row || same) return ERR_OK;
    return error_set(e, ERR_STATE, "this key was used for another request");
}

enum err idempotency_keep(struct db *db, const char *owner, const char *key,
                          const unsigned char fingerprint[FINGERPRINT_BYTES], int64_t n,
                          int64_t now, int64_t expires_at, struct error *e)
{
    assert(db_writing(db));
    sqlite3_stmt *st = stmt_begin(db, Q_IDEMPOTENCY_PUT, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":key", key);
    stmt_blob(st, ":fingerprint", fingerprint, FINGERPRINT_BYTES);
    stmt_int(st, ":task", n);
    stmt_int(st, ":expires_at", expires_at);
    enum err rc = stmt_run(db, st, e);
    if (rc) return rc;
    if (!(st = stmt_begin(db, Q_IDEMPOTENCY_EXPIRE, e))) return stmt_failed(db);
    stmt_int(st, ":now", now);
    return stmt_run(db, st, e);
}
