#include "store/group_tasks.h"

#include "base/buf.h"
#include "gen/query.h"

#include <stdlib.h>

enum err group_portion_read(struct db *db, const char *owner, const char *group, int64_t after,
                            int64_t until, int64_t limit, struct group_portion *out,
                            struct error *e)
{
    const struct q_group_portion_in in = {
        .owner = owner, .group_id = group, .after = after, .until = until, .limit = limit};
    struct q_group_portion_row row;
    *out = (struct group_portion){.items = mem_grow(NULL, (size_t)limit, sizeof *out->items)};
    struct q_group_portion_cursor c = q_group_portion(db, &in, e);
    while (q_group_portion_next(&c, &row))
        out->items[out->count++] =
            (struct group_task){.n = row.n, .type = mem_str(row.type), .status = row.status};
    enum err rc = q_group_portion_close(&c);
    if (rc) group_portion_free(out);
    out->more = out->count == (size_t)limit;
    return rc;
}

void group_portion_free(struct group_portion *p)
{
    for (size_t i = 0; i < p->count; i++) free(p->items[i].type);
    free(p->items);
    *p = (struct group_portion){0};
}

enum err group_tasks_newest(struct db *db, int64_t *n, struct error *e)
{
    return q_task_newest(db, n, e);
}
