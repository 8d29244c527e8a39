#include "store/type_rows.h"

#include "base/buf.h"
#include "gen/query.h"

#include <assert.h>
#include <stdlib.h>

enum err type_pause(struct db *db, const char *type, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    return q_type_pause(db, type, now, e);
}

enum err type_resume(struct db *db, const char *type, struct error *e)
{
    assert(txn_is_open(db));
    return q_type_resume(db, type, e);
}

enum err type_is_known(struct db *db, const char *type, bool *known, struct error *e)
{
    return q_type_known(db, type, known, e);
}

static enum err read_paused(struct db *db, struct type_rows *out, struct error *e)
{
    struct q_types_paused_row row;
    struct q_types_paused_cursor c = q_types_paused(db, TYPE_ROWS_MAX, e);
    while (q_types_paused_next(&c, &row)) {
        out->paused = mem_grow(out->paused, out->paused_count + 1, sizeof *out->paused);
        out->paused[out->paused_count++] = mem_str(row.type);
    }
    return q_types_paused_close(&c);
}

static enum err read_broken(struct db *db, int64_t now, struct type_rows *out, struct error *e)
{
    struct q_types_broken_row row;
    struct q_types_broken_cursor c = q_types_broken(db, now, TYPE_ROWS_MAX, e);
    while (q_types_broken_next(&c, &row)) {
        out->broken = mem_grow(out->broken, out->broken_count + 1, sizeof *out->broken);
        out->broken[out->broken_count++] = (struct broken_row){
            .type = mem_str(row.type), .why = mem_str(row.why), .since = row.since};
    }
    return q_types_broken_close(&c);
}

enum err type_rows_read(struct db *db, int64_t now, struct type_rows *out, struct error *e)
{
    *out = (struct type_rows){0};
    enum err rc = read_paused(db, out, e);
    return rc ? rc : read_broken(db, now, out, e);
}

void type_rows_free(struct type_rows *t)
{
    for (size_t i = 0; i < t->paused_count; i++) free(t->paused[i]);
    for (size_t i = 0; i < t->broken_count; i++) {
        free(t->broken[i].type);
        free(t->broken[i].why);
    }
    free(t->paused);
    free(t->broken);
    *t = (struct type_rows){0};
}

enum err type_rows_tell(struct db *db, int64_t runner, const struct broken_row *rows, size_t count,
                        struct error *e)
{
    assert(txn_is_open(db));
    enum err rc = q_types_broken_clear(db, runner, e);
    for (size_t i = 0; !rc && i < count; i++) {
        const struct q_types_broken_put_in in = {
            .runner = runner, .type = rows[i].type, .why = rows[i].why, .since = rows[i].since};
        rc = q_types_broken_put(db, &in, e);
    }
    return rc;
}
