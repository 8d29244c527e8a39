#include "runner/runner.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "runner/bounds.h"
#include "runner/forkserver.h"
#include "runner/notify.h"
#include "runner/process.h"
#include "runner/recover.h"
#include "runner/reload.h"
#include "runner/slot.h"
#include "runner/sweep.h"
#include "runner/workdir.h"
#include "store/bell.h"
#include "store/claims.h"
#include "store/db.h"
#include "store/figures.h"
#include "store/files.h"
#include "store/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,               /* a lost ring of the bell is made up for */
    DYING_MS = 50,                /* between two looks at a group that was killed */
    BUSY_PAUSE_MS = 50,           /* after the database was busy (for busy_ms already) */
    FULL_PAUSE_MS = 1000,         /* after it was full or failed */
    SYSTEM_PAUSE_MS = 2000,       /* claims nothing after the system refused a process or a file */
    CLOCK_JUMP_MS = 1000,         /* a clock that moved so far beside the other was set */
    GIVE_UP_MS = 10000,           /* a stopping runner waits so long for a database that fails */
    LOG_PAGES = 4000,             /* of write-ahead log: time for a checkpoint */
    LOG_BYTES = LOG_PAGES * 4096, /* a shorter file cannot hold so many */
    LOG_LOOK_MS = 1000,           /* after so long without a commit of ours nobody has told us */
    LOG_LOOK_MIN_MS = 100,        /* between two looks ... */
    LOG_LOOK_MAX_MS = 3000,       /* ... by how fast it grows */
    ENDS_MS = 5,                  /* between two commits of ends, which wait for the disk */
    ENDS_SPARE = 32,              /* slots at least for those that wait for that */
    IDLE_LOG_PAGES = 500,         /* the same, when there is nothing else to do ... */
    IDLE_MS = 2000,               /* ... for so long */
};

enum phase {
    CLAIMING,
    DRAINING, /* told to stop: claims nothing more, jobs may finish */
    STOPPING, /* the time for that is up: jobs are stopped */
};

struct runner {
    const struct runner_options *options;
    const struct conf *conf; /* in force: that of the options, or `reread` */
    struct conf *reread;
    struct notify *notify;
    int presence; /* descriptor of DB.runner; -1: does not show itself */
    bool presence_held;
    bool left; /* has said goodbye */
    struct forkserver *forks;
    struct db *db;
    struct bell *bell;
    struct loop *loop;
    struct loop_fd bell_watch;
    char *jobs;
    struct workroot work;
    gid_t files_group;
    char place[ID_SIZE];
    int64_t id;
    struct slot_shop shop;
    struct bounds bounds;
    /* More slots than workers: those whose job has ended hold it until that is written, while others
     * run. */
    struct slot **slots;
    size_t slot_count, workers;
    size_t busy;    /* slots that are not free */
    size_t working; /* slots with a job, at most `workers` */
    enum phase phase;

    /* Monotonic ms. */
    int64_t drain_until;
    int64_t renew_at, recover_at;
    int64_t
        leases_count_at;   /* not before: others had no time to renew them after the clock jumped */
    int64_t clock_lead;    /* of the wall clock, as of the last look */
    int64_t blocked_until; /* the database takes nothing before; 0: it does */
    int64_t blocked_since; /* 0: it does not fail */
    int64_t no_claim_until; /* the system refused a process or a file */
    int64_t claimed_at;     /* the last time */
    size_t spares;          /* children to have ready for what comes */
    int64_t idle_since;     /* INT64_MAX while something runs or waits */
    int64_t wrote_at;
    int64_t ends_at; /* ends of attempts are not written before, unless nothing runs */

    struct sweep sweep;

    bool rang;                   /* the bell, by a commit of ours */
    bool look;                   /* something may have become due */
    bool cancels;                /* something may have been cancelled */
    bool dying;                  /* a lost task's processes were killed and may still be there */
    int64_t due;                 /* wall-clock ms: when the next task is due, as of the last look */
    int64_t log_mark;            /* pages of log at the last checkpoint */
    bool written;                /* by others, since then */
    int64_t log_at, log_look_at; /* monotonic ms: of the last checkpoint; of the next look */
};

static void log_failure(const char *what, const struct error *e)
{
    char text[sizeof e->text];
    log_error(what, " error=\"%s\"", log_quote(text, sizeof text, e->text));
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
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
    if (stat(jobs, &st)) return error_errno(e, ERR_INVALID, "%s", jobs);
    if (!S_ISDIR(st.st_mode)) return error_set(e, ERR_INVALID, "%s is not a folder", jobs);
    struct buf path = {0};
    char *here = *jobs == '/' ? NULL : getcwd(NULL, 0);
    if (*jobs != '/' && !here) return error_errno(e, ERR_IO, "where we are");
    if (here) buf_fmt(&path, "%s/", here);
    buf_str(&path, jobs);
    free(here);
    *out = path.data;
    return ERR_OK;
}

static int64_t lease_ms(const struct runner *r)
{
    return conf_ms(r->conf, CONF_RUNNER_LEASE_SECONDS);
}

/* Into the open transaction: that it lives. It is registered anew, under the id that it has, if it has
 * none yet or was taken for dead and forgotten. */
static enum err say_alive(struct runner *r, struct error *e)
{
    int64_t now = clock_wall_ms(), until = now + lease_ms(r);
    enum err rc = r->id ? runner_renew(r->db, r->id, until, until, e) : ERR_NOTFOUND;
    if (rc != ERR_NOTFOUND) return rc;
    struct process_id self = process_name(getpid());
    return runner_register(r->db, &self, r->place, now, until, &r->id, e);
}

static enum err register_self(struct runner *r, struct error *e)
{
    enum err rc = db_begin(r->db, DB_SYNC_NONE, e);
    return rc ? rc : db_end(r->db, say_alive(r, e), e);
}

/* Shows that a runner is there, unless it goes as soon as nothing is due: it would be relied on. */
static enum err open_presence(struct runner *r, const char *path, struct error *e)
{
    int given = r->options->presence;
    if (given >= 0 && presence_is(given, path)) {
        fcntl(given, F_SETFD, FD_CLOEXEC);
        r->presence = given;
        r->presence_held = true;
        return ERR_OK;
    }
    if (given >= 0) close(given); /* of another database */
    return r->options->once ? ERR_OK : presence_open(path, &r->presence, e);
}

static enum err open_all(struct runner *r, struct error *e)
{
    const struct conf *c = r->conf;
    const char *path = conf_text(c, CONF_DATABASE_PATH);
    const char *jobs = conf_text(c, CONF_RUNNER_JOBS);
    if (!path) return error_set(e, ERR_INVALID, "[database] path is not set");
    if (!jobs) return error_set(e, ERR_INVALID, "[runner] jobs is not set: where are the jobs?");
    enum err rc = find_jobs(&r->jobs, jobs, e);
    if (rc) conf_blame(c, CONF_RUNNER_JOBS, e);
    if (!rc) rc = loop_open(&r->loop, e);
    if (!rc) rc = forkserver_start(&r->forks, r->loop, e);
    const struct db_options options = {.path = path,
                                       .busy_ms = conf_int(c, CONF_DATABASE_BUSY_MS),
                                       .events_per_task = conf_int(c, CONF_LIMITS_EVENTS_PER_TASK),
                                       .migrate = true};
    if (!rc && (rc = db_open(&r->db, &options, e)) == ERR_IO) conf_blame(c, CONF_DATABASE_PATH, e);
    if (!rc) rc = open_presence(r, path, e);
    if (!rc) rc = workroot_make(&r->work, conf_text(c, CONF_RUNNER_WORK), path, e);
    if (!rc) rc = files_make_root(r->db, r->work.kept, &r->files_group, e);
    if (!rc) rc = bell_open(&r->bell, path, e);
    if (rc) return rc;
    r->bell_watch = (struct loop_fd){bell_fd(r->bell), LOOP_IN, bell_rang, r};
    if ((rc = loop_add(r->loop, &r->bell_watch, e))) return rc;
    process_place(r->place);
    figures_join(r->db, "leatd");
    return register_self(r, e);
}

/* Takes what may change from the settings in force. More workers need more slots; fewer let those that
 * have a job finish it. */
static void take_settings(struct runner *r)
{
    const char *prefix = conf_text(r->conf, CONF_HTTP_PREFIX);
    r->shop.prefix = prefix ? prefix : "";
    r->shop.result_max = conf_int(r->conf, CONF_HTTP_MAX_RESULT_BYTES);
    r->shop.inline_max = conf_int(r->conf, CONF_HTTP_INLINE_RESULT_BYTES);
    r->shop.files_max = conf_int(r->conf, CONF_RUNNER_FILES_MAX);
    r->shop.files_bytes = conf_int(r->conf, CONF_RUNNER_FILES_BYTES_MAX);
    r->shop.progress_rate = conf_int(r->conf, CONF_RUNNER_PROGRESS_PER_SECOND);
    r->workers = (size_t)conf_int(r->conf, CONF_RUNNER_WORKERS);
    size_t wanted = r->workers + (r->workers > ENDS_SPARE ? r->workers : ENDS_SPARE);
    if (wanted <= r->slot_count) return;
    r->slots = mem_grow(r->slots, wanted, sizeof(struct slot *));
    while (r->slot_count < wanted) r->slots[r->slot_count++] = slot_new(&r->shop);
}

enum err runner_open(struct runner **out, const struct runner_options *options, struct error *e)
{
    struct runner *r = mem_alloc(sizeof *r);
    r->options = options;
    r->conf = options->conf;
    r->presence = -1;
    r->look = true;
    r->spares = 1;
    enum err rc = open_all(r, e);
    if (rc) {
        runner_close(r);
        return rc;
    }
    r->shop = (struct slot_shop){
        .loop = r->loop,
        .db = r->db,
        .forks = r->forks,
        .own = options->own,
        .jobs = r->jobs,
        .work = &r->work,
        .files_group = r->files_group,
        .runner = r->id,
        .nofile = options->nofile,
    };
    take_settings(r);
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
    bounds_free(&r->bounds);
    sweep_end(&r->sweep);
    notify_close(r->notify);
    loop_close(r->loop);
    bell_close(r->bell);
    db_close(r->db);
    presence_drop(r->presence);
    conf_free(r->reread);
    free(r->jobs);
    workroot_free(&r->work);
    free(r);
}

/* ---- what happened ------------------------------------------------------------------------------ */

/* Reads the settings again; what is wrong with them leaves all as it was. */
static void reload(struct runner *r)
{
    struct error e = {0};
    struct conf *now = NULL;
    if (!r->options->reload) return;
    notify_reloading(r->notify);
    enum err rc = r->options->reload(r->options->reload_arg, &now, &e);
    if (!rc)
        rc = log_open("leatd", conf_text(now, CONF_LOG_LEVEL), conf_text(now, CONF_LOG_TARGET), &e);
    if (rc && now) conf_blame(now, CONF_LOG_TARGET, &e);
    if (rc) {
        log_failure("settings not reread, the old ones stay", &e);
        conf_free(now);
    } else {
        reload_tell(r->options->conf, r->conf, now);
        r->conf = now;
        take_settings(r);
        conf_free(r->reread);
        r->reread = now;
        r->look = true;
        r->renew_at = 0; /* the lease may be shorter */
        r->sweep.at = 0;
    }
    notify_ready(r->notify);
}

static void take_signals(struct runner *r, int64_t now)
{
    if (loop_signal(SIGHUP)) reload(r);
    bool term = loop_signal(SIGTERM), interrupt = loop_signal(SIGINT);
    if (!term && !interrupt) return;
    if (r->phase == CLAIMING) {
        r->phase = DRAINING;
        r->drain_until = now + conf_ms(r->conf, CONF_RUNNER_DRAIN_SECONDS);
        notify_stopping(r->notify);
        presence_drop(r->presence); /* another may be started for what comes */
        r->presence = -1;
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

/* Whether a task is due and there is a place and a child for it. Reads only when something may have
 * changed. */
static bool can_claim(struct runner *r, int64_t now)
{
    if (r->phase != CLAIMING || now < r->no_claim_until || r->working >= r->workers) return false;
    int64_t wall = clock_wall_ms();
    if (r->look) {
        struct error e = {0};
        r->look = false;
        if (claim_next_due(r->db, wall, bounds_json(&r->bounds), &r->due, &e)) {
            log_failure("cannot look for work", &e);
            r->due = wall + TICK_MS;
        }
    }
    return r->due <= wall && forkserver_ready(r->forks);
}

/* The system refused what a job needs. */
static void pause_claims(struct runner *r, int64_t now, const struct error *e)
{
    log_failure("cannot start a job", e);
    r->no_claim_until = now + SYSTEM_PAUSE_MS;
    r->look = true;
}

/* Has children made ahead of what they will run, while it is due or was a moment ago. */
static void prepare_children(struct runner *r, int64_t now)
{
    bool wanted = r->phase == CLAIMING && now >= r->no_claim_until &&
                  (r->due <= clock_wall_ms() || now - r->claimed_at < TICK_MS);
    if (!wanted) r->spares = 1;
    struct error e = {0};
    if (forkserver_want(r->forks, wanted ? r->spares : 0, &e)) pause_claims(r, now, &e);
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* The type of a task that is about to be claimed. */
struct candidate {
    struct runner *runner;
    struct jobtype type; /* "": not to be had; slot_start says why */
};

/* Whether one more of the type may run. */
static bool may_run(void *arg, const char *name, int64_t running, const char **bounds)
{
    struct candidate *c = arg;
    if (jobtype_load(&c->type, c->runner->jobs, name, NULL)) c->type = (struct jobtype){0};
    bounds_set(&c->runner->bounds, name, c->type.concurrency);
    *bounds = bounds_json(&c->runner->bounds);
    return !c->type.concurrency || running < c->type.concurrency;
}

/* Fills free slots with tasks that are due. */
static enum err claim_tasks(struct runner *r, struct error *e)
{
    int64_t now = clock_wall_ms();
    for (size_t i = 0; i < r->slot_count && r->working < r->workers; i++) {
        if (!slot_is_free(r->slots[i])) continue;
        if (!forkserver_ready(r->forks)) {
            /* They are used up faster than so many are made. */
            if (r->spares < r->workers) r->spares *= 2;
            break;
        }
        struct task t = {0};
        struct child child = CHILD_NONE;
        struct candidate c = {.runner = r};
        enum err rc = forkserver_take(r->forks, &child, e);
        if (rc) return rc;
        const struct claim_wish wish = {
            .runner = r->id,
            .now = now,
            .lease_until = now + lease_ms(r),
            .child = child.id,
            .bounds = bounds_json(&r->bounds),
            .may = may_run,
            .arg = &c,
        };
        rc = claim_next(r->db, &wish, &t, e);
        if (rc) forkserver_give(r->forks, &child);
        if (rc == ERR_NOTFOUND) break;
        if (rc) return rc;
        slot_claim(r->slots[i], &t, &c.type, &child);
        r->working++;
        r->look = true;
    }
    /* Nothing, although it was due: another runner has it. Whatever comes changes the database. */
    if (!r->look) r->due = now + TICK_MS;
    return ERR_OK;
}

/* Whether the slot has something for a transaction of ends, or for one of all the rest. */
static bool has_part(const struct slot *s, bool ends)
{
    return slot_has_news(s) && slot_has_end(s) == ends;
}

/* All that is new into the open transaction: ends, or the rest. *culprit: the slot at which it failed, if
 * it was one. */
static enum err write_all(struct runner *r, bool ends, bool renew, bool claim,
                          struct slot **culprit, struct error *e)
{
    enum err rc = ERR_OK;
    if (renew) rc = say_alive(r, e);
    for (size_t i = 0; !rc && i < r->slot_count; i++) {
        struct slot *s = r->slots[i];
        if (!has_part(s, ends)) continue;
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

/* One transaction for what this turn brought: ends, or the rest. Ends wait for the disk; so that no worker
 * does, what is new goes first and is started, and ends that come close together go together. */
static enum err write_part(struct runner *r, bool ends, int64_t now, struct error *e)
{
    if (now < r->blocked_until || (ends && now < r->ends_at && r->working)) return ERR_OK;
    bool renew = !ends && now >= r->renew_at, claim = !ends && can_claim(r, now), news = false;
    for (size_t i = 0; i < r->slot_count; i++) news |= has_part(r->slots[i], ends);
    if (!renew && !claim && !news) return ERR_OK;

    struct slot *culprit = NULL;
    enum err rc = db_begin(r->db, ends ? DB_SYNC_BEFORE : DB_SYNC_NONE, e);
    if (!rc) {
        rc = write_all(r, ends, renew, claim, &culprit, e);
        rc = db_end(r->db, rc, e);
    }
    bool committed = !rc;
    if (rc) rc = take_failure(r, rc, culprit, now, e);

    for (size_t i = 0; i < r->slot_count; i++) {
        struct slot *s = r->slots[i];
        struct error why = {0};
        if (!committed) {
            slot_unclaim(s);
        } else if (has_part(s, ends)) {
            slot_written(s);
        } else if (slot_start(s, &why)) {
            pause_claims(r, now, &why);
        }
    }
    if (!committed) return rc;
    r->rang = true;
    r->blocked_until = r->blocked_since = 0;
    r->wrote_at = now;
    if (claim) r->claimed_at = now;
    if (renew) r->renew_at = now + lease_ms(r) / 3;
    if (ends) r->look = true;
    if (ends) r->ends_at = now + ENDS_MS;
    return ERR_OK;
}

static enum err write_turn(struct runner *r, int64_t now, struct error *e)
{
    enum err rc = write_part(r, false, now, e);
    return rc ? rc : write_part(r, true, now, e);
}

/* Whether others may have made the log long while we wrote nothing, which would have told. */
static bool log_unknown(const struct runner *r, int64_t now)
{
    int64_t database, log;
    if (!r->written || now - r->wrote_at < LOG_LOOK_MS || now < r->log_look_at) return false;
    db_bytes(r->db, &database, &log);
    return log > LOG_BYTES;
}

static void checkpoint(struct runner *r, int64_t now)
{
    int64_t pages = db_wal_pages(r->db);
    if (pages < r->log_mark) r->log_mark = 0; /* the log began anew */
    pages -= r->log_mark;
    bool due = pages > LOG_PAGES || (pages > IDLE_LOG_PAGES && now - r->wrote_at >= IDLE_MS);
    if (!due && !log_unknown(r, now)) return;
    struct error e = {0};
    if (db_checkpoint(r->db, &e)) log_failure("cannot checkpoint", &e);
    r->log_mark = db_wal_pages(r->db);
    /* The next look when it will be as long as it should become, if it grows on like this. */
    int64_t found = db_wal_found(r->db), since = earlier(now - r->log_at, LOG_LOOK_MAX_MS);
    int64_t wait = found > 0 ? since * LOG_PAGES / found : LOG_LOOK_MAX_MS;
    r->log_look_at = now + (wait < LOG_LOOK_MIN_MS   ? LOG_LOOK_MIN_MS
                            : wait > LOG_LOOK_MAX_MS ? LOG_LOOK_MAX_MS
                                                     : wait);
    r->log_at = now;
    r->written = false;
}

/* Notices that the wall clock was set, or that the machine slept. Set back, it makes leases longer, which
 * harms nobody; set forward, it ends those of living runners. */
static void look_at_clock(struct runner *r, int64_t now)
{
    int64_t lead = clock_wall_ms() - clock_monotonic_ms(), jump = lead - r->clock_lead;
    bool first = !r->recover_at;
    r->clock_lead = lead;
    if (first || (jump < CLOCK_JUMP_MS && jump > -CLOCK_JUMP_MS)) return;
    log_warn("the clock was set", " by_ms=%lld", (long long)jump);
    if (jump > 0) r->leases_count_at = now + lease_ms(r);
}

static enum err rescue(struct runner *r, int64_t now, struct error *e)
{
    if (now < r->recover_at || r->phase != CLAIMING) return ERR_OK;
    look_at_clock(r, now);
    const struct rescuer who = {r->db,   r->id,    r->place,
                                r->jobs, &r->work, .doubtful = now < r->leases_count_at};
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

/* If it fails, the lease ends by itself. ERR_UNSYNCED: some sync has failed, though all is done. */
static enum err leave(struct runner *r, struct error *e)
{
    enum err rc = db_begin(r->db, DB_SYNC_NONE, e);
    if (!rc) rc = db_end(r->db, runner_leave(r->db, r->id, clock_wall_ms(), e), e);
    return rc == ERR_UNSYNCED ? rc : ERR_OK;
}

/* Leaves when no task waits, not even for a time far away, and none runs: whoever commits one after this
 * finds nobody here (store/presence.h). */
static bool leave_if_unwanted(struct runner *r)
{
    struct error e = {0};
    bool wanted = true;
    if (presence_wanted(r->db, &wanted, &e) || wanted || db_begin(r->db, DB_SYNC_NONE, &e))
        return false;
    enum err rc = presence_wanted(r->db, &wanted, &e);
    if (!rc && !wanted) rc = runner_leave(r->db, r->id, clock_wall_ms(), &e);
    if (rc || wanted) {
        db_rollback(r->db);
        r->look = true;
        return false;
    }
    presence_drop(r->presence);
    r->presence = -1;
    db_commit(r->db, &e); /* if that fails the goodbye is missing: nothing runs here any more */
    return r->left = true;
}

/* Whether it is time to go. */
static bool done(struct runner *r, int64_t now)
{
    if (r->phase != CLAIMING) return !r->busy;
    bool idle = !r->busy && !r->look && !r->dying && r->due > clock_wall_ms();
    if (!idle || r->due != INT64_MAX) /* one that is due later waits, too */
        r->idle_since = INT64_MAX;
    else if (r->idle_since == INT64_MAX)
        r->idle_since = now;
    if (idle && r->options->once) return !r->sweep.more;
    if (r->idle_since == INT64_MAX) return false;
    if (r->options->idle_exit_ms < 0 || now - r->idle_since < r->options->idle_exit_ms)
        return false;
    if (leave_if_unwanted(r)) return true;
    r->idle_since = now;
    return false;
}

/* How long nothing needs to be done unless something happens. */
static int64_t wait_ms(const struct runner *r, int64_t now)
{
    int64_t at = now + TICK_MS;
    bool blocked = now < r->blocked_until;
    for (size_t i = 0; i < r->slot_count; i++) {
        int64_t deadline = slot_deadline(r->slots[i]);
        if (deadline > now || !blocked) at = earlier(at, deadline);
        if (slot_has_news(r->slots[i]) && !blocked) {
            if (!slot_has_end(r->slots[i]) || !r->working) return 0;
            at = earlier(at, r->ends_at);
        }
    }
    at = earlier(at, blocked ? r->blocked_until : r->renew_at);
    if (r->phase == CLAIMING) at = earlier(at, r->recover_at);
    if (r->phase == DRAINING) at = earlier(at, r->drain_until);
    if (r->phase == CLAIMING && r->working < r->workers && !blocked) {
        int64_t due = r->due == INT64_MAX ? INT64_MAX : now + r->due - clock_wall_ms();
        if (r->no_claim_until > now)
            at = earlier(at, due == INT64_MAX ? due : r->no_claim_until);
        else if (due > now || forkserver_ready(r->forks)) /* else the fork server wakes us */
            at = earlier(at, due);
        if (r->look && now >= r->no_claim_until) return 0;
    }
    /* One that must stay looks again with every tick. */
    if (r->options->idle_exit_ms >= 0 && r->idle_since != INT64_MAX &&
        r->idle_since + r->options->idle_exit_ms > now)
        at = earlier(at, r->idle_since + r->options->idle_exit_ms);
    at = earlier(at, notify_due(r->notify));
    if (r->phase == CLAIMING && !blocked) at = earlier(at, r->sweep.at);
    return at > now ? at - now : 0;
}

/* One line for people. */
static void tell_status(struct runner *r)
{
    static const char *const words[] = {
        [CLAIMING] = "running", [DRAINING] = "draining", [STOPPING] = "stopping"};
    char text[80];
    snprintf(text, sizeof text, "%s, %zu of %zu workers busy", words[r->phase], r->working,
             r->workers);
    notify_status(r->notify, text);
}

/* Whether others have committed since the last look. */
static bool notice_changes(struct runner *r)
{
    bool changed = db_changed(r->db);
    r->look |= changed;
    r->cancels |= changed;
    r->written |= changed;
    return changed;
}

/* Our own commits have rung the bell: we need not wake up for that, unless others have too. */
static bool unring(struct runner *r)
{
    if (!r->rang) return false;
    r->rang = false;
    bell_answer(r->bell);
    return notice_changes(r);
}

enum err runner_run(struct runner *r, struct error *e)
{
    r->renew_at = clock_monotonic_ms() + lease_ms(r) / 3;
    r->idle_since = INT64_MAX;
    r->log_at = clock_monotonic_ms();
    char jobs[256];
    log_info("runner_start", " runner=%lld workers=%zu jobs=\"%s\"", (long long)r->id, r->workers,
             log_quote(jobs, sizeof jobs, r->jobs));
    r->notify = notify_open(&r->options->notify);
    notify_ready(r->notify);
    for (;;) {
        int64_t now = clock_monotonic_ms();
        notify_turn(r->notify, now);
        if (r->presence >= 0 && !r->presence_held) r->presence_held = presence_share(r->presence);
        take_signals(r, now);
        loop_signal(SIGCHLD); /* the slots look for themselves */
        enum err rc = rescue(r, now, e);
        if (rc) return rc;
        notice_changes(r);
        turn_slots(r, now);
        take_cancels(r);
        count_slots(r);
        if ((rc = write_turn(r, now, e))) return rc;
        count_slots(r);
        prepare_children(r, now);
        if (r->phase == CLAIMING && now >= r->blocked_until)
            sweep_turn(&r->sweep, r->db, conf_ms(r->conf, CONF_RUNNER_RETAIN_HOURS), now);
        tell_status(r);
        if (done(r, now)) break;
        if (r->phase != CLAIMING && r->blocked_since && now - r->blocked_since > GIVE_UP_MS)
            return error_set(e, ERR_IO, "the database cannot be written; stopping without it");
        checkpoint(r, now);
        if (now >= r->blocked_until) figures_turn(r->db);
        if (!db_idle(r->db))
            log_error("a statement is left open", " runner=%lld", (long long)r->id);
        int64_t wait = wait_ms(r, clock_monotonic_ms());
        if (unring(r)) wait = 0;
        if ((rc = loop_wait(r->loop, wait, e))) return rc;
    }
    enum err rc = r->left ? ERR_OK : leave(r, e);
    log_info("runner_stop", " runner=%lld", (long long)r->id);
    return rc;
}
