#include "runner/retention_timer.h"

#include "base/clock.h"
#include "base/log.h"
#include "ops/retain.h"
#include "store/files.h"
#include "task/task.h"

enum {
    PATIENCE_MS = 20,  /* a step waits so long for its turn */
    PAUSE_MS = 5,      /* between two steps, at least, ... */
    PAUSE_FACTOR = 3,  /* ... and so many times what the last one took, ... */
    BEHIND_STEPS = 50, /* ... but once, where so many were not enough, ... */
    FAR_BEHIND = 200,  /* ... and only for who waits to write, behind so many */
    FOLDERS_MS = 5,    /* after so long no more folders of files are removed at once */
    SHORT_PAUSE_MS = 1,
    STUCK_LOG_MS = 1000, /* one step in so long while no checkpoint gets through */
    BUSY_MS = 200,       /* before another try when the database was busy */
    FAILED_MS = 10000,   /* the same when it failed */
    OFTEN_MS = 1000, /* between two looks when tasks are kept for seconds or others commit, ... */
    SELDOM_MS = 60 * 1000, /* ... and when they are kept for long */
    FILES_MS = 3600 * 1000 /* between two walks through the folders of files */
};

/* How often it is worth looking: what is old goes within a tenth of its age. */
static int64_t interval(int64_t retain_ms)
{
    int64_t tenth = retain_ms / 10;
    if (!retain_ms || tenth > SELDOM_MS) return SELDOM_MS;
    return tenth > OFTEN_MS ? tenth : OFTEN_MS;
}

static void tell(const struct retention_count *n)
{
    if (!n->tasks && !n->events && !n->groups) return; /* the rest is of no interest */
    log_info("retention", " tasks=%lld events=%lld groups=%lld", (long long)n->tasks,
             (long long)n->events, (long long)n->groups);
}

/* Folders that belong to no task: of runners that were killed, and of those who could not remove them. */
static void walk_files(void *arg)
{
    struct retention_timer *t = arg;
    struct error e = {0};
    bool more;
    enum err rc = files_sweep(t->db, &t->orphans, PATIENCE_MS, &more, &e);
    int64_t now = clock_monotonic_ms();
    if (rc && rc != ERR_BUSY) log_failure(LOG_LEVEL_WARN, "cannot look after files", &e);
    if (!rc && !more && t->orphans.removed)
        log_info("files_removed", " folders=%zu", t->orphans.removed);
    if (!rc && !more) t->orphans.removed = 0;
    loop_timer_set(t->loop, &t->files, now + (rc ? FAILED_MS : more ? PAUSE_MS : FILES_MS));
}

static bool hurry(void *arg)
{
    return loop_is_due(arg);
}

/* One step. Where the types cannot be read no task goes: one of them may say that it stays. */
static enum err take_step(struct retention_timer *t, struct retention_step *out, struct error *e)
{
    struct buf own = {0};
    int64_t wall = clock_wall_ms();
    struct retention what = {.before = TASK_NONE, .now = wall, .hurry = hurry, .arg = t->loop};
    if (!job_types_refresh(t->types, NULL)) {
        retain_own(&own, t->types, wall);
        what.own = own.data;
        if (t->retain_ms) what.before = wall - t->retain_ms;
    }
    enum err rc = retention_step(t->db, &what, PATIENCE_MS, out, e);
    buf_free(&own);
    return rc;
}

/* How long to pause after a step that was not the last and took `took` ms. */
static int64_t pause_after(const struct retention_timer *t, int64_t took)
{
    if (db_log_is_stuck(t->db)) return STUCK_LOG_MS;
    if (t->steps > FAR_BEHIND) return txn_wanted(t->db) ? SHORT_PAUSE_MS : 0;
    int64_t pause = t->steps > BEHIND_STEPS ? took : took * PAUSE_FACTOR;
    return pause > PAUSE_MS ? pause : PAUSE_MS;
}

/* When nothing is left to remove: a little of the space that it took. What was given back is cut off the file by a
 * checkpoint. */
static enum err give_back(struct retention_timer *t, bool *more, struct error *e)
{
    enum err rc = db_give_back(t->db, PATIENCE_MS, more, e);
    if (!rc && !*more && t->gave_back) rc = db_checkpoint(t->db, e);
    if (!rc) t->gave_back = *more;
    return rc;
}

/* Removes folders of the tasks that are gone, for some ms: a folder may hold many files, and large ones. Whether all
 * are removed. */
static bool remove_folders(struct retention_timer *t)
{
    int64_t until = clock_monotonic_ms() + FOLDERS_MS;
    while (t->folders < t->last.gone_count) {
        files_remove(t->db, t->last.gone[t->folders++]);
        if (loop_is_due(t->loop) || clock_monotonic_ms() >= until) break;
    }
    return t->folders == t->last.gone_count;
}

static void remove_some(void *arg)
{
    struct retention_timer *t = arg;
    int64_t began = clock_monotonic_ms();
    if (!remove_folders(t)) {
        loop_timer_set(t->loop, &t->step, clock_monotonic_ms() + SHORT_PAUSE_MS);
        return;
    }
    struct retention_step *step = &t->last;
    struct error e = {0};
    enum err rc = take_step(t, step, &e);
    t->folders = 0;
    if (!remove_folders(t)) step->more = true;
    retention_add(&t->removed, &step->removed);
    if (!rc && !step->more) rc = give_back(t, &step->more, &e);
    if (!rc) t->steps = step->more ? t->steps + 1 : 0;
    int64_t ended = clock_monotonic_ms();
    int64_t pause = pause_after(t, ended - began);
    if (rc && rc != ERR_BUSY) log_failure(LOG_LEVEL_WARN, "cannot remove what is old", &e);
    t->more = !rc && step->more && !db_log_is_stuck(t->db);
    if (rc) {
        pause = rc == ERR_BUSY ? BUSY_MS : FAILED_MS;
    } else if (!step->more) {
        pause = interval(retain_shortest(t->types, t->retain_ms));
    }
    loop_timer_set(t->loop, &t->step, ended + pause);
    if (rc || step->more) return;
    tell(&t->removed);
    t->removed = (struct retention_count){0};
    if (!loop_timer_is_set(&t->files)) loop_timer_set(t->loop, &t->files, ended);
}

void retention_timer_open(struct retention_timer *t, struct loop *loop, struct db *db,
                          struct job_types *types, int64_t retain_ms)
{
    *t = (struct retention_timer){
        .loop = loop,
        .db = db,
        .types = types,
        .more = true,
        .step = {.fire = remove_some, .arg = t},
        .files = {.fire = walk_files, .arg = t},
    };
    retention_timer_retain(t, retain_ms);
}

void retention_timer_retain(struct retention_timer *t, int64_t retain_ms)
{
    t->retain_ms = retain_ms;
    loop_timer_set(t->loop, &t->step, clock_monotonic_ms());
}

void retention_timer_soon(struct retention_timer *t)
{
    int64_t soon = clock_monotonic_ms() + OFTEN_MS;
    if (t->loop && loop_timer_is_set(&t->step) && t->step.at > soon)
        loop_timer_set(t->loop, &t->step, soon);
}

static void postpone(struct loop *loop, struct loop_timer *t, int64_t until_ms)
{
    if (loop_timer_is_set(t) && t->at < until_ms) loop_timer_set(loop, t, until_ms);
}

void retention_timer_postpone(struct retention_timer *t, int64_t until_ms)
{
    if (!t->loop) return;
    postpone(t->loop, &t->step, until_ms);
    postpone(t->loop, &t->files, until_ms);
}

void retention_timer_close(struct retention_timer *t)
{
    if (!t->loop) return;
    loop_timer_stop(t->loop, &t->step);
    loop_timer_stop(t->loop, &t->files);
    files_sweep_end(&t->orphans);
    t->loop = NULL;
}
