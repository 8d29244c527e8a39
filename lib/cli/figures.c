#include "cli/figures.h"

#include "cli/table.h"
#include "task/task.h"

#include <string.h>

static void add_counts(struct table *table, const struct stats *s)
{
    struct buf queue = {0}, ended = {0};
    buf_fmt(&queue, "%lld pending, %lld running", (long long)stats_tasks(s, TASK_PENDING),
            (long long)stats_tasks(s, TASK_RUNNING));
    if (stats_due_seconds(s) > 0) {
        buf_str(&queue, "; the longest wait is ");
        text_age(&queue, (int64_t)(stats_due_seconds(s) * 1000));
    }
    for (enum task_status status = TASK_COMPLETED; status < TASK_STATUSES; status++) {
        int64_t count = stats_tasks(s, status);
        if (count)
            buf_fmt(&ended, "%s%lld %s", ended.len ? ", " : "", (long long)count,
                    task_status_name(status));
    }
    table_text(table, queue.data);
    table_text(table, ended.len ? ended.data : "none");
    buf_free(&queue);
    buf_free(&ended);
}

static void add_streams(struct table *table, const struct stats *s)
{
    struct buf text = {0};
    buf_fmt(&text, "%lld open; %lld opened so far, %lld of them resumed",
            (long long)stats_total(&s->metrics, METRIC_STREAMS_OPEN),
            (long long)stats_total(&s->metrics, METRIC_STREAMS_OPENED),
            (long long)stats_total(&s->metrics, METRIC_STREAM_RESUMES));
    table_text(table, text.data);
    buf_free(&text);
}

/* "p50 2.5 ms, p99 10 ms". */
static void add_delay(struct table *table, const struct stats *s, enum metric metric)
{
    struct buf text = {0};
    double middle = stats_quantile(&s->metrics, metric, 0.5);
    double high = stats_quantile(&s->metrics, metric, 0.99);
    if (middle >= 0) buf_fmt(&text, "p50 below %g ms", middle);
    if (high >= 0) buf_fmt(&text, ", p99 below %g ms", high);
    table_text(table, text.data);
    buf_free(&text);
}

static void add_names(struct table *table, const struct type_rows *rows)
{
    struct buf paused = {0}, broken = {0};
    for (size_t i = 0; i < rows->paused_count; i++)
        buf_fmt(&paused, "%s%s", i ? " " : "", rows->paused[i]);
    for (size_t i = 0; i < rows->broken_count; i++)
        buf_fmt(&broken, "%s%s", i ? " " : "", rows->broken[i].type);
    table_text(table, paused.data);
    table_coloured(table, broken.data, COLOUR_BAD);
    buf_free(&paused);
    buf_free(&broken);
}

static void add_database(struct table *table, const struct stats *s)
{
    struct buf text = {0};
    text_bytes(&text, s->queue.database_bytes);
    buf_str(&text, ", write-ahead log ");
    text_bytes(&text, s->queue.log_bytes);
    buf_fmt(&text, ", %lld events", (long long)s->queue.events);
    table_text(table, text.data);
    buf_free(&text);
}

void figures_site(struct cli *cli, const struct stats *s, struct buf *out)
{
    static const struct table_column columns[] = {
        {"Tasks", NULL, 0, false},    {"Ended", NULL, 0, false},  {"Runners", NULL, 0, false},
        {"Streams", NULL, 0, false},  {"Paused", NULL, 0, false}, {"Broken", NULL, 0, false},
        {"Delivery", NULL, 0, false}, {"Claims", NULL, 0, false}, {"Write lock", NULL, 0, false},
        {"Database", NULL, 0, false},
    };
    struct table *table = table_new(cli, TABLE_PAIRS, columns, sizeof columns / sizeof *columns);
    table_row(table);
    add_counts(table, s);
    if (s->queue.runners)
        table_int(table, s->queue.runners);
    else
        table_coloured(table, "none: tasks wait until leatd is started", COLOUR_BAD);
    add_streams(table, s);
    add_names(table, &s->types);
    add_delay(table, s, METRIC_DELIVERY);
    add_delay(table, s, METRIC_CLAIM_WAIT);
    add_delay(table, s, METRIC_LOCK_WAIT);
    add_database(table, s);
    table_write(table, out);
    table_free(table);
}

void figures_types(struct cli *cli, const struct stats *s, struct buf *out)
{
    static const struct table_column columns[] = {
        {"TYPE", NULL, 12, false},    {"PENDING", NULL, 0, true}, {"RUNNING", NULL, 0, true},
        {"COMPLETED", NULL, 0, true}, {"FAILED", NULL, 0, true},  {"TIMEOUT", NULL, 0, true},
        {"CANCELLED", NULL, 0, true},
    };
    const struct queue_stats *q = &s->queue;
    struct table *table = table_new(cli, TABLE_LINES, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < q->task_rows;) {
        int64_t counts[TASK_STATUSES] = {0};
        const char *type = q->tasks[i].type;
        for (; i < q->task_rows && !strcmp(q->tasks[i].type, type); i++)
            counts[q->tasks[i].status] = q->tasks[i].count;
        table_row(table);
        table_text(table, type);
        for (enum task_status status = 0; status < TASK_STATUSES; status++)
            table_int(table, counts[status]);
    }
    table_write(table, out);
    table_free(table);
}

void figures_processes(struct cli *cli, const struct stats *s, struct buf *out)
{
    static const struct table_column columns[] = {
        {"PROGRAM", NULL, 8, false},
        {"PID", NULL, 0, true},
        {"UP", NULL, 0, true},
        {"MEMORY", NULL, 0, true},
    };
    struct table *table = table_new(cli, TABLE_LINES, columns, 4);
    for (size_t i = 0; i < s->metrics.process_count; i++) {
        const struct metric_process *p = &s->metrics.processes[i];
        table_row(table);
        table_text(table, p->program);
        table_int(table, p->pid ? p->pid : TASK_NONE);
        table_age(table, p->started_at, s->now);
        table_bytes(table, p->resident_bytes < 0 ? TASK_NONE : p->resident_bytes);
    }
    table_write(table, out);
    table_free(table);
}
