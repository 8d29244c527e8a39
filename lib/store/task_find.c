#include "store/task_find.h"

#include "base/buf.h"
#include "gen/query.h"

#include <string.h>

enum { PORTION = 10000 }; /* ids that are looked at in one read: some milliseconds */

#define BEHIND_ALL "g" /* every id */

/* Takes an id unless it is there already (a part may be both beginning and end). */
static void take(struct task_found *out, const char *id)
{
    for (size_t i = 0; i < out->count; i++)
        if (!strcmp(out->ids[i], id)) return;
    if (out->count == TASK_FIND_MAX)
        out->more = true;
    else
        memcpy(out->ids[out->count++], id, ID_SIZE);
}

static enum err find_beginning(struct db *db, const char *part, struct task_found *out,
                               struct error *e)
{
    struct q_task_ids_row row;
    struct buf high = {0};
    buf_fmt(&high, "%s" BEHIND_ALL, part);
    struct q_task_ids_cursor c = q_task_ids(db, part, high.data, TASK_FIND_MAX + 1, e);
    while (q_task_ids_next(&c, &row)) take(out, row.id);
    buf_free(&high);
    return q_task_ids_close(&c);
}

/* Walks over all ids, the newest first, in portions, so that no read lasts. */
static enum err find_end(struct db *db, const char *part, struct task_found *out, struct error *e)
{
    struct q_task_ids_row row;
    char below[ID_SIZE] = BEHIND_ALL;
    size_t len = strlen(part);
    enum err rc;
    int64_t seen;
    do {
        struct q_task_ids_cursor c = q_task_ids(db, "", below, PORTION, e);
        for (seen = 0; q_task_ids_next(&c, &row); seen++) {
            size_t id_len = strlen(row.id);
            if (id_len >= len && !strcmp(row.id + id_len - len, part)) take(out, row.id);
            memcpy(below, row.id, ID_SIZE);
        }
        rc = q_task_ids_close(&c);
    } while (!rc && seen == PORTION && !out->more);
    return rc;
}

enum err task_find(struct db *db, const char *part, struct task_found *out, struct error *e)
{
    *out = (struct task_found){0};
    enum err rc = find_beginning(db, part, out, e);
    return rc ? rc : find_end(db, part, out, e);
}
