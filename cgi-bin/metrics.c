/* Metrics of the site: for Prometheus, and for people. */
#include "metrics/metrics.h"

#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "server/server.h"
#include "store/queue_stats.h"
#include "store/type_rows.h"
#include "web/response.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* All that is known, from one moment. */
struct known {
    int64_t now;
    struct queue_stats stats;
    struct type_rows types;
    struct metrics_snapshot snapshot;
};

static void known_free(struct known *k)
{
    queue_stats_free(&k->stats);
    type_rows_free(&k->types);
    metrics_snapshot_free(&k->snapshot);
}

/* False: answered. */
static bool find_out(struct exchange *x, struct known *k)
{
    struct db *db = x->server->db;
    struct error e = {0};
    *k = (struct known){.now = clock_wall_ms()};
    /* this process is part of the picture */
    if (!commit_group_locking(x->server->commits)) metrics_flush(x->server->metrics);
    enum err rc = queue_stats_read(db, k->now, &k->stats, &e);
    if (!rc) rc = type_rows_read(db, k->now, &k->types, &e);
    if (!rc) rc = metrics_read(db, x->server->metrics, &k->snapshot, &e);
    if (!rc) return true;
    exchange_fail(x, &e);
    known_free(k);
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

static double age_seconds(const struct known *k)
{
    int64_t since = k->stats.due_since;
    return since == TASK_NONE || since > k->now ? 0 : (double)(k->now - since) / 1000;
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

/* GET /metrics: text exposition format 0.0.4. */
void metrics_get(struct exchange *x)
{
    struct known k;
    if (!find_out(x, &k)) return;
    const struct queue_stats *c = &k.stats;
    struct buf body = {0};
    head(&body, "leat_tasks", "gauge", "Tasks by type and status.");
    for (size_t i = 0; i < c->task_rows; i++)
        buf_fmt(&body, "leat_tasks{type=\"%s\",status=\"%s\"} %" PRId64 "\n", c->tasks[i].type,
                task_status_name(c->tasks[i].status), c->tasks[i].count);
    held_types(&body, &k.types);
    gauge(&body, "leat_queue_age_seconds", "How long the oldest task that is due has been waiting.",
          age_seconds(&k));
    gauge(&body, "leat_runners_alive", "Runners whose lease has not ended.", (double)c->runners);
    for (int f = 0; f < METRICS; f++) metric(&body, &k.snapshot, (enum metric)f);
    gauge(&body, "leat_log_events", "Events that the log holds.", (double)c->events);
    gauge(&body, "leat_log_newest_seq", "Number of the newest event.", (double)c->newest_event);
    gauge(&body, "leat_database_bytes", "Size of the database file.", (double)c->database_bytes);
    gauge(&body, "leat_wal_bytes", "Size of the file of the write-ahead log.",
          (double)c->log_bytes);
    gauge(&body, "leat_wal_pages", "Pages of the write-ahead log that are in use.",
          (double)c->log_pages);
    head(&body, "leat_processes", "gauge", "Living processes by program.");
    programs(&body, &k.snapshot, false, write_processes);
    head(&body, "leat_resident_bytes", "gauge", "Resident memory by program.");
    programs(&body, &k.snapshot, true, write_resident);
    known_free(&k);

    struct response r;
    response_start(&r, &x->request, 200);
    response_body(&r, "text/plain; version=0.0.4; charset=utf-8", body.data, body.len);
    buf_free(&body);
}

/* ---- for people ---- */

static int64_t total(const struct metrics_snapshot *t, enum metric f)
{
    int64_t sum = 0;
    for (size_t i = 0; i < t->value_count; i++)
        if (t->values[i].metric == f && t->values[i].le >= 0) sum += t->values[i].value;
    return sum;
}

/* Below which bound so much (0 to 1) of a histogram lies, in ms; null when it is empty, or above all. */
static void quantile(struct buf *out, const struct metrics_snapshot *t, enum metric f, double share)
{
    int64_t all = total(t, f);
    for (const int64_t *bound = metric_about[f].bounds; all && *bound; bound++) {
        int64_t within = 0;
        for (size_t i = 0; i < t->value_count; i++) {
            const struct metric_value *v = &t->values[i];
            if (v->metric == f && v->le >= 0 && v->le <= *bound) within += v->value;
        }
        if ((double)within < share * (double)all) continue;
        json_number(out, (double)*bound / 1000);
        return;
    }
    buf_str(out, "null");
}

static void tasks_document(struct buf *out, const struct queue_stats *c)
{
    int64_t all = 0, by_status[TASK_STATUSES] = {0};
    for (size_t i = 0; i < c->task_rows; i++) {
        all += c->tasks[i].count;
        by_status[c->tasks[i].status] += c->tasks[i].count;
    }
    buf_fmt(out, "\"tasks\":{\"total\":%" PRId64 ",\"by_status\":{", all);
    for (int s = 0; s < TASK_STATUSES; s++) {
        json_key(out, task_status_name((enum task_status)s));
        buf_int(out, by_status[s]);
    }
    buf_str(out, "},\"by_type\":{");
    for (size_t i = 0; i < c->task_rows; i++) {
        bool first = !i || strcmp(c->tasks[i - 1].type, c->tasks[i].type) != 0;
        if (first) {
            if (i) buf_char(out, '}');
            json_key(out, c->tasks[i].type);
            buf_char(out, '{');
        }
        json_key(out, task_status_name(c->tasks[i].status));
        buf_int(out, c->tasks[i].count);
    }
    buf_str(out, c->task_rows ? "}}}" : "}}");
}

static void processes_document(struct buf *out, const struct known *k)
{
    buf_str(out, "\"processes\":[");
    for (size_t i = 0; i < k->snapshot.process_count; i++) {
        const struct metric_process *p = &k->snapshot.processes[i];
        buf_fmt(out, "%s{\"program\":", i ? "," : "");
        json_text(out, p->program);
        json_key(out, "pid");
        buf_int(out, p->pid);
        json_key(out, "uptime_seconds");
        json_number(out, (double)(k->now - p->started_at) / 1000);
        json_key(out, "resident_bytes");
        if (p->resident_bytes < 0)
            buf_str(out, "null");
        else
            buf_int(out, p->resident_bytes);
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void types_document(struct buf *out, const struct type_rows *t)
{
    buf_str(out, ",\"paused_types\":[");
    for (size_t i = 0; i < t->paused_count; i++) {
        buf_str(out, i ? "," : "");
        json_text(out, t->paused[i]);
    }
    buf_str(out, "],\"broken_types\":[");
    for (size_t i = 0; i < t->broken_count; i++) {
        buf_str(out, i ? "," : "");
        json_text(out, t->broken[i].type);
    }
    buf_char(out, ']');
}

static void lag_document(struct buf *out, const char *name, const struct metrics_snapshot *t,
                         enum metric f)
{
    json_key(out, name);
    buf_str(out, "{\"p50_ms\":");
    quantile(out, t, f, 0.5);
    buf_str(out, ",\"p99_ms\":");
    quantile(out, t, f, 0.99);
    json_key(out, "count");
    buf_int(out, total(t, f));
    buf_char(out, '}');
}

/* GET /stats: what an administrator wants to see at a glance. */
void metrics_stats(struct exchange *x)
{
    struct known k;
    struct dialect d;
    struct error e = {0};
    if (answer_dialect(&x->request, &d, &e)) {
        exchange_fail(x, &e);
        return;
    }
    if (!find_out(x, &k)) return;
    const struct queue_stats *c = &k.stats;
    struct dialect_stats first = {.streams = total(&k.snapshot, METRIC_STREAMS_OPEN)};
    for (size_t i = 0; i < c->task_rows; i++) first.tasks += c->tasks[i].count;
    for (size_t i = 0; i < k.snapshot.process_count; i++)
        if (k.snapshot.processes[i].resident_bytes > 0)
            first.resident_bytes += k.snapshot.processes[i].resident_bytes;
    int64_t started = k.now, pending = 0, running = 0;
    for (size_t i = 0; i < k.snapshot.process_count; i++)
        if (k.snapshot.processes[i].started_at < started)
            started = k.snapshot.processes[i].started_at;
    for (size_t i = 0; i < c->task_rows; i++) {
        if (c->tasks[i].status == TASK_PENDING) pending += c->tasks[i].count;
        if (c->tasks[i].status == TASK_RUNNING) running += c->tasks[i].count;
    }
    struct buf body = {0};
    buf_fmt(&body, "{\"version\":\"%s\",\"sqlite_version\":\"%s\",\"server_time\":%" PRId64,
            LEAT_VERSION, db_library(), k.now);
    json_key(&body, "uptime_seconds");
    json_number(&body, (double)(k.now - started) / 1000);
    buf_char(&body, ',');
    tasks_document(&body, c);
    buf_fmt(&body,
            ",\"queue\":{\"pending\":%" PRId64 ",\"running\":%" PRId64 ",\"oldest_due_seconds\":",
            pending, running);
    json_number(&body, age_seconds(&k));
    buf_char(&body, '}');
    types_document(&body, &k.types);
    buf_fmt(&body,
            ",\"streams\":{\"active\":%" PRId64 ",\"opened\":%" PRId64 ",\"resumed\":%" PRId64 "}",
            total(&k.snapshot, METRIC_STREAMS_OPEN), total(&k.snapshot, METRIC_STREAMS_OPENED),
            total(&k.snapshot, METRIC_STREAM_RESUMES));
    buf_str(&body, ",\"lag\":{");
    lag_document(&body, "delivery", &k.snapshot, METRIC_DELIVERY);
    lag_document(&body, "claim", &k.snapshot, METRIC_CLAIM_WAIT);
    lag_document(&body, "write_lock", &k.snapshot, METRIC_LOCK_WAIT);
    buf_fmt(&body, "},\"runners\":%" PRId64 ",", c->runners);
    processes_document(&body, &k);
    buf_fmt(&body,
            ",\"database\":{\"bytes\":%" PRId64 ",\"wal_bytes\":%" PRId64 ",\"wal_pages\":%" PRId64
            ",\"events\":%" PRId64 ",\"newest_seq\":%" PRId64 "}}",
            c->database_bytes, c->log_bytes, c->log_pages, c->events, c->newest_event);
    known_free(&k);
    struct buf out = {0};
    dialect_stats(&out, &d, body.data, &first);
    buf_free(&body);
    answer_json(x, &out);
}
