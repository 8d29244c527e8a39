#include "store/task_merge.h"

#include "gen/query.h"

#include <stdlib.h>

enum { OWNERS_AT_ONCE = 100 };

/* The newest of one group that belong among the newest `want` of all, behind `have`. */
static enum err read_group(struct db *db, const struct task_query *q, const char *owner,
                           const struct task_numbers *have, size_t want, struct task_numbers *out,
                           struct error *e)
{
    const struct q_task_numbers_group_type_in in = {
        .owner = owner,
        .group_id = q->group,
        .type = q->type,
        .status = q->status,
        .before = q->before,
        .above = have->count == want ? have->ns[want - 1] : 0,
        .limit = (int64_t)want,
    };
    struct q_task_numbers_group_row row;
    struct q_task_numbers_group_cursor c =
        q->type ? q_task_numbers_group_type(db, &in, e) : q_task_numbers_group(db, &in, e);
    for (out->count = 0; q_task_numbers_group_next(&c, &row);) out->ns[out->count++] = row.n;
    return q_task_numbers_group_close(&c);
}

/* The newest `want` of both; `to` has room for so many. */
static void merge(const struct task_numbers *a, const struct task_numbers *b, size_t want,
                  struct task_numbers *to)
{
    size_t i = 0, j = 0;
    for (to->count = 0; to->count < want && (i < a->count || j < b->count);) {
        bool left = j == b->count || (i < a->count && a->ns[i] > b->ns[j]);
        to->ns[to->count++] = left ? a->ns[i++] : b->ns[j++];
    }
}

/* Some owners behind *after, which becomes the last of them. *more: there may be others. */
static enum err merge_owners(struct db *db, const struct task_query *q, size_t want, char **after,
                             struct task_numbers parts[3], bool *more, struct error *e)
{
    struct q_group_owners_row row;
    char *last = NULL;
    int64_t seen = 0;
    enum err rc = ERR_OK;
    struct q_group_owners_cursor c = q_group_owners(db, q->group, *after, OWNERS_AT_ONCE, e);
    while (!rc && q_group_owners_next(&c, &row)) {
        rc = read_group(db, q, row.owner, &parts[0], want, &parts[1], e);
        merge(&parts[0], &parts[1], want, &parts[2]);
        const struct task_numbers merged = parts[2];
        parts[2] = parts[0];
        parts[0] = merged;
        free(last);
        last = mem_str(row.owner);
        seen++;
    }
    enum err closed = q_group_owners_close(&c);
    *more = seen == OWNERS_AT_ONCE;
    if (last) free(*after), *after = last;
    return rc ? rc : closed;
}

enum err task_merge_groups(struct db *db, const struct task_query *q, size_t want,
                           struct task_numbers *out, struct error *e)
{
    struct task_numbers parts[3] = {{0}};
    char *after = mem_str("");
    bool more = true;
    enum err rc = ERR_OK;
    for (size_t i = 0; i < 3; i++) parts[i].ns = mem_grow(NULL, want, sizeof *parts[i].ns);
    while (!rc && more) rc = merge_owners(db, q, want, &after, parts, &more, e);
    free(after);
    free(parts[1].ns);
    free(parts[2].ns);
    *out = parts[0];
    if (!rc) return ERR_OK;
    free(out->ns);
    *out = (struct task_numbers){0};
    return rc;
}
