/* Metrics of the site: for Prometheus, and for people. */
#include "metrics/stats.h"

#include "answers.h"
#include "handlers.h"
#include "server/server.h"
#include "store/log_readers.h"
#include "web/response.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Reads all that is known. False: answered. */
static bool find_out(struct exchange *x, struct stats *k)
{
    struct error e = {0};
    /* this process is part of the picture */
    if (!commit_group_locking(x->server->commits)) metrics_flush(x->server->metrics);
    if (!stats_read(x->server->db, x->server->metrics, k, &e)) return true;
    exchange_fail(x, &e);
    return false;
}

/* ---- Prometheus ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    buf_fmt(out, "%s %.15g\n", name, value);
}

/* Microseconds as seconds, exactly. */
static void seconds(struct buf *out, int64_t us)
{
    buf_fmt(out, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
}

static void sample(struct buf *out, const char *name, const char *suffix, const char *labels)
{
    buf_fmt(out, "%s%s%s%s%s ", name, suffix, *labels ? "{" : "", labels, *labels ? "}" : "");
}

/* One histogram: `values` are its rows, ordered by bound. Those of an older version, with other bounds,
 * count where they fit. */
static void histogram(struct buf *out, enum metric f, const char *labels,
                      const struct metric_value *values, size_t count)
{
    const struct metric_about *about = &metric_about[f];
    int64_t all = 0, sum = 0;
    for (size_t i = 0; i < count; i++) *(values[i].le < 0 ? &sum : &all) += values[i].value;
    for (const int64_t *bound = about->bounds; *bound; bound++) {
        int64_t within = 0;
        for (size_t i = 0; i < count; i++)
            if (values[i].le >= 0 && values[i].le <= *bound) within += values[i].value;
        buf_fmt(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRId64 "\n", about->name, labels,
                *labels ? "," : "", (double)*bound / 1e6, within);
    }
    buf_fmt(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", about->name, labels,
            *labels ? "," : "", all);
    sample(out, about->name, "_sum", labels);
    seconds(out, sum);
    buf_char(out, '\n');
    sample(out, about->name, "_count", labels);
    buf_fmt(out, "%" PRId64 "\n", all);
}

/* The rows of one metric with the labels of the first of them; *count is how many. */
static const struct metric_value *rows_of(const struct metrics_snapshot *t, enum metric f,
                                          size_t from, size_t *count)
{
    while (from < t->value_count && t->values[from].metric != f) from++;
    *count = 0;
    if (from == t->value_count) return NULL;
    const struct metric_value *first = t->values + from;
    while (from + *count < t->value_count && first[*count].metric == f &&
           !strcmp(first[*count].labels, first->labels))
        ++*count;
    return first;
}

static void metric(struct buf *out, const struct metrics_snapshot *t, enum metric f)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    const struct metric_about *about = &metric_about[f];
    head(out, about->name, types[about->kind], about->help);
    size_t count = 0;
    const struct metric_value *rows = rows_of(t, f, 0, &count);
    if (!rows && !about->labels[0]) { /* nothing happened yet: say so */
        static const struct metric_value none = {.labels = (char *)""};
        if (about->kind == METRIC_HISTOGRAM)
            histogram(out, f, "", &none, 1);
        else
            buf_fmt(out, "%s 0\n", about->name);
    }
    for (; rows; rows = rows_of(t, f, (size_t)(rows - t->values) + count, &count)) {
        if (about->kind == METRIC_HISTOGRAM) {
            histogram(out, f, rows->labels, rows, count);
        } else {
            sample(out, about->name, "", rows->labels);
            buf_fmt(out, "%" PRId64 "\n", rows->value);
        }
    }
}

/* Processes by program: calls for each program once. */
static void programs(struct buf *out, const struct metrics_snapshot *t, bool memory,
                     void (*write)(struct buf *out, const char *program, int64_t value))
{
    for (size_t i = 0; i < t->process_count; i++) {
        const char *program = t->processes[i].program;
        bool before = false;
        for (size_t k = 0; k < i; k++) before |= !strcmp(t->processes[k].program, program);
        if (before) continue;
        int64_t value = 0;
        for (size_t k = i; k < t->process_count; k++) {
            if (strcmp(t->processes[k].program, program) != 0) continue;
            int64_t bytes = t->processes[k].resident_bytes;
            value += !memory ? 1 : bytes > 0 ? bytes : 0;
        }
        write(out, program, value);
    }
}

static void write_processes(struct buf *out, const char *program, int64_t value)
{
    buf_fmt(out, "leat_processes{program=\"%s\"} %" PRId64 "\n", program, value);
}

static void write_resident(struct buf *out, const char *program, int64_t value)
{
    buf_fmt(out, "leat_resident_bytes{program=\"%s\"} %" PRId64 "\n", program, value);
}

/* Which types are held back, and by whom. */
static void held_types(struct buf *out, const struct type_rows *t)
{
    head(out, "leat_type_paused", "gauge", "Types that somebody has paused.");
    for (size_t i = 0; i < t->paused_count; i++)
        buf_fmt(out, "leat_type_paused{type=\"%s\"} 1\n", t->paused[i]);
    head(out, "leat_type_broken", "gauge", "Types whose jobs a runner cannot start.");
    for (size_t i = 0; i < t->broken_count; i++)
        buf_fmt(out, "leat_type_broken{type=\"%s\"} 1\n", t->broken[i].type);
}

/* Who keeps the log from being cut. */
static void log_readers(struct buf *out, struct db *db)
{
    struct log_reader readers[LOG_READERS_MAX];
    size_t count = log_readers_find(db, readers);
    head(out, "leat_wal_held_bytes", "gauge",
         "Write-ahead log that cannot be cut because this process reads an old state.");
    for (size_t i = 0; i < count; i++)
        buf_fmt(out, "leat_wal_held_bytes{pid=\"%" PRId64 "\"} %" PRId64 "\n", readers[i].pid,
                readers[i].bytes);
}

/* GET /metrics: text exposition format 0.0.4. */
void metrics_get(struct exchange *x)
{
    struct stats k;
    if (!find_out(x, &k)) return;
    const struct queue_stats *c = &k.queue;
    struct buf body = {0};
    head(&body, "leat_tasks", "gauge", "Tasks by type and status.");
    for (size_t i = 0; i < c->task_rows; i++)
        buf_fmt(&body, "leat_tasks{type=\"%s\",status=\"%s\"} %" PRId64 "\n", c->tasks[i].type,
                task_status_name(c->tasks[i].status), c->tasks[i].count);
    held_types(&body, &k.types);
    gauge(&body, "leat_queue_age_seconds", "How long the oldest task that is due has been waiting.",
          stats_due_seconds(&k));
    gauge(&body, "leat_runners_alive", "Runners whose lease has not ended.", (double)c->runners);
    for (int f = 0; f < METRICS; f++) metric(&body, &k.metrics, (enum metric)f);
    gauge(&body, "leat_log_events", "Events that the log holds.", (double)c->events);
    gauge(&body, "leat_log_newest_seq", "Number of the newest event.", (double)c->newest_event);
    gauge(&body, "leat_database_bytes", "Size of the database file.", (double)c->database_bytes);
    gauge(&body, "leat_wal_bytes", "Size of the file of the write-ahead log.",
          (double)c->log_bytes);
    gauge(&body, "leat_wal_pages", "Pages of the write-ahead log that are in use.",
          (double)c->log_pages);
    log_readers(&body, x->server->db);
    head(&body, "leat_processes", "gauge", "Living processes by program.");
    programs(&body, &k.metrics, false, write_processes);
    head(&body, "leat_resident_bytes", "gauge", "Resident memory by program.");
    programs(&body, &k.metrics, true, write_resident);
    stats_free(&k);

    struct response r;
    response_start(&r, &x->request, 200);
    response_body(&r, "text/plain; version=0.0.4; charset=utf-8", body.data, body.len);
    buf_free(&body);
}

/* ---- for people ---- */

/* GET /stats: what an administrator wants to see at a glance. */
void metrics_stats(struct exchange *x)
{
    struct stats k;
    struct dialect d;
    struct error e = {0};
    if (answer_dialect(&x->request, &d, &e)) {
        exchange_fail(x, &e);
        return;
    }
    if (!find_out(x, &k)) return;
    struct buf document = {0}, body = {0};
    struct dialect_stats first = {.tasks = stats_tasks(&k, TASK_STATUSES),
                                  .streams = stats_total(&k.metrics, METRIC_STREAMS_OPEN),
                                  .resident_bytes = stats_resident_bytes(&k)};
    stats_document(&document, &k);
    stats_free(&k);
    dialect_stats(&body, &d, document.data, &first);
    buf_free(&document);
    answer_json(x, &body);
}
