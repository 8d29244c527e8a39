#include "metrics/stats.h"

#include "base/clock.h"
#include "base/json.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void stats_free(struct stats *s)
{
    queue_stats_free(&s->queue);
    type_rows_free(&s->types);
    metrics_snapshot_free(&s->metrics);
}

enum err stats_read(struct db *db, const struct metrics *m, struct stats *out, struct error *e)
{
    *out = (struct stats){.now = clock_wall_ms()};
    enum err rc = queue_stats_read(db, out->now, &out->queue, e);
    if (!rc) rc = type_rows_read(db, out->now, &out->types, e);
    if (!rc) rc = metrics_read(db, m, &out->metrics, e);
    if (rc) stats_free(out);
    return rc;
}

int64_t stats_tasks(const struct stats *s, enum task_status status)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->queue.task_rows; i++)
        if (status == TASK_STATUSES || s->queue.tasks[i].status == status)
            sum += s->queue.tasks[i].count;
    return sum;
}

double stats_due_seconds(const struct stats *s)
{
    int64_t since = s->queue.due_since;
    return since == TASK_NONE || since > s->now ? 0 : (double)(s->now - since) / 1000;
}

int64_t stats_resident_bytes(const struct stats *s)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->metrics.process_count; i++)
        if (s->metrics.processes[i].resident_bytes > 0)
            sum += s->metrics.processes[i].resident_bytes;
    return sum;
}

int64_t stats_started_at(const struct stats *s)
{
    int64_t started = s->now;
    for (size_t i = 0; i < s->metrics.process_count; i++)
        if (s->metrics.processes[i].started_at < started)
            started = s->metrics.processes[i].started_at;
    return started;
}

int64_t stats_total(const struct metrics_snapshot *m, enum metric metric)
{
    int64_t sum = 0;
    for (size_t i = 0; i < m->value_count; i++)
        if (m->values[i].metric == metric && m->values[i].le >= 0) sum += m->values[i].value;
    return sum;
}

double stats_quantile(const struct metrics_snapshot *m, enum metric metric, double share)
{
    int64_t all = stats_total(m, metric);
    for (const int64_t *bound = metric_about[metric].bounds; all && *bound; bound++) {
        int64_t within = 0;
        for (size_t i = 0; i < m->value_count; i++) {
            const struct metric_value *v = &m->values[i];
            if (v->metric == metric && v->le >= 0 && v->le <= *bound) within += v->value;
        }
        if ((double)within >= share * (double)all) return (double)*bound / 1000;
    }
    return -1;
}

static void quantile(struct buf *out, const struct metrics_snapshot *t, enum metric f, double share)
{
    double ms = stats_quantile(t, f, share);
    if (ms < 0)
        buf_str(out, "null");
    else
        json_number(out, ms);
}

/* ---- the document ---- */

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

static void processes_document(struct buf *out, const struct stats *k)
{
    buf_str(out, "\"processes\":[");
    for (size_t i = 0; i < k->metrics.process_count; i++) {
        const struct metric_process *p = &k->metrics.processes[i];
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
    buf_int(out, stats_total(t, f));
    buf_char(out, '}');
}

void stats_document(struct buf *out, const struct stats *s)
{
    const struct queue_stats *c = &s->queue;
    const struct metrics_snapshot *m = &s->metrics;
    buf_fmt(out, "{\"version\":\"%s\",\"sqlite_version\":\"%s\",\"server_time\":%" PRId64,
            LEAT_VERSION, db_library(), s->now);
    json_key(out, "uptime_seconds");
    json_number(out, (double)(s->now - stats_started_at(s)) / 1000);
    buf_char(out, ',');
    tasks_document(out, c);
    buf_fmt(out,
            ",\"queue\":{\"pending\":%" PRId64 ",\"running\":%" PRId64 ",\"oldest_due_seconds\":",
            stats_tasks(s, TASK_PENDING), stats_tasks(s, TASK_RUNNING));
    json_number(out, stats_due_seconds(s));
    buf_char(out, '}');
    types_document(out, &s->types);
    buf_fmt(out,
            ",\"streams\":{\"active\":%" PRId64 ",\"opened\":%" PRId64 ",\"resumed\":%" PRId64 "}",
            stats_total(m, METRIC_STREAMS_OPEN), stats_total(m, METRIC_STREAMS_OPENED),
            stats_total(m, METRIC_STREAM_RESUMES));
    buf_str(out, ",\"lag\":{");
    lag_document(out, "delivery", m, METRIC_DELIVERY);
    lag_document(out, "claim", m, METRIC_CLAIM_WAIT);
    lag_document(out, "write_lock", m, METRIC_LOCK_WAIT);
    buf_fmt(out, "},\"runners\":%" PRId64 ",", c->runners);
    processes_document(out, s);
    buf_fmt(out,
            ",\"database\":{\"bytes\":%" PRId64 ",\"wal_bytes\":%" PRId64 ",\"wal_pages\":%" PRId64
            ",\"events\":%" PRId64 ",\"newest_seq\":%" PRId64 "}}",
            c->database_bytes, c->log_bytes, c->log_pages, c->events, c->newest_event);
}
