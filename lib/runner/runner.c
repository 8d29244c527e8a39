#include "runner/runner.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "metrics/metrics.h"
#include "ops/job_types.h"
#include "runner/attempt.h"
#include "runner/broken_types.h"
#include "runner/checkpointer.h"
#include "runner/claimer.h"
#include "runner/notify.h"
#include "runner/recover.h"
#include "runner/reload.h"
#include "runner/retention_timer.h"
#include "runner/workdir.h"
#include "spawn/escaped.h"
#include "spawn/forkserver.h"
#include "spawn/process.h"
#include "store/bell.h"
#include "store/claims.h"
#include "store/db.h"
#include "store/files.h"
#include "store/lock_holder.h"
#include "store/runner_lock.h"
#include "store/type_rows.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,       /* a lost ring of the bell is made up for */
    DYING_MS = 50,        /* between two looks at a group that was killed */
    BUSY_PAUSE_MS = 50,   /* after the database was busy (for busy_ms already) */
    FULL_PAUSE_MS = 1000, /* after it was full or failed */
    CLOCK_JUMP_MS = 1000, /* a clock that moved so far beside the other was set */
    GIVE_UP_MS = 10000,   /* a stopping runner waits so long for a database that fails */
    ENDS_MS = 5,          /* between two commits of ends, which wait for the disk */
    ENDS_SPARE = 32,      /* attempts at least for those that wait for that */
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
    struct escaped escaped;
    struct forkserver *forks;
    struct db *db;
    struct metrics *metrics;
    struct bell *bell;
    struct loop *loop;
    struct loop_fd bell_watch;
    char *jobs;
    struct job_types *types;
    struct broken_types broken;
    struct workroot work;
    gid_t files_group;
    char scope[ID_SIZE];
    int64_t id;
    struct attempt_host host;
    /* More attempts than workers: one whose job has ended is in use until that is written, while others
     * run. */
    struct attempt **attempts;
    size_t attempt_count, workers;
    size_t busy;    /* attempts that are not idle */
    size_t working; /* attempts with a job, at most `workers` */
    enum phase phase;
    struct claimer claimer;
    struct checkpointer checkpointer;
    struct retention_timer retention;
    struct lock_watch lock_watch;

    struct loop_timer tick;      /* looks for commits that nobody rang for */
    struct loop_timer renew;     /* of the lease */
    struct loop_timer recover;   /* of tasks whose runner is lost */
    struct loop_timer doubt;     /* set: others may have had no time to renew their leases */
    struct loop_timer blocked;   /* set: the database takes nothing */
    struct loop_timer give_up;   /* set: it fails, but not for so long */
    struct loop_timer ends;      /* set: ends of attempts are not written, unless nothing runs */
    struct loop_timer drain;     /* the time for jobs to finish is up */
    struct loop_timer idle_exit; /* no task has waited or run for so long */
    bool was_wanted;             /* when that was looked at last */

    bool renews;        /* the lease is to be renewed */
    bool rang;          /* the bell, by a commit of ours */
    bool cancels;       /* something may have been cancelled */
    bool dying;         /* a lost task's processes were killed and may still be there */
    bool recovered;     /* has looked for lost tasks */
    bool hopeless;      /* the database has failed for GIVE_UP_MS */
    int64_t renewed_at; /* monotonic ms: of the lease, the last time */
    int64_t clock_lead; /* of the wall clock over the monotonic one, as of the last look, ms */
    enum err failed;    /* of what a timer did: the runner cannot go on */
    struct error why;
};

/* `timer` fires in so many ms. */
static void set_timer(struct runner *r, struct loop_timer *timer, int64_t ms)
{
    loop_timer_set(r->loop, timer, clock_monotonic_ms() + ms);
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
    r->broken.changed = true; /* the old rows went with its registration */
    return runner_register(r->db, &self, r->scope, now, until, &r->id, e);
}

static enum err register_self(struct runner *r, struct error *e)
{
    enum err rc = txn_begin(r->db, TXN_SYNC_NONE, e);
    return rc ? rc : txn_end(r->db, say_alive(r, e), e);
}

/* Shows that a runner is there. One that ends as soon as nothing is due does not: others would count on it
 * for tasks that come later. */
static enum err open_presence(struct runner *r, const char *path, struct error *e)
{
    int given = r->options->presence;
    if (given >= 0 && runner_lock_is(given, path)) {
        fcntl(given, F_SETFD, FD_CLOEXEC);
        r->presence = given;
        r->presence_held = true;
        return ERR_OK;
    }
    if (given >= 0) close(given); /* of another database */
    return r->options->once ? ERR_OK : runner_lock_open(path, &r->presence, e);
}

/* Whether the child is one that we have made. */
static bool is_ours(void *arg, int64_t pid)
{
    const struct runner *r = arg;
    for (size_t i = 0; i < r->attempt_count; i++)
        if (attempt_child(r->attempts[i]) == pid) return true;
    return forkserver_has(r->forks, pid);
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
    escaped_open(&r->escaped, is_ours, r);
    if (!rc) rc = forkserver_start(&r->forks, r->loop, e);
    const struct db_options options = {.path = path,
                                       .busy_ms = conf_int(c, CONF_DATABASE_BUSY_MS),
                                       .limits =
                                           {
                                               conf_int(c, CONF_LIMITS_EVENTS_PER_TASK),
                                               conf_int(c, CONF_LIMITS_EVENT_BYTES_PER_TASK),
                                               conf_int(c, CONF_LIMITS_BYTES_PER_OWNER),
                                           },
                                       .migrate = true};
    if (!rc && (rc = db_open(&r->db, &options, e)) == ERR_IO) conf_blame(c, CONF_DATABASE_PATH, e);
    if (!rc) rc = open_presence(r, path, e);
    if (!rc) rc = workroot_make(&r->work, conf_text(c, CONF_RUNNER_WORK), path, e);
    if (!rc) rc = files_make_root(r->db, r->work.kept, &r->files_group, e);
    if (!rc) rc = bell_open(&r->bell, path, e);
    if (rc) return rc;
    r->bell_watch = (struct loop_fd){bell_fd(r->bell), LOOP_IN, bell_rang, r};
    if ((rc = loop_add(r->loop, &r->bell_watch, e))) return rc;
    process_scope(r->scope);
    r->metrics = metrics_new(r->db, "leatd");
    r->renewed_at = clock_monotonic_ms();
    return register_self(r, e);
}

/* Takes what may change from the settings in force. More workers need more attempts; fewer
 * let those that have a job finish it. */
static void take_settings(struct runner *r)
{
    const char *prefix = conf_text(r->conf, CONF_HTTP_PREFIX);
    r->host.prefix = prefix ? prefix : "";
    r->host.url = conf_text(r->conf, CONF_HTTP_URL);
    r->host.result_max = conf_int(r->conf, CONF_HTTP_MAX_RESULT_BYTES);
    r->host.inline_max = conf_int(r->conf, CONF_HTTP_INLINE_RESULT_BYTES);
    r->host.files_max = conf_int(r->conf, CONF_RUNNER_FILES_MAX);
    r->host.files_bytes = conf_int(r->conf, CONF_RUNNER_FILES_BYTES_MAX);
    r->host.progress_rate = conf_int(r->conf, CONF_RUNNER_PROGRESS_PER_SECOND);
    r->broken.patience_ms = conf_ms(r->conf, CONF_RUNNER_BROKEN_TYPE_SECONDS);
    r->workers = (size_t)conf_int(r->conf, CONF_RUNNER_WORKERS);
    size_t wanted = r->workers + (r->workers > ENDS_SPARE ? r->workers : ENDS_SPARE);
    if (wanted <= r->attempt_count) return;
    r->attempts = mem_grow(r->attempts, wanted, sizeof(struct attempt *));
    while (r->attempt_count < wanted) r->attempts[r->attempt_count++] = attempt_new(&r->host);
}

static void release_type(void *arg, const char *type)
{
    claimer_release(&((struct runner *)arg)->claimer, type);
}

static void init_timers(struct runner *r);

enum err runner_open(struct runner **out, const struct runner_options *options, struct error *e)
{
    struct runner *r = mem_alloc(sizeof *r);
    r->options = options;
    r->conf = options->conf;
    r->presence = r->escaped.children = -1;
    init_timers(r);
    enum err rc = open_all(r, e);
    if (rc) {
        runner_close(r);
        return rc;
    }
    r->types = job_types_open(r->jobs);
    broken_types_open(&r->broken, r->loop, r->types, release_type, r);
    r->host = (struct attempt_host){
        .loop = r->loop,
        .db = r->db,
        .forks = r->forks,
        .types = r->types,
        .broken = &r->broken,
        .own = options->own,
        .jobs = r->jobs,
        .work = &r->work,
        .escaped = &r->escaped,
        .files_group = r->files_group,
        .runner = r->id,
        .nofile = options->nofile,
    };
    take_settings(r);
    claimer_open(&r->claimer, r->loop, r->db, r->forks, r->types, &r->broken);
    checkpointer_open(&r->checkpointer, r->loop, r->db);
    *out = r;
    return ERR_OK;
}

void runner_close(struct runner *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->attempt_count; i++) {
        attempt_abandon(r->attempts[i]);
        attempt_free(r->attempts[i]);
    }
    free(r->attempts);
    forkserver_stop(r->forks);
    escaped_close(&r->escaped);
    claimer_close(&r->claimer);
    broken_types_close(&r->broken);
    checkpointer_close(&r->checkpointer);
    retention_timer_close(&r->retention);
    notify_close(r->notify);
    loop_close(r->loop);
    bell_close(r->bell);
    metrics_free(r->metrics);
    db_close(r->db);
    runner_lock_drop(r->presence);
    job_types_close(r->types);
    conf_free(r->reread);
    free(r->jobs);
    workdir_drop_spares(&r->work);
    workroot_free(&r->work);
    free(r);
}

/* ---- what happened ------------------------------------------------------------------------------ */

static int64_t retain_ms(const struct runner *r)
{
    return conf_ms(r->conf, CONF_RUNNER_RETAIN_HOURS);
}

/* Takes the settings that were read again. */
static void take_reread(struct runner *r, struct conf *now)
{
    reload_tell(r->options->conf, r->conf, now);
    r->conf = now;
    take_settings(r);
    conf_free(r->reread);
    r->reread = now;
    r->renews = true; /* the lease may be shorter */
    claimer_look(&r->claimer);
    if (r->phase == CLAIMING) retention_timer_retain(&r->retention, retain_ms(r));
}

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
        log_failure(LOG_LEVEL_ERROR, "settings not reread, the old ones stay", &e);
        conf_free(now);
    } else {
        take_reread(r, now);
    }
    notify_ready(r->notify);
}

/* Claims nothing more; jobs may finish for a while. */
static void begin_draining(struct runner *r)
{
    r->phase = DRAINING;
    set_timer(r, &r->drain, conf_ms(r->conf, CONF_RUNNER_DRAIN_SECONDS));
    loop_timer_stop(r->loop, &r->recover);
    loop_timer_stop(r->loop, &r->idle_exit);
    retention_timer_close(&r->retention);
    notify_stopping(r->notify);
    runner_lock_drop(r->presence); /* another may be started for what comes */
    r->presence = -1;
    log_info("draining", " busy=%zu", r->busy);
}

static void stop_jobs(void *arg)
{
    struct runner *r = arg;
    r->phase = STOPPING;
    for (size_t i = 0; i < r->attempt_count; i++) attempt_stop(r->attempts[i], STOP_DRAIN);
}

static void take_signals(struct runner *r)
{
    if (loop_signal(SIGHUP)) reload(r);
    bool term = loop_signal(SIGTERM), interrupt = loop_signal(SIGINT);
    if (!term && !interrupt) return;
    if (r->phase == CLAIMING)
        begin_draining(r);
    else if (r->phase == DRAINING)
        set_timer(r, &r->drain, 0); /* told twice: no longer */
}

/* Stops the tasks that are to be cancelled, or to run anew: which it is, is found out when they have ended. */
static void take_cancels(struct runner *r)
{
    if (!r->cancels || !r->busy) return;
    struct running_list list = {0};
    struct error e = {0};
    if (claims_to_stop(r->db, r->id, &list, &e)) {
        log_failure(LOG_LEVEL_ERROR, "cannot look for tasks to stop", &e);
        return;
    }
    r->cancels = false;
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < r->attempt_count; k++)
            if (attempt_task(r->attempts[k]) == list.items[i].claim.n)
                attempt_stop(r->attempts[k], STOP_CANCEL);
    running_list_free(&list);
}

static void count_attempts(struct runner *r)
{
    r->busy = r->working = 0;
    for (size_t i = 0; i < r->attempt_count; i++) {
        r->busy += !attempt_is_idle(r->attempts[i]);
        r->working += attempt_is_working(r->attempts[i]);
    }
}

/* Whether others have committed since the last look. */
static bool notice_changes(struct runner *r)
{
    if (!db_changed(r->db)) return false;
    r->cancels = true;
    claimer_look(&r->claimer);
    checkpointer_noticed(&r->checkpointer);
    retention_timer_soon(&r->retention);
    return true;
}

/* Our own commits have rung the bell: we need not wake up for that, unless others have too. */
static bool unring(struct runner *r)
{
    if (!r->rang) return false;
    r->rang = false;
    bell_answer(r->bell);
    return notice_changes(r);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static bool is_blocked(const struct runner *r)
{
    return loop_timer_is_set(&r->blocked);
}

static void pause_attempts(struct runner *r, bool paused)
{
    for (size_t i = 0; i < r->attempt_count; i++) attempt_pause(r->attempts[i], paused);
}

static void unblock(void *arg)
{
    pause_attempts(arg, false);
}

static void lose_hope(void *arg)
{
    ((struct runner *)arg)->hopeless = true;
}

/* The lease is renewed each third of its time. Where that came late here, because the database took nothing or the
 * whole machine was stopped, it did so elsewhere: others have a lease's time to make up for it. */
static void look_at_lease(struct runner *r)
{
    int64_t late = clock_monotonic_ms() - r->renewed_at;
    if (late > lease_ms(r) / 2) set_timer(r, &r->doubt, lease_ms(r));
}

/* Claims for idle attempts, in the open transaction. */
static enum err claim_tasks(struct runner *r, struct error *e)
{
    for (size_t i = 0; i < r->attempt_count && r->working < r->workers; i++) {
        if (!attempt_is_idle(r->attempts[i])) continue;
        struct task t = {0};
        struct child child = CHILD_NONE;
        enum err rc = claimer_claim(&r->claimer, r->id, clock_wall_ms() + lease_ms(r), r->workers,
                                    &t, &child, e);
        if (rc == ERR_NOTFOUND) break;
        if (rc) return rc;
        attempt_claim(r->attempts[i], &t, &child);
        r->working++;
        if ((rc = attempt_permit(r->attempts[i], e))) return rc;
    }
    claimer_claimed(&r->claimer);
    return ERR_OK;
}

/* Whether the attempt has something for a transaction of ends, or for one of all the rest. */
static bool has_part(const struct attempt *a, bool ends)
{
    return attempt_has_news(a) && attempt_has_end(a) == ends;
}

/* What goes into one transaction. */
struct part {
    bool ends;               /* of attempts, or all the rest */
    bool renew, claim, tell; /* of the rest */
    struct attempt *culprit; /* the attempt at which it failed, if it was one */
};

/* Which types are broken, into the open transaction. */
static enum err tell_broken(struct runner *r, struct error *e)
{
    struct broken_row *rows;
    size_t count = broken_types_rows(&r->broken, &rows);
    enum err rc = type_rows_tell(r->db, r->id, rows, count, e);
    free(rows);
    return rc;
}

/* All that is new into the open transaction. */
static enum err write_news(struct runner *r, struct part *part, struct error *e)
{
    enum err rc = ERR_OK;
    if (part->renew) rc = say_alive(r, e);
    if (!rc && part->renew) rc = claims_promote(r->db, clock_wall_ms(), e);
    part->tell = !part->ends && r->broken.changed;
    if (!rc && part->tell) rc = tell_broken(r, e);
    for (size_t i = 0; !rc && i < r->attempt_count; i++) {
        struct attempt *a = r->attempts[i];
        if (!has_part(a, part->ends)) continue;
        rc = attempt_write(a, e);
        if (rc == ERR_FENCED)
            rc = ERR_OK; /* attempt_written sees to it */
        else if (rc)
            part->culprit = a;
    }
    return rc || !part->claim ? rc : claim_tasks(r, e);
}

/* Nothing is written for so long. */
static void block(struct runner *r, int64_t pause_ms)
{
    set_timer(r, &r->blocked, pause_ms);
    retention_timer_postpone(&r->retention, r->blocked.at);
    pause_attempts(r, true);
}

/* After a failure: whether to try again, and when. */
static enum err take_failure(struct runner *r, enum err rc, struct attempt *culprit,
                             const struct error *e)
{
    int64_t pause = FULL_PAUSE_MS;
    switch (rc) {
    case ERR_BUSY: pause = BUSY_PAUSE_MS; break;
    case ERR_FULL:
    case ERR_MALFORMED:
    case ERR_IO: break;
    case ERR_STATE:
    case ERR_INVALID:
    case ERR_INTERNAL:
    case ERR_NOTFOUND:
        if (!culprit || !attempt_refuse(culprit)) return rc;
        pause = 0;
        break;
    default: return rc;
    }
    bool first = !loop_timer_is_set(&r->give_up) && !r->hopeless;
    if (first || rc != ERR_BUSY) log_failure(LOG_LEVEL_ERROR, "cannot write, trying again", e);
    if (first) set_timer(r, &r->give_up, GIVE_UP_MS);
    if (pause) block(r, pause);
    return ERR_OK;
}

/* The transaction is over: attempts forget what was written, and those that were claimed start. */
static void take_outcome(struct runner *r, const struct part *part, bool committed)
{
    for (size_t i = 0; i < r->attempt_count; i++) {
        struct attempt *a = r->attempts[i];
        struct error why = {0};
        if (!committed)
            attempt_unclaim(a);
        else if (has_part(a, part->ends))
            attempt_written(a);
        else if (attempt_start(a, &why))
            claimer_pause(&r->claimer, &why);
    }
}

/* One transaction for what this turn brought: ends, or the rest. Ends wait for the disk; so that no worker
 * does, what is new goes first and is started, and ends that come close together go together. */
static enum err write_part(struct runner *r, bool ends, struct error *e)
{
    if (is_blocked(r) || (ends && loop_timer_is_set(&r->ends) && r->working)) return ERR_OK;
    struct part part = {.ends = ends};
    bool news = false;
    part.renew = !ends && r->renews;
    part.claim =
        !ends && r->phase == CLAIMING && r->working < r->workers && claimer_can_claim(&r->claimer);
    for (size_t i = 0; i < r->attempt_count; i++) news |= has_part(r->attempts[i], ends);
    bool tells = !ends && r->broken.changed;
    if (!part.renew && !part.claim && !tells && !news) return ERR_OK;

    enum err rc = txn_begin(r->db, ends ? TXN_SYNC_BEFORE : TXN_SYNC_NONE, e);
    if (!rc) rc = txn_end(r->db, write_news(r, &part, e), e);
    bool committed = !rc;
    if (rc) rc = take_failure(r, rc, part.culprit, e);
    take_outcome(r, &part, committed);
    if (!committed) return rc;

    r->rang = true;
    r->hopeless = false;
    loop_timer_stop(r->loop, &r->give_up);
    if (part.tell) r->broken.changed = false;
    if (part.renew) {
        look_at_lease(r);
        r->renews = false;
        r->renewed_at = clock_monotonic_ms();
        set_timer(r, &r->renew, lease_ms(r) / 3);
    }
    if (ends) {
        claimer_look(&r->claimer);
        set_timer(r, &r->ends, ENDS_MS);
    }
    return ERR_OK;
}

static enum err write_turn(struct runner *r, struct error *e)
{
    enum err rc = write_part(r, false, e);
    return rc ? rc : write_part(r, true, e);
}

/* Whether there is something to write at once, so that the loop must not wait. */
static bool is_pending(const struct runner *r)
{
    if (is_blocked(r)) return false;
    if (r->broken.changed) return true;
    for (size_t i = 0; i < r->attempt_count; i++)
        if (attempt_has_news(r->attempts[i]) &&
            (!attempt_has_end(r->attempts[i]) || !r->working || !loop_timer_is_set(&r->ends)))
            return true;
    return r->phase == CLAIMING && r->working < r->workers && claimer_is_pending(&r->claimer);
}

/* ---- tasks of others ----------------------------------------------------------------------------- */

/* Notices that the wall clock was set, or that the machine slept. Set back, it makes leases longer, which
 * harms nobody; set forward, it ends those of living runners. */
static void look_at_clock(struct runner *r)
{
    int64_t lead = clock_wall_ms() - clock_monotonic_ms(), jump = lead - r->clock_lead;
    r->clock_lead = lead;
    if (!r->recovered || (jump < CLOCK_JUMP_MS && jump > -CLOCK_JUMP_MS)) return;
    log_warn("the clock was set", " by_ms=%lld", (long long)jump);
    if (jump > 0) set_timer(r, &r->doubt, lease_ms(r));
}

/* Looks for tasks whose runner is lost, and again later. */
static void recover(void *arg)
{
    struct runner *r = arg;
    struct error e = {0};
    look_at_clock(r);
    look_at_lease(r);
    job_types_refresh(r->types, NULL);
    const struct rescuer who = {
        .db = r->db,
        .runner = r->id,
        .scope = r->scope,
        .types = r->types,
        .work = &r->work,
        .doubtful = loop_timer_is_set(&r->doubt),
    };
    enum err rc = recover_lost(&who, &r->dying, &e);
    claimer_look(&r->claimer);
    set_timer(r, &r->recover, r->dying ? DYING_MS : rc ? FULL_PAUSE_MS : lease_ms(r) / 3);
    if (!r->recovered) recover_folders(&who);
    r->recovered = true;
    if (rc == ERR_UNSYNCED) {
        r->failed = rc;
        r->why = e;
    } else if (rc) {
        log_failure(LOG_LEVEL_ERROR, "cannot recover tasks", &e);
    }
}

/* ---- leaving ------------------------------------------------------------------------------------- */

/* If it fails, the lease ends by itself. ERR_UNSYNCED: some sync has failed, though all is done. */
static enum err leave(struct runner *r, struct error *e)
{
    enum err rc = txn_begin(r->db, TXN_SYNC_NONE, e);
    if (!rc) rc = txn_end(r->db, runner_leave(r->db, r->id, clock_wall_ms(), e), e);
    return rc == ERR_UNSYNCED ? rc : ERR_OK;
}

/* Leaves when no task waits, not even for a time far away, and none runs: whoever commits one after this
 * finds nobody here (store/runner_lock.h). */
static void leave_if_unwanted(void *arg)
{
    struct runner *r = arg;
    struct error e = {0};
    bool wanted = true, was_wanted = r->was_wanted;
    if (runner_wanted(r->db, &wanted, &e)) return;
    r->was_wanted = wanted; /* then until some time after this look: one period more */
    if (wanted || was_wanted || txn_begin(r->db, TXN_SYNC_NONE, &e)) return;
    enum err rc = runner_wanted(r->db, &wanted, &e);
    if (!rc && !wanted) rc = runner_leave(r->db, r->id, clock_wall_ms(), &e);
    if (rc || wanted) {
        txn_rollback(r->db);
        claimer_look(&r->claimer);
        return;
    }
    runner_lock_drop(r->presence);
    r->presence = -1;
    txn_commit(r->db, &e); /* if that fails the goodbye is missing: nothing runs here any more */
    r->left = true;
}

/* Whether it is time to go. */
static bool is_done(struct runner *r)
{
    if (r->phase != CLAIMING) return !r->busy;
    if (r->left) return true;
    bool idle = !r->busy && !r->dying && claimer_is_idle(&r->claimer);
    if (idle && r->options->once) return !r->retention.more;
    if (!idle)
        loop_timer_stop(r->loop, &r->idle_exit);
    else if (r->options->idle_exit_ms >= 0 && !loop_timer_is_set(&r->idle_exit))
        set_timer(r, &r->idle_exit, r->options->idle_exit_ms);
    return false;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

/* Ends a process that has stopped inside the write lock. */
static void look_at_lock(struct runner *r)
{
    struct lock_holder h;
    if (!lock_watch_overdue(&r->lock_watch, db_path(r->db), &h)) return;
    const struct process_id holder = {.pid = h.pid, .start = h.start};
    if (!process_kill(&holder)) return;
    log_error("ended a process that held the write lock", " pid=%lld held_ms=%lld",
              (long long)h.pid, (long long)((clock_monotonic_us() - h.since) / 1000));
}

static void tick(void *arg)
{
    struct runner *r = arg;
    look_at_lock(r);
    escaped_any(&r->escaped);        /* nobody else takes notice of their end */
    set_timer(r, &r->tick, TICK_MS); /* the turn that follows looks */
}

static void renew(void *arg)
{
    ((struct runner *)arg)->renews = true;
}

/* For timers of which it only counts whether they are set, and that the loop turns when they no longer
 * are. */
static void wake(void *arg)
{
    (void)arg;
}

static void init_timers(struct runner *r)
{
    r->tick = (struct loop_timer){.fire = tick, .arg = r};
    r->renew = (struct loop_timer){.fire = renew, .arg = r};
    r->recover = (struct loop_timer){.fire = recover, .arg = r};
    r->doubt = (struct loop_timer){.fire = wake, .arg = r};
    r->blocked = (struct loop_timer){.fire = unblock, .arg = r};
    r->give_up = (struct loop_timer){.fire = lose_hope, .arg = r};
    r->ends = (struct loop_timer){.fire = wake, .arg = r};
    r->drain = (struct loop_timer){.fire = stop_jobs, .arg = r};
    r->idle_exit = (struct loop_timer){.fire = leave_if_unwanted, .arg = r};
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

/* What follows each wait. */
static enum err turn(struct runner *r, struct error *e)
{
    if (r->presence >= 0 && !r->presence_held) r->presence_held = runner_lock_share(r->presence);
    take_signals(r);
    notice_changes(r);
    take_cancels(r);
    count_attempts(r);
    enum err rc = write_turn(r, e);
    if (rc) return rc;
    count_attempts(r);
    claimer_prepare(&r->claimer, r->phase == CLAIMING);
    if (!r->busy && !claimer_is_warm(&r->claimer)) workdir_drop_spares(&r->work);
    tell_status(r);
    if (!is_blocked(r)) metrics_turn(r->metrics);
    checkpointer_turn(&r->checkpointer);
    if (!txn_idle(r->db)) log_error("a statement is left open", " runner=%lld", (long long)r->id);
    if (r->failed) {
        if (e) *e = r->why;
        return r->failed;
    }
    if (r->phase != CLAIMING && r->hopeless)
        return error_set(e, ERR_IO, "the database cannot be written; stopping without it");
    return ERR_OK;
}

static void start(struct runner *r)
{
    char jobs[256];
    log_info("runner_start", " runner=%lld workers=%zu jobs=\"%s\"", (long long)r->id, r->workers,
             log_quote(jobs, sizeof jobs, r->jobs));
    r->notify = notify_open(&r->options->notify, r->loop);
    notify_ready(r->notify);
    set_timer(r, &r->tick, TICK_MS);
    set_timer(r, &r->renew, lease_ms(r) / 3);
    retention_timer_open(&r->retention, r->loop, r->db, r->types, retain_ms(r));
    recover(r);
}

enum err runner_run(struct runner *r, struct error *e)
{
    start(r);
    for (;;) {
        enum err rc = turn(r, e);
        if (rc) return rc;
        if (is_done(r)) break;
        int64_t wait = is_pending(r) ? 0 : -1;
        if (unring(r)) wait = 0;
        if ((rc = loop_wait(r->loop, wait, e))) return rc;
    }
    enum err rc = r->left ? ERR_OK : leave(r, e);
    log_info("runner_stop", " runner=%lld", (long long)r->id);
    return rc;
}
