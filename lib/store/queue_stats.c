#include "store/queue_stats.h"

#include "base/buf.h"
#include "gen/query.h"

#include <stdlib.h>

void queue_stats_free(struct queue_stats *c)
{
    for (size_t i = 0; i < c->task_rows; i++) free(c->tasks[i].type);
    free(c->tasks);
    *c = (struct queue_stats){0};
}

static enum err count_tasks(struct db *db, struct queue_stats *out, struct error *e)
{
    struct q_queue_stats_tasks_row row;
    struct q_queue_stats_tasks_cursor c = q_queue_stats_tasks(db, e);
    while (q_queue_stats_tasks_next(&c, &row)) {
        if (row.status == TASK_STATUSES) continue;
        out->tasks = mem_grow(out->tasks, out->task_rows + 1, sizeof *out->tasks);
        out->tasks[out->task_rows++] = (struct queue_stats_tasks){
            .type = mem_str(row.type), .status = row.status, .count = row.tasks};
    }
    return q_queue_stats_tasks_close(&c);
}

enum err queue_stats_read(struct db *db, int64_t now, struct queue_stats *out, struct error *e)
{
    *out = (struct queue_stats){.log_pages = db_wal_pages(db)};
    enum err rc = txn_read_begin(db, e);
    if (rc) return rc;
    rc = count_tasks(db, out, e);
    if (!rc) rc = q_queue_stats_due(db, now, &out->due_since, e);
    if (!rc) rc = q_queue_stats_runners(db, now, &out->runners, e);
    int64_t deleted = 0;
    if (!rc) rc = q_log_deleted(db, &deleted, e);
    if (!rc) rc = q_events_newest(db, &out->newest_event, e);
    out->events = out->newest_event - deleted;
    txn_read_end(db);
    db_bytes(db, &out->database_bytes, &out->log_bytes);
    return rc;
}
