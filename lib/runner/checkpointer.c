#include "runner/checkpointer.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    LOG_PAGES = 4000,             /* of log: time for a checkpoint */
    LOG_BYTES = LOG_PAGES * 4096, /* a shorter file cannot hold so many */
    IDLE_LOG_PAGES = 500,         /* the same, when there is nothing else to do ... */
    IDLE_MS = 2000,               /* ... for so long */
    RECENT_MS = 100,              /* after so long without a commit of ours nobody has told us */
    LOOK_PAGES = 1000,            /* of others at once: who commits meanwhile waits for them */
    LOOK_MIN_MS = 30,             /* between two looks, ... */
    LOOK_MAX_MS = 250,            /* ... by how fast it grows, ... */
    LOOK_FACTOR = 8,              /* ... and at least so many times what the last checkpoint took */
};

/* Pages since the last checkpoint, as the last commit of ours has told. */
static int64_t pages(struct checkpointer *c)
{
    int64_t now = db_wal_pages(c->db);
    if (now < c->mark) c->mark = 0; /* the log began anew */
    return now - c->mark;
}

/* When others will have made it longer by LOOK_PAGES, if it goes on growing like this. `took`: the checkpoint, ms. */
static int64_t next_look(const struct checkpointer *c, int64_t now, int64_t took)
{
    int64_t found = db_wal_found(c->db), since = now - c->at, least = took * LOOK_FACTOR;
    if (since > LOOK_MAX_MS) since = LOOK_MAX_MS;
    if (least < LOOK_MIN_MS) least = LOOK_MIN_MS;
    int64_t wait = found > 0 ? since * LOOK_PAGES / found : LOOK_MAX_MS;
    if (wait < least) wait = least;
    return now + (wait > LOOK_MAX_MS ? LOOK_MAX_MS : wait);
}

static void checkpoint(void *arg)
{
    struct checkpointer *c = arg;
    struct error e = {0};
    int64_t began = clock_monotonic_ms();
    if (db_checkpoint(c->db, &e)) log_failure(LOG_LEVEL_ERROR, "cannot checkpoint", &e);
    int64_t now = clock_monotonic_ms();
    c->mark = db_wal_pages(c->db);
    loop_timer_set(c->loop, &c->look, next_look(c, now, now - began));
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

void checkpointer_committed(struct checkpointer *c)
{
    int64_t now = clock_monotonic_ms();
    loop_timer_set(c->loop, &c->idle, now + IDLE_MS);
    loop_timer_set(c->loop, &c->recent, now + RECENT_MS);
    if (pages(c) > LOG_PAGES) loop_timer_set(c->loop, &c->due, now);
}

void checkpointer_noticed(struct checkpointer *c)
{
    c->foreign = true;
    look(c);
}
