/* What is old goes, in small steps, and nothing else does. */
#include "fixture.h"

#include "store/credentials.h"
#include "store/idempotency.h"
#include "store/rates.h"
#include "store/retention.h"
#include "store/runner_lock.h"
#include "store/write_lock.h"

#include <pthread.h>
#include <sched.h>

enum { HOUR = 3600 * 1000, DAY = 24 * HOUR };

/* A finished task with `events` events more than it needs. */
static int64_t make_finished(struct room *r, struct sketch s, int64_t at, int64_t events)
{
    s.now = at;
    int64_t n = make(r, s);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(
        sql_try(
            r->db,
            "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1, started_at = %lld,"
            " attempt = 1, updated_at = %lld WHERE n = %lld;"
            "WITH RECURSIVE many (i) AS (SELECT 1 WHERE %lld UNION ALL SELECT i + 1 FROM many"
            " WHERE i < %lld) INSERT INTO task_says SELECT %lld, 'doc.created', %lld, '{}' FROM"
            " many;"
            "UPDATE tasks SET status = 'completed', runner = NULL, lease_until = NULL,"
            " completed_at = %lld, updated_at = %lld WHERE n = %lld",
            at, at, n, events, events, n, at, at, at, n),
        SQLITE_OK);
    OK(r, txn_commit(r->db, &r->e));
    return n;
}

/* Step by step until nothing is left to remove. */
static struct retention_count sweep_all(struct room *r, const struct retention *what)
{
    struct retention_count all = {0};
    struct retention_step step = {.more = true};
    for (int i = 0; step.more; i++) {
        if (i > 10000) fail_msg("no end");
        OK(r, retention_step(r->db, what, 30000, &step, &r->e));
        assert_true((int64_t)step.gone_count == step.removed.tasks);
        all.tasks += step.removed.tasks;
        all.events += step.removed.events;
        all.groups += step.removed.groups;
        all.keys += step.removed.keys;
        all.tickets += step.removed.tickets;
        all.runners += step.removed.runners;
        all.rates += step.removed.rates;
        assert_consistent(r->db);
    }
    return all;
}

static struct retention_count sweep(struct room *r, int64_t before, int64_t now)
{
    return sweep_all(r, &(struct retention){.before = before, .now = now});
}

static int64_t evicted(struct room *r, const char *owner)
{
    int64_t seq = 0;
    OK(r, events_floor(r->db, &(struct event_scope){.kind = SCOPE_OWNER, .owner = owner}, &seq,
                       &r->e));
    return seq;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static void what_is_old_goes_with_all_that_is_its(void **state)
{
    struct room *r = *state;
    int64_t old =
        make_finished(r, (struct sketch){.group = "g", .input = "in", .input_bytes = 2}, T0, 5);
    int64_t newest = sql_number(r->db, "SELECT max(seq) FROM events WHERE task = %lld", old);
    int64_t young = make_finished(r, (struct sketch){.group = "g"}, T0 + DAY, 5);
    make_finished(r, (struct sketch){.owner = "bob", .group = "g"}, T0 + DAY, 0);

    struct retention_count due, n;
    OK(r, retention_due(r->db, &(struct retention){.before = T0 + HOUR, .now = T0 + 2 * DAY}, &due,
                        &r->e));
    n = sweep(r, T0 + HOUR, T0 + 2 * DAY);
    assert_memory_equal(&due, &n, sizeof n);
    assert_int_equal(n.tasks, 1);
    assert_true(n.events >= 8); /* its own, and what its group said then */
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks WHERE n = %lld", old), 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks WHERE n = %lld", young), 1);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE task = %lld", old), 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM inputs"), 0);
    assert_int_equal(sql_number(r->db, "SELECT completed FROM groups WHERE owner = 'alice'"), 1);
    assert_true(evicted(r, "alice") >= newest);
    assert_int_equal(evicted(r, "bob"), 0);
    /* its deletion is told as of now, so that it stays to be seen as long as anything else */
    assert_int_equal(sql_number(r->db, "SELECT ts FROM events WHERE type = 'task.deleted'"),
                     T0 + 2 * DAY);
    assert_consistent(r->db);
}

static void the_oldest_goes_first_and_a_step_is_small(void **state)
{
    struct room *r = *state;
    enum { TASKS = 3 * RETENTION_TASKS_A_STEP };
    for (int i = 0; i < TASKS; i++) make_finished(r, (struct sketch){0}, T0 + TASKS - i, 0);
    struct retention_step step;
    const struct retention what = {.before = T0 + HOUR, .now = T0 + DAY};
    OK(r, retention_step(r->db, &what, 1000, &step, &r->e));
    assert_true(step.more);
    assert_in_range(step.removed.tasks, 1, RETENTION_TASKS_A_STEP);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks WHERE completed_at <= %lld",
                                (int64_t)(T0 + step.removed.tasks)),
                     0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), TASKS - step.removed.tasks);
    int64_t rest = sweep(r, what.before, what.now).tasks;
    assert_int_equal(rest + step.removed.tasks, TASKS);
}

/* One who may want to write while a step is at it. */
struct other {
    struct db *db;
    int fd; /* of the write lock */
    pthread_t thread;
    int asked; /* times */
};

static void *want_to_write(void *arg)
{
    struct other *o = arg;
    while (write_lock_wait(o->fd)) continue;
    write_lock_release(o->fd);
    return NULL;
}

static bool let_another_wait(void *arg)
{
    struct other *o = arg;
    if (!o->asked++) pthread_create(&o->thread, NULL, want_to_write, o);
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (!txn_wanted(o->db) && clock_monotonic_ms() < until) sched_yield();
    return false;
}

static bool something_else_is_to_be_done(void *arg)
{
    (void)arg;
    return true;
}

static void a_step_is_smaller_where_others_wait(void **state)
{
    struct room *r = *state;
    enum { TASKS = 60 };
    for (int i = 0; i < TASKS; i++) make_finished(r, (struct sketch){0}, T0, 0);
    struct retention what = {.before = T0 + HOUR, .now = T0 + DAY};
    struct retention_step step;

    what.hurry = something_else_is_to_be_done; /* the caller itself */
    OK(r, retention_step(r->db, &what, 1000, &step, &r->e));
    assert_in_range(step.removed.tasks, 1, TASKS / 4);
    assert_true(step.more);

    struct other o = {.db = r->db}; /* one who wants to write */
    OK(r, db_open_beside(r->path, ".lock", &o.fd, &r->e));
    what.hurry = let_another_wait;
    what.arg = &o;
    OK(r, retention_step(r->db, &what, 1000, &step, &r->e));
    if (o.asked) pthread_join(o.thread, NULL);
    assert_in_range(step.removed.tasks, 1, TASKS / 2);
    assert_true(step.more);
    close(o.fd);

    what.hurry = NULL;
    assert_true(sweep_all(r, &what).tasks > 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
}

static void what_was_freed_is_given_back_in_portions(void **state)
{
    struct room *r = *state;
    enum { TASKS = 60, BYTES = 200000 };
    char *bytes = mem_alloc(BYTES);
    for (int i = 0; i < TASKS; i++)
        make_finished(r, (struct sketch){.input = bytes, .input_bytes = BYTES}, T0, 0);
    free(bytes);
    int64_t young =
        make_finished(r, (struct sketch){.input = "stays", .input_bytes = 5}, T0 + DAY, 0);
    OK(r, db_checkpoint(r->db, &r->e));
    bool more = true;
    int64_t full = 0, empty = 0, log = 0, before = sql_number(r->db, "PRAGMA page_count");
    db_bytes(r->db, &full, &log);
    assert_true(full > TASKS * BYTES);
    OK(r, db_give_back(r->db, 1000, &more, &r->e));
    assert_false(more); /* nothing is free yet */

    sweep(r, T0 + HOUR, T0 + DAY);
    for (int steps = 0;; steps++) {
        if (steps > 10000) fail_msg("no end");
        OK(r, db_give_back(r->db, 1000, &more, &r->e));
        int64_t pages = sql_number(r->db, "PRAGMA page_count");
        assert_true(more ? pages < before : pages == before);
        before = pages;
        assert_true(txn_idle(r->db));
        if (!more) break;
    }
    OK(r, db_checkpoint(r->db, &r->e));
    db_bytes(r->db, &empty, &log);
    assert_in_range(empty, 1, 6 << 20); /* a few MiB stay free for what comes next */
    assert_true(before * 4096 == empty);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM inputs WHERE task = %lld", young), 1);
    sql_is(r->db, "ok", "PRAGMA integrity_check");
    assert_consistent(r->db);
}

static void what_is_not_finished_stays_whatever_its_age(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "waits"});
    make(r, (struct sketch){.group = "later", .run_at = T0 + 100 * (int64_t)DAY});
    make(r, (struct sketch){.group = "runs", .priority = 5});
    assert_true(take(r, 1, T0).n > 0);
    struct retention_count n = sweep(r, T0 + DAY, T0 + 2 * DAY);
    assert_int_equal(n.tasks + n.groups, 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 3);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM groups"), 3);
}

static void for_ever_is_for_ever(void **state)
{
    struct room *r = *state;
    make_finished(r, (struct sketch){.group = "g"}, T0, 0);
    struct retention_count n = sweep(r, TASK_NONE, T0 + 1000 * (int64_t)DAY);
    assert_int_equal(n.tasks + n.events + n.groups, 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
}

static void a_type_may_have_a_bound_of_its_own(void **state)
{
    struct room *r = *state;
    static const char *const types[] = {"brief", "usual", "long", "ever"};
    const char *own = "{\"brief\":500,\"long\":100,\"ever\":0,\"unused\":900}";
    struct retention what = {.before = T0 + 200, .now = T0 + DAY};
    struct retention_count due;
    struct buf json = {0};
    for (const char *p = own; *p; p++) { /* numbers are after T0 */
        bool number = *p >= '1' && *p <= '9' && p[-1] == ':';
        if (number) buf_int(&json, T0 + strtol(p, (char **)&p, 10));
        buf_char(&json, *p);
    }
    for (int i = 0; i < 4; i++)
        for (int at = 50; at < 1000; at += 100)
            make_finished(r, (struct sketch){.type = types[i]}, T0 + at, 0);
    what.own = json.data;
    OK(r, retention_due(r->db, &what, &due, &r->e));
    assert_int_equal(due.tasks, 5 + 2 + 1);
    assert_int_equal(sweep_all(r, &what).tasks, due.tasks);
    sql_is(r->db, "brief 5 550,ever 10 50,long 9 150,usual 8 250",
           "SELECT group_concat(x) FROM (SELECT type || ' ' || count(*) || ' ' ||"
           " (min(completed_at) %% 1000) AS x FROM tasks GROUP BY type ORDER BY type)");
    what.before = TASK_NONE; /* for ever, but for those that say otherwise */
    what.own = "{\"usual\":9999999999999}";
    assert_int_equal(sweep_all(r, &what).tasks, 8);
    buf_free(&json);
    assert_consistent(r->db);
}

static void a_long_log_goes_in_portions_and_never_has_a_gap(void **state)
{
    struct room *r = *state;
    enum { EVENTS = 5000 };
    int64_t n = make_finished(r, (struct sketch){.group = "g"}, T0, EVENTS);
    int64_t newest = sql_number(r->db, "SELECT max(seq) FROM events WHERE task = %lld", n);
    char *id = id_of(r->db, n);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, task_delete(r->db, id, "alice", T0, &r->e)); /* by hand as well */
    OK(r, txn_commit(r->db, &r->e));
    free(id);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM remains"), 1);
    assert_true(evicted(r, "alice") >= newest);

    int64_t before = INT64_MAX;
    int steps = 0;
    for (struct retention_step step = {.more = true}; step.more; steps++) {
        struct event_list rows = {0};
        int64_t seen = 0;
        do {
            OK(r, events_read(r->db, &(struct event_scope){.kind = SCOPE_TASK, .task = n},
                              rows.count ? rows.items[rows.count - 1].seq : 0, 1000, 1 << 20, &rows,
                              &r->e));
            for (size_t i = 0; i < rows.count; i++)
                assert_int_equal(rows.items[i].task_seq, ++seen);
        } while (rows.more);
        event_list_free(&rows);
        assert_true(seen < before);
        before = seen;
        int64_t began = clock_monotonic_ms();
        OK(r, retention_step(r->db, &(struct retention){.before = TASK_NONE, .now = T0}, 1000,
                             &step, &r->e));
        assert_in_range(clock_monotonic_ms() - began, 0, 500 * slowness());
        assert_consistent(r->db);
    }
    assert_true(steps > 1 || before < EVENTS);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM remains"), 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE task = %lld", n), 0);
}

/* ---- events of no task, groups -------------------------------------------------------------- */

static void events_of_no_task_go_by_their_own_age(void **state)
{
    struct room *r = *state;
    int64_t first = 0, second = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, group_publish(r->db, "alice", "g", "r", "doc.created", "{}", T0, &first, &r->e));
    OK(r, group_publish(r->db, "alice", "g", "r", "doc.created", "{}", T0 + DAY, &second, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sweep(r, T0 + HOUR, T0 + DAY).events, 1);
    assert_int_equal(evicted(r, "alice"), first);
    assert_int_equal(sql_number(r->db, "SELECT min(seq) FROM events"), second);
}

static void a_group_of_which_only_its_name_is_left_goes_and_a_context_stays(void **state)
{
    struct room *r = *state;
    int64_t seq;
    make_finished(r, (struct sketch){.group = "worked"}, T0, 0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, group_publish(r->db, "alice", "named", "r", "doc.created", "{}", T0, &seq, &r->e));
    OK(r, group_context_put(r->db, "alice", "kept", "{\"a\":1}", -1, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    struct retention_count n = sweep(r, T0 + HOUR, T0 + DAY);
    assert_int_equal(n.groups, 1);
    sql_is(r->db, "kept worked", "SELECT group_concat(name, ' ') FROM groups");
    n = sweep(r, T0 + 2 * (int64_t)DAY, T0 + 3 * (int64_t)DAY); /* it became empty by the first */
    assert_int_equal(n.groups, 1);
    sql_is(r->db, "{\"a\":1}", "SELECT json FROM contexts");
    struct group g;
    OK(r, group_get(r->db, "alice", "worked", &g, &r->e));
    assert_string_equal(g.status, "idle");
    group_free(&g);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events"), 0);
}

/* ---- what expires --------------------------------------------------------------------------- */

static void what_has_expired_goes_and_tokens_stay(void **state)
{
    struct room *r = *state;
    const int64_t now = T0 + 30 * (int64_t)DAY;
    unsigned char hash[SECRET_HASH_BYTES] = {1};
    const unsigned char print[FINGERPRINT_BYTES] = {0};
    struct credential c = {.owner = (char *)"alice", .created_at = T0, .expires_at = T0 + 1};
    int64_t id, used;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, credential_add(r->db, &c, hash, &id, &r->e));
    c.ticket = TICKET_ALL;
    hash[0]++;
    OK(r, credential_add(r->db, &c, hash, &id, &r->e));
    c.expires_at = now + HOUR;
    hash[0]++;
    OK(r, credential_add(r->db, &c, hash, &id, &r->e));
    OK(r, idempotency_keep(r->db, "alice", "old", print, 1, false, T0, now, &r->e));
    OK(r, idempotency_keep(r->db, "alice", "new", print, 1, false, T0, now + 1, &r->e));
    OK(r, rate_count(r->db, "alice", "polls", T0 / 60000, 1, &used, &r->e));
    OK(r, rate_count(r->db, "bob", "polls", now / 60000, 1, &used, &r->e));
    assert_int_equal(
        sql_try(r->db,
                "INSERT INTO runners (id, pid, pid_start, boot_id, started_at, seen_until) VALUES"
                " (1, 1, 1, '', 1, %lld), (2, 1, 1, '', 1, %lld), (3, 1, 1, '', 1, %lld)",
                (int64_t)T0, (int64_t)T0, now),
        SQLITE_OK);
    OK(r, txn_commit(r->db, &r->e));
    make(r, (struct sketch){0});
    assert_true(take(r, 2, T0).n > 0); /* a task names the second */

    struct retention_count due, n;
    OK(r, retention_due(r->db, &(struct retention){.before = TASK_NONE, .now = now}, &due, &r->e));
    n = sweep(r, TASK_NONE, now);
    assert_memory_equal(&due, &n, sizeof n);
    assert_int_equal(n.keys, 1);
    assert_int_equal(n.tickets, 1);
    assert_int_equal(n.rates, 1);
    assert_int_equal(n.runners, 1);
    sql_is(r->db, "new", "SELECT group_concat(key) FROM idempotency");
    sql_is(r->db, "token,ticket", "SELECT group_concat(kind) FROM credentials");
    sql_is(r->db, "2,3", "SELECT group_concat(id) FROM runners");
    sql_is(r->db, "bob", "SELECT group_concat(owner) FROM rates");
}

static void nothing_to_remove_is_no_transaction(void **state)
{
    struct room *r = *state;
    struct retention_step step;
    make_finished(r, (struct sketch){.group = "g"}, T0, 0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e)); /* somebody writes */
    txn_rollback(r->db);
    db_changed(r->db);
    OK(r,
       retention_step(r->db, &(struct retention){.before = T0, .now = T0 + HOUR}, 0, &step, &r->e));
    assert_false(step.more);
    assert_int_equal(step.removed.tasks + step.removed.events, 0);
}

static void counting_is_what_removing_does(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 30; i++) make_finished(r, (struct sketch){.group = "g"}, T0 + i, i);
    struct retention_count due, n;
    OK(r, retention_due(r->db, &(struct retention){.before = T0 + HOUR, .now = T0 + DAY}, &due,
                        &r->e));
    n = sweep(r, T0 + HOUR, T0 + DAY);
    assert_memory_equal(&due, &n, sizeof n);
    assert_int_equal(n.tasks, 30);
}

/* ---- beside writers ------------------------------------------------------------------------- */

enum { WRITERS = 3 };

struct writing {
    struct signal_pipe go;
    int64_t *worst; /* us, one place a writer, shared */
    int count;
};

static void write_beside(struct room *r, void *arg)
{
    const struct writing *w = arg;
    char byte;
    MUST(!room_open(r));
    MUST(read(w->go.from, &byte, 1) == 1);
    int64_t worst = 0;
    for (int i = 0; i < w->count; i++) {
        int64_t n, began = clock_monotonic_us();
        MUST(!txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        int64_t waited = clock_monotonic_us() - began;
        if (waited > worst) worst = waited;
        MUST(!sketch_create(r->db, &(struct sketch){.group = "new", .now = T0 + DAY}, NULL, &n,
                            &r->e));
        MUST(!txn_commit(r->db, &r->e));
        poll(NULL, 0, 1);
    }
    MUST(write(w->go.to, &worst, sizeof worst) == sizeof worst);
}

static void writers_beside_it_do_not_notice(void **state)
{
    struct room *r = *state;
    int tasks = 600 / slowness(), each = 200 / slowness();
    int64_t now = T0 + DAY;
    for (int i = 0; i < tasks; i++)
        make_finished(r, (struct sketch){.group = i % 2 ? "a" : "b"}, T0 + i, 20);
    make_finished(r, (struct sketch){.group = "long"}, T0, 20000 / slowness());
    int64_t newest = sql_number(r->db, "SELECT max(seq) FROM events");
    struct writing w = {.go = pipe_open(), .count = each};
    struct signal_pipe back = pipe_open(), go = w.go;
    w.go.to = back.to;
    room_close(r);
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) pids[i] = room_fork(r, write_beside, &w);
    OK(r, room_open(r));
    for (int i = 0; i < WRITERS; i++) pipe_say(&go);
    int64_t worst_step = 0;
    for (struct retention_step step = {.more = true}; step.more;) {
        int64_t began = clock_monotonic_us();
        OK(r, retention_step(r->db, &(struct retention){.before = T0 + HOUR, .now = now}, 30000,
                             &step, &r->e));
        int64_t took = clock_monotonic_us() - began;
        if (took > worst_step) worst_step = took;
    }
    int64_t worst = 0;
    for (int i = 0; i < WRITERS; i++) {
        int64_t one = 0;
        assert_int_equal(read(back.from, &one, sizeof one), sizeof one);
        if (one > worst) worst = one;
        child_succeeds(r, pids[i]);
    }
    print_message("# worst wait of a writer %.1f ms, worst step %.1f ms\n", (double)worst / 1000,
                  (double)worst_step / 1000);
    assert_in_range(worst, 0, 1000000 * slowness());
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), WRITERS * each);
    assert_true(evicted(r, "alice") >= newest - 1);
    assert_consistent(r->db);
    sql_is(r->db, "ok", "PRAGMA integrity_check");
    pipe_close(&go);
    pipe_close(&back);
}

/* ---- presence of a runner ------------------------------------------------------------------- */

static void one_takes_the_lock_alone_and_several_share_it(void **state)
{
    struct room *r = *state;
    int alone, second, shared, other;
    OK(r, runner_lock_take(r->path, &alone, &r->e));
    assert_true(alone >= 0 && runner_lock_is(alone, r->path));
    OK(r, runner_lock_take(r->path, &second, &r->e));
    assert_int_equal(second, -1);
    OK(r, runner_lock_open(r->path, &shared, &r->e));
    OK(r, runner_lock_open(r->path, &other, &r->e));
    assert_false(runner_lock_share(shared));
    runner_lock_drop(alone);
    assert_true(runner_lock_share(shared) && runner_lock_share(other));
    runner_lock_drop(shared);
    OK(r, runner_lock_take(r->path, &second, &r->e));
    assert_int_equal(second, -1);
    runner_lock_drop(other);
    OK(r, runner_lock_take(r->path, &second, &r->e));
    assert_true(second >= 0);
    runner_lock_drop(second);
    assert_false(runner_lock_is(r->children[0] ? 0 : STDIN_FILENO, r->path));
}

static void a_runner_is_wanted_while_a_task_waits_or_runs(void **state)
{
    struct room *r = *state;
    bool wanted = true;
    OK(r, runner_wanted(r->db, &wanted, &r->e));
    assert_false(wanted);
    make_finished(r, (struct sketch){0}, T0, 0);
    OK(r, runner_wanted(r->db, &wanted, &r->e));
    assert_false(wanted);
    make(r, (struct sketch){.run_at = T0 + 1000 * (int64_t)DAY});
    OK(r, runner_wanted(r->db, &wanted, &r->e));
    assert_true(wanted);
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET delayed = 0"), SQLITE_OK);
    assert_true(take(r, 1, T0).n > 0);
    OK(r, runner_wanted(r->db, &wanted, &r->e));
    assert_true(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(what_is_old_goes_with_all_that_is_its),
        room_test(the_oldest_goes_first_and_a_step_is_small),
        room_test(a_step_is_smaller_where_others_wait),
        room_test(what_was_freed_is_given_back_in_portions),
        room_test(what_is_not_finished_stays_whatever_its_age),
        room_test(for_ever_is_for_ever),
        room_test(a_type_may_have_a_bound_of_its_own),
        room_test(a_long_log_goes_in_portions_and_never_has_a_gap),
        room_test(events_of_no_task_go_by_their_own_age),
        room_test(a_group_of_which_only_its_name_is_left_goes_and_a_context_stays),
        room_test(what_has_expired_goes_and_tokens_stay),
        room_test(nothing_to_remove_is_no_transaction),
        room_test(counting_is_what_removing_does),
        room_test(writers_beside_it_do_not_notice),
        room_test(one_takes_the_lock_alone_and_several_share_it),
        room_test(a_runner_is_wanted_while_a_task_waits_or_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
