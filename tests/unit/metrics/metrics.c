/* Metrics of several processes add up, outlive them where they are sums, and cost nobody anything. */
#include "../store/fixture.h"

#include "base/log.h"
#include "metrics/metrics.h"
#include "store/bell.h"

static const char *const get[] = {"/tasks", "GET", "2xx"};
static const char *const echo[] = {"echo"};

static struct metrics *metrics; /* of this process; NULL: it has none */

static void stop(void)
{
    metrics_free(metrics);
    metrics = NULL;
}

/* The sum of a metric's values; of a histogram the number of observations. */
static int64_t sum_of(struct room *r, enum metric metric)
{
    struct metrics_snapshot t;
    int64_t sum = 0;
    OK(r, metrics_read(r->db, metrics, &t, &r->e));
    for (size_t i = 0; i < t.value_count; i++)
        if (t.values[i].metric == metric && t.values[i].le >= 0) sum += t.values[i].value;
    metrics_snapshot_free(&t);
    return sum;
}

/* How many processes of a program live. */
static int living(struct room *r, const char *program)
{
    struct metrics_snapshot t;
    int count = 0;
    OK(r, metrics_read(r->db, metrics, &t, &r->e));
    for (size_t i = 0; i < t.process_count; i++) {
        count += !strcmp(t.processes[i].program, program);
        assert_true(t.processes[i].pid > 0);
        assert_true(t.processes[i].resident_bytes > 0);
    }
    metrics_snapshot_free(&t);
    return count;
}

/* Writes what was counted, when its time has come. */
static void write_all(void)
{
    while (metrics_wait(metrics) >= 0) {
        poll(NULL, 0, (int)metrics_wait(metrics));
        metrics_turn(metrics);
    }
}

struct life {
    struct signal_pipe written, end;
};

/* Counts, writes it, and lives on until it is asked to end. */
static void count_and_live(struct room *r, void *arg)
{
    struct life *life = arg;
    MUST(!room_open(r));
    metrics = metrics_new(r->db, "counter");
    metrics_add(metrics, METRIC_REQUESTS, get, 5);
    metrics_set(metrics, METRIC_STREAMS_OPEN, 7);
    metrics_observe(metrics, METRIC_DELIVERY, NULL, 1500, 2);
    metrics_observe(metrics, METRIC_DELIVERY, NULL, INT64_C(3600000000), 1);
    write_all();
    pipe_say(&life->written);
    MUST(pipe_heard(&life->end));
    stop();
}

static void several_processes_add_up_and_the_dead_keep_only_their_sums(void **state)
{
    struct room *r = *state;
    struct life life = {pipe_open(), pipe_open()};
    pid_t pids[3];
    room_close(r);
    for (int i = 0; i < 3; i++) pids[i] = room_fork(r, count_and_live, &life);
    for (int i = 0; i < 3; i++) assert_true(pipe_heard(&life.written));

    OK(r, room_open(r));
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 15);
    assert_int_equal(sum_of(r, METRIC_DELIVERY), 9);
    assert_int_equal(sum_of(r, METRIC_STREAMS_OPEN), 21);
    assert_int_equal(living(r, "counter"), 3);
    sql_is(r->db, "6",
           "SELECT value FROM figures WHERE name = 'leat_delivery_seconds' AND le = 2000");
    sql_is(r->db, "10800009000",
           "SELECT value FROM figures WHERE name = 'leat_delivery_seconds'"
           " AND le = -1");
    sql_is(r->db, "route=\"/tasks\",method=\"GET\",status=\"2xx\"",
           "SELECT labels FROM figures WHERE name = 'leat_requests_total'");

    room_kill(r, pids[0]);
    assert_int_equal(sum_of(r, METRIC_STREAMS_OPEN), 14);
    assert_int_equal(living(r, "counter"), 2);
    pipe_say(&life.end);
    pipe_say(&life.end);
    for (int i = 1; i < 3; i++) child_succeeds(r, pids[i]);
    assert_int_equal(sum_of(r, METRIC_STREAMS_OPEN), 0);
    assert_int_equal(living(r, "counter"), 0);
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 15);
    assert_int_equal(sum_of(r, METRIC_DELIVERY), 9);

    /* those who left took their rows along; the next that comes removes the one that was killed */
    sql_is(r->db, "1", "SELECT count(*) FROM processes");
    metrics = metrics_new(r->db, "other");
    metrics_turn(metrics);
    sql_is(r->db, "other", "SELECT group_concat(program) FROM processes");
    sql_is(r->db, "0", "SELECT count(*) FROM figures WHERE name = 'leat_streams_open'");
    assert_int_equal(living(r, "other"), 1);
    stop();
    pipe_close(&life.written);
    pipe_close(&life.end);
}

static void a_flush_is_nothing_new_and_wakes_nobody(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    metrics = metrics_new(r->db, "quiet");
    metrics_turn(metrics);
    OK(r, bell_open(&bell, r->path, &r->e));
    assert_int_equal(metrics_wait(metrics), -1);

    metrics_add(metrics, METRIC_REQUESTS, get, 1);
    int64_t wait = metrics_wait(metrics);
    assert_in_range(wait, 1000, 2000);
    int before = sqlite3_total_changes(db_sqlite(r->db));
    metrics_turn(metrics); /* it is not time */
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before);
    write_all();
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before + 1);
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 1);

    assert_int_equal(metrics_wait(metrics), -1);
    metrics_turn(metrics);
    metrics_flush(metrics);
    metrics_set(metrics, METRIC_STREAMS_OPEN, 0); /* as it was */
    assert_int_equal(metrics_wait(metrics), -1);
    assert_int_equal(sqlite3_total_changes(db_sqlite(r->db)), before + 1);
    assert_int_equal(poll(&(struct pollfd){.fd = bell_fd(bell), .events = POLLIN}, 1, 0), 0);
    bell_close(bell);
    stop();
}

static void where_nobody_counts_nothing_is_written(void **state)
{
    struct room *r = *state;
    metrics_add(NULL, METRIC_REQUESTS, get, 1);
    metrics_set(NULL, METRIC_STREAMS_OPEN, 1);
    metrics_observe(NULL, METRIC_RUN_TIME, echo, 1, 1);
    metrics_flush(NULL);
    metrics_turn(NULL);
    assert_int_equal(metrics_wait(NULL), -1);
    metrics_free(NULL);
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 0);
    sql_is(r->db, "0", "SELECT count(*) FROM processes");
}

static void who_never_wrote_has_nothing_to_take_back(void **state)
{
    struct room *r = *state;
    metrics = metrics_new(r->db, "short");
    metrics_add(metrics, METRIC_REQUESTS, get, 1);
    stop();
    sql_is(r->db, "0", "SELECT count(*) FROM processes");
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e)); /* its hooks are gone too */
    OK(r, txn_commit(r->db, &r->e));
}

static void hold_the_write_lock(struct room *r, void *arg)
{
    struct life *life = arg;
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    pipe_say(&life->written);
    MUST(pipe_heard(&life->end));
    txn_rollback(r->db);
}

static void a_busy_database_gets_the_metrics_later(void **state)
{
    struct room *r = *state;
    struct life life = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_the_write_lock, &life);
    OK(r, room_open(r));
    assert_true(pipe_heard(&life.written));
    metrics = metrics_new(r->db, "patient");
    metrics_add(metrics, METRIC_REQUESTS, get, 3);
    int64_t from = clock_monotonic_ms();
    metrics_turn(metrics);
    assert_in_range(clock_monotonic_ms() - from, 0, 1000);
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 0);
    assert_true(metrics_wait(metrics) > 0);
    pipe_say(&life.end);
    child_succeeds(r, pid);
    write_all();
    assert_int_equal(sum_of(r, METRIC_REQUESTS), 3);
    assert_int_equal(living(r, "patient"), 1);
    stop();
    pipe_close(&life.written);
    pipe_close(&life.end);
}

static void waiting_and_running_count_once_they_are_committed(void **state)
{
    struct room *r = *state;
    int64_t n = 0;
    OK(r, log_open("test", "error", "stderr", &r->e));
    metrics = metrics_new(r->db, "runner");
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_register(r->db, &(struct process_id){1, 1, 0}, "boot", T0, T0 + 9, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    make(r, (struct sketch){.run_at = T0 + 1000});

    struct task t = {0};
    for (int i = 0; i < 2; i++) { /* the first is taken back */
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        OK(r,
           claim_next(r->db,
                      &(struct claim_wish){.runner = n, .now = T0 + 1030, .lease_until = T0 + 9000},
                      &t, &r->e));
        if (i)
            OK(r, txn_commit(r->db, &r->e));
        else
            txn_rollback(r->db);
        if (!i) task_free(&t);
    }
    struct claim c = {t.n, n, t.attempt};
    task_free(&t);
    const struct claim_end end = {.status = TASK_COMPLETED, .run_at = TASK_NONE, .now = T0 + 1230};
    assert_int_equal(finish(r, &c, &end), ERR_OK);
    assert_int_equal(finish(r, &c, &end), ERR_FENCED);

    write_all();
    assert_int_equal(sum_of(r, METRIC_CLAIM_WAIT), 1);
    assert_int_equal(sum_of(r, METRIC_RUN_TIME), 1);
    sql_is(r->db, "type=\"echo\" 30000",
           "SELECT labels || ' ' || value FROM figures"
           " WHERE name = 'leat_claim_wait_seconds' AND le = -1");
    sql_is(r->db, "type=\"echo\" 200000",
           "SELECT labels || ' ' || value FROM figures"
           " WHERE name = 'leat_run_seconds' AND le = -1");
    metrics_observe(metrics, METRIC_RUN_TIME, echo, -5, 1); /* a clock was set back */
    write_all();
    sql_is(r->db, "200000",
           "SELECT value FROM figures WHERE name = 'leat_run_seconds' AND le = -1");
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(several_processes_add_up_and_the_dead_keep_only_their_sums),
        room_test(a_flush_is_nothing_new_and_wakes_nobody),
        room_test(where_nobody_counts_nothing_is_written),
        room_test(who_never_wrote_has_nothing_to_take_back),
        room_test(a_busy_database_gets_the_metrics_later),
        room_test(waiting_and_running_count_once_they_are_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
