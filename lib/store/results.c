#include "store/results.h"

#include "gen/query.h"
#include "store/sqlite.h"

#include <stdlib.h>

enum err task_result_find(struct db *db, int64_t n, struct task_result *out, struct error *e)
{
    struct q_result_info_row row;
    bool found;
    enum err rc = q_result_info(db, n, &row, &found, e);
    *out = (struct task_result){
        .task = n, .bytes = row.bytes, .content_type = row.content_type, .of = row.of};
    return rc || found ? rc : error_set(e, ERR_NOTFOUND, "the task has no result");
}

void task_result_free(struct task_result *r)
{
    free(r->content_type);
    r->content_type = NULL;
}

enum err task_result_read(struct db *db, const struct task_result *r, void *to, size_t len,
                          int64_t at, struct error *e)
{
    struct task_result now;
    enum err rc = task_result_find(db, r->task, &now, e);
    if (rc == ERR_NOTFOUND || (!rc && (now.of != r->of || now.bytes != r->bytes)))
        rc = error_set(e, ERR_STATE, "the result is another one by now");
    task_result_free(&now);
    if (rc) return rc;
    struct blob blob;
    rc = blob_open(db_sqlite(db), "results", "body", r->task, &blob, e);
    if (!rc) rc = blob_read(&blob, to, len, at, e);
    blob_close(&blob);
    return rc;
}
