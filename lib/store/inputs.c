#include "store/inputs.h"

#include "gen/query.h"
#include "store/sqlite.h"

#include <assert.h>
#include <stdlib.h>

enum err input_find(struct db *db, int64_t n, struct input *out, struct error *e)
{
    struct q_input_info_row row;
    bool found;
    enum err rc = q_input_info(db, n, &row, &found, e);
    *out = (struct input){.task = n,
                          .bytes = found ? row.bytes : -1,
                          .content_type = row.content_type,
                          .portions = found && row.portions};
    return rc;
}

void input_free(struct input *in)
{
    free(in->content_type);
    in->content_type = NULL;
}

static enum err read_value(struct db *db, struct input *in, struct buf *out, struct error *e)
{
    if (in->at >= in->bytes) return ERR_OK;
    int64_t left = in->bytes - in->at;
    size_t len = left < INPUT_PORTION ? (size_t)left : INPUT_PORTION;
    struct blob blob;
    enum err rc = blob_open(db_sqlite(db), "inputs", "body", in->task, &blob, e);
    if (!rc) rc = blob_read(&blob, buf_reserve(out, len), len, in->at, e);
    blob_close(&blob);
    if (rc) return rc;
    out->len += len;
    in->at += (int64_t)len;
    return ERR_OK;
}

static enum err read_portion(struct db *db, struct input *in, struct buf *out, struct error *e)
{
    struct q_portion_next_row row;
    struct q_portion_next_cursor c = q_portion_next(db, in->task, in->at, e);
    if (q_portion_next_next(&c, &row)) {
        buf_add(out, row.body, row.body_len);
        in->at = row.n;
    }
    return q_portion_next_close(&c);
}

enum err input_read(struct db *db, struct input *in, struct buf *out, struct error *e)
{
    buf_clear(out);
    return in->portions ? read_portion(db, in, out, e) : read_value(db, in, out, e);
}

/* ---- uploads ---- */

enum err upload_begin(struct db *db, const char *owner, int64_t bytes, int64_t now, int64_t *id,
                      struct error *e)
{
    assert(txn_is_open(db));
    return q_upload_begin(db, owner, bytes, now, id, e);
}

static enum err given_up(struct error *e)
{
    return error_set(e, ERR_BUSY, "the upload was given up: nothing came for too long");
}

enum err upload_add(struct db *db, int64_t id, const void *bytes, size_t len, int64_t now,
                    struct error *e)
{
    assert(txn_is_open(db) && len <= INPUT_PORTION);
    int64_t changed = 0;
    enum err rc = q_upload_grow(db, id, (int64_t)len, now, &changed, e);
    if (rc) return rc;
    return changed ? q_portion_add(db, id, bytes, len, e) : given_up(e);
}

enum err upload_give(struct db *db, int64_t id, int64_t n, struct error *e)
{
    assert(txn_is_open(db));
    int64_t changed = 0;
    enum err rc = q_upload_give(db, id, n, &changed, e);
    return rc || changed ? rc : given_up(e);
}

enum err upload_drop(struct db *db, int64_t id, struct error *e)
{
    assert(txn_is_open(db));
    return q_upload_drop(db, id, e);
}
