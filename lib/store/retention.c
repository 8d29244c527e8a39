#include "store/retention.h"

#include "base/clock.h"
#include "store/stmt.h"
#include "store/tasks.h"
#include "task/task.h"

#include <assert.h>
#include <stdio.h>

enum {
    STEP_MS = 10,         /* after so long a step begins nothing more */
    EVENTS_AT_ONCE = 500, /* between two looks at the clock */
    ROWS_AT_ONCE = 200,
    DAY_MS = 24 * 3600 * 1000,
    TICKET_MS = 3600 * 1000, /* so long an expired ticket stays: whoever shows it is told why */
    WINDOW_MS = 60 * 1000,   /* of rates */
    WINDOWS_KEPT = 10,       /* a row in use is updated, not made anew each minute */
};

/* What may go of each kind, as its statements want it. */
struct bounds {
    int64_t before, events, keys, tickets, runners, rates;
};

static struct bounds bounds_of(const struct retention *what)
{
    return (struct bounds){
        .before = what->before,
        /* Those that this very removal writes stay: somebody is to see them. */
        .events = what->before < what->now ? what->before : what->now,
        .keys = what->now,
        .tickets = what->now - TICKET_MS,
        /* One that only slept (a suspended machine) wakes up to the row that it renews. */
        .runners = what->now - INT64_C(7) * DAY_MS,
        .rates = what->now / WINDOW_MS - WINDOWS_KEPT,
    };
}

static void bind_bounds(sqlite3_stmt *st, const struct bounds *b)
{
    stmt_int(st, ":before", b->before);
    stmt_int(st, ":events", b->events);
    stmt_int(st, ":keys", b->keys);
    stmt_int(st, ":tickets", b->tickets);
    stmt_int(st, ":runners", b->runners);
    stmt_int(st, ":rates", b->rates);
}

/* ---- one kind of rows after the other ---- */

/* How far a step is. */
struct progress {
    struct db *db;
    const struct retention *what;
    struct bounds bounds;
    int64_t until; /* monotonic us */
    struct retention_step *out;
};

static bool time_is_up(const struct progress *p)
{
    return clock_monotonic_us() >= p->until;
}

/* Events that were ever deleted: triggers delete some, which no statement counts. */
static enum err count_deleted(struct db *db, int64_t *count, struct error *e)
{
    int64_t held = 0;
    sqlite3_stmt *st = stmt_begin(db, Q_EVENTS_NEWEST, e);
    enum err rc = st ? stmt_number(db, st, count, e) : stmt_failed(db);
    if (rc) return rc;
    if (!(st = stmt_begin(db, Q_CENSUS_EVENTS, e))) return stmt_failed(db);
    rc = stmt_number(db, st, &held, e);
    *count -= held;
    return rc;
}

/* Runs a DELETE of at most `limit` rows with `bound`, again and again. *removed gets how many went. */
static enum err remove_rows(struct progress *p, enum query query, const char *name, int64_t bound,
                            int64_t limit, int64_t *removed, struct error *e)
{
    if (bound == TASK_NONE) return ERR_OK;
    for (int64_t n = limit; n == limit;) {
        if (time_is_up(p)) {
            p->out->more = true;
            return ERR_OK;
        }
        sqlite3_stmt *st = stmt_begin(p->db, query, e);
        if (!st) return stmt_failed(p->db);
        stmt_int(st, name, bound);
        stmt_int(st, ":limit", limit);
        enum err rc = stmt_run(p->db, st, e);
        if (rc) return rc;
        n = sqlite3_changes(db_sqlite(p->db));
        *removed += n;
    }
    return ERR_OK;
}

/* What is left of the logs of tasks that are gone. */
static enum err remove_remains(struct progress *p, struct error *e)
{
    for (;;) {
        int64_t task = 0, removed = 0;
        sqlite3_stmt *st = stmt_begin(p->db, Q_RETENTION_REMAINS, e);
        enum err rc = st ? stmt_number(p->db, st, &task, e) : stmt_failed(p->db);
        if (rc || !task) return rc;
        rc = remove_rows(p, Q_RETENTION_REMAINS_EVENTS, ":task", task, EVENTS_AT_ONCE, &removed, e);
        if (rc) return rc;
        if (!(st = stmt_begin(p->db, Q_RETENTION_REMAINS_END, e))) return stmt_failed(p->db);
        stmt_int(st, ":task", task);
        if ((rc = stmt_run(p->db, st, e)) || p->out->more) return rc;
    }
}

/* The tasks that are due, at most one step's. */
static enum err find_tasks(struct progress *p, int64_t ns[RETENTION_TASKS_A_STEP], size_t *count,
                           struct error *e)
{
    *count = 0;
    if (p->what->before == TASK_NONE) return ERR_OK;
    sqlite3_stmt *st = stmt_begin(p->db, Q_RETENTION_TASKS, e);
    if (!st) return stmt_failed(p->db);
    stmt_int(st, ":before", p->what->before);
    stmt_int(st, ":limit", RETENTION_TASKS_A_STEP);
    for (bool row = true;;) {
        enum err rc = stmt_step(p->db, st, &row, e);
        if (rc) return rc;
        if (!row) break;
        assert(*count < RETENTION_TASKS_A_STEP);
        ns[*count] = sqlite3_column_int64(st, 0);
        snprintf(p->out->gone[*count], ID_SIZE, "%s", (const char *)sqlite3_column_text(st, 1));
        ++*count;
    }
    stmt_end(st);
    return ERR_OK;
}

static enum err remove_tasks(struct progress *p, struct error *e)
{
    int64_t ns[RETENTION_TASKS_A_STEP];
    size_t count;
    struct retention_step *out = p->out;
    enum err rc = find_tasks(p, ns, &count, e);
    for (size_t i = 0; !rc && i < count; i++) {
        if (time_is_up(p)) break;
        rc = task_remove(p->db, ns[i], p->what->now, e);
        if (!rc) out->gone_count++;
    }
    out->removed.tasks = (int64_t)out->gone_count;
    out->more |= out->gone_count < count || count == RETENTION_TASKS_A_STEP;
    return rc;
}

static enum err remove_all(struct progress *p, struct error *e)
{
    struct retention_count *removed = &p->out->removed;
    const struct bounds *b = &p->bounds;
    const struct {
        enum query query;
        int64_t bound, *count;
        int64_t limit;
    } kinds[] = {
        {Q_RETENTION_EVENTS, b->events, &removed->events, EVENTS_AT_ONCE},
        {Q_RETENTION_GROUPS, b->before, &removed->groups, ROWS_AT_ONCE},
        {Q_RETENTION_KEYS, b->keys, &removed->keys, ROWS_AT_ONCE},
        {Q_RETENTION_TICKETS, b->tickets, &removed->tickets, ROWS_AT_ONCE},
        {Q_RETENTION_RUNNERS, b->runners, &removed->runners, ROWS_AT_ONCE},
        {Q_RETENTION_RATES, b->rates, &removed->rates, ROWS_AT_ONCE},
    };
    int64_t before = 0, after = 0;
    enum err rc = count_deleted(p->db, &before, e);
    if (!rc) rc = remove_remains(p, e);
    if (!rc) rc = remove_tasks(p, e);
    for (size_t i = 0; !rc && i < sizeof kinds / sizeof *kinds; i++)
        rc = remove_rows(p, kinds[i].query, ":before", kinds[i].bound, kinds[i].limit,
                         kinds[i].count, e);
    if (!rc) rc = count_deleted(p->db, &after, e);
    removed->events = after - before;
    return rc;
}

void retention_add(struct retention_count *to, const struct retention_count *n)
{
    to->tasks += n->tasks;
    to->events += n->events;
    to->groups += n->groups;
    to->keys += n->keys;
    to->tickets += n->tickets;
    to->runners += n->runners;
    to->rates += n->rates;
}

enum err retention_step(struct db *db, const struct retention *what, int64_t wait_ms,
                        struct retention_step *out, struct error *e)
{
    struct progress p = {.db = db, .what = what, .bounds = bounds_of(what), .out = out};
    int64_t any = 0;
    *out = (struct retention_step){0};
    sqlite3_stmt *st = stmt_begin(db, Q_RETENTION_ANY, e);
    if (!st) return stmt_failed(db);
    bind_bounds(st, &p.bounds);
    enum err rc = stmt_number(db, st, &any, e);
    if (rc || !any) return rc;

    if ((rc = db_begin_quiet(db, wait_ms, e))) return rc;
    p.until = clock_monotonic_us() + STEP_MS * 1000;
    rc = remove_all(&p, e);
    rc = db_end(db, rc, e);
    if (rc) *out = (struct retention_step){0};
    return rc;
}

enum err retention_due(struct db *db, const struct retention *what, struct retention_count *out,
                       struct error *e)
{
    struct bounds b = bounds_of(what);
    *out = (struct retention_count){0};
    sqlite3_stmt *st = stmt_begin(db, Q_RETENTION_DUE, e);
    if (!st) return stmt_failed(db);
    bind_bounds(st, &b);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    *out = (struct retention_count){
        .tasks = sqlite3_column_int64(st, 0),
        .events = sqlite3_column_int64(st, 1),
        .groups = sqlite3_column_int64(st, 2),
        .keys = sqlite3_column_int64(st, 3),
        .tickets = sqlite3_column_int64(st, 4),
        .runners = sqlite3_column_int64(st, 5),
        .rates = sqlite3_column_int64(st, 6),
    };
    stmt_end(st);
    return ERR_OK;
}
