#include "runner/claimer.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/claims.h"

enum {
    RETRY_MS = 1000, /* after it could not look, or found that another runner was faster */
    PAUSE_MS = 2000, /* after the system refused a process or a file */
    WARM_MS = 1000,  /* children are kept ready for so long after a claim */
};

static void look(void *arg)
{
    claimer_look(arg);
}

static void wake(void *arg)
{
    (void)arg; /* the turn that follows does it */
}

void claimer_open(struct claimer *c, struct loop *loop, struct db *db, struct forkserver *forks,
                  struct job_types *types, struct broken_types *broken)
{
    *c = (struct claimer){
        .loop = loop,
        .db = db,
        .forks = forks,
        .types = types,
        .broken = broken,
        .look = true,
        .due_at = INT64_MAX,
        .spares = 1,
        .due = {.fire = look, .arg = c},
        .pause = {.fire = look, .arg = c},
        .warm = {.fire = wake, .arg = c},
    };
}

void claimer_close(struct claimer *c)
{
    bounds_free(&c->bounds);
    if (!c->loop) return;
    loop_timer_stop(c->loop, &c->due);
    loop_timer_stop(c->loop, &c->pause);
    loop_timer_stop(c->loop, &c->warm);
}

void claimer_look(struct claimer *c)
{
    c->look = true;
}

/* The next task is due then (wall-clock ms). */
static void set_due(struct claimer *c, int64_t due_at, int64_t wall)
{
    c->due_at = due_at;
    if (due_at == INT64_MAX || due_at <= wall)
        loop_timer_stop(c->loop, &c->due);
    else
        loop_timer_set(c->loop, &c->due, clock_monotonic_ms() + due_at - wall);
}

/* Looks up when the next task is due. */
static void find_due(struct claimer *c, int64_t wall)
{
    struct error e = {0};
    int64_t due_at = INT64_MAX;
    c->look = false;
    if (claim_next_due(c->db, wall, bounds_json(&c->bounds), &due_at, &e)) {
        log_failure(LOG_LEVEL_ERROR, "cannot look for work", &e);
        due_at = wall + RETRY_MS;
    }
    set_due(c, due_at, wall);
}

bool claimer_can_claim(struct claimer *c)
{
    if (loop_timer_is_set(&c->pause)) return false;
    int64_t wall = clock_wall_ms();
    if (c->look) find_due(c, wall);
    if (c->due_at > wall || !forkserver_ready(c->forks)) return false;
    job_types_refresh(c->types,
                      NULL); /* a folder that cannot be read is told when the job is started */
    return true;
}

bool claimer_is_pending(const struct claimer *c)
{
    if (loop_timer_is_set(&c->pause)) return false;
    return c->look || (c->due_at <= clock_wall_ms() && forkserver_ready(c->forks));
}

bool claimer_is_idle(const struct claimer *c)
{
    return !c->look && c->due_at > clock_wall_ms();
}

void claimer_release(struct claimer *c, const char *type)
{
    bounds_set(&c->bounds, type, 0); /* may_run finds out what it is now */
    c->look = true;
}

/* Whether one more of the type may run. One that is broken may once its tasks have waited long enough:
 * starting it says why it cannot. */
static bool may_run(void *arg, const char *name, int64_t running, const char **bounds)
{
    struct claimer *c = arg;
    const struct jobtype *type = NULL;
    bool held = broken_types_hold(c->broken, name);
    int64_t most = job_types_find(c->types, name, &type, NULL) ? 0 : type->concurrency;
    bounds_set(&c->bounds, name, held ? BOUNDS_HELD : most);
    *bounds = bounds_json(&c->bounds);
    return !held && (!most || running < most);
}

enum err claimer_claim(struct claimer *c, int64_t runner, int64_t lease_until, size_t workers,
                       struct task *t, struct child *child, struct error *e)
{
    if (!forkserver_ready(c->forks)) {
        /* They are used up faster than so many are made. */
        if (c->spares < workers) c->spares *= 2;
        return error_set(e, ERR_NOTFOUND, "no child is ready");
    }
    enum err rc = forkserver_take(c->forks, child, e);
    if (rc) return rc;
    const struct claim_wish wish = {
        .runner = runner,
        .now = clock_wall_ms(),
        .lease_until = lease_until,
        .child = child->id,
        .bounds = bounds_json(&c->bounds),
        .may = may_run,
        .arg = c,
    };
    rc = claim_next(c->db, &wish, t, e);
    if (rc)
        forkserver_give(c->forks, child);
    else
        c->look = true;
    return rc;
}

void claimer_claimed(struct claimer *c)
{
    int64_t wall = clock_wall_ms();
    if (!c->look) set_due(c, wall + RETRY_MS, wall);
    loop_timer_set(c->loop, &c->warm, clock_monotonic_ms() + WARM_MS);
}

void claimer_pause(struct claimer *c, const struct error *e)
{
    log_failure(LOG_LEVEL_ERROR, "cannot start a job", e);
    loop_timer_set(c->loop, &c->pause, clock_monotonic_ms() + PAUSE_MS);
    c->look = true;
}

bool claimer_is_warm(const struct claimer *c)
{
    return loop_timer_is_set(&c->warm);
}

void claimer_prepare(struct claimer *c, bool claiming)
{
    bool wanted = claiming && !loop_timer_is_set(&c->pause) &&
                  (c->due_at <= clock_wall_ms() || loop_timer_is_set(&c->warm));
    if (!wanted) c->spares = 1;
    struct error e = {0};
    if (forkserver_want(c->forks, wanted ? c->spares : 0, &e)) claimer_pause(c, &e);
}
