#include "store/groups.h"

#include "base/buf.h"
#include "store/stmt.h"
#include "task/task.h"

#include <string.h>

/* The statuses of a group are those of tasks and idle; the words live as long as the program. */
static const char *status_word(const char *name)
{
    enum task_status status;
    return task_status_parse(name, &status) ? task_status_name(status) : "idle";
}

enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_GROUP_GET, e);
    if (!st) return ERR_INTERNAL;
    stmt_text(st, ":owner", owner);
    stmt_text(st, ":name", name);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    *out = (struct group){
        .owner = mem_str(owner),
        .name = mem_str(name),
        .status = "idle",
        .created_at = TASK_NONE,
        .updated_at = TASK_NONE,
    };
    if (row) {
        out->status = status_word((const char *)sqlite3_column_text(st, 0));
        for (int s = 0; s < TASK_STATUSES; s++) out->counts[s] = sqlite3_column_int64(st, 1 + s);
        out->progress = sqlite3_column_double(st, 7);
        out->context = stmt_column_text(st, 8);
        out->version = sqlite3_column_int64(st, 9);
        out->created_at = sqlite3_column_int64(st, 10);
        out->updated_at = sqlite3_column_int64(st, 11);
    }
    stmt_end(st);
    return ERR_OK;
}
