#include "runner/runner.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "runner/forkserver.h"
#include "runner/process.h"
#include "runner/recover.h"
#include "runner/slot.h"
#include "runner/workdir.h"
#include "store/bell.h"
#include "store/claims.h"
#include "store/db.h"
#include "store/figures.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,         /* a lost ring of the bell is made up for */
    DYING_MS = 50,          /* between two looks at a group that was killed */
    BUSY_PAUSE_MS = 50,     /* after the database was busy (for busy_ms already) */
    FULL_PAUSE_MS = 1000,   /* after it was full or failed */
    SYSTEM_PAUSE_MS = 2000, /* claims nothing after the system refused a process or a file */
    GIVE_UP_MS = 10000,     /* a stopping runner waits so long for a database that fails */
    LOG_PAGES = 4000,       /* of write-ahead log: time for a checkpoint */
    IDLE_LOG_PAGES = 500,   /* the same, when there is nothing else to do ... */
    IDLE_MS = 2000,         /* ... for so long */
};

enum phase {
    CLAIMING,
    DRAINING, /* told to stop: claims nothing more, jobs may finish */
    STOPPING, /* the time for that is up: jobs are stopped */
};

struct runner {
    const struct runner_options *options;
    struct forkserver *forks;
    struct db *db;
    struct bell *bell;
    struct loop *loop;
    struct loop_fd bell_watch;
    char *jobs, *work;
    char place[ID_SIZE];
    int64_t id;
    struct slot_shop shop;
    /* Twice as many slots as workers: those whose job has ended hold it until that is written, and the
     * same transaction claims for others. */
    struct slot **slots;
    size_t slot_count, workers;
    size_t busy;    /* slots that are not free */
    size_t working; /* slots with a job, at most `workers` */
    enum phase phase;

    /* Monotonic ms. */
    int64_t drain_until;
    int64_t renew_at, recover_at;
    int64_t blocked_until;  /* the database takes nothing before; 0: it does */
    int64_t blocked_since;  /* 0: it does not fail */
    int64_t no_claim_until; /* the system refused a process or a file */
    int64_t idle_since;     /* INT64_MAX while something runs or is due */
    int64_t wrote_at;

    bool look;        /* something may have become due */
    bool cancels;     /* something may have been cancelled */
    bool dying;       /* a lost task's processes were killed and may still be there */
    int64_t due;      /* wall-clock ms: when the next task is due, as of the last look */
    int64_t log_mark; /* pages of log at the last checkpoint */
};

static void log_failure(const char *what, const struct error *e)
{
    char text[sizeof e->text];
    log_error(what, " error=\"%s\"", log_quote(text, sizeof text, e->text));
}

/* ---- opening ------------------------------------------------------------------------------------ */

static void bell_rang(void *arg, int events)
{
    (void)events;
    bell_answer(((struct runner *)arg)->bell); /* what is new is found by every turn */
}

/* The jobs folder as an absolute path: jobs work in folders of their own. Links in it stay links, so that
 * a folder may be exchanged by one. */
static enum err find_jobs(char **out, const char *jobs, struct error *e)
{
    struct stat st;
    if (!jobs) return error_set(e, ERR_INVALID, "[runner] jobs is not set: where are the jobs?");
    if (stat(jobs, &st)) return error_errno(e, ERR_INVALID, "[runner] jobs: %s", jobs);
    if (!S_ISDIR(st.st_mode))
        return error_set(e, ERR_INVALID, "[runner] jobs: %s is not a folder", jobs);
    struct buf path = {0};
    char *here = *jobs == '/' ? NULL : getcwd(NULL, 0);
    if (here) buf_fmt(&path, "%s/", here);
    buf_str(&path, jobs);
    free(here);
    *out = path.data;
    return ERR_OK;
}

static int64_t lease_ms(const struct runner *r)
{
    return conf_ms(r->options->conf, CONF_RUNNER_LEASE_SECONDS);
}

static enum err register_self(struct runner *r, struct error *e)
{
    struct process_id self = process_name(getpid());
    int64_t now = clock_wall_ms();
    enum err rc = db_begin(r->db, DB_SYNC_NONE, e);
    if (rc) return rc;
    rc = runner_register(r->db, &self, r->place, now, now + lease_ms(r), &r->id, e);
    if (!rc) return db_commit(r->db, e);
    db_rollback(r->db);
    return rc;
}

static enum err open_all(struct runner *r, struct error *e)
{
    const struct conf *c = r->options->conf;
    const char *path = conf_text(c, CONF_DATABASE_PATH);
    if (!path) return error_set(e, ERR_INVALID, "[database] path is not set");
    enum err rc = find_jobs(&r->jobs, conf_text(c, CONF_RUNNER_JOBS), e);
    if (!rc) rc = forkserver_start(&r->forks, e);
    if (!rc)
        rc = db_open(&r->db,
                     &(struct db_options){.path = path,
                                          .busy_ms = conf_int(c, CONF_DATABASE_BUSY_MS),
                                          .migrate = true},
                     e);
    if (!rc) rc = workdir_root(&r->work, path, e);
    if (!rc) rc = bell_open(&r->bell, path, e);
    if (!rc) rc = loop_open(&r->loop, e);
    if (rc) return rc;
    r->bell_watch = (struct loop_fd){bell_fd(r->bell), LOOP_IN, bell_rang, r};
    if ((rc = loop_add(r->loop, &r->bell_watch, e))) return rc;
    process_place(r->place);
    figures_join(r->db, "leatd");
    return register_self(r, e);
}

enum err runner_open(struct runner **out, const struct runner_options *options, struct error *e)
{
    struct runner *r = mem_alloc(sizeof *r);
    const struct conf *c = options->conf;
    r->options = options;
    r->look = true;
    enum err rc = open_all(r, e);
    if (rc) {
        runner_close(r);
        return rc;
    }
    const char *prefix = conf_text(c, CONF_HTTP_PREFIX);
    r->shop = (struct slot_shop){
        .loop = r->loop,
        .db = r->db,
        .forks = r->forks,
        .own = options->own,
        .jobs = r->jobs,
        .work = r->work,
        .prefix = prefix ? prefix : "",
        .runner = r->id,
        .result_max = conf_int(c, CONF_HTTP_MAX_RESULT_BYTES),
        .inline_max = conf_int(c, CONF_HTTP_INLINE_RESULT_BYTES),
        .progress_rate = conf_int(c, CONF_RUNNER_PROGRESS_PER_SECOND),
        .nofile = options->nofile,
    };
    r->workers = (size_t)conf_int(c, CONF_RUNNER_WORKERS);
    r->slot_count = 2 * r->workers;
    r->slots = mem_alloc(r->slot_count * sizeof(struct slot *));
    for (size_t i = 0; i < r->slot_count; i++) r->slots[i] = slot_new(&r->shop);
    *out = r;
    return ERR_OK;
}

void runner_close(struct runner *r)
{
    if (!r) return;
    for (size_t i = 0; r->slots && i < r->slot_count; i++) {
        slot_abandon(r->slots[i]);
        slot_free(r->slots[i]);
    }
    free(r->slots);
    forkserver_stop(r->forks);
    loop_close(r->loop);
    bell_close(r->bell);
    db_close(r->db);
    free(r->jobs);
    free(r->work);
    free(r);
}

/* ---- what happened ------------------------------------------------------------------------------ */

static void take_signals(struct runner *r, int64_t now)
{
    if (loop_signal(SIGHUP))
        log_info(
            "nothing to reload: a job's conf is read at each start, other settings need a restart",
            " signal=%s", "SIGHUP");
    bool term = loop_signal(SIGTERM), interrupt = loop_signal(SIGINT);
    if (!term && !interrupt) return;
    if (r->phase == CLAIMING) {
        r->phase = DRAINING;
        r->drain_until = now + conf_ms(r->options->conf, CONF_RUNNER_DRAIN_SECONDS);
        log_info("draining", " busy=%zu", r->busy);
    } else {
        r->drain_until = now; /* told twice: no longer */
    }
}

/* Stops the tasks whose cancelling was asked for. */
static void take_cancels(struct runner *r)
{
    if (!r->cancels || !r->busy) return;
    struct running_list list = {0};
    struct error e = {0};
    if (claims_cancelled(r->db, r->id, &list, &e)) {
        log_failure("cannot look for cancelled tasks", &e);
        return;
    }
    r->cancels = false;
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < r->slot_count; k++)
            if (slot_task(r->slots[k]) == list.items[i].claim.n)
                slot_stop(r->slots[k], STOP_CANCEL);
    running_list_free(&list);
}

static void turn_slots(struct runner *r, int64_t now)
{
    bool blocked = now < r->blocked_until;
    if (r->phase == DRAINING && now >= r->drain_until) r->phase = STOPPING;
    for (size_t i = 0; i < r->slot_count; i++) {
        slot_turn(r->slots[i], blocked);
        if (r->phase == STOPPING) slot_stop(r->slots[i], STOP_DRAIN);
    }
}

static void count_slots(struct runner *r)
{
    r->busy = r->working = 0;
    for (size_t i = 0; i < r->slot_count; i++) {
        r->busy += !slot_is_free(r->slots[i]);
        r->working += slot_is_working(r->slots[i]);
    }
}

/* Whether a task is due and there is a place for it. Reads only when something may have changed. */
static bool can_claim(struct runner *r, int64_t now)
{
    if (r->phase != CLAIMING || now < r->no_claim_until || r->working >= r->workers) return false;
    int64_t wall = clock_wall_ms();
    if (r->look) {
        struct error e = {0};
        r->look = false;
        if (claim_next_due(r->db, wall, &r->due, &e)) {
            log_failure("cannot look for work", &e);
            r->due = wall + TICK_MS;
        }
    }
    return r->due <= wall;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Fills free slots with tasks that are due. */
static enum err claim_tasks(struct runner *r, struct error *e)
{
    int64_t now = clock_wall_ms();
    for (size_t i = 0; i < r->slot_count && r->working < r->workers; i++) {
        if (!slot_is_free(r->slots[i])) continue;
        struct task t = {0};
        enum err rc = claim_next(r->db, r->id, now, now + lease_ms(r), &t, e);
        if (rc == ERR_NOTFOUND) break;
        if (rc) return rc;
        slot_claim(r->slots[i], &t);
        r->working++;
        r->look = true;
    }
    /* Nothing, although it was due: another runner has it. Whatever comes changes the database. */
    if (!r->look) r->due = now + TICK_MS;
    return ERR_OK;
}

/* All that is new into the open transaction. *culprit: the slot at which it failed, if it was one. */
static enum err write_all(struct runner *r, bool renew, bool claim, struct slot **culprit,
                          struct error *e)
{
    enum err rc = ERR_OK;
    int64_t wall = clock_wall_ms();
    if (renew) rc = runner_renew(r->db, r->id, wall + lease_ms(r), wall + lease_ms(r), e);
    for (size_t i = 0; !rc && i < r->slot_count; i++) {
        struct slot *s = r->slots[i];
        if (!slot_has_news(s)) continue;
        rc = slot_write(s, e);
        if (rc == ERR_FENCED) {
            slot_fence(s);
            rc = ERR_OK;
        } else if (rc) {
            *culprit = s;
        }
    }
    return rc || !claim ? rc : claim_tasks(r, e);
}

/* After a failure: whether to try again, and when. */
static enum err take_failure(struct runner *r, enum err rc, struct slot *culprit, int64_t now,
                             const struct error *e)
{
    int64_t pause = FULL_PAUSE_MS;
    switch (rc) {
    case ERR_BUSY: pause = BUSY_PAUSE_MS; break;
    case ERR_FULL:
    case ERR_IO: break;
    case ERR_STATE:
    case ERR_INVALID:
    case ERR_INTERNAL:
    case ERR_NOTFOUND:
        if (!culprit || !slot_refuse(culprit)) return rc;
        pause = 0;
        break;
    default: return rc;
    }
    if (!r->blocked_since || rc != ERR_BUSY) log_failure("cannot write, trying again", e);
    if (!r->blocked_since) r->blocked_since = now;
    r->blocked_until = pause ? now + pause : 0;
    return ERR_OK;
}

/* One transaction for all that this turn brought. */
static enum err write_turn(struct runner *r, int64_t now, struct error *e)
{
    if (now < r->blocked_until) return ERR_OK;
    bool renew = now >= r->renew_at, claim = can_claim(r, now), news = false, ends = false;
    for (size_t i = 0; i < r->slot_count; i++) {
        news |= slot_has_news(r->slots[i]);
        ends |= slot_has_end(r->slots[i]);
    }
    if (!renew && !claim && !news) return ERR_OK;

    struct slot *culprit = NULL;
    enum err rc = db_begin(r->db, ends ? DB_SYNC_BEFORE : DB_SYNC_NONE, e);
    if (!rc) {
        rc = write_all(r, renew, claim, &culprit, e);
        if (rc)
            db_rollback(r->db);
        else
            rc = db_commit(r->db, e);
    }
    bool committed = !rc;
    if (rc) rc = take_failure(r, rc, culprit, now, e);

    for (size_t i = 0; i < r->slot_count; i++) {
        struct slot *s = r->slots[i];
        struct error why = {0};
        if (!committed) {
            slot_unclaim(s);
        } else if (slot_has_news(s)) {
            slot_written(s);
        } else if (slot_start(s, &why)) {
            log_failure("cannot start a job", &why);
            r->no_claim_until = now + SYSTEM_PAUSE_MS;
            r->look = true;
        }
    }
    if (!committed) return rc;
    r->blocked_until = r->blocked_since = 0;
    r->wrote_at = now;
    if (renew) r->renew_at = now + lease_ms(r) / 3;
    if (ends) r->look = true;
    return ERR_OK;
}

static void checkpoint(struct runner *r, int64_t now)
{
    int64_t pages = db_wal_pages(r->db);
    if (pages < r->log_mark) r->log_mark = 0; /* the log began anew */
    pages -= r->log_mark;
    if (pages <= LOG_PAGES && (pages <= IDLE_LOG_PAGES || now - r->wrote_at < IDLE_MS)) return;
    struct error e = {0};
    if (db_checkpoint(r->db, &e)) log_failure("cannot checkpoint", &e);
    r->log_mark = db_wal_pages(r->db);
}

static enum err rescue(struct runner *r, int64_t now, struct error *e)
{
    if (now < r->recover_at || r->phase != CLAIMING) return ERR_OK;
    const struct rescuer who = {r->db, r->id, r->place, r->jobs, r->work};
    bool first = !r->recover_at;
    enum err rc = recover_lost(&who, &r->dying, e);
    r->look = true;
    r->recover_at = now + (r->dying ? DYING_MS : rc ? FULL_PAUSE_MS : lease_ms(r) / 3);
    if (first) recover_folders(&who);
    if (rc == ERR_UNSYNCED) return rc;
    if (rc) log_failure("cannot recover tasks", e);
    return ERR_OK;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

/* Whether it is time to go. */
static bool done(struct runner *r, int64_t now)
{
    if (r->phase != CLAIMING) return !r->busy;
    bool idle = !r->busy && !r->look && !r->dying && r->due > clock_wall_ms();
    if (!idle)
        r->idle_since = INT64_MAX;
    else if (r->idle_since == INT64_MAX)
        r->idle_since = now;
    if (!idle) return false;
    return r->options->once ||
           (r->options->idle_exit_ms >= 0 && now - r->idle_since >= r->options->idle_exit_ms);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long nothing needs to be done unless something happens. */
static int64_t wait_ms(const struct runner *r, int64_t now)
{
    int64_t at = now + TICK_MS;
    bool blocked = now < r->blocked_until;
    for (size_t i = 0; i < r->slot_count; i++) {
        int64_t deadline = slot_deadline(r->slots[i]);
        if (deadline > now || !blocked) at = earlier(at, deadline);
        if (slot_has_news(r->slots[i]) && !blocked) return 0;
    }
    at = earlier(at, blocked ? r->blocked_until : r->renew_at);
    if (r->phase == CLAIMING) at = earlier(at, r->recover_at);
    if (r->phase == DRAINING) at = earlier(at, r->drain_until);
    if (r->phase == CLAIMING && r->working < r->workers && !blocked) {
        if (r->due != INT64_MAX)
            at = earlier(at, r->no_claim_until > now ? r->no_claim_until
                                                     : now + r->due - clock_wall_ms());
        if (r->look && now >= r->no_claim_until) return 0;
    }
    if (r->options->idle_exit_ms >= 0 && r->idle_since != INT64_MAX)
        at = earlier(at, r->idle_since + r->options->idle_exit_ms);
    return at > now ? at - now : 0;
}

static void leave(struct runner *r)
{
    struct error e = {0};
    if (db_begin(r->db, DB_SYNC_NONE, &e)) return; /* the lease ends by itself */
    if (runner_leave(r->db, r->id, clock_wall_ms(), &e))
        db_rollback(r->db);
    else
        db_commit(r->db, &e);
}

enum err runner_run(struct runner *r, struct error *e)
{
    r->renew_at = clock_monotonic_ms() + lease_ms(r) / 3;
    r->idle_since = INT64_MAX;
    char jobs[256];
    log_info("runner_start", " runner=%lld workers=%zu jobs=\"%s\"", (long long)r->id, r->workers,
             log_quote(jobs, sizeof jobs, r->jobs));
    for (;;) {
        int64_t now = clock_monotonic_ms();
        take_signals(r, now);
        loop_signal(SIGCHLD); /* the slots look for themselves */
        enum err rc = rescue(r, now, e);
        if (rc) return rc;
        bool changed = db_changed(r->db);
        r->look |= changed;
        r->cancels |= changed;
        turn_slots(r, now);
        take_cancels(r);
        count_slots(r);
        if ((rc = write_turn(r, now, e))) return rc;
        count_slots(r);
        if (done(r, now)) break;
        if (r->phase != CLAIMING && r->blocked_since && now - r->blocked_since > GIVE_UP_MS)
            return error_set(e, ERR_IO, "the database cannot be written; stopping without it");
        checkpoint(r, now);
        if (now >= r->blocked_until) figures_turn(r->db);
        if (!db_idle(r->db))
            log_error("a statement is left open", " runner=%lld", (long long)r->id);
        if ((rc = loop_wait(r->loop, wait_ms(r, clock_monotonic_ms()), e))) return rc;
    }
    leave(r);
    log_info("runner_stop", " runner=%lld", (long long)r->id);
    return ERR_OK;
}
