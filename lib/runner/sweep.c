#include "runner/sweep.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/files.h"
#include "task/task.h"

enum {
    PATIENCE_MS = 20,      /* a step waits so long for its turn */
    PAUSE_MS = 20,         /* between two steps, at least, ... */
    PAUSE_FACTOR = 3,      /* ... and so many times what the last one took */
    BUSY_MS = 200,         /* before another try when the database was busy */
    FAILED_MS = 10000,     /* the same when it failed */
    OFTEN_MS = 1000,       /* between two looks when tasks are kept for seconds, ... */
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
static void walk_files(struct sweep *s, struct db *db, int64_t now)
{
    struct error e = {0};
    bool more;
    if (now < s->files_at) return;
    enum err rc = files_sweep(db, &s->files, PATIENCE_MS, &more, &e);
    if (rc && rc != ERR_BUSY) {
        char text[sizeof e.text];
        log_warn("cannot look after files", " error=\"%s\"", log_quote(text, sizeof text, e.text));
    }
    if (rc || more) {
        s->files_at = now + (rc ? FAILED_MS : PAUSE_MS);
        if (s->at > s->files_at) s->at = s->files_at;
        return;
    }
    if (s->files.removed) log_info("files_removed", " folders=%zu", s->files.removed);
    s->files.removed = 0;
    s->files_at = now + FILES_MS;
}

void sweep_end(struct sweep *s)
{
    files_sweep_end(&s->files);
}

void sweep_turn(struct sweep *s, struct db *db, int64_t retain_ms, int64_t now)
{
    if (now < s->at) return;
    int64_t wall = clock_wall_ms(), began = clock_monotonic_ms();
    struct retention what = {.before = retain_ms ? wall - retain_ms : TASK_NONE, .now = wall};
    struct retention_step step;
    struct error e = {0};
    enum err rc = retention_step(db, &what, PATIENCE_MS, &step, &e);
    for (size_t i = 0; i < step.gone_count; i++) files_remove(db, step.gone[i]);
    int64_t ended = clock_monotonic_ms(), pause = (ended - began) * PAUSE_FACTOR;
    if (rc) {
        char text[sizeof e.text];
        s->more = false;
        s->at = ended + (rc == ERR_BUSY ? BUSY_MS : FAILED_MS);
        if (rc != ERR_BUSY)
            log_warn("cannot remove what is old", " error=\"%s\"",
                     log_quote(text, sizeof text, e.text));
        return;
    }
    retention_add(&s->removed, &step.removed);
    s->more = step.more;
    if (step.more) {
        s->at = ended + (pause > PAUSE_MS ? pause : PAUSE_MS);
        return;
    }
    s->at = ended + interval(retain_ms);
    tell(&s->removed);
    s->removed = (struct retention_count){0};
    walk_files(s, db, ended);
}
