#include "store/groups.h"

#include "base/buf.h"
#include "gen/query.h"
#include "task/task.h"

#include <assert.h>
#include <stdlib.h>

enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e)
{
    struct q_group_get_row row;
    bool found;
    enum err rc = q_group_get(db, owner, name, &row, &found, e);
    if (rc) return rc;
    *out = (struct group){
        .owner = mem_str(owner),
        .name = mem_str(name),
        /* The statuses of a group are those of tasks and idle. */
        .status = found && row.status != TASK_STATUSES ? task_status_name(row.status) : "idle",
        .type = row.type,
        .error = row.error,
        .counts =
            {
                [TASK_PENDING] = row.pending,
                [TASK_RUNNING] = row.running,
                [TASK_COMPLETED] = row.completed,
                [TASK_FAILED] = row.failed,
                [TASK_TIMEOUT] = row.timeout,
                [TASK_CANCELLED] = row.cancelled,
            },
        .progress = row.progress,
        .version = row.version,
        .created_at = found ? row.created_at : TASK_NONE,
        .updated_at = found ? row.updated_at : TASK_NONE,
    };
    return ERR_OK;
}

enum err group_page_read(struct db *db, const char *owner, const struct group_name *after,
                         int64_t limit, struct group_page *out, struct error *e)
{
    *out = (struct group_page){0};
    const int64_t before = after ? after->updated_at : INT64_MAX;
    const char *name = after ? after->name : "";
    const struct q_group_page_owner_in one = {
        .owner = owner, .before = before, .before_name = name, .limit = limit + 1};
    const struct q_group_page_all_in all = {.before = before,
                                            .before_owner = after ? after->owner : "",
                                            .before_name = name,
                                            .limit = limit + 1};
    struct q_group_page_all_row row;
    struct q_group_page_all_cursor c =
        owner ? q_group_page_owner(db, &one, e) : q_group_page_all(db, &all, e);
    while (!out->more && q_group_page_all_next(&c, &row)) {
        if (out->count == (size_t)limit) {
            out->more = true;
            continue;
        }
        out->items = mem_grow(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] = (struct group_name){
            .owner = mem_str(row.owner), .name = mem_str(row.name), .updated_at = row.updated_at};
    }
    enum err rc = q_group_page_all_close(&c);
    if (rc) group_page_free(out);
    return rc;
}

void group_page_free(struct group_page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].owner);
        free(p->items[i].name);
    }
    free(p->items);
    *p = (struct group_page){0};
}

enum err group_context_get(struct db *db, const char *owner, const char *name, char **json,
                           int64_t *version, struct error *e)
{
    struct q_group_context_get_row row;
    bool found;
    enum err rc = q_group_context_get(db, owner, name, &row, &found, e);
    *json = rc ? NULL : row.context;
    *version = rc ? 0 : row.version;
    return rc;
}

enum err group_context_put(struct db *db, const char *owner, const char *name, const char *json,
                           int64_t expected, int64_t now, struct error *e)
{
    assert(txn_is_open(db));
    int64_t version;
    enum err rc = q_group_touch(db, owner, name, now, e);
    if (!rc) rc = q_group_version(db, owner, name, &version, e);
    if (rc) return rc;
    if (expected >= 0 && version != expected)
        return error_set(e, ERR_STATE, "the context is at version %lld, no longer at %lld",
                         (long long)version, (long long)expected);
    const struct q_group_context_put_in in = {
        .owner = owner, .name = name, .context = json, .now = now};
    return q_group_context_put(db, &in, e);
}

enum err group_publish(struct db *db, const char *owner, const char *name, const char *request_id,
                       const char *type, const char *payload, int64_t now, int64_t *seq,
                       struct error *e)
{
    assert(txn_is_open(db));
    enum err rc = q_group_touch(db, owner, name, now, e);
    if (rc) return rc;
    const struct q_event_publish_in in = {
        .owner = owner,
        .group_id = name,
        .request_id = request_id,
        .type = type,
        .payload = payload,
        .now = now,
    };
    return q_event_publish(db, &in, seq, e);
}
