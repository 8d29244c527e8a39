/* Figures of several processes add up, outlive them where they are sums, and cost nobody anything. */
#include "fixture.h"

#include "base/log.h"
#include "store/bell.h"
#include "store/census.h"
#include "store/figures.h"

static const char *const get[] = {"/tasks", "GET", "2xx"};
static const char *const echo[] = {"echo"};

/* The sum of a figure's values; of a histogram the number of observations. */
static int64_t told(struct room *r, enum figure f)
{
    struct figures_told t;
    int64_t sum = 0;
    OK(r, figures_read(r->db, &t, &r->e));
    for (size_t i = 0; i < t.value_count; i++)
        if (t.values[i].figure == f && t.values[i].le >= 0) sum += t.values[i].value;
    figures_told_free(&t);
    return sum;
}

/* How many processes of a program live. */
static int living(struct room *r, const char *program)
{
    struct figures_told t;
    int count = 0;
    OK(r, figures_read(r->db, &t, &r->e));
    for (size_t i = 0; i < t.process_count; i++) {
        count += !strcmp(t.processes[i].program, program);
        assert_true(t.processes[i].pid > 0);
        assert_true(t.processes[i].resident_bytes > 0);
    }
    figures_told_free(&t);
    return count;
}

/* Tells what was counted without waiting for the time to come. */
static void tell(struct room *r)
{
    while (figures_wait(r->db) >= 0) {
        poll(NULL, 0, (int)figures_wait(r->db));
        figures_turn(r->db);
    }
}

struct life {
    struct signal_pipe told, end;
};

/* Counts, tells it, and lives on until it is told to end. */
static void count_and_live(struct room *r, void *arg)
{
    struct life *life = arg;
    MUST(!room_open(r));
    figures_join(r->db, "counter");
    figures_add(r->db, FIGURE_REQUESTS, get, 5);
    figures_set(r->db, FIGURE_STREAMS_OPEN, 7);
    figures_observe(r->db, FIGURE_DELIVERY, NULL, 1500, 2);
    figures_observe(r->db, FIGURE_DELIVERY, NULL, INT64_C(3600000000), 1);
    tell(r);
    pipe_say(&life->told);
    MUST(pipe_heard(&life->end));
}

static void several_processes_add_up_and_the_dead_keep_only_their_sums(void **state)
{
    struct room *r = *state;
    struct life life = {pipe_open(), pipe_open()};
    pid_t pids[3];
    room_close(r);
    for (int i = 0; i < 3; i++) pids[i] = room_fork(r, count_and_live, &life);
    for (int i = 0; i < 3; i++) assert_true(pipe_heard(&life.told));

    OK(r, room_open(r));
    assert_int_equal(told(r, FIGURE_REQUESTS), 15);
    assert_int_equal(told(r, FIGURE_DELIVERY), 9);
    assert_int_equal(told(r, FIGURE_STREAMS_OPEN), 21);
    assert_int_equal(living(r, "counter"), 3);
    sql_is(r->db, "6",
           "SELECT value FROM figures WHERE name = 'leat_delivery_seconds' AND le = 2000");
    sql_is(r->db, "10800009000",
           "SELECT value FROM figures WHERE name = 'leat_delivery_seconds'"
           " AND le = -1");
    sql_is(r->db, "route=\"/tasks\",method=\"GET\",status=\"2xx\"",
           "SELECT labels FROM figures WHERE name = 'leat_requests_total'");

    room_kill(r, pids[0]);
    assert_int_equal(told(r, FIGURE_STREAMS_OPEN), 14);
    assert_int_equal(living(r, "counter"), 2);
    pipe_say(&life.end);
    pipe_say(&life.end);
    for (int i = 1; i < 3; i++) child_succeeds(r, pids[i]);
    assert_int_equal(told(r, FIGURE_STREAMS_OPEN), 0);
    assert_int_equal(living(r, "counter"), 0);
    assert_int_equal(told(r, FIGURE_REQUESTS), 15);
    assert_int_equal(told(r, FIGURE_DELIVERY), 9);

    /* those who left took their rows along; the next that comes buries the one that was killed */
    sql_is(r->db, "1", "SELECT count(*) FROM processes");
    figures_join(r->db, "other");
    figures_turn(r->db);
    sql_is(r->db, "other", "SELECT group_concat(program) FROM processes");
    sql_is(r->db, "0", "SELECT count(*) FROM figures WHERE name = 'leat_streams_open'");
    assert_int_equal(living(r, "other"), 1);
    pipe_close(&life.told);
    pipe_close(&life.end);
}

static void a_flush_is_nothing_new_and_wakes_nobody(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    figures_join(r->db, "quiet");
    figures_turn(r->db);
    OK(r, bell_open(&bell, r->path, &r->e));
    assert_int_equal(figures_wait(r->db), -1);

    figures_add(r->db, FIGURE_REQUESTS, get, 1);
    int64_t wait = figures_wait(r->db);
    assert_in_range(wait, 1000, 2000);
    int before = sqlite3_total_changes(db_sqlite(r->db));
    figures_turn(r->db); /* it is not time */
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before);
    tell(r);
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before + 1);
    assert_int_equal(told(r, FIGURE_REQUESTS), 1);

    assert_int_equal(figures_wait(r->db), -1);
    figures_turn(r->db);
    figures_flush(r->db);
    figures_set(r->db, FIGURE_STREAMS_OPEN, 0); /* as it was */
    assert_int_equal(figures_wait(r->db), -1);
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before + 1);
    assert_int_equal(poll(&(struct pollfd){.fd = bell_fd(bell), .events = POLLIN}, 1, 0), 0);
    bell_close(bell);
}

static void who_has_not_joined_writes_nothing(void **state)
{
    struct room *r = *state;
    figures_add(r->db, FIGURE_REQUESTS, get, 1);
    figures_flush(r->db);
    figures_turn(r->db);
    assert_int_equal(figures_wait(r->db), -1);
    room_close(r);
    OK(r, room_open(r));
    assert_int_equal(told(r, FIGURE_REQUESTS), 0);
    sql_is(r->db, "0", "SELECT count(*) FROM processes");
}

static void hold_the_turnstile(struct room *r, void *arg)
{
    struct life *life = arg;
    MUST(!room_open(r));
    MUST(!db_begin(r->db, DB_SYNC_NONE, &r->e));
    pipe_say(&life->told);
    MUST(pipe_heard(&life->end));
    db_rollback(r->db);
}

static void a_busy_database_gets_the_figures_later(void **state)
{
    struct room *r = *state;
    struct life life = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_the_turnstile, &life);
    OK(r, room_open(r));
    assert_true(pipe_heard(&life.told));
    figures_join(r->db, "patient");
    figures_add(r->db, FIGURE_REQUESTS, get, 3);
    int64_t from = clock_monotonic_ms();
    figures_turn(r->db);
    assert_in_range(clock_monotonic_ms() - from, 0, 1000);
    assert_int_equal(told(r, FIGURE_REQUESTS), 0);
    assert_true(figures_wait(r->db) > 0);
    pipe_say(&life.end);
    child_succeeds(r, pid);
    tell(r);
    assert_int_equal(told(r, FIGURE_REQUESTS), 3);
    assert_int_equal(living(r, "patient"), 1);
    pipe_close(&life.told);
    pipe_close(&life.end);
}

static void waiting_and_running_count_once_they_are_committed(void **state)
{
    struct room *r = *state;
    int64_t n = 0;
    OK(r, log_open("test", "error", "stderr", &r->e));
    figures_join(r->db, "runner");
    OK(r, db_begin(r->db, DB_SYNC_NONE, &r->e));
    OK(r, runner_register(r->db, &(struct process_id){1, 1, 0}, "boot", T0, T0 + 9, &n, &r->e));
    OK(r, db_commit(r->db, &r->e));
    make(r, (struct sketch){.run_at = T0 + 1000});

    struct task t = {0};
    for (int i = 0; i < 2; i++) { /* the first is taken back */
        OK(r, db_begin(r->db, DB_SYNC_NONE, &r->e));
        OK(r,
           claim_next(r->db,
                      &(struct claim_wish){.runner = n, .now = T0 + 1030, .lease_until = T0 + 9000},
                      &t, &r->e));
        if (i)
            OK(r, db_commit(r->db, &r->e));
        else
            db_rollback(r->db);
        if (!i) task_free(&t);
    }
    struct claim c = {t.n, n, t.attempt};
    task_free(&t);
    const struct claim_end end = {.status = TASK_COMPLETED, .run_at = TASK_NONE, .now = T0 + 1230};
    assert_int_equal(finish(r, &c, &end), ERR_OK);
    assert_int_equal(finish(r, &c, &end), ERR_FENCED);

    tell(r);
    assert_int_equal(told(r, FIGURE_CLAIM_WAIT), 1);
    assert_int_equal(told(r, FIGURE_RUN_TIME), 1);
    sql_is(r->db, "type=\"echo\" 30000",
           "SELECT labels || ' ' || value FROM figures"
           " WHERE name = 'leat_claim_wait_seconds' AND le = -1");
    sql_is(r->db, "type=\"echo\" 200000",
           "SELECT labels || ' ' || value FROM figures"
           " WHERE name = 'leat_run_seconds' AND le = -1");
    figures_observe(r->db, FIGURE_RUN_TIME, echo, -5, 1); /* a clock was set back */
    tell(r);
    sql_is(r->db, "200000",
           "SELECT value FROM figures WHERE name = 'leat_run_seconds' AND le = -1");
}

static void a_census_agrees_with_a_recount(void **state)
{
    struct room *r = *state;
    struct census c;
    OK(r, census_take(r->db, T0, &c, &r->e));
    assert_int_equal(c.events, 0);
    assert_int_equal(c.due_since, TASK_NONE);
    census_free(&c);

    for (int i = 0; i < 3; i++) make(r, (struct sketch){.now = T0 + i, .type = i ? "echo" : "cat"});
    make(r, (struct sketch){.run_at = T0 + 50000});
    char *id = id_of(r->db, 1);
    OK(r, db_begin(r->db, DB_SYNC_BEFORE, &r->e));
    OK(r, task_cancel(r->db, id, NULL, T0 + 5, &r->e));
    OK(r, db_commit(r->db, &r->e));
    OK(r, census_take(r->db, T0 + 100, &c, &r->e));
    assert_int_equal(c.events, 5);
    assert_int_equal(c.newest_event, 5);
    assert_int_equal(c.due_since, T0 + 1);
    assert_int_equal(c.runners, 0);
    assert_true(c.database_bytes > 0 && c.log_bytes > 0 && c.log_pages > 0);
    int64_t cancelled = 0, pending = 0;
    for (size_t i = 0; i < c.task_rows; i++) {
        if (c.tasks[i].status == TASK_CANCELLED) cancelled += c.tasks[i].count;
        if (c.tasks[i].status == TASK_PENDING) pending += c.tasks[i].count;
    }
    assert_int_equal(cancelled, 1);
    assert_int_equal(pending, 3);
    census_free(&c);

    OK(r, db_begin(r->db, DB_SYNC_AFTER, &r->e));
    OK(r, task_delete(r->db, id, NULL, T0, &r->e));
    OK(r, db_commit(r->db, &r->e));
    free(id);
    OK(r, census_take(r->db, T0 + 60000, &c, &r->e));
    assert_int_equal(c.events, sql_number(r->db, "SELECT count(*) FROM events"));
    assert_int_equal(c.due_since, T0 + 1);
    census_free(&c);
    assert_consistent(r->db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(several_processes_add_up_and_the_dead_keep_only_their_sums),
        room_test(a_flush_is_nothing_new_and_wakes_nobody),
        room_test(who_has_not_joined_writes_nothing),
        room_test(a_busy_database_gets_the_figures_later),
        room_test(waiting_and_running_count_once_they_are_committed),
        room_test(a_census_agrees_with_a_recount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
