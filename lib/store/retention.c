#include "store/retention.h"

#include "base/clock.h"
#include "gen/query.h"
#include "store/credentials.h"
#include "store/inputs.h"
#include "store/tasks.h"
#include "task/task.h"

#include <assert.h>
#include <string.h>

enum {
    STEP_US = 5000,       /* after so long a step begins nothing more */
    EVENTS_AT_ONCE = 200, /* between two looks at the clock */
    ROWS_AT_ONCE = 200,
    TASKS_AT_ONCE = 8,               /* between two looks at the clock, ... */
    EVENT_BYTES_AT_ONCE = 32 * 1024, /* ... unless they have more to say: some 150 events */
    PORTIONS_AT_ONCE = 4,            /* of inputs: a megabyte */
    DAY_MS = 24 * 3600 * 1000,
    WINDOW_MS = 60 * 1000, /* of rates */
    WINDOWS_KEPT = 10,     /* a row in use is updated, not made anew each minute */
};

/* What may go of each kind. */
static struct q_retention_any_in bounds_of(const struct retention *what)
{
    return (struct q_retention_any_in){
        .before = what->before,
        .own = what->own,
        /* Those that this very removal writes stay: somebody is to see them. */
        .events = what->before < what->now ? what->before : what->now,
        .keys = what->now,
        .tickets = what->now - TICKET_REMEMBERED_MS,
        /* One that only slept (a suspended machine) wakes up to the row that it renews. */
        .runners = what->now - INT64_C(7) * DAY_MS,
        .rates = what->now / WINDOW_MS - WINDOWS_KEPT,
        .uploads = what->now - UPLOAD_LEFT_MS,
    };
}

/* ---- one kind of rows after the other ---- */

/* How far a step is. */
struct progress {
    struct db *db;
    const struct retention *what;
    struct q_retention_any_in bounds;
    int64_t began; /* monotonic us */
    bool removed;  /* something, in this step */
    struct retention_step *out;
};

/* Not before something was removed: a machine may be so slow that looking takes all the time. */
static bool time_is_up(const struct progress *p)
{
    if (!p->removed) return false;
    return clock_monotonic_us() - p->began >= STEP_US || txn_wanted(p->db) ||
           (p->what->hurry && p->what->hurry(p->what->arg));
}

/* A DELETE of at most `limit` rows. */
typedef enum err (*remove_query)(struct db *db, int64_t bound, int64_t limit, int64_t *changed,
                                 struct error *e);

/* Runs one with `bound`, again and again. *removed gets how many went. */
static enum err remove_rows(struct progress *p, remove_query query, int64_t bound, int64_t limit,
                            int64_t *removed, struct error *e)
{
    if (bound == TASK_NONE) return ERR_OK;
    for (int64_t n = limit; n == limit;) {
        if (time_is_up(p)) {
            p->out->more = true;
            return ERR_OK;
        }
        enum err rc = query(p->db, bound, limit, &n, e);
        if (rc) return rc;
        *removed += n;
        p->removed |= n > 0;
    }
    return ERR_OK;
}

/* What is left of the logs of tasks that are gone. */
static enum err remove_log_backlog(struct progress *p, struct error *e)
{
    for (;;) {
        int64_t task = 0;
        enum err rc = q_log_backlog_task(p->db, &task, e);
        if (rc || !task) return rc;
        if (time_is_up(p)) {
            p->out->more = true;
            return ERR_OK;
        }
        rc = q_log_backlog_events(p->db, task, EVENTS_AT_ONCE, e);
        if (!rc) rc = q_log_backlog_end(p->db, task, e);
        if (rc) return rc;
        p->removed = true;
    }
}

/* Tasks that are due; their ids are in the step's `gone`. */
struct due_tasks {
    size_t count;
    int64_t ns[RETENTION_TASKS_A_STEP], event_bytes[RETENTION_TASKS_A_STEP];
};

/* At most one step's. */
static enum err find_tasks(struct progress *p, struct due_tasks *due, struct error *e)
{
    due->count = 0;
    struct q_retention_tasks_row row;
    struct q_retention_tasks_cursor c =
        q_retention_tasks(p->db, p->what->before, p->what->own, RETENTION_TASKS_A_STEP, e);
    while (q_retention_tasks_next(&c, &row)) {
        assert(due->count < RETENTION_TASKS_A_STEP);
        due->ns[due->count] = row.n;
        due->event_bytes[due->count] = row.event_bytes;
        memcpy(p->out->gone[due->count++], row.id, sizeof row.id);
    }
    return q_retention_tasks_close(&c);
}

/* How many from the place `at` on go together: at least one. */
static size_t some_of(const struct due_tasks *due, size_t at)
{
    size_t n = 1;
    int64_t bytes = due->event_bytes[at];
    for (; n < TASKS_AT_ONCE && at + n < due->count; n++) {
        bytes += due->event_bytes[at + n];
        if (bytes > EVENT_BYTES_AT_ONCE) break;
    }
    return n;
}

static enum err remove_tasks(struct progress *p, struct error *e)
{
    struct due_tasks due;
    struct retention_step *out = p->out;
    enum err rc = find_tasks(p, &due, e);
    while (!rc && out->gone_count < due.count && !time_is_up(p)) {
        size_t n = some_of(&due, out->gone_count);
        rc = task_remove_some(p->db, due.ns + out->gone_count, n, p->what->now, e);
        if (rc) break;
        out->gone_count += n;
        p->removed = true;
    }
    out->removed.tasks = (int64_t)out->gone_count;
    out->more |= out->gone_count < due.count || due.count == RETENTION_TASKS_A_STEP;
    return rc;
}

static enum err remove_all(struct progress *p, struct error *e)
{
    struct retention_count *removed = &p->out->removed;
    const struct q_retention_any_in *b = &p->bounds;
    int64_t others = 0; /* rows that belong to one that is counted */
    const struct {
        remove_query query;
        int64_t bound, *count;
        int64_t limit;
    } kinds[] = {
        {q_retention_events, b->events, &removed->events, EVENTS_AT_ONCE},
        {q_retention_groups, b->before, &removed->groups, ROWS_AT_ONCE},
        {q_retention_keys, b->keys, &removed->keys, ROWS_AT_ONCE},
        {q_retention_tickets, b->tickets, &removed->tickets, ROWS_AT_ONCE},
        {q_retention_runners, b->runners, &removed->runners, ROWS_AT_ONCE},
        {q_retention_rates, b->rates, &removed->rates, ROWS_AT_ONCE},
        {q_retention_uploads, b->uploads, &others, ROWS_AT_ONCE},
        {q_retention_portions, 0, &others, PORTIONS_AT_ONCE},
        {q_retention_emptied, 0, &removed->uploads, ROWS_AT_ONCE},
    };
    int64_t before = 0, after = 0;
    enum err rc = q_log_deleted(p->db, &before, e);
    if (!rc) rc = remove_log_backlog(p, e);
    if (!rc) rc = remove_tasks(p, e);
    for (size_t i = 0; !rc && i < sizeof kinds / sizeof *kinds; i++)
        rc = remove_rows(p, kinds[i].query, kinds[i].bound, kinds[i].limit, kinds[i].count, e);
    if (!rc) rc = q_log_deleted(p->db, &after, e);
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
    to->uploads += n->uploads;
}

enum err retention_step(struct db *db, const struct retention *what, int64_t wait_ms,
                        struct retention_step *out, struct error *e)
{
    struct progress p = {.db = db, .what = what, .bounds = bounds_of(what), .out = out};
    bool any = false;
    *out = (struct retention_step){0};
    enum err rc = q_retention_any(db, &p.bounds, &any, e);
    if (rc || !any) return rc;

    if ((rc = txn_begin_quiet(db, wait_ms, e))) return rc;
    p.began = clock_monotonic_us();
    rc = remove_all(&p, e);
    rc = txn_end(db, rc, e);
    if (rc) *out = (struct retention_step){0};
    return rc;
}

enum err retention_due(struct db *db, const struct retention *what, struct retention_count *out,
                       struct error *e)
{
    const struct q_retention_any_in bounds = bounds_of(what);
    struct q_retention_due_row row;
    bool found;
    enum err rc = q_retention_due(db, &bounds, &row, &found, e);
    *out = (struct retention_count){
        .tasks = row.tasks,
        .events = row.events,
        .groups = row.groups,
        .keys = row.keys,
        .tickets = row.tickets,
        .runners = row.runners,
        .rates = row.rates,
        .uploads = row.uploads,
    };
    return rc;
}
