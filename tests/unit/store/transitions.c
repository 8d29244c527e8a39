/* Who watches hears of each change of a status that was committed, and of no other. */
#include "fixture.h"

#include "base/log.h"
#include "store/transitions.h"

static struct transition heard[8];
static enum task_status heard_to[8];
static int64_t heard_ms[8];
static size_t heard_count;

static void hear(void *arg, const struct transition *t, enum task_status to, int64_t elapsed_ms)
{
    assert_ptr_equal(arg, heard);
    heard[heard_count] = *t;
    heard_to[heard_count] = to;
    heard_ms[heard_count++] = elapsed_ms;
}

static void start(struct room *r)
{
    heard_count = 0;
    OK(r, log_open("test", "error", "stderr", &r->e));
    transitions_watch(r->db, hear, heard);
}

static void what_is_committed_is_heard_once(void **state)
{
    struct room *r = *state;
    start(r);
    int64_t n = make(r, (struct sketch){.now = T0});
    assert_int_equal(heard_count, 1);
    assert_int_equal(heard[0].from, TASK_STATUSES);
    assert_int_equal(heard_to[0], TASK_PENDING);
    assert_string_equal(heard[0].type, "echo");

    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, task_cancel_n(r->db, n, TASK_PENDING, T0 + 50, &r->e));
    assert_int_equal(heard_count, 1); /* not before the commit */
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(heard_count, 2);
    assert_int_equal(heard[1].from, TASK_PENDING);
    assert_int_equal(heard_to[1], TASK_CANCELLED);
    assert_int_equal(heard_ms[1], 50);
    transitions_unwatch(r->db);
}

static void what_is_dropped_is_not_heard(void **state)
{
    struct room *r = *state;
    int64_t n;
    start(r);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    txn_rollback(r->db);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(heard_count, 0);
    transitions_unwatch(r->db);
}

static void after_unwatch_nothing_is_heard(void **state)
{
    struct room *r = *state;
    start(r);
    transitions_unwatch(r->db);
    transitions_unwatch(r->db); /* harmless */
    make(r, (struct sketch){0});
    assert_int_equal(heard_count, 0);
}

static void count_wait(void *arg, int64_t us)
{
    assert_true(us >= 0);
    ++*(int *)arg;
}

static void each_begin_says_how_long_it_waited(void **state)
{
    struct room *r = *state;
    int count = 0;
    txn_on_lock_wait(r->db, count_wait, &count);
    make(r, (struct sketch){0});
    assert_int_equal(count, 1);
    OK(r, txn_begin_quiet(r->db, 10, &r->e)); /* nobody waits for it */
    txn_rollback(r->db);
    assert_int_equal(count, 1);
    txn_on_lock_wait(r->db, NULL, NULL);
    make(r, (struct sketch){0});
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(what_is_committed_is_heard_once),
        room_test(what_is_dropped_is_not_heard),
        room_test(after_unwatch_nothing_is_heard),
        room_test(each_begin_says_how_long_it_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
