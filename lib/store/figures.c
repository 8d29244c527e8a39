#include "store/figures.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/stmt.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FLUSH_MS = 2000,  /* between counting something and telling it */
    ASKED_MS = 1000,  /* between two flushes that were asked for */
    PATIENCE_MS = 50, /* a flush waits so long for its turn ... */
    LEAVE_MS = 1000,  /* ... the last one so long */
};

#define MS(n) ((n)*INT64_C(1000))
#define S(n)  ((n)*INT64_C(1000000))

const struct figure_about figure_about[] = {
    [FIGURE_REQUESTS] = {"leat_requests_total",
                         "Requests answered, streams when they began.",
                         FIGURE_COUNTER,
                         {"route", "method", "status"},
                         {0}},
    [FIGURE_STREAMS_OPEN] = {"leat_streams_open", "Streams open now.", FIGURE_GAUGE, {NULL}, {0}},
    [FIGURE_STREAMS_OPENED] = {"leat_streams_opened_total",
                               "Streams opened, by what they follow.",
                               FIGURE_COUNTER,
                               {"scope"},
                               {0}},
    [FIGURE_STREAM_RESUMES] = {"leat_stream_resumes_total",
                               "Streams opened after an event that the client had seen.",
                               FIGURE_COUNTER,
                               {NULL},
                               {0}},
    [FIGURE_STREAM_RESETS] = {"leat_stream_resets_total",
                              "Cursors of clients that could not be used.",
                              FIGURE_COUNTER,
                              {"reason"},
                              {0}},
    [FIGURE_STREAM_ENDS] =
        {"leat_stream_ends_total", "Streams ended or refused.", FIGURE_COUNTER, {"reason"}, {0}},
    [FIGURE_DELIVERY] = {"leat_delivery_seconds",
                         "From the time of an event to its writing into a stream that follows.",
                         FIGURE_HISTOGRAM,
                         {NULL},
                         {MS(1), MS(2), MS(5), MS(10), MS(20), MS(50), MS(100), MS(200), MS(500),
                          S(1), S(2), S(5), S(10)}},
    [FIGURE_LOCK_WAIT] = {"leat_write_lock_wait_seconds",
                          "Waiting for the turnstile and the write lock of the database.",
                          FIGURE_HISTOGRAM,
                          {NULL},
                          {50, 100, 200, 500, MS(1), MS(2), MS(5), MS(10), MS(20), MS(50), MS(100),
                           MS(200), MS(500), S(1), S(5)}},
    [FIGURE_CLAIM_WAIT] = {"leat_claim_wait_seconds",
                           "From when a task was due to when a runner claimed it.",
                           FIGURE_HISTOGRAM,
                           {"type"},
                           {MS(2), MS(5), MS(10), MS(20), MS(50), MS(100), MS(200), MS(500), S(1),
                            S(2), S(5), S(10), S(60), S(600), S(3600)}},
    [FIGURE_RUN_TIME] = {"leat_run_seconds",
                         "From the claim of a task to the end of that attempt.",
                         FIGURE_HISTOGRAM,
                         {"type"},
                         {MS(10), MS(50), MS(100), MS(500), S(1), S(2), S(5), S(10), S(30), S(60),
                          S(120), S(300), S(600), S(1800), S(3600)}},
};
static_assert(sizeof figure_about / sizeof *figure_about == FIGURES, "a row for each figure");

/* What is new of one figure with one set of labels: the numbers of a histogram's buckets, of the one
 * without a bound, and its sum; else one number. */
struct cell {
    char *labels[FIGURE_LABELS_MAX];
    int64_t numbers[FIGURE_BOUNDS_MAX + 2];
    bool changed; /* of a gauge: not told yet */
};

struct figures {
    struct cells {
        struct cell *items;
        size_t count;
    } of[FIGURES];
    const char *program; /* NULL: not joined */
    int64_t started_at;
    int64_t process; /* processes.id; 0: not registered yet */
    int live;        /* descriptor of DB.live */
    bool dirty;
    int64_t flush_at;   /* monotonic ms, when dirty */
    int64_t flushed_at; /* the last try */
};

struct figures *figures_new(void)
{
    struct figures *f = mem_alloc(sizeof *f);
    f->live = -1;
    f->flushed_at = INT64_MIN / 2;
    return f;
}

void figures_free(struct figures *f)
{
    if (!f) return;
    for (int i = 0; i < FIGURES; i++) {
        for (size_t k = 0; k < f->of[i].count; k++)
            for (int l = 0; l < FIGURE_LABELS_MAX; l++) free(f->of[i].items[k].labels[l]);
        free(f->of[i].items);
    }
    if (f->live >= 0) close(f->live);
    free(f);
}

/* ---- counting ---- */

static size_t bounds_of(enum figure f)
{
    size_t n = 0;
    while (figure_about[f].bounds[n]) n++;
    return n;
}

static bool has_labels(enum figure f, const struct cell *c, const char *const *labels)
{
    for (int i = 0; figure_about[f].labels[i]; i++)
        if (strcmp(c->labels[i], labels[i]) != 0) return false;
    return true;
}

static struct cell *cell_of(struct figures *f, enum figure figure, const char *const *labels)
{
    struct cells *all = &f->of[figure];
    for (size_t i = 0; i < all->count; i++)
        if (has_labels(figure, &all->items[i], labels)) return &all->items[i];
    all->items = mem_grow(all->items, all->count + 1, sizeof *all->items);
    struct cell *c = &all->items[all->count++];
    *c = (struct cell){0};
    for (int i = 0; figure_about[figure].labels[i]; i++) c->labels[i] = mem_str(labels[i]);
    return c;
}

static void soil(struct figures *f)
{
    if (f->dirty || !f->program) return;
    f->dirty = true;
    f->flush_at = clock_monotonic_ms() + FLUSH_MS;
}

void figures_add(struct db *db, enum figure f, const char *const *labels, int64_t n)
{
    assert(figure_about[f].kind == FIGURE_COUNTER);
    cell_of(db_figures(db), f, labels)->numbers[0] += n;
    soil(db_figures(db));
}

void figures_set(struct db *db, enum figure f, int64_t value)
{
    assert(figure_about[f].kind == FIGURE_GAUGE);
    struct cell *c = cell_of(db_figures(db), f, NULL);
    if (c->numbers[0] == value) return;
    c->numbers[0] = value;
    c->changed = true;
    soil(db_figures(db));
}

void figures_observe(struct db *db, enum figure f, const char *const *labels, int64_t us, int64_t n)
{
    assert(figure_about[f].kind == FIGURE_HISTOGRAM);
    const int64_t *bounds = figure_about[f].bounds;
    struct cell *c = cell_of(db_figures(db), f, labels);
    if (us < 0) us = 0; /* a clock was set */
    size_t i = 0;
    while (bounds[i] && us > bounds[i]) i++;
    c->numbers[i] += n;
    c->numbers[bounds_of(f) + 1] += us * n;
    soil(db_figures(db));
}

/* ---- who lives ---- */

/* The lock of a process: one byte of DB.live. Such locks (fcntl) belong to the process and go with it. */
static struct flock lock_of(int64_t process)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = process, .l_len = 1};
}

static enum err open_live(struct db *db, struct error *e)
{
    struct figures *f = db_figures(db);
    if (f->live >= 0) return ERR_OK;
    struct buf path = {0};
    buf_fmt(&path, "%s.live", db_path(db));
    f->live = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    enum err rc = f->live < 0 ? error_errno(e, ERR_IO, "cannot open %s", path.data) : ERR_OK;
    buf_free(&path);
    return rc;
}

/* Whether a registered process lives; *pid is 0 when that cannot be told from here. */
static bool lives(const struct figures *f, int64_t process, int64_t *pid)
{
    *pid = getpid();
    if (process == f->process) return true;
    struct flock lock = lock_of(process);
    if (fcntl(f->live, F_GETLK, &lock)) return false;
    *pid = lock.l_type != F_UNLCK && lock.l_pid > 0 ? lock.l_pid : 0;
    return lock.l_type != F_UNLCK;
}

/* ---- telling ---- */

static enum err forget_process(struct db *db, int64_t process, struct error *e)
{
    static const enum query queries[] = {Q_FIGURE_DELETE, Q_PROCESS_DELETE};
    enum err rc = ERR_OK;
    for (size_t i = 0; !rc && i < 2; i++) {
        sqlite3_stmt *st = stmt_begin(db, queries[i], e);
        if (!st) return stmt_failed(db);
        stmt_int(st, ":process", process);
        rc = stmt_run(db, st, e);
    }
    return rc;
}

/* Processes as the database has them. */
static enum err read_processes(struct db *db, struct figures_told *out, int64_t **ids,
                               struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_PROCESS_ALL, e);
    if (!st) return stmt_failed(db);
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
        if (!row) break;
        size_t n = out->process_count++;
        out->processes = mem_grow(out->processes, n + 1, sizeof *out->processes);
        *ids = mem_grow(*ids, n + 1, sizeof **ids);
        (*ids)[n] = sqlite3_column_int64(st, 0);
        out->processes[n] = (struct figure_process){.program = stmt_column_text(st, 1),
                                                    .started_at = sqlite3_column_int64(st, 2),
                                                    .resident_bytes = -1};
    }
    stmt_end(st);
    return ERR_OK;
}

/* Removes what the dead left behind. */
static enum err bury(struct db *db, struct error *e)
{
    struct figures_told all = {0};
    int64_t *ids = NULL, pid;
    enum err rc = read_processes(db, &all, &ids, e);
    for (size_t i = 0; !rc && i < all.process_count; i++)
        if (!lives(db_figures(db), ids[i], &pid)) rc = forget_process(db, ids[i], e);
    figures_told_free(&all);
    free(ids);
    return rc;
}

/* Enters the process into the open transaction. It locks before anybody can see its row. */
static enum err enter(struct db *db, struct error *e)
{
    struct figures *f = db_figures(db);
    if (f->process) return ERR_OK;
    enum err rc = open_live(db, e);
    if (!rc) rc = bury(db, e);
    if (rc) return rc;
    sqlite3_stmt *st = stmt_begin(db, Q_PROCESS_ADD, e);
    if (!st) return stmt_failed(db);
    stmt_text(st, ":program", f->program);
    stmt_int(st, ":now", f->started_at);
    if ((rc = stmt_run(db, st, e))) return rc;
    f->process = sqlite3_last_insert_rowid(db_sqlite(db));
    struct flock lock = lock_of(f->process);
    return fcntl(f->live, F_SETLK, &lock) ? error_errno(e, ERR_IO, "cannot lock DB.live") : ERR_OK;
}

static void unenter(struct figures *f)
{
    if (!f->process) return;
    struct flock lock = lock_of(f->process);
    lock.l_type = F_UNLCK;
    fcntl(f->live, F_SETLK, &lock);
    f->process = 0;
}

/* `a="x",b="y"`, escaped as metrics have it. */
static void write_labels(struct buf *out, enum figure f, const struct cell *c)
{
    buf_str(out, "");
    for (int i = 0; figure_about[f].labels[i]; i++) {
        buf_fmt(out, "%s%s=\"", i ? "," : "", figure_about[f].labels[i]);
        for (const char *p = c->labels[i]; *p; p++) {
            if (*p == '"' || *p == '\\') buf_char(out, '\\');
            buf_char(out, (unsigned char)*p < 0x20 ? ' ' : *p);
        }
        buf_char(out, '"');
    }
}

static enum err put(struct db *db, enum figure f, const char *labels, int64_t le, int64_t value,
                    struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_FIGURE_PUT, e);
    if (!st) return stmt_failed(db);
    bool gauge = figure_about[f].kind == FIGURE_GAUGE;
    stmt_text(st, ":name", figure_about[f].name);
    stmt_text(st, ":labels", labels);
    stmt_int(st, ":le", le);
    stmt_int(st, ":process", gauge ? db_figures(db)->process : 0);
    stmt_int(st, ":value", value);
    return stmt_run(db, st, e);
}

static enum err put_cell(struct db *db, enum figure f, const struct cell *c, struct error *e)
{
    struct buf labels = {0};
    enum err rc = ERR_OK;
    size_t n = bounds_of(f);
    write_labels(&labels, f, c);
    if (figure_about[f].kind != FIGURE_HISTOGRAM) {
        if (c->changed || (figure_about[f].kind == FIGURE_COUNTER && c->numbers[0]))
            rc = put(db, f, buf_text(&labels), 0, c->numbers[0], e);
    } else {
        for (size_t i = 0; !rc && i < n + 2; i++) {
            int64_t le = i < n ? figure_about[f].bounds[i] : i == n ? INT64_MAX : -1;
            if (c->numbers[i]) rc = put(db, f, buf_text(&labels), le, c->numbers[i], e);
        }
    }
    buf_free(&labels);
    return rc;
}

/* What was told is no longer new. */
static void clean(struct figures *f)
{
    for (int i = 0; i < FIGURES; i++) {
        for (size_t k = 0; k < f->of[i].count; k++) {
            struct cell *c = &f->of[i].items[k];
            c->changed = false;
            if (figure_about[i].kind != FIGURE_GAUGE) memset(c->numbers, 0, sizeof c->numbers);
        }
    }
    f->dirty = false;
}

/* One transaction: `last` takes leave too. */
static void flush(struct db *db, int64_t patience_ms, bool last)
{
    struct figures *f = db_figures(db);
    struct error e = {0};
    bool entered = f->process != 0;
    f->flushed_at = clock_monotonic_ms();
    f->flush_at = f->flushed_at + FLUSH_MS;
    enum err rc = db_begin_quiet(db, patience_ms, &e);
    if (!rc) {
        if (!last) rc = enter(db, &e);
        for (int i = 0; !rc && i < FIGURES; i++)
            for (size_t k = 0; !rc && k < f->of[i].count; k++)
                if (!last || figure_about[i].kind != FIGURE_GAUGE)
                    rc = put_cell(db, (enum figure)i, &f->of[i].items[k], &e);
        if (!rc && last && f->process) rc = forget_process(db, f->process, &e);
        rc = db_end(db, rc, &e);
    }
    if (!rc)
        clean(f);
    else if (!entered)
        unenter(f);
    if (rc) log_debug("figures are told later", " error=\"%s\"", e.text);
}

void figures_join(struct db *db, const char *program)
{
    struct figures *f = db_figures(db);
    f->program = program;
    f->started_at = clock_wall_ms();
    f->dirty = true;
    f->flush_at = clock_monotonic_ms();
}

bool figures_joined(const struct db *db)
{
    return db_figures(db)->program != NULL;
}

int64_t figures_wait(const struct db *db)
{
    const struct figures *f = db_figures(db);
    if (!f->dirty) return -1;
    int64_t left = f->flush_at - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

void figures_turn(struct db *db)
{
    if (!figures_wait(db)) flush(db, PATIENCE_MS, false);
}

void figures_flush(struct db *db)
{
    const struct figures *f = db_figures(db);
    if (f->dirty && clock_monotonic_ms() - f->flushed_at >= ASKED_MS) flush(db, PATIENCE_MS, false);
}

void figures_leave(struct db *db)
{
    struct figures *f = db_figures(db);
    if (f->process) flush(db, LEAVE_MS, true);
    unenter(f);
    f->program = NULL;
    f->dirty = false;
}

/* ---- reading ---- */

void figures_told_free(struct figures_told *t)
{
    for (size_t i = 0; i < t->value_count; i++) free(t->values[i].labels);
    for (size_t i = 0; i < t->process_count; i++) free(t->processes[i].program);
    free(t->values);
    free(t->processes);
    *t = (struct figures_told){0};
}

/* Memory that a process has in hand, from proc(5). */
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

static bool among(const int64_t *ids, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id) return true;
    return false;
}

static enum err read_values(struct db *db, const int64_t *living, size_t count,
                            struct figures_told *out, struct error *e)
{
    sqlite3_stmt *st = stmt_begin(db, Q_FIGURE_ALL, e);
    if (!st) return stmt_failed(db);
    for (bool row = true;;) {
        enum err rc = stmt_step(db, st, &row, e);
        if (rc) return rc;
        if (!row) break;
        const char *name = (const char *)sqlite3_column_text(st, 0);
        const char *labels = (const char *)sqlite3_column_text(st, 1);
        int64_t le = sqlite3_column_int64(st, 2), process = sqlite3_column_int64(st, 3);
        int64_t value = sqlite3_column_int64(st, 4);
        enum figure f = 0;
        while (f < FIGURES && strcmp(figure_about[f].name, name) != 0) f++;
        if (f == FIGURES || (process && !among(living, count, process))) continue;
        struct figure_value *last = out->value_count ? &out->values[out->value_count - 1] : NULL;
        if (last && last->figure == f && last->le == le && !strcmp(last->labels, labels)) {
            last->value += value;
            continue;
        }
        out->values = mem_grow(out->values, out->value_count + 1, sizeof *out->values);
        out->values[out->value_count++] = (struct figure_value){f, mem_str(labels), le, value};
    }
    stmt_end(st);
    return ERR_OK;
}

enum err figures_read(struct db *db, struct figures_told *out, struct error *e)
{
    const struct figures *f = db_figures(db);
    int64_t *ids = NULL;
    size_t living = 0;
    *out = (struct figures_told){0};
    enum err rc = open_live(db, e);
    if (!rc) rc = read_processes(db, out, &ids, e);
    for (size_t i = 0; !rc && i < out->process_count; i++) {
        struct figure_process p = out->processes[i];
        assert(ids);
        if (!lives(f, ids[i], &p.pid)) {
            free(p.program);
            continue;
        }
        if (p.pid) p.resident_bytes = resident_bytes(p.pid);
        ids[living] = ids[i];
        out->processes[living++] = p;
    }
    if (!rc) {
        out->process_count = living;
        rc = read_values(db, ids, living, out, e);
    }
    free(ids);
    return rc;
}
