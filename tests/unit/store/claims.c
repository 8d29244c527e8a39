/* Claims: who gets which task when, and that nobody writes about a task that is no longer theirs. */
#include "fixture.h"
#include "store/results.h"

static const struct process_id SELF = {.pid = 4711, .start = 99};

static struct task get(struct room *r, int64_t n)
{
    struct task t = {0};
    OK(r, task_get_n(r->db, n, &t, &r->e));
    return t;
}

static int64_t runner(struct room *r, int64_t now, int64_t seen_until)
{
    int64_t id = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, runner_register(r->db, &SELF, "boot-1", now, seen_until, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return id;
}

/* ---- order ---------------------------------------------------------------------------------- */

/* Claims until none is due; the numbers of the tasks in the order they were given. */
static void are_claimed(struct room *r, int64_t now, const char *expected)
{
    struct buf text = {0};
    buf_str(&text, "");
    for (struct claim c; (c = take(r, 1, now)).n;) buf_fmt(&text, "%lld ", (long long)c.n);
    assert_string_equal(text.data, expected);
    buf_free(&text);
}

static void of_one_owner_the_highest_priority_goes_first(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});               /* 1 */
    make(r, (struct sketch){.priority = -5});  /* 2 */
    make(r, (struct sketch){.priority = 100}); /* 3 */
    make(r, (struct sketch){.priority = 7});   /* 4 */
    make(r, (struct sketch){.priority = 7});   /* 5 */
    are_claimed(r, T0, "3 4 5 1 2 ");
}

static void no_priority_keeps_another_owner_out(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.priority = 100}); /* 1-4 */
    make(r, (struct sketch){.owner = "bob", .priority = -100});            /* 5 */
    make(r, (struct sketch){.owner = "bob", .priority = -99});             /* 6 */
    are_claimed(r, T0, "1 6 2 5 3 4 ");
}

static void of_one_owner_the_oldest_goes_first(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.now = T0 - i});
    are_claimed(r, T0, "1 2 3 4 ");
}

static void owners_take_turns_however_much_one_has_queued(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.owner = "alice"}); /* 1-4 */
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.owner = "bob"});   /* 5, 6 */
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.owner = "carol"}); /* 7-9 */
    are_claimed(r, T0, "1 5 7 2 6 8 3 9 4 ");
}

static void who_comes_back_does_not_jump_the_queue(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.owner = "alice"}); /* 1 */
    make(r, (struct sketch){.owner = "bob"});   /* 2 */
    assert_int_equal(take(r, 1, T0).n, 1);
    make(r, (struct sketch){.owner = "alice"}); /* 3 */
    make(r, (struct sketch){.owner = "bob"});   /* 4 */
    are_claimed(r, T0, "2 3 4 ");
}

static void turns_are_taken_between_owners_and_not_between_priorities(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 2; i++)
        make(r, (struct sketch){.owner = "alice", .priority = 1});                       /* 1, 2 */
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.owner = "bob"});                /* 3, 4 */
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.owner = "bob", .priority = 1}); /* 5, 6 */
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.owner = "alice"});              /* 7, 8 */
    are_claimed(r, T0, "1 5 2 6 7 3 8 4 ");
}

static void what_counts_nothing_leaves_no_row(void **state)
{
    struct room *r = *state;
    for (int i = -100; i <= 100; i++) make(r, (struct sketch){.priority = i, .type = "echo"});
    make(r, (struct sketch){.owner = "bob", .run_at = T0 + 100}); /* 202 */
    make(r, (struct sketch){.owner = "bob", .group = "g", .serialize = true});
    make(r, (struct sketch){.owner = "bob", .group = "g", .serialize = true});
    while (take(r, 1, T0).n) {
    }
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM queues"), 1); /* bob's second */
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM queue_owners"), 1);
    struct claim c = {203, 1, 1};
    finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    are_claimed(r, T0 + 100, "202 204 ");
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM queues"), 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM queue_owners"), 0);
}

static void a_delayed_task_is_claimed_from_its_time_on(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.run_at = T0 + 100});
    assert_int_equal(take(r, 1, T0 + 99).n, 0);
    assert_int_equal(take(r, 1, T0 + 100).n, n);
    struct task t = get(r, n);
    assert_true(t.run_at == TASK_NONE);
    task_free(&t);
}

static void delayed_tasks_do_not_stand_in_the_way(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.run_at = T0 + 100, .priority = 5}); /* 1 */
    make(r, (struct sketch){.run_at = T0 + 100});                /* 2 */
    make(r, (struct sketch){0});                                 /* 3 */
    make(r, (struct sketch){.owner = "bob"});                    /* 4 */
    make(r, (struct sketch){.owner = "bob", .run_at = T0 + 50}); /* 5 */
    are_claimed(r, T0, "3 4 ");
    are_claimed(r, T0 + 100, "1 5 2 ");
}

static void once_due_a_delayed_task_has_the_age_it_was_made_with(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.run_at = T0 + 200}); /* 1 */
    make(r, (struct sketch){0});                  /* 2 */
    make(r, (struct sketch){.run_at = T0 + 100}); /* 3 */
    make(r, (struct sketch){0});                  /* 4 */
    are_claimed(r, T0 + 200, "1 2 3 4 ");
}

static void due_tells_when_the_next_task_can_be_claimed(void **state)
{
    struct room *r = *state;
    int64_t due;
    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    assert_true(due == INT64_MAX);
    make(r, (struct sketch){.run_at = T0 + 300, .owner = "carol", .priority = 9});
    make(r, (struct sketch){.run_at = T0 + 100});
    make(r, (struct sketch){.run_at = T0 + 200, .owner = "bob", .priority = -9});
    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    assert_int_equal(due, T0 + 100);
    OK(r, claim_next_due(r->db, T0 + 150, NULL, &due, &r->e));
    assert_int_equal(due, T0 + 150);
    assert_int_equal(take(r, 1, T0 + 150).n, 2);
    OK(r, claim_next_due(r->db, T0 + 150, NULL, &due, &r->e));
    assert_int_equal(due, T0 + 200);
    make(r, (struct sketch){0});
    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    assert_int_equal(due, T0);
}

static void a_claim_counts_the_attempt_and_clears_the_last(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.max_attempts = 3});
    struct claim c = take_for(r, 1, T0, SELF);
    assert_int_equal(sql_number(r->db, "SELECT pid FROM tasks"), SELF.pid);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, 40, "phase", "message", T0 + 10, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(finish(r, &c,
                            &(struct claim_end){.status = TASK_PENDING,
                                                .run_at = TASK_NONE,
                                                .error_code = "exit_status",
                                                .exit_status = 3,
                                                .now = T0 + 20}),
                     ERR_OK);
    struct task t = get(r, c.n);
    assert_true(t.exit_status == 3 && t.signal == TASK_NONE);
    assert_true(t.attempt == 1 && t.progress == 0 && t.queue_position == 1);
    assert_string_equal(t.error_code, "exit_status");
    task_free(&t);

    c = take(r, 1, T0 + 30);
    assert_int_equal(c.attempt, 2);
    t = get(r, c.n);
    assert_true(t.progress == 0 && !t.phase && !t.message && !t.error_code && !t.error_message);
    assert_true(t.exit_status == TASK_NONE && t.signal == TASK_NONE);
    assert_int_equal(t.started_at, T0 + 30);
    assert_true(t.completed_at == TASK_NONE && t.queue_position == TASK_NONE);
    task_free(&t);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks WHERE pid IS NULL"), 1);
}

/* ---- serialize ------------------------------------------------------------------------------ */

static void of_a_group_that_takes_turns_one_task_runs_at_a_time_and_in_order(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.group = "g", .serialize = true}); /* 1-3 */
    make(r, (struct sketch){.group = "h", .serialize = true});                             /* 4 */
    make(r, (struct sketch){.group = "g"});                                                /* 5 */
    make(r, (struct sketch){.serialize = true});                                           /* 6 */
    make(r, (struct sketch){.serialize = true});                                           /* 7 */
    struct claim one = take(r, 1, T0);
    assert_int_equal(one.n, 1);
    are_claimed(r, T0, "4 5 6 7 ");
    finish(r, &one, &(struct claim_end){.status = TASK_FAILED, .now = T0});
    are_claimed(r, T0, "2 ");
    struct claim two = {2, 1, 1};
    finish(r, &two, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    are_claimed(r, T0, "3 ");
}

static void a_group_of_another_owner_does_not_take_turns_with_it(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g", .serialize = true});
    make(r, (struct sketch){.group = "g", .serialize = true, .owner = "bob"});
    are_claimed(r, T0, "1 2 ");
}

static void a_task_that_is_tried_again_keeps_those_behind_it_waiting(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.group = "g", .serialize = true});
    struct claim one = take(r, 1, T0);
    finish(r, &one, &(struct claim_end){.status = TASK_PENDING, .run_at = T0 + 50, .now = T0});
    are_claimed(r, T0, "");
    are_claimed(r, T0 + 50, "1 ");
}

static void a_higher_priority_does_not_overtake_within_the_group(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g", .serialize = true});
    make(r, (struct sketch){.group = "g", .serialize = true, .priority = 9});
    are_claimed(r, T0, "1 ");
}

static void what_waits_for_its_group_is_not_due(void **state)
{
    struct room *r = *state;
    int64_t due;
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.group = "g", .serialize = true});
    struct claim one = take(r, 1, T0);
    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    assert_true(due == INT64_MAX);
    finish(r, &one, &(struct claim_end){.status = TASK_PENDING, .run_at = T0 + 50, .now = T0});
    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    assert_int_equal(due, T0 + 50);
}

static void cancelling_the_first_of_a_group_lets_the_next_go(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.group = "g", .serialize = true});
    struct claim one = take(r, 1, T0);
    finish(r, &one, &(struct claim_end){.status = TASK_PENDING, .run_at = T0 + 99, .now = T0});
    are_claimed(r, T0, "");
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, task_cancel_n(r->db, 1, TASK_PENDING, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    are_claimed(r, T0, "2 ");
}

static void a_delayed_task_takes_its_turn_in_the_group_when_its_time_has_come(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g", .serialize = true, .run_at = T0 + 100});         /* 1 */
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.group = "g", .serialize = true}); /* 2-4 */
    struct claim two = take(r, 1, T0);
    assert_int_equal(two.n, 2);
    are_claimed(r, T0 + 100, ""); /* one at a time, also when another's time comes meanwhile */
    finish(r, &two, &(struct claim_end){.status = TASK_COMPLETED, .now = T0 + 100});
    are_claimed(r, T0 + 100, "1 "); /* it is the oldest */
    struct claim one = {1, 1, 1};
    finish(r, &one, &(struct claim_end){.status = TASK_FAILED, .now = T0 + 100});
    are_claimed(r, T0 + 100, "3 ");
    assert_consistent(r->db);
}

static void what_waits_for_its_time_has_no_place_in_the_queue(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.run_at = T0 + 100, .priority = 9});
    for (int i = 0; i < 3; i++) make(r, (struct sketch){0});
    places_are(r, "1:- 2:- 3:- 4:1 5:2 6:3");
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claims_promote(r->db, T0 + 99, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    places_are(r, "1:- 2:- 3:- 4:1 5:2 6:3");
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claims_promote(r->db, T0 + 100, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    places_are(r, "1:1 2:2 3:3 4:4 5:5 6:6");
    assert_consistent(r->db);
    assert_int_equal(take(r, 1, T0 + 100).n, 1);
    places_are(r, "1:- 2:1 3:2 4:3 5:4 6:5");
}

static void many_whose_time_comes_together_are_all_claimed(void **state)
{
    struct room *r = *state;
    enum { TASKS = 250 };
    for (int i = 0; i < TASKS; i++) make(r, (struct sketch){.run_at = T0 + 100});
    int claimed = 0;
    while (take(r, 1, T0 + 100).n) claimed++;
    assert_int_equal(claimed, TASKS);
    assert_consistent(r->db);
}

/* ---- bounds --------------------------------------------------------------------------------- */

/* Claims within the bounds until none is due. */
static void are_claimed_within(struct room *r, const char *bounds, const char *expected)
{
    struct buf text = {0};
    buf_str(&text, "");
    const struct claim_wish wish = {
        .runner = 1, .now = T0, .lease_until = T0 + 30000, .bounds = bounds};
    for (enum err rc = ERR_OK; !rc;) {
        struct task t = {0};
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        rc = claim_next(r->db, &wish, &t, &r->e);
        OK(r, txn_commit(r->db, &r->e));
        if (!rc) buf_fmt(&text, "%lld ", (long long)t.n);
        task_free(&t);
    }
    assert_string_equal(text.data, expected);
    buf_free(&text);
}

static void no_more_of_a_type_run_than_its_bound(void **state)
{
    struct room *r = *state;
    int64_t due;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.type = "import", .priority = 1}); /* 1-4 */
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.type = "mail"});      /* 5, 6 */
    make(r, (struct sketch){.type = "import", .owner = "bob", .priority = 2}); /* 7 */
    are_claimed_within(r, "{\"import\":2,\"other\":1}", "1 7 5 6 ");
    OK(r, claim_next_due(r->db, T0, "{\"import\":2}", &due, &r->e));
    assert_true(due == INT64_MAX);
    struct claim one = {1, 1, 1};
    finish(r, &one, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    OK(r, claim_next_due(r->db, T0, "{\"import\":2}", &due, &r->e));
    assert_int_equal(due, T0);
    are_claimed_within(r, "{\"import\":2}", "2 ");
    are_claimed_within(r, NULL, "3 4 ");
}

/* Lets one "import" run, and says so when it is first asked. */
static bool one_import(void *arg, const char *type, int64_t running, const char **bounds)
{
    ++*(int *)arg;
    if (strcmp(type, "import") || !running) return true;
    *bounds = "{\"import\":1}";
    return false;
}

static void a_bound_that_was_not_known_is_asked_for(void **state)
{
    struct room *r = *state;
    int asked = 0;
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.type = "import"}); /* 1-3 */
    make(r, (struct sketch){.type = "mail"});                               /* 4 */
    const struct claim_wish wish = {
        .runner = 1, .now = T0, .lease_until = T0 + 30000, .may = one_import, .arg = &asked};
    static const int64_t expected[] = {1, 4, 0};
    for (size_t i = 0; i < 3; i++) {
        struct task t = {0};
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        enum err rc = claim_next(r->db, &wish, &t, &r->e);
        assert_int_equal(rc, expected[i] ? ERR_OK : ERR_NOTFOUND);
        OK(r, txn_commit(r->db, &r->e));
        assert_int_equal(t.n, expected[i]);
        task_free(&t);
    }
    assert_int_equal(asked, 4); /* import; import, mail; import */
}

static void a_runner_that_was_forgotten_comes_back_under_its_own_name(void **state)
{
    struct room *r = *state;
    int64_t id = runner(r, T0, T0 + 100), other = runner(r, T0, T0 + 100);
    assert_true(id > 0 && other > id);
    assert_int_equal(sql_try(r->db, "DELETE FROM runners"), SQLITE_OK);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(runner_renew(r->db, id, T0 + 200, T0 + 200, &r->e), ERR_NOTFOUND);
    OK(r, runner_register(r->db, &SELF, "boot-1", T0 + 100, T0 + 200, &id, &r->e));
    OK(r, runner_renew(r->db, id, T0 + 300, T0 + 300, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sql_number(r->db, "SELECT id FROM runners"), id);
    assert_true(runner(r, T0, T0 + 100) > other); /* an id is never another's */
}

/* ---- fencing -------------------------------------------------------------------------------- */

/* Tries every write about `c`; each must say that the claim is gone and change nothing. */
static void is_fenced(struct room *r, const struct claim *c)
{
    int64_t events = sql_number(r->db, "SELECT max(seq) FROM events");
    for (int i = 0; i < 5; i++) {
        enum err rc = ERR_OK;
        OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
        switch (i) {
        case 0: rc = claim_progress(r->db, c, 50, "p", "m", T0 + 50, &r->e); break;
        case 1: rc = claim_event(r->db, c, "a.b", "{}", T0 + 50, NULL, &r->e); break;
        case 2:
            rc = claim_finish(r->db, c,
                              &(struct claim_end){.status = TASK_COMPLETED,
                                                  .now = T0 + 50,
                                                  .result = "x",
                                                  .result_bytes = 1,
                                                  .result_type = "text/plain",
                                                  .result_url = "/r"},
                              &r->e);
            break;
        case 3:
            rc = claim_finish(r->db, c, &(struct claim_end){.status = TASK_FAILED, .now = T0 + 50},
                              &r->e);
            break;
        case 4:
            rc = claim_finish(r->db, c, &(struct claim_end){.status = TASK_PENDING, .now = T0 + 50},
                              &r->e);
            break;
        default: break;
        }
        assert_int_equal(rc, ERR_FENCED);
        assert_int_equal(r->e.code, ERR_FENCED);
        OK(r, txn_commit(r->db, &r->e)); /* even so nothing was written */
    }
    assert_int_equal(sql_number(r->db, "SELECT max(seq) FROM events"), events);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM results"), 0);
}

static void another_runner_cannot_write(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    is_fenced(r, &(struct claim){c.n, 2, c.attempt});
}

static void an_earlier_attempt_cannot_write(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.max_attempts = 2});
    struct claim first = take(r, 1, T0);
    finish(r, &first, &(struct claim_end){.status = TASK_PENDING, .run_at = TASK_NONE, .now = T0});
    is_fenced(r, &first);
    struct claim second = take(r, 1, T0);
    assert_int_equal(second.attempt, 2);
    is_fenced(r, &first);
    assert_int_equal(finish(r, &second, &(struct claim_end){.status = TASK_COMPLETED, .now = T0}),
                     0);
}

static void a_runner_that_slept_cannot_write_after_its_task_was_given_away(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim slept = take(r, 1, T0);
    /* a rescuer requeues it in the name of the sleeper, without spending an attempt */
    finish(
        r, &slept,
        &(struct claim_end){.status = TASK_PENDING, .run_at = TASK_NONE, .lost = true, .now = T0});
    struct claim other = take(r, 2, T0);
    assert_int_equal(other.n, slept.n);
    is_fenced(r, &slept);
    sql_is(r->db, "running", "SELECT status FROM tasks");
    assert_int_equal(sql_number(r->db, "SELECT runner FROM tasks"), 2);
}

static void nobody_writes_about_a_finished_task(void **state)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        make(r, (struct sketch){0});
        struct claim c = take(r, 1, T0);
        finish(r, &c, &(struct claim_end){.status = ends[i], .now = T0});
        is_fenced(r, &c);
    }
}

static void nobody_writes_about_a_deleted_task(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    finish(r, &c, &(struct claim_end){.status = TASK_FAILED, .now = T0});
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks"), SQLITE_OK);
    is_fenced(r, &c);
}

/* ---- endings -------------------------------------------------------------------------------- */

/* Completes a new task with this result. The task; freed by the caller. */
static struct task completed(struct room *r, const void *bytes, size_t len, const char *type,
                             const char *inline_value)
{
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    assert_int_equal(finish(r, &c,
                            &(struct claim_end){.status = TASK_COMPLETED,
                                                .now = T0 + 5,
                                                .result = bytes,
                                                .result_bytes = len,
                                                .result_type = type,
                                                .result_inline = inline_value,
                                                .result_url = "/api/r"}),
                     ERR_OK);
    struct task_result kept;
    char *body = mem_alloc(len);
    OK(r, task_result_find(r->db, c.n, &kept, &r->e));
    assert_int_equal(kept.bytes, len);
    OK(r, task_result_read(r->db, &kept, body, len, 0, &r->e));
    assert_memory_equal(body, bytes, len);
    if (len > 2) OK(r, task_result_read(r->db, &kept, body, 2, 1, &r->e));
    if (len > 2) assert_memory_equal(body, (const char *)bytes + 1, 2);
    assert_string_equal(kept.content_type, type);
    task_result_free(&kept);
    free(body);
    struct task t = get(r, c.n);
    assert_int_equal(t.status, TASK_COMPLETED);
    assert_true(t.progress == 100 && t.completed_at == T0 + 5 && t.result_bytes == (int64_t)len);
    return t;
}

static void a_json_result_is_shown_on_one_line_and_kept_exactly(void **state)
{
    static const char json[] = "{\n  \"a\": null,\n  \"b\": [1.0, 1e3, \"\\u00e9\\n\"]\n}\n";
    struct task t = completed(*state, json, strlen(json), "application/json", json);
    assert_string_equal(t.result, "{\"a\":null,\"b\":[1.0,1e3,\"\\u00e9\\n\"]}");
    task_free(&t);
}

static void a_text_result_is_kept_exactly(void **state)
{
    struct task t = completed(*state, "hello\n", 6, "text/plain; charset=utf-8", "\"hello\"");
    assert_string_equal(t.result, "\"hello\"");
    task_free(&t);
}

static void a_binary_result_is_kept_exactly_and_not_shown(void **state)
{
    struct task t = completed(*state, "\0\xff\n\0", 4, "application/octet-stream", NULL);
    assert_null(t.result);
    task_free(&t);
}

static void an_empty_result_is_a_result(void **state)
{
    struct task t = completed(*state, "", 0, "text/plain", "\"\"");
    assert_string_equal(t.result, "\"\"");
    task_free(&t);
}

static void a_result_that_is_gone_is_not_read_on(void **state)
{
    struct room *r = *state;
    struct task_result first;
    struct task t = completed(r, "first", 5, "text/plain", "\"first\"");
    char got[5];
    OK(r, task_result_find(r->db, t.n, &first, &r->e));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, task_remove(r->db, t.n, T0 + 6, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(task_result_read(r->db, &first, got, 1, 4, &r->e), ERR_STATE);
    task_result_free(&first);
    task_free(&t);
}

static void no_result_is_not_found(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    struct task_result none;
    assert_int_equal(task_result_find(r->db, c.n, &none, &r->e), ERR_NOTFOUND);
    finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    assert_int_equal(task_result_find(r->db, c.n, &none, &r->e), ERR_NOTFOUND);
    struct task t = get(r, c.n);
    assert_true(!t.result && !t.result_type && t.result_bytes == TASK_NONE);
    task_free(&t);
}

static void a_result_whose_inline_value_is_no_json_completes_nothing(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    assert_int_not_equal(finish(r, &c,
                                &(struct claim_end){.status = TASK_COMPLETED,
                                                    .now = T0,
                                                    .result = "x",
                                                    .result_bytes = 1,
                                                    .result_type = "text/plain",
                                                    .result_inline = "{broken",
                                                    .result_url = "/r"}),
                         ERR_OK);
    sql_is(r->db, "running", "SELECT status FROM tasks");
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM results"), 0);
    assert_int_equal(finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0}),
                     ERR_OK);
}

static void a_failure_keeps_progress_and_says_why(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, 40, "p", "m", T0 + 1, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    finish(r, &c,
           &(struct claim_end){.status = TASK_FAILED,
                               .now = T0 + 2,
                               .error_code = "killed_by_signal",
                               .error_message = "SIGSEGV",
                               .signal = 11});
    struct task t = get(r, c.n);
    assert_true(t.signal == 11 && t.exit_status == TASK_NONE);
    assert_true(t.progress == 40 && t.completed_at == T0 + 2 && !t.error_retryable);
    assert_string_equal(t.phase, "p");
    assert_string_equal(t.error_code, "killed_by_signal");
    assert_string_equal(t.error_message, "SIGSEGV");
    task_free(&t);
}

static void an_attempt_that_is_not_spent_is_not_counted(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    finish(r, &c,
           &(struct claim_end){
               .status = TASK_PENDING, .run_at = TASK_NONE, .attempt_unspent = true, .now = T0});
    struct task t = get(r, c.n);
    assert_true(t.attempt == 0 && t.max_attempts == 1 && !t.error_code);
    task_free(&t);
    assert_int_equal(take(r, 2, T0).attempt, 1);
}

static void a_lost_attempt_is_counted_apart(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.max_attempts = 2});
    struct claim c = take(r, 1, T0);
    finish(
        r, &c,
        &(struct claim_end){.status = TASK_PENDING, .run_at = TASK_NONE, .lost = true, .now = T0});
    struct task t = get(r, c.n);
    /* the attempt happened, and the task may still have as many of its own */
    assert_true(t.attempt == 1 && t.max_attempts == 3);
    task_free(&t);
    assert_int_equal(sql_number(r->db, "SELECT lost FROM tasks"), 1);

    c = take(r, 2, T0);
    finish(r, &c,
           &(struct claim_end){
               .status = TASK_FAILED, .lost = true, .now = T0, .error_code = "runner_lost"});
    t = get(r, c.n);
    assert_true(t.attempt == 2 && t.max_attempts == 3);
    task_free(&t);
    assert_int_equal(sql_number(r->db, "SELECT lost FROM tasks"), 2);
}

static void a_task_tried_again_waits_for_its_time_at_its_old_place(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.max_attempts = 2});
    struct claim c = take(r, 1, T0);
    make(r, (struct sketch){0});
    finish(r, &c, &(struct claim_end){.status = TASK_PENDING, .run_at = T0 + 50, .now = T0});
    struct task t = get(r, 1);
    assert_int_equal(t.run_at, T0 + 50);
    assert_true(t.completed_at == TASK_NONE);
    task_free(&t);
    are_claimed(r, T0 + 50, "1 2 ");
}

static void finishing_forgets_the_wait(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.run_at = T0});
    struct claim c = take(r, 1, T0);
    /* run_at means nothing for what is finished */
    finish(r, &c, &(struct claim_end){.status = TASK_FAILED, .run_at = T0 + 5, .now = T0});
    struct task t = get(r, c.n);
    assert_true(t.run_at == TASK_NONE);
    task_free(&t);
}

static void progress_that_is_not_given_stays(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, 10, "one", "first", T0 + 1, &r->e));
    OK(r, claim_progress(r->db, &c, -1, NULL, "second", T0 + 2, &r->e));
    OK(r, claim_progress(r->db, &c, 0, NULL, NULL, T0 + 3, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    struct task t = get(r, c.n);
    assert_true(t.progress == 0);
    assert_string_equal(t.phase, "one");
    assert_string_equal(t.message, "second");
    assert_int_equal(t.updated_at, T0 + 3);
    task_free(&t);
}

static void progress_outside_its_range_writes_nothing(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(claim_progress(r->db, &c, 100.5, NULL, "x", T0 + 1, &r->e), ERR_INTERNAL);
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'task.progress'"),
                     0);
    assert_consistent(r->db);
}

/* ---- runners -------------------------------------------------------------------------------- */

static bool alive(struct room *r, int64_t now)
{
    bool yes = false;
    OK(r, runner_alive(r->db, now, &yes, &r->e));
    return yes;
}

static void a_runner_lives_until_it_was_last_seen_or_leaves(void **state)
{
    struct room *r = *state;
    assert_false(alive(r, T0));
    int64_t a = runner(r, T0, T0 + 100);
    assert_true(alive(r, T0 + 99));
    assert_false(alive(r, T0 + 100));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_renew(r->db, a, T0 + 200, T0 + 200, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_true(alive(r, T0 + 199));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_leave(r->db, a, T0 + 150, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_false(alive(r, T0 + 150));
    int64_t b = runner(r, T0 + 150, T0 + 300);
    assert_true(b != a && alive(r, T0 + 150));
}

static void renewing_moves_the_leases_of_ones_own_tasks(void **state)
{
    struct room *r = *state;
    int64_t a = runner(r, T0, T0 + 100), b = runner(r, T0, T0 + 100);
    make(r, (struct sketch){0});
    make(r, (struct sketch){0});
    make(r, (struct sketch){0});
    struct claim one = take(r, a, T0), two = take(r, b, T0), ended = take(r, a, T0);
    finish(r, &ended, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    int64_t events = sql_number(r->db, "SELECT count(*) FROM events");
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_renew(r->db, a, T0 + 900, T0 + 800, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sql_number(r->db, "SELECT lease_until FROM tasks WHERE n = %lld", one.n),
                     T0 + 800);
    assert_int_equal(sql_number(r->db, "SELECT lease_until FROM tasks WHERE n = %lld", two.n),
                     T0 + 30000);
    sql_is(r->db, NULL, "SELECT lease_until FROM tasks WHERE n = %lld", ended.n);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events"), events);
}

/* The tasks that runner `who` finds abandoned at `now`. */
static void abandoned_are(struct room *r, int64_t who, int64_t now, bool all, const char *expected)
{
    struct running_list l;
    struct buf text = {0};
    buf_str(&text, "");
    OK(r, claims_abandoned(r->db, who, now, all, &l, &r->e));
    for (int64_t n = 1; n < 20; n++)
        for (size_t i = 0; i < l.count; i++)
            if (l.items[i].claim.n == n) buf_fmt(&text, "%lld ", (long long)n);
    assert_string_equal(text.data, expected);
    buf_free(&text);
    running_list_free(&l);
}

static void abandoned_is_what_runs_past_its_lease_or_its_runner(void **state)
{
    struct room *r = *state;
    int64_t a = runner(r, T0, T0 + 10000), b = runner(r, T0, T0 + 10000), c = runner(r, T0, T0 + 1);
    for (int i = 0; i < 4; i++) make(r, (struct sketch){0});
    take(r, a, T0 - 30000 + 100); /* 1: lease until T0 + 100 */
    take(r, b, T0);               /* 2: until T0 + 30000 */
    take(r, c, T0);               /* 3: its runner is seen until T0 + 1 */
    abandoned_are(r, b, T0, false, "");
    abandoned_are(r, b, T0 + 50, false, "3 ");
    abandoned_are(r, b, T0 + 101, false, "1 3 ");
    abandoned_are(r, a, T0 + 101, false, "3 ");
    abandoned_are(r, b, T0, true, "1 3 ");
    abandoned_are(r, b + 10, T0, true, "1 2 3 ");
}

static void a_runner_that_said_goodbye_leaves_its_tasks_at_once(void **state)
{
    struct room *r = *state;
    int64_t a = runner(r, T0, T0 + 10000), b = runner(r, T0, T0 + 10000);
    make(r, (struct sketch){0});
    take(r, a, T0);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_leave(r->db, a, T0 + 5, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    abandoned_are(r, b, T0 + 5, false, "1 ");
}

static void the_rescuer_learns_all_that_names_the_old_process(void **state)
{
    struct room *r = *state;
    int64_t a = runner(r, T0, T0 + 1), b = runner(r, T0, T0 + 10000);
    make(r, (struct sketch){0});
    make(r, (struct sketch){.type = "long-type", .max_attempts = 3});
    struct claim c = take(r, a, T0);
    struct running_list l;
    OK(r, claims_abandoned(r->db, b, T0 + 50, false, &l, &r->e));
    assert_int_equal(l.count, 1);
    assert_int_equal(l.items[0].child.pid, 0);
    running_list_free(&l);

    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, claim_finish(r->db, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0}, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    c = take_for(r, a, T0, (struct process_id){12, 345, 0});
    OK(r, claims_abandoned(r->db, b, T0 + 50, false, &l, &r->e));
    assert_int_equal(l.count, 1);
    const struct running *found = l.items;
    char *id = id_of(r->db, c.n);
    assert_string_equal(found->id, id);
    free(id);
    assert_string_equal(found->type, "long-type");
    assert_true(found->claim.n == c.n && found->claim.runner == a && found->claim.attempt == 1);
    assert_true(found->max_attempts == 3 && found->lost == 0);
    assert_true(found->child.pid == 12 && found->child.start == 345);
    assert_true(found->runner.pid == SELF.pid && found->runner.start == SELF.start);
    assert_string_equal(found->runner_boot, "boot-1");
    assert_int_equal(found->lease_until, T0 + 30000);
    running_list_free(&l);
}

static void two_runners_never_get_one_task(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 6; i++) make(r, (struct sketch){0});
    int64_t seen[7] = {0};
    for (int i = 0; i < 6; i++) seen[take(r, 1 + i % 2, T0).n]++;
    for (int n = 1; n <= 6; n++) assert_int_equal(seen[n], 1);
    assert_int_equal(take(r, 1, T0).n, 0);
}

/* ---- what a job may say ---------------------------------------------------------------------- */

static void says(struct room *r, const struct claim *c, int lines)
{
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int i = 0; i < lines; i++)
        OK(r, claim_event(r->db, c, "doc.created", "{\"n\":1}", T0 + 1, NULL, &r->e));
    OK(r, claim_progress(r->db, c, 50, NULL, NULL, T0 + 1, &r->e));
    OK(r, claim_event(r->db, c, "file.created", "{}", T0 + 1, NULL, &r->e));
    OK(r, txn_commit(r->db, &r->e));
}

/* Each event has 207 bytes here. */
static void lines_beyond_a_bound_are_dropped_with_one_warning(void **state)
{
    static const struct {
        struct db_limits limits;
        const char *name;
        int written; /* of 20 lines */
    } rows[] = {
        {{0}, NULL, 20},
        {{.events_per_task = 12}, "events_per_task", 10},
        {{.event_bytes_per_task = 2000}, "event_bytes_per_task", 9},
        {{.bytes_per_owner = 2000}, "bytes_per_owner", 8},
    };
    struct room *r = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        room_close(r);
        OK(r, db_open(
                  &r->db,
                  &(struct db_options){.path = r->path, .busy_ms = 30000, .limits = rows[i].limits},
                  &r->e));
        char owner[16];
        snprintf(owner, sizeof owner, "owner%zu", i);
        int64_t n = make(r, (struct sketch){.owner = owner});
        struct claim c = take(r, 7, T0);
        assert_int_equal(c.n, n);
        says(r, &c, 10);
        says(r, &c, 10);
        int64_t lines = sql_number(
            r->db, "SELECT count(*) FROM events WHERE task = %lld AND type = 'doc.created'", n);
        if (lines > rows[i].written || lines < rows[i].written - 2)
            fail_msg("row %zu: %lld lines", i, (long long)lines);
        assert_int_equal(sql_number(r->db,
                                    "SELECT count(*) FROM events WHERE task = %lld"
                                    " AND payload LIKE '%%(%q)%%'",
                                    n, rows[i].name ? rows[i].name : ""),
                         rows[i].name != NULL);
        assert_int_equal(
            sql_number(r->db,
                       "SELECT count(*) FROM events WHERE task = %lld AND type <> 'doc.created'"
                       " AND type NOT LIKE 'task.%%' AND type <> 'log.append'",
                       n),
            2); /* files go on */
        assert_int_equal(sql_number(r->db, "SELECT progress FROM tasks WHERE n = %lld", n), 50);
        OK(r,
           finish(r, &c,
                  &(struct claim_end){.status = TASK_FAILED, .run_at = TASK_NONE, .now = T0 + 2}));
        assert_consistent(r->db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(of_one_owner_the_highest_priority_goes_first),
        room_test(no_priority_keeps_another_owner_out),
        room_test(of_one_owner_the_oldest_goes_first),
        room_test(owners_take_turns_however_much_one_has_queued),
        room_test(who_comes_back_does_not_jump_the_queue),
        room_test(turns_are_taken_between_owners_and_not_between_priorities),
        room_test(what_counts_nothing_leaves_no_row),
        room_test(a_delayed_task_is_claimed_from_its_time_on),
        room_test(delayed_tasks_do_not_stand_in_the_way),
        room_test(once_due_a_delayed_task_has_the_age_it_was_made_with),
        room_test(due_tells_when_the_next_task_can_be_claimed),
        room_test(a_claim_counts_the_attempt_and_clears_the_last),
        room_test(of_a_group_that_takes_turns_one_task_runs_at_a_time_and_in_order),
        room_test(a_group_of_another_owner_does_not_take_turns_with_it),
        room_test(a_task_that_is_tried_again_keeps_those_behind_it_waiting),
        room_test(a_higher_priority_does_not_overtake_within_the_group),
        room_test(what_waits_for_its_group_is_not_due),
        room_test(cancelling_the_first_of_a_group_lets_the_next_go),
        room_test(a_delayed_task_takes_its_turn_in_the_group_when_its_time_has_come),
        room_test(what_waits_for_its_time_has_no_place_in_the_queue),
        room_test(many_whose_time_comes_together_are_all_claimed),
        room_test(a_runner_that_was_forgotten_comes_back_under_its_own_name),
        room_test(no_more_of_a_type_run_than_its_bound),
        room_test(a_bound_that_was_not_known_is_asked_for),
        room_test(another_runner_cannot_write),
        room_test(an_earlier_attempt_cannot_write),
        room_test(a_runner_that_slept_cannot_write_after_its_task_was_given_away),
        room_test(nobody_writes_about_a_finished_task),
        room_test(nobody_writes_about_a_deleted_task),
        room_test(a_json_result_is_shown_on_one_line_and_kept_exactly),
        room_test(a_text_result_is_kept_exactly),
        room_test(a_binary_result_is_kept_exactly_and_not_shown),
        room_test(an_empty_result_is_a_result),
        room_test(a_result_that_is_gone_is_not_read_on),
        room_test(no_result_is_not_found),
        room_test(a_result_whose_inline_value_is_no_json_completes_nothing),
        room_test(a_failure_keeps_progress_and_says_why),
        room_test(an_attempt_that_is_not_spent_is_not_counted),
        room_test(a_lost_attempt_is_counted_apart),
        room_test(a_task_tried_again_waits_for_its_time_at_its_old_place),
        room_test(finishing_forgets_the_wait),
        room_test(progress_that_is_not_given_stays),
        room_test(progress_outside_its_range_writes_nothing),
        room_test(a_runner_lives_until_it_was_last_seen_or_leaves),
        room_test(renewing_moves_the_leases_of_ones_own_tasks),
        room_test(abandoned_is_what_runs_past_its_lease_or_its_runner),
        room_test(a_runner_that_said_goodbye_leaves_its_tasks_at_once),
        room_test(the_rescuer_learns_all_that_names_the_old_process),
        room_test(two_runners_never_get_one_task),
        room_test(lines_beyond_a_bound_are_dropped_with_one_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
