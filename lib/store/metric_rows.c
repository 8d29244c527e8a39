#include "store/metric_rows.h"

#include "base/buf.h"
#include "gen/query.h"

#include <assert.h>
#include <stdlib.h>

enum err metric_row_put(struct db *db, const struct metric_row *row, struct error *e)
{
    assert(txn_is_open(db));
    const struct q_metric_put_in in = {
        .name = row->name,
        .labels = row->labels,
        .le = row->le,
        .process = row->process,
        .value = row->value,
    };
    return q_metric_put(db, &in, e);
}

enum err metric_rows_read(struct db *db, void (*each)(void *arg, const struct metric_row *row),
                          void *arg, struct error *e)
{
    struct q_metric_all_row row;
    struct q_metric_all_cursor c = q_metric_all(db, e);
    while (q_metric_all_next(&c, &row))
        each(arg, &(struct metric_row){row.name, row.labels, row.le, row.process, row.value});
    return q_metric_all_close(&c);
}

enum err process_row_add(struct db *db, const char *program, int64_t started_at, int64_t *id,
                         struct error *e)
{
    assert(txn_is_open(db));
    return q_process_add(db, program, started_at, id, e);
}

enum err process_row_remove(struct db *db, int64_t id, struct error *e)
{
    assert(txn_is_open(db));
    enum err rc = q_metric_delete(db, id, e);
    return rc ? rc : q_process_delete(db, id, e);
}

enum err process_rows_read(struct db *db, struct process_rows *out, struct error *e)
{
    *out = (struct process_rows){0};
    struct q_process_all_row row;
    struct q_process_all_cursor c = q_process_all(db, e);
    while (q_process_all_next(&c, &row)) {
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] = (struct process_row){
            .id = row.id, .program = mem_str(row.program), .started_at = row.started_at};
    }
    enum err rc = q_process_all_close(&c);
    if (rc) process_rows_free(out);
    return rc;
}

void process_rows_free(struct process_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) free(rows->items[i].program);
    free(rows->items);
    *rows = (struct process_rows){0};
}
