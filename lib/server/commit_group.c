#include "server/commit_group.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/exchange.h"
#include "store/io_thread.h"

#include <assert.h>
#include <stdlib.h>

enum {
    TURN_US = 10 * 1000, /* applying ends after this long; the rest is the next group */
    GATHER_US = 1000,    /* as long as somebody joins, a group waits for more */
    RETRY_MS = 3,        /* where a program that knows no write lock holds SQLite's */
};

struct entry {
    struct entry *next;
    struct exchange *exchange;
    struct operation *op;
    void (*done)(struct exchange *x, void *arg);
    void *arg;
    int64_t since; /* monotonic ms */
};

struct queue {
    struct entry *first, **last;
};

struct commit_group {
    struct loop *loop;
    struct db *db;
    struct io_thread *thread;
    struct loop_fd thread_fd;
    struct loop_timer retry, give_up;
    int64_t busy_ms;
    void (*unsynced)(void *arg);
    void *arg;

    struct queue waiting; /* for a transaction */
    struct queue syncing; /* committed, not yet on disk */
    bool grown;           /* somebody joined those that wait since the last turn */
    int64_t
        gather_until; /* monotonic us: the group is not kept waiting beyond it; 0: nobody waits */
    bool rang;        /* since commit_group_rang */
    bool let_by;      /* the last group went before a large one that waited already */
    bool lock_asked;  /* the thread waits for the write lock */
    int64_t waited_from; /* monotonic us: since when the group at hand waits for it; 0: not */
};

static void queue_add(struct queue *q, struct entry *n)
{
    n->next = NULL;
    *q->last = n;
    q->last = &n->next;
}

static struct entry *queue_take_all(struct queue *q)
{
    struct entry *all = q->first;
    q->first = NULL;
    q->last = &q->first;
    return all;
}

static void go_on(struct exchange *x, void *arg)
{
    struct entry n = *(struct entry *)arg;
    free(arg);
    n.done(x, n.arg);
}

/* Tells those of a list what came of it. */
static void tell(struct entry *list)
{
    while (list) {
        struct entry *n = list;
        list = n->next;
        exchange_resume(n->exchange, go_on, n);
    }
}

static void set_outcome(struct entry *list, const struct error *e)
{
    for (; list; list = list->next)
        if (!list->op->error.code) list->op->error = *e;
}

/* ---- one group ---- */

/* How many of its owner's were before it. */
struct turn {
    struct entry *entry;
    size_t at, before;
};

static int earlier(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->before != y->before) return x->before < y->before ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static size_t turn_of(const struct entry *n, size_t owners)
{
    return (size_t)(hash_text(HASH_START, n->exchange->account) % owners);
}

/* Owners take turns: nobody's operation waits for more than one of each other owner. Two whose hashes collide
 * share a turn. */
static void take_turns(struct queue *group)
{
    enum { OWNERS = 256 };
    size_t before[OWNERS] = {0}, count = 0, first = turn_of(group->first, OWNERS);
    bool several = false;
    for (const struct entry *n = group->first; n; n = n->next, count++)
        several |= turn_of(n, OWNERS) != first;
    if (!several) return;
    struct turn *turns = mem_alloc(count * sizeof *turns);
    struct entry *n = group->first;
    for (size_t i = 0; i < count; i++, n = n->next)
        turns[i] = (struct turn){n, i, before[turn_of(n, OWNERS)]++};
    qsort(turns, count, sizeof *turns, earlier);
    queue_take_all(group);
    for (size_t i = 0; i < count; i++) queue_add(group, turns[i].entry);
    free(turns);
}

static const struct entry *first_of(const struct commit_group *g, bool large)
{
    const struct entry *n = g->waiting.first;
    while (n && n->op->large != large) n = n->next;
    return n;
}

/* Whose turn it is: others go before a large one, but once. */
static const struct entry *leader(const struct commit_group *g)
{
    const struct entry *large = first_of(g, true), *other = first_of(g, false);
    return !other || (large && g->let_by) ? large : other;
}

/* Whether they may be in one group. */
static bool go_together(const struct entry *a, const struct entry *b)
{
    return a == b || (a->op->terminal == b->op->terminal && !a->op->large && !b->op->large);
}

/* The group that is next: all that wait and may go with the leader, in the order of their turns. */
static struct entry *next_group(struct commit_group *g)
{
    struct queue group = {0}, rest = {0};
    group.last = &group.first;
    rest.last = &rest.first;
    const struct entry *first = leader(g);
    for (struct entry *n = queue_take_all(&g->waiting), *next; n; n = next) {
        next = n->next;
        queue_add(go_together(first, n) ? &group : &rest, n);
    }
    assert(group.first); /* the leader at least */
    if (rest.first) {
        g->waiting.first = rest.first;
        g->waiting.last = rest.last;
    }
    take_turns(&group);
    return group.first;
}

/* Puts a list back in front of those that wait. */
static void put_back(struct commit_group *g, struct entry *list)
{
    if (!list) return;
    struct entry *end = list;
    while (end->next) end = end->next;
    end->next = g->waiting.first;
    if (!g->waiting.first) g->waiting.last = &end->next;
    g->waiting.first = list;
}

/* Applies one in its savepoint. False: the transaction is over, *e says why. */
static bool apply(struct commit_group *g, struct operation *op, struct error *e)
{
    op->error = (struct error){0};
    op->code = NULL;
    op->limit = (struct limit_hit){0};
    op->again = false;
    if (txn_savepoint(g->db, e)) return false;
    enum err rc = op->apply(op, g->db, &op->error);
    op->error.code = rc;
    if (!txn_alive(g->db) || rc == ERR_MALFORMED) { /* nothing more goes into a damaged file */
        if (!rc) error_set(&op->error, ERR_IO, "the transaction has ended before its commit");
        *e = op->error;
        return false;
    }
    return !(rc ? txn_undo(g->db, e) : txn_release(g->db, e));
}

/* Applies a list until its end, or until the time is up: *rest is what was not applied then. False: the
 * transaction is over. */
static bool apply_all(struct commit_group *g, struct entry *list, struct entry **rest,
                      struct error *e)
{
    int64_t end = clock_monotonic_us() + TURN_US;
    *rest = NULL;
    for (struct entry *n = list; n; n = n->next) {
        if (!apply(g, n->op, e)) return false;
        if (!n->next || clock_monotonic_us() < end) continue;
        *rest = n->next;
        n->next = NULL;
    }
    return true;
}

/* Those of which only a portion was done wait again; the others are returned. */
static struct entry *split_portions(struct commit_group *g, struct entry *list)
{
    struct queue finished = {0};
    finished.last = &finished.first;
    for (struct entry *n = list, *next; n; n = next) {
        next = n->next;
        bool again = n->op->again && !n->op->error.code;
        if (again) n->since = clock_monotonic_ms();
        queue_add(again ? &g->waiting : &finished, n);
    }
    return finished.first;
}

/* The durability of a group: what its members need most. */
static enum txn_sync sync_of(const struct entry *list)
{
    if (list->op->terminal) return TXN_SYNC_BEFORE;
    for (; list; list = list->next)
        if (!list->op->fleeting) return TXN_SYNC_AFTER;
    return TXN_SYNC_NONE;
}

/* Whether somebody is told of a success that must be on disk, though this transaction may have written nothing:
 * what was found may be another process's, which has not synced it yet. */
static bool owes_sync(const struct entry *list)
{
    bool terminal = list->op->terminal; /* then nobody sees it before it is on disk */
    for (; list && !terminal; list = list->next)
        if (!list->op->fleeting && !list->op->error.code) return true;
    return false;
}

/* Commits and has it synced, or tells at once where there is nothing to sync. */
static void finish(struct commit_group *g, struct entry *list, bool alive, struct error *e)
{
    bool sync = false;
    enum err rc = e->code;
    if (alive)
        rc = txn_commit_early(g->db, &sync, e);
    else
        txn_rollback(g->db);
    if (rc) {
        set_outcome(list, e);
        tell(list);
        if (rc == ERR_UNSYNCED) g->unsynced(g->arg);
        return;
    }
    sync = sync || owes_sync(list);
    list = split_portions(g, list);
    /* Where there are portions alone, the sync of the last one will cover them: one that began now would end
     * while the next group waits for its own. */
    sync = sync && list;
    if (sync) io_thread_sync(g->thread);
    /* What ends a task is on disk already; who watches may see the rest before it is: only those who sent it are
     * promised that it stays. */
    txn_ring(g->db);
    g->rang = true;
    if (!sync) {
        tell(list);
        return;
    }
    for (struct entry *next; list; list = next) {
        next = list->next;
        queue_add(&g->syncing, list);
    }
}

/* Inside the transaction: applies a group, and commits it. */
static void run_group(struct commit_group *g, struct entry *list)
{
    struct error e = {0};
    struct entry *rest = NULL;
    g->let_by = !list->op->large && first_of(g, true);
    bool alive = apply_all(g, list, &rest, &e);
    put_back(g, rest);
    finish(g, list, alive, &e);
}

/* ---- the lock ---- */

static void note_wait(struct commit_group *g)
{
    int64_t us = g->waited_from ? clock_monotonic_us() - g->waited_from : 0;
    txn_note_lock_wait(g->db, us);
    g->waited_from = 0;
}

/* Begins a transaction for the next group; `locked`: the write lock is held already. */
static void begin(struct commit_group *g, bool locked)
{
    struct error e = {0};
    struct entry *list = next_group(g);
    if (!g->waited_from) g->waited_from = clock_monotonic_us();
    enum err rc = txn_try_begin(g->db, sync_of(list), locked, &e);
    if (!rc) {
        note_wait(g);
        run_group(g, list);
    } else if (rc == ERR_BUSY) {
        put_back(g, list);
        if (locked) {
            /* it is SQLite's own lock: held by a program that knows no other */
            loop_timer_set(g->loop, &g->retry, clock_monotonic_ms() + RETRY_MS);
        } else {
            g->lock_asked = true;
            io_thread_lock(g->thread);
        }
    } else {
        set_outcome(list, &e);
        tell(list);
        if (rc == ERR_UNSYNCED) g->unsynced(g->arg);
    }
}

bool commit_group_ready(const struct commit_group *g)
{
    return g->waiting.first && !g->syncing.first && !g->lock_asked && !loop_timer_is_set(&g->retry);
}

bool commit_group_rang(struct commit_group *g)
{
    bool rang = g->rang;
    g->rang = false;
    return rang;
}

bool commit_group_empty(const struct commit_group *g)
{
    return !g->waiting.first && !g->syncing.first;
}

bool commit_group_locking(const struct commit_group *g)
{
    return g->lock_asked;
}

int64_t commit_group_locked_out_ms(const struct commit_group *g)
{
    return g->lock_asked && g->waited_from ? (clock_monotonic_us() - g->waited_from) / 1000 : 0;
}

static void watch_patience(struct commit_group *g)
{
    if (g->waiting.first && !loop_timer_is_set(&g->give_up))
        loop_timer_set(g->loop, &g->give_up, g->waiting.first->since + g->busy_ms);
}

/* Whether there may soon be more who wait: each turn of the loop brings who has come meanwhile. What a transaction
 * and its sync cost is shared by all of a group. */
static bool gathering(struct commit_group *g)
{
    int64_t now = clock_monotonic_us();
    bool grown = g->grown;
    g->grown = false;
    if (!g->gather_until) g->gather_until = now + GATHER_US;
    if (grown && now < g->gather_until) return true;
    g->gather_until = 0;
    return false;
}

void commit_group_turn(struct commit_group *g)
{
    if (commit_group_ready(g) && !gathering(g)) begin(g, false);
    watch_patience(g);
}

static void on_retry(void *arg)
{
    (void)arg; /* commit_group_turn tries again */
}

/* Those that have waited for so long wait no more. */
static void on_give_up(void *arg)
{
    struct commit_group *g = arg;
    struct queue late = {0};
    struct error e;
    int64_t now = clock_monotonic_ms();
    late.last = &late.first;
    for (struct entry *n = queue_take_all(&g->waiting), *next; n; n = next) {
        next = n->next;
        queue_add(now - n->since >= g->busy_ms ? &late : &g->waiting, n);
    }
    error_set(&e, ERR_BUSY, "the database is busy: no turn within %lld ms", (long long)g->busy_ms);
    for (struct entry *n = late.first; n; n = n->next) n->op->error = e;
    tell(late.first);
    watch_patience(g);
}

/* ---- what the thread has done ---- */

static void synced(struct commit_group *g, bool failed)
{
    struct entry *list = queue_take_all(&g->syncing);
    if (!failed) {
        tell(list);
        return;
    }
    struct error e = {0};
    txn_sync_failed(g->db, &e);
    set_outcome(list, &e);
    tell(list);
    g->unsynced(g->arg);
}

static void on_thread(void *arg, int events)
{
    (void)events;
    struct commit_group *g = arg;
    unsigned done = io_thread_done(g->thread);
    if (done & (IO_SYNCED | IO_SYNC_FAILED)) synced(g, done & IO_SYNC_FAILED);
    if (!(done & (IO_LOCKED | IO_LOCK_FAILED))) return;
    g->lock_asked = false;
    if (done & IO_LOCK_FAILED) log_error("cannot wait for the write lock", "%s", "");
    if (!(done & IO_LOCKED)) return;
    if (g->waiting.first && !g->syncing.first) {
        begin(g, true);
    } else {
        g->waited_from = 0;
        txn_unlock(g->db);
    }
}

enum err commit_group_open(struct commit_group **out, struct loop *loop, struct db *db,
                           int64_t busy_ms, void (*unsynced)(void *arg), void *arg, struct error *e)
{
    struct commit_group *g = mem_alloc(sizeof *g);
    *g = (struct commit_group){.loop = loop, .db = db, .busy_ms = busy_ms, .unsynced = unsynced};
    g->arg = arg;
    g->waiting.last = &g->waiting.first;
    g->syncing.last = &g->syncing.first;
    g->retry = (struct loop_timer){.fire = on_retry, .arg = g};
    g->give_up = (struct loop_timer){.fire = on_give_up, .arg = g};
    enum err rc = io_thread_start(&g->thread, db, e);
    if (!rc) {
        g->thread_fd = (struct loop_fd){
            .fd = io_thread_fd(g->thread), .events = LOOP_IN, .ready = on_thread, .arg = g};
        rc = loop_add(loop, &g->thread_fd, e);
    }
    if (rc) {
        io_thread_stop(g->thread);
        free(g);
    } else {
        *out = g;
    }
    return rc;
}

void commit_group_close(struct commit_group *g)
{
    if (!g) return;
    assert(commit_group_empty(g));
    loop_timer_stop(g->loop, &g->retry);
    loop_timer_stop(g->loop, &g->give_up);
    loop_del(g->loop, &g->thread_fd);
    io_thread_stop(g->thread);
    free(g);
}

void commit_group_add(struct commit_group *g, struct exchange *x, struct operation *op,
                      void (*done)(struct exchange *x, void *arg), void *arg)
{
    struct entry *n = mem_alloc(sizeof *n);
    *n = (struct entry){
        .exchange = x, .op = op, .done = done, .arg = arg, .since = clock_monotonic_ms()};
    exchange_hold(x);
    g->grown = true;
    queue_add(&g->waiting, n);
}
