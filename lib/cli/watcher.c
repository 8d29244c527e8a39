#include "cli/watcher.h"

#include "base/clock.h"
#include "base/loop.h"
#include "cli/task_ref.h"
#include "ops/autostart.h"
#include "ops/change.h"
#include "store/bell.h"
#include "store/claims.h"
#include "store/events.h"
#include "store/tasks.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    BETWEEN_LOOKS_MS = 50, /* at least: a job that floods its log is read in larger portions */
    TICK_MS = 1000,        /* a ring that was lost; time that goes by */
    WITHOUT_BELL_MS = 250,
    AGAIN_MS = 2000, /* within which a second Ctrl-C cancels */
    PORTION_EVENTS = 500,
    PORTION_BYTES = 256 * 1024,
};

enum { STATUS_TIMEOUT = 124, STATUS_SIGNAL = 128, STATUS_LEFT = 130 };

/* What a run needs besides the tasks. */
struct run {
    struct watcher *w;
    struct loop *loop;
    struct bell *bell; /* NULL: there is none */
    struct loop_fd ring;
    struct loop_timer tick, leave;
    struct event_list events;
    int64_t looked_at;
    bool look;   /* something may be new */
    bool warned; /* that there is no runner */
    bool gone;   /* leave at once */
    struct error e;
};

void watcher_add(struct watcher *w, struct task *t, int64_t after)
{
    w->items = mem_grow(w->items, w->count + 1, sizeof *w->items);
    w->items[w->count++] = (struct watched){.task = *t, .after = after};
    *t = (struct task){0};
}

int watcher_add_named(struct watcher *w, int argc, char **argv)
{
    if (argc < 1) return cli_fail(w->cli, EX_USAGE, "the ID of a task is expected");
    if (argc > WATCHER_TASKS_MAX)
        return cli_fail(w->cli, EX_USAGE, "at most %d tasks at a time", WATCHER_TASKS_MAX);
    for (int i = 0; i < argc; i++) {
        struct task t = {0};
        int status = task_ref_read(w->cli, argv[i], &t);
        if (status) return status;
        watcher_add(w, &t, 0);
    }
    return EX_OK;
}

void watcher_free(struct watcher *w)
{
    for (size_t i = 0; i < w->count; i++) task_free(&w->items[i].task);
    free(w->items);
    w->items = NULL;
    w->count = 0;
}

/* ---- what became of them ---- */

static int status_of(const struct watched *item)
{
    const struct task *t = &item->task;
    if (item->gone) return EX_SOFTWARE;
    switch (t->status) {
    case TASK_COMPLETED: return EX_OK;
    case TASK_TIMEOUT: return STATUS_TIMEOUT;
    case TASK_PENDING:
    case TASK_RUNNING:
    case TASK_CANCELLED: return STATUS_LEFT;
    case TASK_FAILED:
    case TASK_STATUSES: break;
    }
    if (t->exit_status > 0 && t->exit_status < 256) return (int)t->exit_status;
    if (t->signal > 0 && t->signal < 128) return STATUS_SIGNAL + (int)t->signal;
    return EX_SOFTWARE;
}

int watcher_status(const struct watcher *w)
{
    for (size_t i = 0; i < w->count; i++) {
        int status = status_of(&w->items[i]);
        if (status) return status;
    }
    return EX_OK;
}

/* ---- looking ---- */

/* Hands on what is new of one task up to the state in which it was read: so its last event comes before its end. */
static enum err look_at(struct run *run, size_t at)
{
    struct watched *item = &run->w->items[at];
    const struct watcher_hooks *hooks = &run->w->hooks;
    struct event_scope scope = {.kind = SCOPE_TASK, .task = item->task.n};
    struct task now = {0};
    enum err rc = task_get_n(run->w->cli->db, item->task.n, &now, &run->e);
    if (rc == ERR_NOTFOUND) {
        item->gone = item->ended = true;
        return ERR_OK;
    }
    if (rc) return rc;
    task_free(&item->task);
    item->task = now;
    while (item->after < item->task.cursor) {
        rc = events_read(run->w->cli->db, &scope, item->after, PORTION_EVENTS, PORTION_BYTES,
                         &run->events, &run->e);
        if (rc) return rc;
        for (size_t i = 0; i < run->events.count; i++)
            if (hooks->event) hooks->event(hooks->arg, at, &run->events.items[i]);
        if (!run->events.count) break; /* deleted just now */
        item->after = run->events.items[run->events.count - 1].seq;
    }
    item->ended = task_status_terminal(item->task.status);
    return ERR_OK;
}

/* At all that have not ended. Somebody else's lock is no reason to stop. */
static enum err look(struct run *run)
{
    enum err rc = ERR_OK;
    run->look = false;
    run->looked_at = clock_monotonic_ms();
    if (run->bell) bell_answer(run->bell);
    db_changed(run->w->cli->db);
    for (size_t i = 0; i < run->w->count && (!rc || rc == ERR_BUSY); i++)
        if (!run->w->items[i].ended) rc = look_at(run, i);
    if (run->w->hooks.looked) run->w->hooks.looked(run->w->hooks.arg);
    return rc == ERR_BUSY ? ERR_OK : rc;
}

static bool all_ended(const struct watcher *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->items[i].ended) return false;
    return true;
}

static void say(struct run *run, const char *line)
{
    if (run->w->hooks.say) run->w->hooks.say(run->w->hooks.arg, line);
}

/* Nothing would ever happen: people should know. */
static void look_for_runner(struct run *run)
{
    struct cli *cli = run->w->cli;
    bool alive = true;
    if (runner_alive(cli->db, clock_wall_ms(), &alive, NULL) || alive) return;
    autostart(cli->conf);
    if (run->warned || conf_bool(cli->conf, CONF_RUNNER_AUTOSTART)) return;
    run->warned = true;
    say(run, "no runner is alive: tasks wait until leatd is started");
}

/* ---- leaving ---- */

/* "leat watch ID ID": how to come back. */
static void way_back(const struct run *run, struct buf *out)
{
    size_t shown = 0;
    cli_again(run->w->cli, out);
    buf_str(out, run->w->back);
    for (size_t i = 0; i < run->w->count; i++) {
        if (run->w->items[i].ended) continue;
        buf_fmt(out, " %s", shown++ < 3 ? run->w->items[i].task.id : "...");
        if (shown > 3) break;
    }
}

static void cancel_all(struct run *run)
{
    struct cli *cli = run->w->cli;
    struct caller caller;
    if (cli_caller(cli, NULL, &caller)) return;
    run->w->cancelling = true;
    for (size_t i = 0; i < run->w->count; i++) {
        struct error e = {0};
        struct change_task change;
        if (run->w->items[i].ended) continue;
        change_task_init(&change, &caller, CHANGE_CANCEL, run->w->items[i].task.id);
        enum err rc = operation_run(&change.op, cli->db, &e);
        if (rc && rc != ERR_STATE && rc != ERR_NOTFOUND) say(run, e.text);
        change_task_free(&change);
    }
    run->look = true;
    say(run, "cancelling; Ctrl-C again leaves without waiting for it");
}

static void interrupted(struct run *run)
{
    struct buf text = {0};
    if (run->w->cancelling) {
        run->gone = true;
    } else if (loop_timer_is_set(&run->leave)) {
        loop_timer_stop(run->loop, &run->leave);
        cancel_all(run);
    } else {
        bool one = run->w->count == 1;
        loop_timer_set(run->loop, &run->leave, clock_monotonic_ms() + AGAIN_MS);
        buf_fmt(&text,
                "detached: the %s on; Ctrl-C again within 2 s cancels %s. To come back:\n      ",
                one ? "task goes" : "tasks go", one ? "it" : "them");
        way_back(run, &text);
        say(run, text.data);
    }
    buf_free(&text);
}

static void time_to_leave(void *arg)
{
    struct run *run = arg;
    run->gone = true;
}

/* ---- the loop ---- */

static void rang(void *arg, int events)
{
    (void)events;
    struct run *run = arg;
    int64_t now = clock_monotonic_ms(), next = run->looked_at + BETWEEN_LOOKS_MS;
    run->look = true;
    if (next <= now) return;
    /* not before: and until then the descriptor, which stays readable, is not asked */
    loop_want(run->loop, &run->ring, 0);
    if (run->tick.at > next) loop_timer_set(run->loop, &run->tick, next);
}

static void ticked(void *arg)
{
    struct run *run = arg;
    int64_t now = clock_monotonic_ms();
    loop_timer_set(run->loop, &run->tick, now + (run->bell ? TICK_MS : WITHOUT_BELL_MS));
    if (run->look) return;
    if (db_changed(run->w->cli->db))
        run->look = true;
    else if (run->w->hooks.looked)
        run->w->hooks.looked(run->w->hooks.arg);
    look_for_runner(run);
}

static enum err start(struct run *run)
{
    struct sigaction interrupt;
    sigaction(SIGINT, NULL, &interrupt);
    enum err rc = loop_open(&run->loop, &run->e);
    if (rc) return rc;
    /* one that a shell put into the background is none of the keyboard's business */
    if (interrupt.sa_handler == SIG_IGN) signal(SIGINT, SIG_IGN);
    run->tick = (struct loop_timer){.fire = ticked, .arg = run};
    run->leave = (struct loop_timer){.fire = time_to_leave, .arg = run};
    if (!bell_open(&run->bell, db_path(run->w->cli->db), NULL)) {
        run->ring = (struct loop_fd){
            .fd = bell_fd(run->bell), .events = LOOP_IN, .ready = rang, .arg = run};
        rc = loop_add(run->loop, &run->ring, &run->e);
    }
    loop_timer_set(run->loop, &run->tick, clock_monotonic_ms() + TICK_MS);
    run->look = true;
    return rc;
}

static enum err turn(struct run *run)
{
    enum err rc = ERR_OK;
    if (run->look && clock_monotonic_ms() >= run->looked_at + BETWEEN_LOOKS_MS) {
        rc = look(run);
        if (run->bell) loop_want(run->loop, &run->ring, LOOP_IN);
    }
    if (rc || all_ended(run->w)) return rc;
    assert(txn_idle(run->w->cli->db)); /* nobody waits in a transaction */
    rc = loop_wait(run->loop, -1, &run->e);
    if (loop_signal(SIGINT)) interrupted(run);
    if (loop_signal(SIGTERM) || loop_signal(SIGHUP)) run->gone = true;
    return rc;
}

int watcher_run(struct watcher *w)
{
    struct run run = {.w = w, .looked_at = -BETWEEN_LOOKS_MS};
    enum err rc = start(&run);
    autostart(w->cli->conf);
    while (!rc && !run.gone) {
        rc = turn(&run);
        if (all_ended(w)) break;
    }
    w->detached = run.gone;
    if (run.bell) loop_del(run.loop, &run.ring);
    bell_close(run.bell);
    loop_close(run.loop);
    event_list_free(&run.events);
    return rc ? cli_error(w->cli, &run.e) : EX_OK;
}
