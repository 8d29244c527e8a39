#include "runner/checkpointer.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    LOG_PAGES = 4000,             /* of log: time for a checkpoint */
    LOG_BYTES = LOG_PAGES * 4096, /* a shorter file cannot hold so many */
    IDLE_LOG_PAGES = 500,         /* the same, when there is nothing else to do ... */
    IDLE_MS = 2000,               /* ... for so long */
    RECENT_MS = 100,              /* after so long without a commit of ours nobody has told us */
    HOLD_US = 1500,               /* a checkpoint may take: who commits meanwhile waits for it */
    LOOK_MIN_MS = 15,             /* between two looks, ... */
    LOOK_MAX_MS = 250,            /* ... by what the last checkpoint took, ... */
    LOOK_FACTOR = 4,              /* ... and at least so many times as long */
    AGAIN_MS = 500,               /* before another try where a reader kept the log long, ... */
    FAILED_MS = 10000,            /* ... or where it failed: a full disk stays so for long */
};

/* Pages since the last checkpoint, as the last commit of ours has told. */
static int64_t pages(struct checkpointer *c)
{
    int64_t now = db_wal_pages(c->db);
    if (now < c->mark) c->mark = 0; /* the log began anew */
    return now - c->mark;
}

/* When a checkpoint will take HOLD_US, if others go on like this; the last one took so long. */
static int64_t next_look(const struct checkpointer *c, int64_t now, int64_t took_us)
{
    int64_t since = now - c->at, least = took_us * LOOK_FACTOR / 1000;
    if (since > LOOK_MAX_MS) since = LOOK_MAX_MS;
    if (least < LOOK_MIN_MS) least = LOOK_MIN_MS;
    int64_t wait = took_us > 0 ? since * HOLD_US / took_us : LOOK_MAX_MS;
    if (wait < least) wait = least;
    return now + (wait > LOOK_MAX_MS ? LOOK_MAX_MS : wait);
}

static void checkpoint(void *arg)
{
    struct checkpointer *c = arg;
    struct error e = {0};
    int64_t began = clock_monotonic_us();
    bool failed = db_checkpoint(c->db, &e);
    if (failed) log_failure(LOG_LEVEL_ERROR, "cannot checkpoint", &e);
    int64_t now = clock_monotonic_ms(), took = clock_monotonic_us() - began;
    c->mark = db_wal_pages(c->db);
    if (c->mark > LOG_PAGES)
        loop_timer_set(c->loop, &c->due, now + (failed ? FAILED_MS : AGAIN_MS));
    loop_timer_set(c->loop, &c->look, next_look(c, now, took));
    c->at = now;
    c->foreign = false;
}

static void be_idle(void *arg)
{
    struct checkpointer *c = arg;
    if (pages(c) > IDLE_LOG_PAGES) checkpoint(c);
}

/* Whether others have made the log long while no commit of ours would have told. */
static void look(void *arg)
{
    struct checkpointer *c = arg;
    int64_t database, log;
    if (!c->foreign || loop_timer_is_set(&c->recent) || loop_timer_is_set(&c->look)) return;
    db_bytes(c->db, &database, &log);
    if (log > LOG_BYTES) checkpoint(c);
}

void checkpointer_open(struct checkpointer *c, struct loop *loop, struct db *db)
{
    *c = (struct checkpointer){
        .loop = loop,
        .db = db,
        .at = clock_monotonic_ms(),
        .due = {.fire = checkpoint, .arg = c},
        .idle = {.fire = be_idle, .arg = c},
        .recent = {.fire = look, .arg = c},
        .look = {.fire = look, .arg = c},
    };
}

void checkpointer_close(struct checkpointer *c)
{
    if (!c->loop) return;
    loop_timer_stop(c->loop, &c->due);
    loop_timer_stop(c->loop, &c->idle);
    loop_timer_stop(c->loop, &c->recent);
    loop_timer_stop(c->loop, &c->look);
}

void checkpointer_turn(struct checkpointer *c)
{
    int64_t now = clock_monotonic_ms(), log = db_wal_pages(c->db);
    if (log == c->seen) return;
    c->seen = log;
    loop_timer_set(c->loop, &c->idle, now + IDLE_MS);
    loop_timer_set(c->loop, &c->recent, now + RECENT_MS);
    if (pages(c) > LOG_PAGES) loop_timer_set(c->loop, &c->due, now);
}

void checkpointer_noticed(struct checkpointer *c)
{
    c->foreign = true;
    look(c);
}
