#include "metrics/metrics.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/metric_rows.h"
#include "store/transitions.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FLUSH_MS = 2000, /* between counting something and writing it */
    ASKED_MS = 1000, /* between two flushes that were asked for */
    LOCK_MS = 50,    /* a flush waits so long for the write lock ... */
    LAST_MS = 1000,  /* ... the last one so long */
};

#define MS(n) ((n)*INT64_C(1000))
#define S(n)  ((n)*INT64_C(1000000))

const struct metric_about metric_about[] = {
    [METRIC_REQUESTS] = {"leat_requests_total",
                         "Requests answered, streams when they began.",
                         METRIC_COUNTER,
                         {"route", "method", "status"},
                         {0}},
    [METRIC_STREAMS_OPEN] = {"leat_streams_open", "Streams open now.", METRIC_GAUGE, {NULL}, {0}},
    [METRIC_STREAMS_OPENED] = {"leat_streams_opened_total",
                               "Streams opened, by what they follow.",
                               METRIC_COUNTER,
                               {"scope"},
                               {0}},
    [METRIC_STREAM_RESUMES] = {"leat_stream_resumes_total",
                               "Streams opened after an event that the client had seen.",
                               METRIC_COUNTER,
                               {NULL},
                               {0}},
    [METRIC_STREAM_RESETS] = {"leat_stream_resets_total",
                              "Cursors of clients that could not be used.",
                              METRIC_COUNTER,
                              {"reason"},
                              {0}},
    [METRIC_STREAM_ENDS] =
        {"leat_stream_ends_total", "Streams ended or refused.", METRIC_COUNTER, {"reason"}, {0}},
    [METRIC_DELIVERY] = {"leat_delivery_seconds",
                         "From the time of an event to its writing into a stream that follows.",
                         METRIC_HISTOGRAM,
                         {NULL},
                         {MS(1), MS(2), MS(5), MS(10), MS(20), MS(50), MS(100), MS(200), MS(500),
                          S(1), S(2), S(5), S(10)}},
    [METRIC_LOCK_WAIT] = {"leat_write_lock_wait_seconds",
                          "Waiting for the write lock of the database.",
                          METRIC_HISTOGRAM,
                          {NULL},
                          {50, 100, 200, 500, MS(1), MS(2), MS(5), MS(10), MS(20), MS(50), MS(100),
                           MS(200), MS(500), S(1), S(5)}},
    [METRIC_CLAIM_WAIT] = {"leat_claim_wait_seconds",
                           "From when a task was due to when a runner claimed it.",
                           METRIC_HISTOGRAM,
                           {"type"},
                           {MS(2), MS(5), MS(10), MS(20), MS(50), MS(100), MS(200), MS(500), S(1),
                            S(2), S(5), S(10), S(60), S(600), S(3600)}},
    [METRIC_RUN_TIME] = {"leat_run_seconds",
                         "From the claim of a task to the end of that attempt.",
                         METRIC_HISTOGRAM,
                         {"type"},
                         {MS(10), MS(50), MS(100), MS(500), S(1), S(2), S(5), S(10), S(30), S(60),
                          S(120), S(300), S(600), S(1800), S(3600)}},
};
static_assert(sizeof metric_about / sizeof *metric_about == METRICS, "a row for each metric");

/* What is new of one metric with one set of labels: the numbers of a histogram's buckets, of the one
 * without a bound, and its sum; else one number. */
struct cell {
    char *labels[METRIC_LABELS_MAX];
    int64_t numbers[METRIC_BOUNDS_MAX + 2];
    bool changed; /* of a gauge: not written yet */
};

struct metrics {
    struct db *db;
    struct cells {
        struct cell *items;
        size_t count;
    } of[METRICS];
    const char *program;
    int64_t started_at;
    int64_t process; /* processes.id; 0: not registered yet */
    int live;        /* descriptor of DB.live; -1: not open yet */
    bool dirty;
    int64_t flush_at;   /* monotonic ms, when dirty */
    int64_t flushed_at; /* the last try */
};

/* ---- counting ---- */

static size_t bounds_of(enum metric metric)
{
    size_t n = 0;
    while (metric_about[metric].bounds[n]) n++;
    return n;
}

static bool has_labels(enum metric metric, const struct cell *c, const char *const *labels)
{
    for (int i = 0; metric_about[metric].labels[i]; i++) {
        assert(c->labels[i] && labels[i]);
        if (strcmp(c->labels[i], labels[i]) != 0) return false;
    }
    return true;
}

static struct cell *cell_of(struct metrics *m, enum metric metric, const char *const *labels)
{
    struct cells *all = &m->of[metric];
    for (size_t i = 0; i < all->count; i++)
        if (has_labels(metric, &all->items[i], labels)) return &all->items[i];
    all->items = mem_grow(all->items, all->count + 1, sizeof *all->items);
    struct cell *c = &all->items[all->count++];
    *c = (struct cell){0};
    for (int i = 0; metric_about[metric].labels[i]; i++) {
        assert(labels[i]);
        c->labels[i] = mem_str(labels[i]);
    }
    return c;
}

static void mark_dirty(struct metrics *m)
{
    if (m->dirty) return;
    m->dirty = true;
    m->flush_at = clock_monotonic_ms() + FLUSH_MS;
}

void metrics_add(struct metrics *m, enum metric metric, const char *const *labels, int64_t n)
{
    assert(metric_about[metric].kind == METRIC_COUNTER);
    if (!m) return;
    cell_of(m, metric, labels)->numbers[0] += n;
    mark_dirty(m);
}

void metrics_set(struct metrics *m, enum metric metric, int64_t value)
{
    assert(metric_about[metric].kind == METRIC_GAUGE);
    if (!m) return;
    struct cell *c = cell_of(m, metric, NULL);
    if (c->numbers[0] == value) return;
    c->numbers[0] = value;
    c->changed = true;
    mark_dirty(m);
}

void metrics_observe(struct metrics *m, enum metric metric, const char *const *labels, int64_t us,
                     int64_t n)
{
    assert(metric_about[metric].kind == METRIC_HISTOGRAM);
    if (!m) return;
    const int64_t *bounds = metric_about[metric].bounds;
    struct cell *c = cell_of(m, metric, labels);
    if (us < 0) us = 0; /* a clock was set */
    size_t i = 0;
    while (bounds[i] && us > bounds[i]) i++;
    c->numbers[i] += n;
    c->numbers[bounds_of(metric) + 1] += us * n;
    mark_dirty(m);
}

/* ---- who lives ---- */

/* The lock of a process: one byte of DB.live. Such locks (fcntl) belong to the process and go with it. */
static struct flock lock_of(int64_t process)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = process, .l_len = 1};
}

/* Whether a registered process that is not this one lives; *pid is 0 when that cannot be said here. */
static bool lives(int live, int64_t process, int64_t *pid)
{
    struct flock lock = lock_of(process);
    *pid = 0;
    if (fcntl(live, F_GETLK, &lock) || lock.l_type == F_UNLCK) return false;
    if (lock.l_pid > 0) *pid = lock.l_pid;
    return true;
}

/* ---- writing ---- */

/* Removes the rows of processes that are gone. */
static enum err remove_dead(const struct metrics *m, struct error *e)
{
    struct process_rows all;
    int64_t pid;
    enum err rc = process_rows_read(m->db, &all, e);
    for (size_t i = 0; !rc && i < all.count; i++)
        if (!lives(m->live, all.items[i].id, &pid))
            rc = process_row_remove(m->db, all.items[i].id, e);
    process_rows_free(&all);
    return rc;
}

/* Registers the process in the open transaction. It locks before anybody can see its row. */
static enum err register_process(struct metrics *m, struct error *e)
{
    if (m->process) return ERR_OK;
    enum err rc = m->live < 0 ? db_open_beside(db_path(m->db), ".live", &m->live, e) : ERR_OK;
    if (!rc) rc = remove_dead(m, e);
    if (!rc) rc = process_row_add(m->db, m->program, m->started_at, &m->process, e);
    if (rc) return rc;
    struct flock lock = lock_of(m->process);
    return fcntl(m->live, F_SETLK, &lock) ? error_errno(e, ERR_IO, "cannot lock DB.live") : ERR_OK;
}

static void release_lock(struct metrics *m)
{
    if (!m->process) return;
    struct flock lock = lock_of(m->process);
    lock.l_type = F_UNLCK;
    fcntl(m->live, F_SETLK, &lock);
    m->process = 0;
}

/* `a="x",b="y"`, escaped as Prometheus has it. */
static void write_labels(struct buf *out, enum metric metric, const struct cell *c)
{
    buf_str(out, "");
    for (int i = 0; metric_about[metric].labels[i]; i++) {
        buf_fmt(out, "%s%s=\"", i ? "," : "", metric_about[metric].labels[i]);
        for (const char *p = c->labels[i]; *p; p++) {
            if (*p == '"' || *p == '\\') buf_char(out, '\\');
            buf_char(out, (unsigned char)*p < 0x20 ? ' ' : *p);
        }
        buf_char(out, '"');
    }
}

static enum err put_cell(struct metrics *m, enum metric metric, const struct cell *c,
                         struct error *e)
{
    const struct metric_about *about = &metric_about[metric];
    struct buf labels = {0};
    write_labels(&labels, metric, c);
    struct metric_row row = {.name = about->name,
                             .labels = buf_text(&labels),
                             .process = about->kind == METRIC_GAUGE ? m->process : 0,
                             .value = c->numbers[0]};
    enum err rc = ERR_OK;
    if (about->kind == METRIC_HISTOGRAM) {
        size_t n = bounds_of(metric);
        for (size_t i = 0; !rc && i < n + 2; i++) {
            row.le = i < n ? about->bounds[i] : i == n ? INT64_MAX : -1;
            row.value = c->numbers[i];
            if (row.value) rc = metric_row_put(m->db, &row, e);
        }
    } else if (c->changed || (about->kind == METRIC_COUNTER && row.value)) {
        rc = metric_row_put(m->db, &row, e);
    }
    buf_free(&labels);
    return rc;
}

/* What was written is no longer new. */
static void mark_clean(struct metrics *m)
{
    for (int i = 0; i < METRICS; i++) {
        for (size_t k = 0; k < m->of[i].count; k++) {
            struct cell *c = &m->of[i].items[k];
            c->changed = false;
            if (metric_about[i].kind != METRIC_GAUGE) memset(c->numbers, 0, sizeof c->numbers);
        }
    }
    m->dirty = false;
}

/* One transaction. `last`: the gauges of the process go, instead of being written. */
static void flush(struct metrics *m, int64_t wait_ms, bool last)
{
    struct error e = {0};
    bool registered = m->process != 0;
    m->flushed_at = clock_monotonic_ms();
    m->flush_at = m->flushed_at + FLUSH_MS;
    enum err rc = txn_begin_quiet(m->db, wait_ms, &e);
    if (!rc) {
        if (!last) rc = register_process(m, &e);
        for (int i = 0; !rc && i < METRICS; i++)
            for (size_t k = 0; !rc && k < m->of[i].count; k++)
                if (!last || metric_about[i].kind != METRIC_GAUGE)
                    rc = put_cell(m, (enum metric)i, &m->of[i].items[k], &e);
        if (!rc && last) rc = process_row_remove(m->db, m->process, &e);
        rc = txn_end(m->db, rc, &e);
    }
    if (!rc)
        mark_clean(m);
    else if (!registered)
        release_lock(m);
    if (rc) log_failure(LOG_LEVEL_DEBUG, "metrics are written later", &e);
}

int64_t metrics_wait(const struct metrics *m)
{
    if (!m || !m->dirty) return -1;
    int64_t left = m->flush_at - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

void metrics_turn(struct metrics *m)
{
    if (!metrics_wait(m)) flush(m, LOCK_MS, false);
}

void metrics_flush(struct metrics *m)
{
    if (m && m->dirty && clock_monotonic_ms() - m->flushed_at >= ASKED_MS) flush(m, LOCK_MS, false);
}

/* ---- the life of it ---- */

static void count_lock_wait(void *arg, int64_t us)
{
    metrics_observe(arg, METRIC_LOCK_WAIT, NULL, us, 1);
}

static void count_transition(void *arg, const struct transition *t, enum task_status to,
                             int64_t elapsed_ms)
{
    const char *const labels[METRIC_LABELS_MAX] = {t->type};
    if (t->from == TASK_PENDING && to == TASK_RUNNING)
        metrics_observe(arg, METRIC_CLAIM_WAIT, labels, elapsed_ms * 1000, 1);
    if (t->from == TASK_RUNNING)
        metrics_observe(arg, METRIC_RUN_TIME, labels, elapsed_ms * 1000, 1);
}

struct metrics *metrics_new(struct db *db, const char *program)
{
    struct metrics *m = mem_alloc(sizeof *m);
    m->db = db;
    m->program = program;
    m->live = -1;
    m->started_at = clock_wall_ms();
    m->flush_at = clock_monotonic_ms();
    m->flushed_at = INT64_MIN / 2;
    m->dirty = true; /* that it lives */
    txn_on_lock_wait(db, count_lock_wait, m);
    transitions_watch(db, count_transition, m);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m) return;
    if (m->process) flush(m, LAST_MS, true);
    txn_on_lock_wait(m->db, NULL, NULL);
    transitions_unwatch(m->db);
    for (int i = 0; i < METRICS; i++) {
        for (size_t k = 0; k < m->of[i].count; k++)
            for (int l = 0; l < METRIC_LABELS_MAX; l++) free(m->of[i].items[k].labels[l]);
        free(m->of[i].items);
    }
    if (m->live >= 0) close(m->live); /* with its lock */
    free(m);
}

/* ---- reading ---- */

void metrics_snapshot_free(struct metrics_snapshot *s)
{
    for (size_t i = 0; i < s->value_count; i++) free(s->values[i].labels);
    for (size_t i = 0; i < s->process_count; i++) free(s->processes[i].program);
    free(s->values);
    free(s->processes);
    *s = (struct metrics_snapshot){0};
}

/* Memory that a process uses, from proc(5). */
static int64_t resident_bytes(int64_t pid)
{
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/%lld/statm", (long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    long long pages = 0;
    return n > 0 && sscanf(text, "%*d %lld", &pages) == 1 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

/* What is being read, and of which processes. */
struct reading {
    struct metrics_snapshot *out;
    int64_t *living; /* processes.id */
    size_t count;
};

/* Reads who lives. */
static enum err read_processes(struct db *db, const struct metrics *m, int live, struct reading *r,
                               struct error *e)
{
    struct process_rows all;
    enum err rc = process_rows_read(db, &all, e);
    if (rc) return rc;
    r->living = mem_grow(NULL, all.count + 1, sizeof *r->living);
    r->out->processes = mem_grow(NULL, all.count + 1, sizeof *r->out->processes);
    for (size_t i = 0; i < all.count; i++) {
        struct process_row *row = &all.items[i];
        int64_t pid = getpid();
        if (!(m && row->id == m->process) && !lives(live, row->id, &pid)) continue;
        r->living[r->count++] = row->id;
        r->out->processes[r->out->process_count++] = (struct metric_process){
            .program = row->program,
            .pid = pid,
            .started_at = row->started_at,
            .resident_bytes = pid ? resident_bytes(pid) : -1,
        };
        row->program = NULL; /* the reader's */
    }
    process_rows_free(&all);
    return ERR_OK;
}

static bool among(const int64_t *ids, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id) return true;
    return false;
}

/* Keeps a row: gauges of one metric and labels are added. */
static void read_row(void *arg, const struct metric_row *row)
{
    struct reading *r = arg;
    struct metrics_snapshot *out = r->out;
    enum metric metric = 0;
    while (metric < METRICS && strcmp(metric_about[metric].name, row->name) != 0) metric++;
    if (metric == METRICS || (row->process && !among(r->living, r->count, row->process))) return;
    struct metric_value *last = out->value_count ? &out->values[out->value_count - 1] : NULL;
    if (last && last->metric == metric && last->le == row->le &&
        !strcmp(last->labels, row->labels)) {
        last->value += row->value;
        return;
    }
    out->values = mem_grow(out->values, out->value_count + 1, sizeof *out->values);
    out->values[out->value_count++] =
        (struct metric_value){metric, mem_str(row->labels), row->le, row->value};
}

enum err metrics_read(struct db *db, const struct metrics *m, struct metrics_snapshot *out,
                      struct error *e)
{
    struct reading r = {.out = out};
    int live = m ? m->live : -1;
    bool mine = live < 0;
    *out = (struct metrics_snapshot){0};
    enum err rc = mine ? db_open_beside(db_path(db), ".live", &live, e) : ERR_OK;
    if (!rc) rc = read_processes(db, m, live, &r, e);
    if (!rc) rc = metric_rows_read(db, read_row, &r, e);
    if (mine && live >= 0) close(live);
    free(r.living);
    return rc;
}
