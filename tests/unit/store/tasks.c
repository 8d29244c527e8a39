/* Tasks as rows: what goes in comes out, and each owner sees only what is theirs. */
#include "fixture.h"

#include <sys/stat.h>

/* A task that came back; freed by the caller. */
static struct task get(struct room *r, int64_t n)
{
    struct task t = {0};
    OK(r, task_get_n(r->db, n, &t, &r->e));
    return t;
}

static void a_new_task_comes_back_as_it_was_given(void **state)
{
    struct room *r = *state;
    char id[ID_SIZE];
    id_new(id, T0);
    const struct task_new given = {.id = id,
                                   .owner = "alice",
                                   .type = "word-count",
                                   .group = "repo-7",
                                   .request_id = "req-\xc3\xa9",
                                   .priority = -3,
                                   .max_attempts = 4,
                                   .timeout_ms = 1500,
                                   .run_at = T0 + 10,
                                   .now = T0 + 1};
    int64_t n = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, task_create(r->db, &given, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));

    struct task t = {0};
    OK(r, task_get(r->db, id, "alice", &t, &r->e));
    assert_int_equal(t.n, n);
    assert_string_equal(t.id, id);
    assert_string_equal(t.owner, "alice");
    assert_string_equal(t.type, "word-count");
    assert_string_equal(t.group, "repo-7");
    assert_string_equal(t.request_id, "req-\xc3\xa9");
    assert_int_equal(t.status, TASK_PENDING);
    assert_int_equal(t.priority, -3);
    assert_int_equal(t.max_attempts, 4);
    assert_int_equal(t.timeout_ms, 1500);
    assert_int_equal(t.run_at, T0 + 10);
    assert_int_equal(t.created_at, T0 + 1);
    assert_int_equal(t.updated_at, T0 + 1);
    assert_int_equal(t.attempt, 0);
    assert_true(t.queue_position == TASK_NONE); /* its time has not come */
    assert_true(t.exit_status == TASK_NONE && t.signal == TASK_NONE);
    assert_int_equal(t.event_count, 1);
    assert_true(t.progress == 0 && !t.cancel_requested && !t.error_retryable);
    assert_true(t.started_at == TASK_NONE && t.completed_at == TASK_NONE);
    assert_true(!t.phase && !t.message && !t.error_code && !t.error_message);
    assert_true(!t.result && !t.result_type && t.result_bytes == TASK_NONE);
    task_free(&t);
}

static void what_is_not_given_is_absent(void **state)
{
    struct room *r = *state;
    struct task t = get(r, make(r, (struct sketch){0}));
    assert_null(t.group);
    assert_true(t.timeout_ms == TASK_NONE && t.run_at == TASK_NONE);
    task_free(&t);
}

static void every_column_of_a_row_arrives_in_its_own_place(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    assert_int_equal(sql_try(r->db,
                             "UPDATE tasks SET status = 'running', attempt = 2, phase = 'ph',"
                             " message = 'me', progress = 12.5, started_at = 101, updated_at ="
                             " 103, cancel_requested = 1, runner = 1, lease_until = 1"),
                     0);
    assert_int_equal(
        sql_try(r->db, "INSERT INTO results VALUES (1, 'ty/pe', '[1]', '/u', x'010203')"),
        SQLITE_OK);
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'completed', completed_at = 102,"
                                    " error_code = 'co', error_message = 'em', error_retryable = 1,"
                                    " exit_status = 5, signal = 6,"
                                    " runner = NULL, lease_until = NULL"),
                     SQLITE_OK);
    struct task t = get(r, 1);
    assert_int_equal(t.status, TASK_COMPLETED);
    assert_int_equal(t.attempt, 2);
    assert_string_equal(t.phase, "ph");
    assert_string_equal(t.message, "me");
    assert_true(t.progress == 12.5);
    assert_int_equal(t.started_at, 101);
    assert_int_equal(t.completed_at, 102);
    assert_int_equal(t.updated_at, 103);
    assert_true(t.cancel_requested);
    assert_string_equal(t.error_code, "co");
    assert_string_equal(t.error_message, "em");
    assert_true(t.error_retryable && t.exit_status == 5 && t.signal == 6);
    assert_true(t.queue_position == TASK_NONE);
    assert_int_equal(t.event_count, 3);
    assert_int_equal(t.cursor, sql_number(r->db, "SELECT max(seq) FROM events WHERE task = 1"));
    assert_string_equal(t.result, "[1]");
    assert_string_equal(t.result_type, "ty/pe");
    assert_int_equal(t.result_bytes, 3);
    task_free(&t);
}

static void numbers_follow_the_order_of_commits(void **state)
{
    struct room *r = *state;
    int64_t a = make(r, (struct sketch){.now = T0 + 100}), b = make(r, (struct sketch){.now = T0});
    assert_true(b > a);
}

static void two_tasks_of_one_id_cannot_be(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0});
    char *id = id_of(r->db, n);
    struct task_new again = {.id = id,
                             .owner = "bob",
                             .type = "echo",
                             .request_id = "r",
                             .max_attempts = 1,
                             .timeout_ms = TASK_NONE,
                             .run_at = TASK_NONE,
                             .now = T0};
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(task_create(r->db, &again, &n, &r->e), ERR_INTERNAL);
    txn_rollback(r->db);
    free(id);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
}

/* ---- many at once ---- */

enum { BATCH = 300 }; /* of more than one part of a queue */

/* Tasks of all kinds that there may be together. */
static void sketch_batch(struct task_new all[BATCH], char ids[BATCH][ID_SIZE], const char *owner)
{
    static const char *const types[] = {"echo", "word-count", "a"};
    static const char *const groups[] = {"g0", "g1", "g2", "g3", "g4"};
    for (int i = 0; i < BATCH; i++) {
        snprintf(ids[i], ID_SIZE, "%s-%d", owner, i);
        all[i] = (struct task_new){
            .id = ids[i],
            .owner = owner,
            .type = types[i % 7 ? i % 3 : 0], /* a group of several types has none */
            .group = i % 7 ? NULL : groups[i / 7 % 5],
            .request_id = "req-\xc3\xa9",
            .priority = i % 4 - 1,
            .max_attempts = 1 + i % 2,
            .timeout_ms = i % 5 ? TASK_NONE : 1000 + i,
            .run_at = i % 6 == 0   ? T0 + 5 + i
                      : i % 6 == 1 ? T0 - i
                                   : TASK_NONE,
            .serialize = i % 2,
            .content_type = i % 3 ? "text/plain" : NULL,
            .input = i % 3 ? "\0some bytes" : NULL,
            .input_bytes = i % 3 ? (size_t)(i % 12) : 0,
            .now = T0,
        };
    }
}

/* Makes them for an owner, at once or one by one, after one that waits already. */
static void make_batch(struct room *r, const char *owner, bool at_once)
{
    struct task_new all[BATCH];
    char ids[BATCH][ID_SIZE];
    int64_t n = 0, first = 0, before = make(r, (struct sketch){.owner = owner, .group = "g1"});
    sketch_batch(all, ids, owner);
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    for (int i = 0; !at_once && i < BATCH; i++) OK(r, task_create(r->db, &all[i], &n, &r->e));
    if (at_once) OK(r, task_create_batch(r->db, all, BATCH, &first, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    if (at_once) assert_int_equal(first, before + 1);
}

static void tasks_that_are_made_at_once_are_as_those_made_one_by_one(void **state)
{
    /* what both owners must have alike */
    static const char *const alike[] = {
        "type, group_id, request_id, status, priority, max_attempts, timeout_ms, run_at, serialize,"
        " blocked, delayed, created_at, updated_at, event_bytes, unique_text FROM tasks WHERE "
        "owner",
        "e.task_seq, e.group_id, e.request_id, e.type, e.ts, e.payload, substr(t.id, instr(t.id, "
        "'-'))"
        " FROM events e JOIN tasks t ON t.n = e.task AND t.id = e.task_id AND t.id LIKE '%%-%%'"
        " AND t.created_at = e.ts AND t.run_at IS NOT NULL AND e.owner",
        "group_id, type, ts, payload ->> 'to' FROM events WHERE task IS NULL AND owner",
        "i.content_type, i.body, t.type FROM inputs i JOIN tasks t ON t.n = i.task AND t.owner",
        "name, pending, running, status, version, type, error, updated_at FROM groups WHERE owner",
        "priority, type, pending, ready FROM queues WHERE owner",
        "pending, ready, delayed FROM queue_owners WHERE owner",
        "bytes FROM owners WHERE name",
        "priority, sum(pending) FROM queue_parts WHERE owner",
    };
    struct room *r = *state;
    make_batch(r, "one", false);
    make_batch(r, "all", true);
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
        const char *tail = strstr(alike[i], "queue_parts") ? "GROUP BY priority" : "";
        char *query = sqlite3_mprintf("SELECT %s = 'one' %s EXCEPT SELECT %s = 'all' %s", alike[i],
                                      tail, alike[i], tail);
        if (sql_number(r->db, "SELECT count(*) FROM (%s)", query))
            fail_msg("not alike: %s", alike[i]);
        sqlite3_free(query);
        assert_true(
            sql_number(r->db, "SELECT count(*) FROM (SELECT %s = 'all' %s)", alike[i], tail));
        assert_int_equal(
            sql_number(r->db, "SELECT count(*) FROM (SELECT %s = 'all' %s)", alike[i], tail),
            sql_number(r->db, "SELECT count(*) FROM (SELECT %s = 'one' %s)", alike[i], tail));
    }
    sql_is(r->db, "0",
           "SELECT count(*) FROM (SELECT type, tasks FROM task_counts EXCEPT"
           " SELECT type, count(*) FROM tasks GROUP BY type)");
    sql_is(
        r->db, "0",
        "SELECT count(*) FROM (SELECT owner, priority, part, pending FROM queue_parts EXCEPT SELECT"
        " owner, priority, n >> 7, count(*) FROM tasks WHERE delayed = 0 GROUP BY 1, 2, 3)");
}

static void of_tasks_that_are_made_at_once_one_that_cannot_be_undoes_all(void **state)
{
    struct room *r = *state;
    struct task_new all[BATCH];
    char ids[BATCH][ID_SIZE];
    int64_t first = 0;
    sketch_batch(all, ids, "all");
    strcpy(ids[BATCH - 1], ids[0]);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, txn_savepoint(r->db, &r->e));
    assert_int_equal(task_create_batch(r->db, all, BATCH, &first, &r->e), ERR_INTERNAL);
    OK(r, txn_undo(r->db, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    sql_is(r->db, "0", "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM events)");
}

static void a_task_that_does_not_exist_is_not_found(void **state)
{
    struct room *r = *state;
    struct task t = {0};
    enum task_status status;
    int64_t seq;
    assert_int_equal(task_get(r->db, "nothing", NULL, &t, &r->e), ERR_NOTFOUND);
    assert_int_equal(task_get_n(r->db, 99, &t, &r->e), ERR_NOTFOUND);
    assert_int_equal(task_state(r->db, 99, &status, &seq, &r->e), ERR_NOTFOUND);
    assert_int_equal(r->e.code, ERR_NOTFOUND);
    assert_true(txn_idle(r->db));
}

static void the_state_of_a_task_is_its_status_and_its_newest_event(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0}), newest;
    make(r, (struct sketch){0});
    take(r, 1, T0);
    enum task_status status;
    OK(r, task_state(r->db, n, &status, &newest, &r->e));
    assert_int_equal(status, TASK_RUNNING);
    assert_int_equal(newest, 3);
}

/* ---- owners --------------------------------------------------------------------------------- */

static void another_owners_task_is_not_found(void **state)
{
    struct room *r = *state;
    char *id = id_of(r->db, make(r, (struct sketch){0}));
    struct task t = {0};
    assert_int_equal(task_get(r->db, id, "bob", &t, &r->e), ERR_NOTFOUND);
    assert_null(t.owner);
    assert_int_equal(task_get(r->db, id, "", &t, &r->e), ERR_NOTFOUND);
    assert_int_equal(task_get(r->db, id, "alic", &t, &r->e), ERR_NOTFOUND);
    OK(r, task_get(r->db, id, NULL, &t, &r->e));
    task_free(&t);
    free(id);
}

static void another_owners_task_cannot_be_cancelled_or_deleted(void **state)
{
    struct room *r = *state;
    char *id = id_of(r->db, make(r, (struct sketch){0}));
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    assert_int_equal(task_cancel(r->db, id, "bob", T0, &r->e), ERR_NOTFOUND);
    OK(r, task_cancel(r->db, id, "alice", T0, &r->e));
    assert_int_equal(task_delete(r->db, id, "bob", T0, &r->e), ERR_NOTFOUND);
    OK(r, txn_commit(r->db, &r->e));
    sql_is(r->db, "cancelled", "SELECT status FROM tasks");
    free(id);
}

/* More queues than a page remembers, of two owners, with tasks between that have no place. */
static void a_page_shows_the_places_that_each_task_has(void **state)
{
    struct room *r = *state;
    struct task_query q = {.status = TASK_STATUSES, .before = INT64_MAX, .limit = 200};
    struct task_list l;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int i = 0; i < 150; i++) {
        int64_t n;
        const struct sketch s = {.owner = i % 3 ? "alice" : "bob",
                                 .type = i % 2 ? "echo" : "other",
                                 .priority = i < 60 ? i % 2 : i % 23,
                                 .run_at = i % 7 ? 0 : T0 + 1000000};
        OK(r, sketch_create(r->db, &s, NULL, &n, &r->e));
    }
    OK(r, txn_commit(r->db, &r->e));
    OK(r, task_list_read(r->db, &q, &l, &r->e));
    assert_int_equal(l.count, 150);
    for (size_t i = 0; i < l.count; i++) {
        struct task t;
        OK(r, task_get_n(r->db, l.items[i].n, &t, &r->e));
        assert_int_equal(l.items[i].queue_position, t.queue_position);
        task_free(&t);
    }
    task_list_free(&l);
}

static void lists_queues_and_events_of_owners_are_apart(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.group = "g"});
    for (int i = 0; i < 2; i++) make(r, (struct sketch){.owner = "bob", .group = "g"});
    struct task_query q = {
        .owner = "bob", .status = TASK_STATUSES, .before = INT64_MAX, .limit = 9};
    struct task_list l;
    OK(r, task_list_read(r->db, &q, &l, &r->e));
    assert_int_equal(l.count, 2);
    assert_int_equal(l.items[0].queue_position, 2);
    assert_int_equal(l.items[1].queue_position, 1);
    task_list_free(&l);
    OK(r, task_list_unfinished(r->db, "bob", 9, &l, &r->e));
    assert_int_equal(l.count, 2);
    task_list_free(&l);

    struct event_list events = {0};
    const struct event_scope scopes[] = {{.kind = SCOPE_OWNER, .owner = "bob"},
                                         {.kind = SCOPE_GROUP, .owner = "bob", .group = "g"}};
    for (size_t s = 0; s < 2; s++) {
        OK(r, events_read(r->db, &scopes[s], 0, 99, 99999, &events, &r->e));
        assert_int_equal(events.count, 3);
        for (size_t i = 0; i < events.count; i++) assert_string_equal(events.items[i].owner, "bob");
    }
    event_list_free(&events);
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* The numbers of a page, "5 4 +" where + says that there is more. */
static void page_is(struct room *r, const struct task_query *q, const char *expected)
{
    struct task_list l;
    struct buf text = {0};
    OK(r, task_list_read(r->db, q, &l, &r->e));
    for (size_t i = 0; i < l.count; i++) buf_fmt(&text, "%lld ", (long long)l.items[i].n);
    if (l.more) buf_str(&text, "+");
    assert_string_equal(buf_text(&text), expected);
    buf_free(&text);
    task_list_free(&l);
}

static void pages_are_newest_first_and_end(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 5; i++) make(r, (struct sketch){0});
    struct task_query q = {.status = TASK_STATUSES, .before = INT64_MAX, .limit = 2};
    for (int owned = 0; owned < 2; owned++) {
        q.owner = owned ? "alice" : NULL;
        q.before = INT64_MAX;
        page_is(r, &q, "5 4 +");
        q.before = 4;
        page_is(r, &q, "3 2 +");
        q.before = 2;
        page_is(r, &q, "1 ");
        q.before = 3;
        page_is(r, &q, "2 1 ");
        q.before = 1;
        page_is(r, &q, "");
    }
}

static void a_page_holds_what_all_its_conditions_hold_for(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.type = "a", .group = "g"});                 /* 1 running */
    make(r, (struct sketch){.type = "b", .group = "g"});                 /* 2 */
    make(r, (struct sketch){.type = "a", .group = "h"});                 /* 3 */
    make(r, (struct sketch){.type = "a"});                               /* 4 */
    make(r, (struct sketch){.type = "a", .group = "g", .owner = "bob"}); /* 5 */
    make(r, (struct sketch){.type = "a", .group = "g"});                 /* 6 */
    assert_int_equal(take(r, 1, T0).n, 1);
    for (int mask = 0; mask < 16; mask++) {
        const struct task_query q = {.owner = mask & 1 ? "alice" : NULL,
                                     .type = mask & 2 ? "a" : NULL,
                                     .group = mask & 4 ? "g" : NULL,
                                     .status = mask & 8 ? TASK_PENDING : TASK_STATUSES,
                                     .before = INT64_MAX,
                                     .limit = 10};
        struct buf expected = {0};
        buf_str(&expected, "");
        for (int n = 6; n > 0; n--) {
            bool alice = n != 5, a = n != 2, g = n != 3 && n != 4, pending = n != 1;
            if ((mask & 1 && !alice) || (mask & 2 && !a) || (mask & 4 && !g) ||
                (mask & 8 && !pending))
                continue;
            buf_fmt(&expected, "%d ", n);
        }
        page_is(r, &q, expected.data);
        buf_free(&expected);
    }
}

/* More owners than are looked at in one go, each with two tasks. */
static void a_group_name_that_many_owners_use_is_one_list_for_an_admin(void **state)
{
    enum { OWNERS = 230 };
    struct room *r = *state;
    char owner[16];
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int i = 0; i < 2 * OWNERS; i++) {
        snprintf(owner, sizeof owner, "owner%d", i * 7 % OWNERS);
        const struct sketch s = {.owner = owner, .group = "g", .type = i % 2 ? "a" : "b"};
        OK(r, sketch_create(r->db, &s, NULL, &n, &r->e));
    }
    OK(r, txn_commit(r->db, &r->e));
    for (int step = 1; step <= 2; step++) {
        const struct task_query all = {
            .group = "g", .type = step == 2 ? "a" : NULL, .status = TASK_STATUSES};
        int64_t below = 2 * OWNERS + step;
        for (struct task_query q = all; below > step; q.before = below) {
            struct task_list l;
            q.limit = 47;
            if (!q.before) q.before = INT64_MAX;
            OK(r, task_list_read(r->db, &q, &l, &r->e));
            assert_true(l.count > 0);
            for (size_t i = 0; i < l.count; i++, below -= step)
                assert_int_equal(l.items[i].n, below - step);
            assert_int_equal(l.more, below > step);
            task_list_free(&l);
        }
    }
    const struct task_query skipping = {
        .group = "g", .status = TASK_PENDING, .before = 11, .limit = 2, .skip = 3};
    page_is(r, &skipping, "7 6 +");
}

/* What a count over the whole queue says. */
static int64_t place_of(struct room *r, int64_t n)
{
    return sql_number(
        r->db,
        "SELECT count(*) FROM tasks t JOIN tasks b USING (owner, status, delayed)"
        " WHERE t.n = %lld AND t.status = 'pending' AND t.delayed = 0"
        "   AND (b.priority > t.priority OR (b.priority = t.priority AND b.n <= t.n))",
        (long long)n);
}

/* Around and inside the 128 numbers that are counted together, among what does not count. */
static void a_place_is_what_a_count_says_wherever_it_lies(void **state)
{
    enum { TASKS = 400 };
    struct room *r = *state;
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int i = 0; i < TASKS; i++) {
        const struct sketch s = {.owner = i % 7 ? NULL : "bob",
                                 .priority = i % 5 == 0,
                                 .run_at = i % 11 ? 0 : T0 + 1000};
        OK(r, sketch_create(r->db, &s, NULL, &n, &r->e));
    }
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(sql_try(r->db,
                             "UPDATE tasks SET status = 'cancelled', completed_at = updated_at"
                             " WHERE n % 13 = 0"),
                     SQLITE_OK);
    assert_consistent(r->db);
    struct task_list l;
    const struct task_query all = {.status = TASK_STATUSES, .before = INT64_MAX, .limit = TASKS};
    OK(r, task_list_read(r->db, &all, &l, &r->e));
    assert_int_equal(l.count, TASKS);
    for (size_t i = 0; i < l.count; i++) {
        struct task t;
        int64_t place = place_of(r, l.items[i].n);
        OK(r, task_get_n(r->db, l.items[i].n, &t, &r->e));
        assert_int_equal(t.queue_position, place ? place : TASK_NONE);
        assert_int_equal(l.items[i].queue_position, t.queue_position);
        task_free(&t);
    }
    task_list_free(&l);
}

static void the_unfinished_are_those_that_wait_or_run(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 6; i++) make(r, (struct sketch){.owner = i % 2 ? "bob" : "alice"});
    struct claim a = take(r, 1, T0), b = take(r, 1, T0);
    finish(r, &a, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    assert_true(a.n == 1 && b.n == 2);
    struct task_list l;
    OK(r, task_list_unfinished(r->db, NULL, 4, &l, &r->e));
    assert_int_equal(l.count, 4);
    assert_true(l.more);
    assert_true(l.items[0].n == 6 && l.items[3].n == 3);
    task_list_free(&l);
    OK(r, task_list_unfinished(r->db, NULL, 5, &l, &r->e));
    assert_true(l.count == 5 && !l.more && l.items[4].n == 2);
    task_list_free(&l);
    OK(r, task_list_unfinished(r->db, "alice", 5, &l, &r->e));
    assert_true(l.count == 2 && !l.more && l.items[0].n == 5 && l.items[1].n == 3);
    task_list_free(&l);
}

/* ---- cancel, delete ------------------------------------------------------------------------- */

static enum err cancel(struct room *r, int64_t n, int64_t now)
{
    char *id = id_of(r->db, n);
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    struct error e = {0};
    enum err rc = task_cancel(r->db, id, "alice", now, &e);
    OK(r, txn_commit(r->db, &r->e));
    r->e = e;
    free(id);
    return rc;
}

static void cancelling_a_waiting_task_ends_it(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.run_at = T0 + 99});
    assert_int_equal(cancel(r, n, T0 + 1), ERR_OK);
    struct task t = get(r, n);
    assert_int_equal(t.status, TASK_CANCELLED);
    assert_int_equal(t.completed_at, T0 + 1);
    assert_string_equal(t.error_code, "cancelled");
    assert_true(t.run_at == TASK_NONE);
    task_free(&t);
    assert_int_equal(take(r, 1, T0 + 200).n, 0);
}

static void cancelling_a_running_task_asks_its_runner(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    make(r, (struct sketch){0});
    struct claim c = take(r, 7, T0);
    take(r, 7, T0);
    int64_t events = sql_number(r->db, "SELECT count(*) FROM events");
    assert_int_equal(cancel(r, c.n, T0 + 1), ERR_OK);
    struct task t = get(r, c.n);
    assert_int_equal(t.status, TASK_RUNNING);
    assert_true(t.cancel_requested);
    task_free(&t);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events"), events);

    struct running_list l;
    OK(r, claims_to_stop(r->db, 7, &l, &r->e));
    assert_int_equal(l.count, 1);
    assert_int_equal(l.items[0].claim.n, c.n);
    assert_int_equal(l.items[0].claim.runner, 7);
    assert_int_equal(l.items[0].claim.attempt, 1);
    running_list_free(&l);
    OK(r, claims_to_stop(r->db, 8, &l, &r->e));
    assert_int_equal(l.count, 0);
    running_list_free(&l);
}

static void cancelling_twice_is_once(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0});
    take(r, 1, T0);
    assert_int_equal(cancel(r, n, T0 + 1), ERR_OK);
    assert_int_equal(cancel(r, n, T0 + 2), ERR_OK);
    assert_int_equal(sql_number(r->db, "SELECT updated_at FROM tasks"), T0 + 1);
}

static void what_is_finished_cannot_be_cancelled(void **state)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        make(r, (struct sketch){0});
        struct claim c = take(r, 1, T0);
        finish(r, &c, &(struct claim_end){.status = ends[i], .now = T0});
        assert_int_equal(cancel(r, c.n, T0 + 1), ERR_STATE);
        assert_non_null(strstr(r->e.text, task_status_name(ends[i])));
        sql_is(r->db, task_status_name(ends[i]), "SELECT status FROM tasks WHERE n = %lld", c.n);
    }
}

static int64_t tries(struct room *r, int64_t n)
{
    struct task t = get(r, n);
    int64_t count = t.tries;
    task_free(&t);
    return count;
}

/* What backoff doubles by. */
static void tries_are_counted_from_the_last_wish_and_without_lost_runners(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.max_attempts = 9});
    assert_int_equal(tries(r, n), 0);
    for (int i = 1; i <= 4; i++) {
        struct claim c = take(r, 1, T0);
        finish(r, &c, &(struct claim_end){.status = TASK_PENDING, .lost = i == 2, .now = T0});
        assert_int_equal(tries(r, n), i < 2 ? i : i - 1);
    }
    struct claim c = take(r, 1, T0);
    finish(r, &c, &(struct claim_end){.status = TASK_FAILED, .now = T0});
    assert_int_equal(tries(r, n), 4);
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, task_retry(r->db, n, 3, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(tries(r, n), 0);
    take(r, 1, T0);
    assert_int_equal(tries(r, n), 1);
}

static void a_task_that_did_not_complete_can_be_tried_again_by_wish(void **state)
{
    static const enum task_status ends[] = {TASK_FAILED, TASK_TIMEOUT, TASK_CANCELLED};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        make(r, (struct sketch){.max_attempts = 1});
        struct claim c = take(r, 1, T0);
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        OK(r, claim_progress(r->db, &c, 40, "p", "m", T0 + 1, &r->e));
        OK(r, txn_commit(r->db, &r->e));
        assert_int_equal(cancel(r, c.n, T0 + 1), ERR_OK);
        finish(r, &c,
               &(struct claim_end){.status = ends[i],
                                   .now = T0 + 2,
                                   .lost = true,
                                   .error_code = "timeout",
                                   .error_message = "m"});
        OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        OK(r, task_retry(r->db, c.n, 3, T0 + 3, &r->e));
        OK(r, txn_commit(r->db, &r->e));
        struct task t = get(r, c.n);
        assert_true(t.status == TASK_PENDING && t.attempt == 1 && t.max_attempts == 4);
        assert_true(t.progress == 0 && !t.phase && !t.message && !t.error_code && !t.error_message);
        assert_true(!t.cancel_requested && t.run_at == TASK_NONE && t.started_at == TASK_NONE);
        assert_true(t.completed_at == TASK_NONE && t.queue_position == 1);
        task_free(&t);
        assert_int_equal(sql_number(r->db, "SELECT lost FROM tasks WHERE n = %lld", c.n), 0);
        assert_int_equal(take(r, 1, T0 + 3).attempt, 2);
    }
    assert_consistent(r->db);
}

static void nothing_else_can_be_tried_again(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0});
    for (int i = 0; i < 3; i++) {
        OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        assert_int_equal(task_retry(r->db, n, 1, T0, &r->e), ERR_STATE);
        assert_int_equal(task_retry(r->db, 99, 1, T0, &r->e), ERR_STATE);
        txn_rollback(r->db);
        struct claim c = {n, 1, 1};
        if (i == 0) take(r, 1, T0);
        if (i == 1) finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    }
    sql_is(r->db, "completed", "SELECT status FROM tasks");
}

static enum err restart(struct room *r, int64_t n, enum task_status status)
{
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    return txn_end(r->db, task_restart(r->db, n, status, 3, T0 + 5, &r->e), &r->e);
}

/* What a forced retry leaves: as if it had never run, but that attempts count on. */
static void is_new(struct room *r, int64_t n, int64_t attempt)
{
    struct task t = get(r, n);
    assert_true(t.status == TASK_PENDING && t.attempt == attempt && t.tries == 0);
    assert_int_equal(t.max_attempts, attempt + 3);
    assert_true(t.progress == 0 && !t.error_code && !t.error_message && !t.cancel_requested);
    assert_true(t.started_at == TASK_NONE && t.completed_at == TASK_NONE && t.run_at == TASK_NONE);
    assert_true(t.result_bytes == TASK_NONE && !t.result);
    task_free(&t);
    sql_is(
        r->db, "0 0 0 0 0",
        "SELECT (SELECT count(*) FROM results) || ' ' || (SELECT count(*) FROM files) || ' ' ||"
        " (SELECT count(*) FROM checkpoints) || ' ' || (SELECT sum(restart) FROM tasks) || ' ' ||"
        " (SELECT sum(lost) FROM tasks)");
    assert_consistent(r->db);
}

static void a_forced_retry_of_a_finished_task_begins_with_nothing(void **state)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_CANCELLED};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int64_t n = make(r, (struct sketch){.max_attempts = 1});
        struct claim c = take(r, 1, T0);
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        OK(r, claim_checkpoint(r->db, &c, "{}", &r->e));
        OK(r, txn_commit(r->db, &r->e));
        finish(r, &c,
               &(struct claim_end){.status = ends[i],
                                   .now = T0 + 2,
                                   .result = ends[i] == TASK_COMPLETED ? "[1]" : NULL,
                                   .result_bytes = 3,
                                   .result_type = "application/json",
                                   .result_inline = "[1]",
                                   .result_url = "/r"});
        assert_int_equal(sql_try(r->db, "INSERT INTO files VALUES (%lld, 'f', 1000, 'text/plain')",
                                 (long long)n),
                         SQLITE_OK);
        assert_int_equal(restart(r, n, ends[i]), ERR_OK);
        is_new(r, n, 1);
        assert_int_equal(take(r, 1, T0 + 6).attempt, 2);
        OK(r, finish(r, &(struct claim){n, 1, 2},
                     &(struct claim_end){.status = TASK_COMPLETED, .now = T0 + 7}));
    }
}

static struct claim_asked asked(struct room *r, int64_t n)
{
    struct claim_asked asked;
    OK(r, claim_asked(r->db, n, &asked, &r->e));
    return asked;
}

static void a_running_task_that_is_to_run_anew_waits_once_it_has_stopped(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.max_attempts = 1});
    struct claim c = take(r, 1, T0);
    struct running_list l;
    assert_int_equal(restart(r, n, TASK_RUNNING), ERR_OK);
    assert_int_equal(restart(r, n, TASK_RUNNING), ERR_OK); /* twice is once */
    struct task t = get(r, n);
    assert_true(t.status == TASK_RUNNING && !t.cancel_requested);
    task_free(&t);
    OK(r, claims_to_stop(r->db, 1, &l, &r->e));
    assert_int_equal(l.count, 1);
    running_list_free(&l);
    assert_true(asked(r, n).restart && !asked(r, n).cancel);
    OK(r, finish(r, &c,
                 &(struct claim_end){
                     .status = TASK_PENDING, .run_at = TASK_NONE, .lost = true, .now = T0 + 9}));
    is_new(r, n, 1);
    assert_int_equal(restart(r, n, TASK_PENDING), ERR_STATE);
}

static void of_a_cancel_and_a_restart_the_later_counts(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0});
    take(r, 1, T0);
    assert_int_equal(restart(r, n, TASK_RUNNING), ERR_OK);
    assert_int_equal(cancel(r, n, T0 + 6), ERR_OK);
    assert_true(asked(r, n).cancel && !asked(r, n).restart);
    assert_int_equal(restart(r, n, TASK_RUNNING), ERR_OK);
    assert_true(asked(r, n).restart && !asked(r, n).cancel);
}

static void an_etag_changes_with_events_and_with_the_wish_to_cancel(void **state)
{
    struct room *r = *state;
    struct buf tags[3] = {0};
    int64_t n = make(r, (struct sketch){0});
    for (int i = 0; i < 3; i++) {
        struct task t = get(r, n);
        task_etag(&tags[i], &t, "0a1b2c3d");
        task_free(&t);
        if (i == 0) take(r, 1, T0);
        if (i == 1) cancel(r, n, T0);
    }
    assert_string_equal(tags[0].data, "W/\"0a1b2c3d-1\"");
    assert_string_equal(tags[1].data, "W/\"0a1b2c3d-2\"");
    assert_string_equal(tags[2].data, "W/\"0a1b2c3d-2.cancel\"");
    for (int i = 0; i < 3; i++) buf_free(&tags[i]);
}

static void only_a_finished_task_can_be_deleted(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){0});
    char *id = id_of(r->db, n);
    for (int i = 0; i < 3; i++) {
        OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        assert_int_equal(task_delete(r->db, id, "alice", T0, &r->e), i < 2 ? ERR_STATE : ERR_OK);
        OK(r, txn_commit(r->db, NULL));
        struct claim c = {n, 1, 1};
        if (i == 0) take(r, 1, T0);
        if (i == 1) finish(r, &c, &(struct claim_end){.status = TASK_FAILED, .now = T0});
    }
    struct task t = {0};
    assert_int_equal(task_get(r->db, id, NULL, &t, &r->e), ERR_NOTFOUND);
    free(id);
}

/* ---- reading the log ------------------------------------------------------------------------ */

static void events_are_read_in_order_from_behind_a_position(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 5; i++) make(r, (struct sketch){0});
    struct event_list l = {0};
    const struct event_scope all = {.kind = SCOPE_ALL};
    OK(r, events_read(r->db, &all, 2, 2, 99999, &l, &r->e));
    assert_int_equal(l.count, 2);
    assert_true(l.more && l.items[0].seq == 3 && l.items[1].seq == 4);
    OK(r, events_read(r->db, &all, 4, 2, 99999, &l, &r->e));
    assert_true(l.count == 1 && !l.more && l.items[0].seq == 5);
    OK(r, events_read(r->db, &all, 5, 2, 99999, &l, &r->e));
    assert_true(l.count == 0 && !l.more);
    event_list_free(&l);
}

static void a_read_stops_after_so_many_bytes_but_never_before_the_first(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    struct buf payload = {0};
    buf_char(&payload, '"');
    for (int i = 0; i < 1000; i++) buf_str(&payload, "x");
    buf_char(&payload, '"');
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    for (int i = 0; i < 10; i++)
        OK(r, claim_event(r->db, &c, "big.one", payload.data, T0, NULL, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    struct event_list l = {0};
    const struct event_scope scope = {.kind = SCOPE_TASK, .task = c.n};
    OK(r, events_read(r->db, &scope, 2, 100, 2500, &l, &r->e));
    assert_true(l.count == 3 && l.more);
    OK(r, events_read(r->db, &scope, 2, 100, 1, &l, &r->e));
    assert_true(l.count == 1 && l.more);
    assert_string_equal(l.items[0].payload, payload.data);
    event_list_free(&l);
    buf_free(&payload);
}

static void the_text_of_many_events_stays_where_it_is(void **state)
{
    /* more than the buffer's first sizes: places that moved would show */
    struct room *r = *state;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    int64_t n;
    for (int i = 0; i < 300; i++) {
        char group[32];
        snprintf(group, sizeof group, "group-%d", i);
        OK(r,
           sketch_create(r->db, &(struct sketch){.group = i % 2 ? group : NULL}, NULL, &n, &r->e));
    }
    OK(r, txn_commit(r->db, &r->e));
    struct event_list l = {0};
    OK(r,
       events_read(r->db, &(struct event_scope){.kind = SCOPE_ALL}, 0, 1000, 1 << 20, &l, &r->e));
    int created = 0;
    for (size_t i = 0; i < l.count; i++) {
        if (strcmp(l.items[i].type, "task.created")) continue;
        char group[32];
        snprintf(group, sizeof group, "group-%d", created);
        assert_string_equal(l.items[i].owner, "alice");
        assert_string_equal(l.items[i].request_id, "req-1");
        assert_true(id_valid(l.items[i].task_id));
        if (created % 2)
            assert_string_equal(l.items[i].group, group);
        else
            assert_null(l.items[i].group);
        created++;
    }
    assert_int_equal(created, 300);
    event_list_free(&l);
}

/* Where the log goes on from a time on; -1: nowhere. */
static int64_t since(struct room *r, int64_t time)
{
    int64_t seq = 0;
    bool later = false;
    OK(r, events_since(r->db, time, &seq, &later, &r->e));
    return later ? -1 : seq;
}

/* Rows of the log past the triggers: seq and ts. */
static void log_has(struct room *r, const char *rows)
{
    assert_int_equal(sql_try(r->db,
                             "INSERT INTO events (seq, owner, type, ts, payload)"
                             " SELECT column1, 'alice', 'a.b', column2, '{}' FROM (VALUES %s)",
                             rows),
                     SQLITE_OK);
}

static void the_log_goes_on_before_the_first_event_from_a_time_on(void **state)
{
    struct room *r = *state;
    assert_int_equal(since(r, 5), -1);
    log_has(r, "(3, 100), (4, 100), (9, 200), (20, 300), (21, 300), (40, 400)");
    assert_int_equal(since(r, 0), 0);
    assert_int_equal(since(r, 100), 0);
    assert_int_equal(since(r, 101), 4);
    assert_int_equal(since(r, 200), 4);
    assert_int_equal(since(r, 201), 9);
    assert_int_equal(since(r, 300), 9);
    assert_int_equal(since(r, 400), 21);
    assert_int_equal(since(r, 401), -1);
    assert_int_equal(since(r, INT64_MAX), -1);
    assert_int_equal(sql_try(r->db, "DELETE FROM events WHERE seq IN (3, 4, 40)"), SQLITE_OK);
    assert_true(since(r, 150) < 9);
    assert_int_equal(since(r, 400), -1);
}

static void an_event_that_was_committed_late_is_not_passed(void **state)
{
    struct room *r = *state;
    log_has(r, "(1, 100), (2, 210), (3, 190), (4, 195), (5, 220), (6, 300)");
    assert_int_equal(since(r, 200), 1); /* 2 is of 210 */
    assert_int_equal(since(r, 215), 4);
    assert_int_equal(since(r, 195), 1);
}

static void a_time_is_found_in_a_long_log_as_quickly(void **state)
{
    struct room *r = *state;
    int64_t rows = 100000 / slowness();
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(sql_try(r->db,
                             "INSERT INTO events (seq, owner, type, ts, payload)"
                             " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                             " WHERE i < %lld) SELECT i, 'alice', 'a.b', i * 10, '{}' FROM n",
                             (long long)rows),
                     SQLITE_OK);
    OK(r, txn_commit(r->db, &r->e));
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db_sqlite(r->db), st));)
        sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 1);
    assert_int_equal(since(r, rows * 5), rows / 2 - 1);
    int64_t steps = 0;
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db_sqlite(r->db), st));)
        steps += sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 1);
    assert_in_range(steps, 1, 40 * EVENTS_STRAGGLERS);
}

static void an_event_is_in_the_scopes_that_read_it(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "h"});
    make(r, (struct sketch){.group = "g", .owner = "bob"});
    make(r, (struct sketch){0});
    const struct event_scope scopes[] = {
        {.kind = SCOPE_TASK, .task = 1},
        {.kind = SCOPE_GROUP, .owner = "alice", .group = "g"},
        {.kind = SCOPE_OWNER, .owner = "alice"},
        {.kind = SCOPE_ALL},
    };
    struct event_list all = {0}, l = {0};
    OK(r, events_read(r->db, &scopes[3], 0, 99, 99999, &all, &r->e));
    for (size_t s = 0; s < sizeof scopes / sizeof *scopes; s++) {
        size_t at = 0;
        OK(r, events_read(r->db, &scopes[s], 0, 99, 99999, &l, &r->e));
        for (size_t i = 0; i < all.count; i++) {
            bool read = at < l.count && l.items[at].seq == all.items[i].seq;
            at += read;
            assert_int_equal(event_in_scope(&all.items[i], &scopes[s]), read);
        }
        assert_int_equal(at, l.count);
    }
    event_list_free(&all);
    event_list_free(&l);
}

static void the_floor_is_the_position_before_what_is_retained(void **state)
{
    struct room *r = *state;
    const struct event_scope all = {.kind = SCOPE_ALL},
                             alice = {.kind = SCOPE_OWNER, .owner = "alice"},
                             bob = {.kind = SCOPE_OWNER, .owner = "bob"},
                             group = {.kind = SCOPE_GROUP, .owner = "alice", .group = "g"},
                             second = {.kind = SCOPE_TASK, .task = 2};
    const struct event_scope *const scopes[] = {&all, &alice, &bob, &group, &second};
    static const int64_t expected[2][5] = {{0, 0, 0, 0, 1}, {3, 3, 0, 3, 1}};
    make(r, (struct sketch){0}); /* 1 */
    make(r, (struct sketch){0}); /* 2 */
    for (int deleted = 0; deleted < 2; deleted++) {
        for (size_t i = 0; i < 5; i++) {
            int64_t seq = -1;
            OK(r, events_floor(r->db, scopes[i], &seq, &r->e));
            assert_int_equal(seq, expected[deleted][i]);
        }
        if (deleted) break;
        assert_int_equal(cancel(r, 1, T0), ERR_OK); /* 3 */
        char *id = id_of(r->db, 1);
        OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        OK(r, task_delete(r->db, id, NULL, T0, &r->e)); /* 4 */
        OK(r, txn_commit(r->db, &r->e));
        free(id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_new_task_comes_back_as_it_was_given),
        room_test(what_is_not_given_is_absent),
        room_test(every_column_of_a_row_arrives_in_its_own_place),
        room_test(numbers_follow_the_order_of_commits),
        room_test(two_tasks_of_one_id_cannot_be),
        room_test(tasks_that_are_made_at_once_are_as_those_made_one_by_one),
        room_test(of_tasks_that_are_made_at_once_one_that_cannot_be_undoes_all),
        room_test(a_task_that_does_not_exist_is_not_found),
        room_test(the_state_of_a_task_is_its_status_and_its_newest_event),
        room_test(another_owners_task_is_not_found),
        room_test(another_owners_task_cannot_be_cancelled_or_deleted),
        room_test(a_page_shows_the_places_that_each_task_has),
        room_test(lists_queues_and_events_of_owners_are_apart),
        room_test(pages_are_newest_first_and_end),
        room_test(a_page_holds_what_all_its_conditions_hold_for),
        room_test(a_group_name_that_many_owners_use_is_one_list_for_an_admin),
        room_test(a_place_is_what_a_count_says_wherever_it_lies),
        room_test(the_unfinished_are_those_that_wait_or_run),
        room_test(cancelling_a_waiting_task_ends_it),
        room_test(cancelling_a_running_task_asks_its_runner),
        room_test(cancelling_twice_is_once),
        room_test(what_is_finished_cannot_be_cancelled),
        room_test(tries_are_counted_from_the_last_wish_and_without_lost_runners),
        room_test(a_task_that_did_not_complete_can_be_tried_again_by_wish),
        room_test(nothing_else_can_be_tried_again),
        room_test(a_forced_retry_of_a_finished_task_begins_with_nothing),
        room_test(a_running_task_that_is_to_run_anew_waits_once_it_has_stopped),
        room_test(of_a_cancel_and_a_restart_the_later_counts),
        room_test(an_etag_changes_with_events_and_with_the_wish_to_cancel),
        room_test(only_a_finished_task_can_be_deleted),
        room_test(events_are_read_in_order_from_behind_a_position),
        room_test(a_read_stops_after_so_many_bytes_but_never_before_the_first),
        room_test(the_text_of_many_events_stays_where_it_is),
        room_test(the_log_goes_on_before_the_first_event_from_a_time_on),
        room_test(an_event_that_was_committed_late_is_not_passed),
        room_test(a_time_is_found_in_a_long_log_as_quickly),
        room_test(an_event_is_in_the_scopes_that_read_it),
        room_test(the_floor_is_the_position_before_what_is_retained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
