/* The closed set of statements against the schema: all compile, and what they cost does not grow with the queue. How
 * they find their rows: plans.c. */
#include "fixture.h"

static void every_statement_is_one_and_compiles(void **state)
{
    struct room *r = *state;
    for (int q = 0; q < Q_COUNT; q++) {
        sqlite3_stmt *st = NULL;
        const char *rest = NULL;
        if (sqlite3_prepare_v2(db_sqlite(r->db), query_sources[q].sql, -1, &st, &rest))
            fail_msg("%s: %s", query_sources[q].name, sqlite3_errmsg(db_sqlite(r->db)));
        sqlite3_finalize(st);
        assert_int_equal(sqlite3_prepare_v2(db_sqlite(r->db), rest, -1, &st, NULL), SQLITE_OK);
        if (st) fail_msg("%s: more than one statement", query_sources[q].name);
    }
}

/* `names` joined by commas is what was declared. */
static void assert_declared(const char *query, const char *declared, const struct buf *names)
{
    if (strcmp(declared, buf_text(names)) != 0)
        fail_msg("%s: declared are (%s), SQLite has (%s)", query, declared, buf_text(names));
}

static void what_a_statement_takes_and_gives_is_what_was_declared(void **state)
{
    struct room *r = *state;
    for (int q = 0; q < Q_COUNT; q++) {
        const struct query_source *source = &query_sources[q];
        struct buf parameters = {0}, columns = {0};
        sqlite3_stmt *st = NULL;
        sqlite3_prepare_v2(db_sqlite(r->db), source->sql, -1, &st, NULL);
        for (int i = 1; i <= sqlite3_bind_parameter_count(st); i++)
            buf_fmt(&parameters, "%s%s", i > 1 ? "," : "", sqlite3_bind_parameter_name(st, i) + 1);
        for (int i = 0; i < sqlite3_column_count(st); i++)
            buf_fmt(&columns, "%s%s", i ? "," : "", sqlite3_column_name(st, i));
        assert_declared(source->name, source->parameters, &parameters);
        assert_declared(source->name, source->columns, &columns);
        sqlite3_finalize(st);
        buf_free(&parameters);
        buf_free(&columns);
    }
}

/* ---- functions ------------------------------------------------------------------------------ */

static void what_is_absent_is_null_and_reads_as_absent(void **state)
{
    struct room *r = *state;
    struct q_credential_add_in in = {.hash = "h",
                                     .hash_len = 1,
                                     .kind = "token",
                                     .owner = "alice",
                                     .scopes = "read",
                                     .now = T0,
                                     .expires_at = TASK_NONE};
    int64_t id = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, q_credential_add(r->db, &in, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    sql_is(r->db, "1",
           "SELECT name IS NULL AND subject IS NULL AND expires_at IS NULL"
           " FROM credentials");

    struct q_credential_find_row row;
    struct q_credential_find_cursor c = q_credential_find(r->db, "h", 1, T0, &r->e);
    assert_true(q_credential_find_next(&c, &row));
    assert_int_equal(row.id, id);
    assert_string_equal(row.owner, "alice");
    assert_null(row.name);
    assert_int_equal(row.expires_at, TASK_NONE);
    assert_int_equal(row.created_at, T0);
    assert_int_equal(row.hash_len, 1);
    assert_false(q_credential_find_next(&c, &row));
    assert_true(txn_idle(r->db)); /* after the last row already */
    OK(r, q_credential_find_close(&c));
}

static void a_row_that_is_not_there_is_none(void **state)
{
    struct room *r = *state;
    struct q_task_was_row row = {.request_id = "left over"};
    bool found = true;
    int64_t task = 7;
    char *json = "left over";
    OK(r, q_task_was(r->db, 1, &row, &found, &r->e));
    assert_false(found);
    assert_null(row.request_id);
    OK(r, q_event_task(r->db, 1, &task, &r->e));
    assert_int_equal(task, 0);
    OK(r, q_checkpoint_get(r->db, 1, &json, &r->e));
    assert_null(json);
    assert_true(txn_idle(r->db));
}

static void a_cursor_that_could_not_open_has_no_rows_and_says_why(void **state)
{
    struct room *r = *state;
    struct q_events_all_row row;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(sqlite_exec(db_sqlite(r->db), "ROLLBACK", &r->e), ERR_OK);
    struct q_events_all_cursor c = q_events_all(r->db, 0, 9, &r->e);
    assert_false(q_events_all_next(&c, &row));
    assert_int_equal(q_events_all_close(&c), ERR_INTERNAL);
    assert_string_equal(r->e.text, "events_all: the transaction is over");
    txn_rollback(r->db);
    assert_true(txn_idle(r->db));
}

/* ---- cost ----------------------------------------------------------------------------------- */

/* Steps of SQLite's machine that all statements took since the last call. */
static int64_t cost(struct db *db)
{
    int64_t sum = 0;
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db_sqlite(db), st));)
        sum += sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 1);
    return sum;
}

/* Enough for growth to show: what grows with the rows becomes a hundred times as dear. */
static int64_t many(void)
{
    return 2000 / (slowness() > 4 ? 10 : 1);
}

/* `count` tasks like `s` in one transaction. */
static void fill(struct room *r, const struct sketch *s, int64_t count)
{
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int64_t i = 0; i < count; i++) OK(r, sketch_create(r->db, s, NULL, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
}

/* What a create with a read, a claim and a question for the next one cost now. */
struct costs {
    int64_t create, claim, due, finish;
};

static struct costs measure(struct room *r)
{
    struct costs c;
    struct task t = {0};
    char id[ID_SIZE];
    int64_t n, due;
    cost(r->db);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){.group = "g", .input = "x", .input_bytes = 1}, id,
                        &n, &r->e));
    OK(r, task_get(r->db, id, "alice", &t, &r->e));
    c.create = cost(r->db);
    task_free(&t);

    OK(r, claim_next(r->db, &(struct claim_wish){.runner = 1, .now = T0, .lease_until = T0 + 1}, &t,
                     &r->e));
    c.claim = cost(r->db);
    struct claim claim = {t.n, 1, t.attempt};
    task_free(&t);

    OK(r, claim_next_due(r->db, T0, NULL, &due, &r->e));
    c.due = cost(r->db);

    OK(r, claim_finish(r->db, &claim, &(struct claim_end){.status = TASK_COMPLETED, .now = T0},
                       &r->e));
    c.finish = cost(r->db);
    OK(r, txn_commit(r->db, &r->e));
    return c;
}

/* Half as much again, and a little, is room for chance. */
static void assert_no_growth(const char *what, int64_t before, int64_t after)
{
    if (after > before + before / 2 + 100)
        fail_msg("%s: %lld steps, before %lld", what, (long long)after, (long long)before);
}

static void assert_costs_stay(struct room *r, const struct sketch *more, int64_t count)
{
    fill(r, &(struct sketch){.group = "g"}, 20);
    struct costs before = measure(r);
    assert_true(before.create > 0 && before.claim > 0 && before.due > 0 && before.finish > 0);
    fill(r, more, count);
    struct costs after = measure(r);
    assert_no_growth("create and read", before.create, after.create);
    assert_no_growth("claim", before.claim, after.claim);
    assert_no_growth("next due", before.due, after.due);
    assert_no_growth("finish", before.finish, after.finish);
}

static void a_long_queue_makes_nothing_slower(void **state)
{
    assert_costs_stay(*state, &(struct sketch){.group = "g"}, 10000 / slowness());
}

static void tasks_that_wait_for_their_time_make_nothing_slower(void **state)
{
    assert_costs_stay(*state, &(struct sketch){.group = "g", .run_at = T0 + 1000}, many());
}

static void delayed_tasks_of_a_higher_priority_make_nothing_slower(void **state)
{
    assert_costs_stay(*state, &(struct sketch){.priority = 5, .run_at = T0 + 1000, .owner = "bob"},
                      many());
}

static void a_claim_past_many_delayed_tasks_of_its_own_queue_is_as_quick(void **state)
{
    struct room *r = *state;
    fill(r, &(struct sketch){.run_at = T0 + 1000}, 5);
    fill(r, &(struct sketch){0}, 5);
    struct costs before = measure(r);
    fill(r, &(struct sketch){.run_at = T0 + 1000, .priority = 1}, many());
    fill(r, &(struct sketch){.priority = 1}, 5);
    struct costs after = measure(r);
    assert_no_growth("claim", before.claim, after.claim);
    assert_no_growth("next due", before.due, after.due);
}

static void a_long_queue_in_one_group_that_takes_turns_makes_nothing_slower(void **state)
{
    assert_costs_stay(*state, &(struct sketch){.group = "s", .serialize = true}, many());
}

static void tasks_behind_one_that_runs_make_nothing_slower(void **state)
{
    struct room *r = *state;
    fill(r, &(struct sketch){.group = "s", .serialize = true}, 1);
    take(r, 1, T0);
    fill(r, &(struct sketch){.group = "g"}, 20);
    struct costs before = measure(r);
    fill(r, &(struct sketch){.group = "s", .serialize = true, .priority = 1}, many());
    struct costs after = measure(r);
    assert_no_growth("create and read", before.create, after.create);
    assert_no_growth("finish", before.finish, after.finish);
    assert_no_growth("claim", before.claim, after.claim);
    assert_no_growth("next due", before.due, after.due);
}

/* Ends all that is pending as quickly as a test can. */
static void cancel_all(struct room *r)
{
    assert_int_equal(sql_try(r->db,
                             "UPDATE tasks SET status = 'cancelled', completed_at = updated_at"
                             " WHERE status = 'pending'"),
                     SQLITE_OK);
}

static int64_t cost_of_create(struct room *r, const struct sketch *s)
{
    int64_t n;
    cost(r->db);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, sketch_create(r->db, s, NULL, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return cost(r->db);
}

static void one_more_in_a_group_that_takes_turns_costs_the_same_however_many_wait(void **state)
{
    struct room *r = *state;
    const struct sketch now = {.group = "s", .serialize = true},
                        later = {.group = "s", .serialize = true, .run_at = T0 + 1000};
    fill(r, &now, 20);
    fill(r, &later, 20);
    int64_t one = cost_of_create(r, &now), delayed = cost_of_create(r, &later);
    fill(r, &now, many());
    fill(r, &later, many());
    assert_no_growth("due", one, cost_of_create(r, &now));
    assert_no_growth("delayed", delayed, cost_of_create(r, &later));
}

static void a_group_that_changes_its_status_looks_at_few_tasks(void **state)
{
    struct room *r = *state;
    const struct sketch s = {.group = "s", .owner = "bob"};
    int64_t costs[2];
    for (int i = 0; i < 2; i++) {
        fill(r, &s, i ? many() : 20);
        cancel_all(r);
        costs[i] = cost_of_create(r, &s); /* cancelled, now pending */
        cancel_all(r);
    }
    assert_no_growth("create", costs[0], costs[1]);
}

static int64_t cost_of_page(struct room *r, const struct task_query *q, size_t rows)
{
    struct task_list l;
    cost(r->db);
    OK(r, task_list_read(r->db, q, &l, &r->e));
    assert_int_equal(l.count, rows);
    task_list_free(&l);
    return cost(r->db);
}

/* 20 tasks of alice, one of each half in a group that bob has, too. */
static void fill_rare(struct room *r)
{
    fill(r, &(struct sketch){.group = "rare", .type = "sleep"}, 20);
    fill(r, &(struct sketch){.group = "rare", .type = "sleep", .owner = "bob"}, 20);
    cancel_all(r);
}

/* What a list may be asked for is rare, and everything else that there is was made later. */
static void a_page_costs_what_it_shows_whatever_is_asked_for(void **state)
{
    struct room *r = *state;
    int64_t before[16];
    fill_rare(r);
    for (int later = 0; later < 2; later++) {
        for (int mask = 0; mask < 16; mask++) {
            const struct task_query q = {.owner = mask & 1 ? "alice" : NULL,
                                         .type = mask & 2 ? "sleep" : NULL,
                                         .group = mask & 4 ? "rare" : NULL,
                                         .status = mask & 8 ? TASK_CANCELLED : TASK_STATUSES,
                                         .before = INT64_MAX,
                                         .limit = 10};
            int64_t now = cost_of_page(r, &q, 10);
            char name[32];
            snprintf(name, sizeof name, "mask %d", mask);
            if (later) assert_no_growth(name, before[mask], now);
            before[mask] = now;
        }
        fill(r, &(struct sketch){0}, many() / 4);
        fill(r, &(struct sketch){.group = "other"}, many() / 4);
        fill(r, &(struct sketch){.owner = "bob", .type = "other"}, many() / 4);
        fill(r, &(struct sketch){.owner = "carol", .type = "other", .group = "other"}, many() / 4);
        assert_int_equal(sql_try(r->db,
                                 "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1"
                                 " WHERE status = 'pending'"),
                         SQLITE_OK);
        assert_int_equal(sql_try(r->db,
                                 "UPDATE tasks SET status = 'completed', completed_at = 1,"
                                 " runner = NULL, lease_until = NULL WHERE status = 'running'"),
                         SQLITE_OK);
    }
}

static int64_t cost_of_place(struct room *r, int64_t n, int64_t place)
{
    struct task t;
    cost(r->db);
    OK(r, task_get_n(r->db, n, &t, &r->e));
    assert_int_equal(t.queue_position, place);
    task_free(&t);
    return cost(r->db);
}

static void a_place_in_a_long_queue_costs_little_more_than_in_a_short_one(void **state)
{
    struct room *r = *state;
    fill(r, &(struct sketch){0}, 128);
    enum { PART = 128, PART_STEPS = 16 };
    int64_t before = cost_of_place(r, 64, 64); /* the dearest: as far as can be from either end */
    fill(r, &(struct sketch){0}, many());
    before += many() / PART * PART_STEPS; /* a row of each part behind it */
    assert_no_growth("the first", before, cost_of_place(r, 1, 1));
    assert_no_growth("one in the middle", before, cost_of_place(r, many() / 2, many() / 2));
}

static void looking_when_the_nth_newest_task_was_created_looks_at_these(void **state)
{
    struct room *r = *state;
    int64_t created;
    fill(r, &(struct sketch){0}, 50);
    cost(r->db);
    OK(r, q_rate_created(r->db, "alice", 9, &created, &r->e));
    assert_int_equal(created, T0);
    int64_t before = cost(r->db);
    cancel_all(r);
    fill(r, &(struct sketch){0}, many());
    cost(r->db);
    OK(r, q_rate_created(r->db, "alice", 9, &created, &r->e));
    assert_no_growth("created", before, cost(r->db));
}

/* Pages that the database read while it was opened. */
static int64_t pages_to_open(struct room *r)
{
    int pages = 0, highest = 0;
    room_close(r);
    OK(r, room_open(r));
    sqlite3_db_status(db_sqlite(r->db), SQLITE_DBSTATUS_CACHE_MISS, &pages, &highest, 0);
    return pages;
}

static void opening_reads_the_same_few_pages_however_much_there_is(void **state)
{
    struct room *r = *state;
    int64_t empty = pages_to_open(r);
    assert_in_range(empty, 1, 100);
    fill(r, &(struct sketch){.group = "g"}, many());
    assert_in_range(pages_to_open(r), 1, empty + 2); /* of trees that have become a little deeper */
}

static int64_t cost_of_unfinished(struct room *r, const char *owner)
{
    struct task_list l;
    cost(r->db);
    OK(r, task_list_unfinished(r->db, owner, 10, &l, &r->e));
    assert_int_equal(l.count, 10);
    assert_true(l.more);
    task_list_free(&l);
    return cost(r->db);
}

static void the_unfinished_are_found_without_walking_the_finished(void **state)
{
    struct room *r = *state;
    fill(r, &(struct sketch){0}, 20);
    int64_t own = cost_of_unfinished(r, "alice"), all = cost_of_unfinished(r, NULL);
    cancel_all(r);
    fill(r, &(struct sketch){0}, 20);
    fill(r, &(struct sketch){.run_at = T0 + 1}, many());
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'cancelled', completed_at = 1"
                                    " WHERE run_at IS NOT NULL"),
                     SQLITE_OK);
    assert_no_growth("of one owner", own, cost_of_unfinished(r, "alice"));
    assert_no_growth("of everyone", all, cost_of_unfinished(r, NULL));
}

static void of_a_long_queue_only_the_newest_are_joined_and_counted(void **state)
{
    struct room *r = *state;
    fill(r, &(struct sketch){0}, 20);
    int64_t own = cost_of_unfinished(r, "alice"), all = cost_of_unfinished(r, NULL);
    fill(r, &(struct sketch){0}, many());
    assert_no_growth("of one owner", own, cost_of_unfinished(r, "alice"));
    assert_no_growth("of everyone", all, cost_of_unfinished(r, NULL));
}

static void progress_of_a_group_looks_at_what_runs(void **state)
{
    struct room *r = *state;
    struct group g;
    fill(r, &(struct sketch){.group = "g"}, 20);
    cost(r->db);
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    group_free(&g);
    int64_t before = cost(r->db);
    fill(r, &(struct sketch){.group = "g"}, many());
    cost(r->db);
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_int_equal(g.counts[TASK_PENDING], 20 + many());
    group_free(&g);
    assert_no_growth("group", before, cost(r->db));
}

static void a_statement_that_failed_can_be_used_again(void **state)
{
    struct room *r = *state;
    int64_t n;
    char id[ID_SIZE];
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){0}, id, &n, &r->e));
    struct task_new twice = {.id = id,
                             .owner = "alice",
                             .type = "echo",
                             .request_id = "r",
                             .max_attempts = 1,
                             .timeout_ms = TASK_NONE,
                             .run_at = TASK_NONE,
                             .now = T0};
    assert_int_equal(task_create(r->db, &twice, &n, &r->e), ERR_INTERNAL);
    OK(r, sketch_create(r->db, &(struct sketch){0}, id, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 2);
    assert_true(txn_idle(r->db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(every_statement_is_one_and_compiles),
        room_test(what_a_statement_takes_and_gives_is_what_was_declared),
        room_test(what_is_absent_is_null_and_reads_as_absent),
        room_test(a_row_that_is_not_there_is_none),
        room_test(a_cursor_that_could_not_open_has_no_rows_and_says_why),
        room_test(a_long_queue_makes_nothing_slower),
        room_test(tasks_that_wait_for_their_time_make_nothing_slower),
        room_test(delayed_tasks_of_a_higher_priority_make_nothing_slower),
        room_test(a_claim_past_many_delayed_tasks_of_its_own_queue_is_as_quick),
        room_test(a_long_queue_in_one_group_that_takes_turns_makes_nothing_slower),
        room_test(tasks_behind_one_that_runs_make_nothing_slower),
        room_test(one_more_in_a_group_that_takes_turns_costs_the_same_however_many_wait),
        room_test(a_group_that_changes_its_status_looks_at_few_tasks),
        room_test(a_page_costs_what_it_shows_whatever_is_asked_for),
        room_test(a_place_in_a_long_queue_costs_little_more_than_in_a_short_one),
        room_test(looking_when_the_nth_newest_task_was_created_looks_at_these),
        room_test(opening_reads_the_same_few_pages_however_much_there_is),
        room_test(the_unfinished_are_found_without_walking_the_finished),
        room_test(of_a_long_queue_only_the_newest_are_joined_and_counted),
        room_test(progress_of_a_group_looks_at_what_runs),
        room_test(a_statement_that_failed_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
