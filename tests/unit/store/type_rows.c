#include "store/type_rows.h"

#include "store/runner_lock.h"

#include "fixture.h"

static void set_paused(struct room *r, const char *type, bool paused)
{
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, paused ? type_pause(r->db, type, T0, &r->e) : type_resume(r->db, type, &r->e));
    OK(r, txn_commit(r->db, &r->e));
}

static int64_t due(struct room *r, int64_t now)
{
    int64_t at = 0;
    OK(r, claim_next_due(r->db, now, NULL, &at, &r->e));
    return at;
}

static bool wanted(struct room *r)
{
    bool wanted = false;
    OK(r, runner_wanted(r->db, &wanted, &r->e));
    return wanted;
}

static void no_task_of_a_paused_type_is_claimed(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.type = "slow", .priority = 5}); /* 1 */
    make(r, (struct sketch){.type = "quick"});               /* 2 */
    make(r, (struct sketch){.type = "slow"});                /* 3 */
    set_paused(r, "slow", true);
    set_paused(r, "slow", true); /* twice is once */
    assert_int_equal(due(r, T0), T0);
    assert_int_equal(take(r, 1, T0).n, 2);
    assert_int_equal(due(r, T0), INT64_MAX);
    assert_int_equal(take(r, 1, T0).n, 0);
    set_paused(r, "slow", false);
    set_paused(r, "slow", false);
    assert_int_equal(due(r, T0), T0);
    assert_int_equal(take(r, 1, T0).n, 1);
    assert_int_equal(take(r, 1, T0).n, 3);
}

static void what_runs_when_its_type_is_paused_goes_on(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.type = "slow"});
    struct claim c = take(r, 1, T0);
    set_paused(r, "slow", true);
    OK(r, finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0}));
}

static void no_runner_is_wanted_for_a_paused_type(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.type = "slow"});
    make(r, (struct sketch){.type = "slow", .run_at = T0 + 86400000});
    assert_true(wanted(r));
    set_paused(r, "slow", true);
    assert_false(wanted(r));
    make(r, (struct sketch){.type = "other", .run_at = T0 + 86400000});
    assert_true(wanted(r));
}

static void a_type_is_known_by_its_tasks_and_its_pause(void **state)
{
    struct room *r = *state;
    bool known = true;
    OK(r, type_is_known(r->db, "slow", &known, &r->e));
    assert_false(known);
    make(r, (struct sketch){.type = "slow"});
    OK(r, type_is_known(r->db, "slow", &known, &r->e));
    assert_true(known);
    set_paused(r, "gone", true);
    OK(r, type_is_known(r->db, "gone", &known, &r->e));
    assert_true(known);
}

/* A runner that lives until `seen_until`. */
static int64_t add_runner(struct room *r, int64_t seen_until)
{
    const struct process_id self = {.pid = 1, .start = 1};
    int64_t id = 0;
    OK(r, runner_register(r->db, &self, "boot", T0, seen_until, &id, &r->e));
    return id;
}

static void broken_types_are_those_of_living_runners_the_first_to_say_it_first(void **state)
{
    struct room *r = *state;
    const struct broken_row early[] = {{(char *)"b", (char *)"early", T0},
                                       {(char *)"a", (char *)"only here", T0 + 5}},
                            late[] = {{(char *)"b", (char *)"late", T0 + 1}};
    struct type_rows rows;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    int64_t one = add_runner(r, T0 + 100), two = add_runner(r, T0 + 200);
    OK(r, type_rows_tell(r->db, one, late, 1, &r->e));
    OK(r, type_rows_tell(r->db, one, early, 2, &r->e));
    OK(r, type_rows_tell(r->db, two, late, 1, &r->e));
    OK(r, txn_commit(r->db, &r->e));

    OK(r, type_rows_read(r->db, T0, &rows, &r->e));
    assert_int_equal(rows.broken_count, 2);
    assert_string_equal(rows.broken[0].type, "a");
    assert_string_equal(rows.broken[1].why, "early");
    assert_int_equal(rows.broken[1].since, T0);
    type_rows_free(&rows);

    OK(r, type_rows_read(r->db, T0 + 150, &rows, &r->e));
    assert_int_equal(rows.broken_count, 1);
    assert_string_equal(rows.broken[0].why, "late");
    type_rows_free(&rows);

    assert_int_equal(sql_try(r->db, "DELETE FROM runners WHERE id = 1"), SQLITE_OK);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM broken_types"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(no_task_of_a_paused_type_is_claimed),
        room_test(what_runs_when_its_type_is_paused_goes_on),
        room_test(no_runner_is_wanted_for_a_paused_type),
        room_test(a_type_is_known_by_its_tasks_and_its_pause),
        room_test(broken_types_are_those_of_living_runners_the_first_to_say_it_first),
    };
    return cmocka_run_group_tests_name("type_rows", tests, NULL, NULL);
}
