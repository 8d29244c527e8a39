#include "ops/change.h"

#include "fixture.h"

#include <stdlib.h>

enum { MANY = 250 /* of a group: three portions */ };

/* Keeps all that waits from being claimed, or lets it. */
static void set_blocked(struct site *s, int blocked)
{
    assert_int_equal(
        sql_try(s->db, "UPDATE tasks SET blocked = %d WHERE status = 'pending' AND blocked = %d",
                blocked, !blocked),
        SQLITE_OK);
}

/* Brings a new task into a state, by the runner's ways. Its number. */
static int64_t put(struct site *s, struct sketch sketch, enum task_status status)
{
    sketch.max_attempts = 1;
    set_blocked(s, 1); /* what waits is not to be claimed in its place */
    sketch.now = clock_wall_ms();
    int64_t n = make(s->r, sketch);
    if (status == TASK_PENDING) {
        set_blocked(s, 1);
        return n;
    }
    struct claim c = take(s->r, 7, sketch.now);
    assert_int_equal(c.n, n);
    if (status != TASK_RUNNING)
        OK(s->r,
           finish(s->r, &c,
                  &(struct claim_end){.status = status, .run_at = TASK_NONE, .now = sketch.now}));
    return n;
}

static enum err change(struct site *s, enum change_kind kind, const char *reader, const char *id,
                       struct change_task *out)
{
    struct caller caller = site_caller(s, reader ? reader : "admin");
    caller.reader = reader;
    change_task_init(out, &caller, kind, id);
    return operation_run(&out->op, s->db, &s->r->e);
}

/* A retry that is forced. */
static enum err force(struct site *s, const char *id, struct change_task *out)
{
    struct caller caller = site_caller(s, "alice");
    change_task_init(out, &caller, CHANGE_RETRY, id);
    out->force = true;
    return operation_run(&out->op, s->db, &s->r->e);
}

static void what_each_state_allows(void **state)
{
    enum { NOT = -1, GONE = -2, FORCED = CHANGE_DELETE + 1 };
    static const struct {
        enum task_status from;
        int cancelled, retried, deleted, forced; /* the status then; NOT: ERR_STATE */
    } rows[] = {
        {TASK_PENDING, TASK_CANCELLED, NOT, NOT, NOT},
        {TASK_RUNNING, TASK_RUNNING, NOT, NOT, TASK_RUNNING},
        {TASK_COMPLETED, NOT, NOT, GONE, TASK_PENDING},
        {TASK_FAILED, NOT, TASK_PENDING, GONE, TASK_PENDING},
        {TASK_TIMEOUT, NOT, TASK_PENDING, GONE, TASK_PENDING},
        {TASK_CANCELLED, NOT, TASK_PENDING, GONE, TASK_PENDING},
    };
    struct site *s = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int expected[] = {[CHANGE_CANCEL] = rows[i].cancelled,
                                [CHANGE_RETRY] = rows[i].retried,
                                [CHANGE_DELETE] = rows[i].deleted,
                                [FORCED] = rows[i].forced};
        for (int kind = CHANGE_CANCEL; kind <= FORCED; kind++) {
            struct change_task c;
            char *id = id_of(s->db, put(s, (struct sketch){0}, rows[i].from));
            int64_t events = sql_number(s->db, "SELECT count(*) FROM events");
            enum err rc = kind == FORCED ? force(s, id, &c)
                                         : change(s, (enum change_kind)kind, "alice", id, &c);
            if (rc != (expected[kind] == NOT ? ERR_STATE : ERR_OK))
                fail_msg("%s, change %d: %d %s", task_status_name(rows[i].from), (int)kind, (int)rc,
                         s->r->e.text);
            if (expected[kind] >= 0) assert_int_equal(c.task.status, expected[kind]);
            if (kind == CHANGE_CANCEL && !rc) assert_true(c.task.cancel_requested);
            if (rc) assert_int_equal(sql_number(s->db, "SELECT count(*) FROM events"), events);
            if (expected[kind] == GONE) {
                assert_int_equal(
                    sql_number(s->db, "SELECT count(*) FROM tasks WHERE id = '%s'", id), 0);
                assert_null(c.task.owner);
            }
            change_task_free(&c);
            free(id);
        }
    }
    set_blocked(s, 0);
    assert_consistent(s->db);
}

static void what_is_not_the_callers_is_not_there(void **state)
{
    struct site *s = *state;
    char *id = id_of(s->db, put(s, (struct sketch){0}, TASK_FAILED));
    static const char *const none = "01890000-0000-7000-8000-000000000000";
    for (enum change_kind kind = CHANGE_CANCEL; kind <= CHANGE_DELETE; kind++) {
        struct change_task c;
        assert_int_equal(change(s, kind, "bob", id, &c), ERR_NOTFOUND);
        change_task_free(&c);
        assert_int_equal(change(s, kind, "alice", none, &c), ERR_NOTFOUND);
        change_task_free(&c);
    }
    struct change_task c;
    assert_int_equal(change(s, CHANGE_RETRY, NULL, id, &c), ERR_OK); /* an admin's */
    change_task_free(&c);
    free(id);
}

static void a_retried_task_gets_as_many_attempts_as_its_type_says(void **state)
{
    static const struct {
        const char *type;
        int64_t attempts;
    } rows[] = {{"thrice", 3}, {"plain", 1}, {"gone", 1}};
    struct site *s = *state;
    site_job(s, "thrice", "attempts = 3\n");
    site_job(s, "plain", NULL);
    for (size_t i = 0; i < 3; i++) {
        struct change_task c;
        char *id = id_of(s->db, put(s, (struct sketch){.type = rows[i].type}, TASK_FAILED));
        OK(s->r, change(s, CHANGE_RETRY, "alice", id, &c));
        assert_int_equal(c.task.max_attempts - c.task.attempt, rows[i].attempts);
        change_task_free(&c);
        free(id);
    }
}

static void a_retry_needs_room_in_its_owners_queue(void **state)
{
    struct site *s = *state;
    struct change_task c;
    site_set(s, "LEAT_LIMITS_QUEUED_PER_OWNER=2");
    char *id = id_of(s->db, put(s, (struct sketch){0}, TASK_FAILED));
    put(s, (struct sketch){0}, TASK_PENDING);
    put(s, (struct sketch){.owner = "bob"}, TASK_PENDING);
    OK(s->r, change(s, CHANGE_RETRY, "alice", id, &c));
    change_task_free(&c);
    struct claim claim = take(s->r, 7, clock_wall_ms());
    OK(s->r, finish(s->r, &claim,
                    &(struct claim_end){
                        .status = TASK_FAILED, .run_at = TASK_NONE, .now = clock_wall_ms()}));
    put(s, (struct sketch){0}, TASK_PENDING);
    /* an admin's hand does not make the owner's queue longer */
    assert_int_equal(change(s, CHANGE_RETRY, NULL, id, &c), ERR_LIMIT);
    assert_string_equal(c.op.limit.name, "queued_per_owner");
    change_task_free(&c);
    sql_is(s->db, "failed", "SELECT status FROM tasks WHERE id = '%s'", id);
    free(id);
}

/* ---- a group ---- */

static int64_t with_status(struct site *s, const char *status)
{
    return sql_number(
        s->db,
        "SELECT count(*) FROM tasks WHERE group_id = 'g' AND owner = 'alice' AND status = '%s'",
        status);
}

static void all_of_a_group_that_allow_it_are_cancelled_in_portions(void **state)
{
    struct site *s = *state;
    struct change_group c;
    struct caller caller = site_caller(s, "alice");
    const struct sketch of_group = {.group = "g"};
    put(s, of_group, TASK_RUNNING);
    put(s, of_group, TASK_COMPLETED);
    put(s, of_group, TASK_FAILED);
    int64_t other = put(s, (struct sketch){.group = "h"}, TASK_PENDING);
    int64_t bobs = put(s, (struct sketch){.group = "g", .owner = "bob"}, TASK_PENDING);
    for (int i = 0; i < MANY; i++) put(s, of_group, TASK_PENDING);

    change_group_init(&c, &caller, CHANGE_CANCEL, "alice", "g");
    assert_true(c.op.terminal);
    OK(s->r, txn_begin(s->db, TXN_SYNC_BEFORE, &s->r->e));
    OK(s->r, c.op.apply(&c.op, s->db, &s->r->e)); /* the first portion */
    OK(s->r, txn_commit(s->db, &s->r->e));
    assert_true(c.op.again);
    assert_in_range(c.changed, 1, MANY - 1);
    int64_t late = put(s, of_group, TASK_PENDING); /* comes too late to be meant */
    OK(s->r, operation_run(&c.op, s->db, &s->r->e));
    assert_false(c.op.again);
    assert_int_equal(c.changed, MANY);
    assert_int_equal(c.requested, 1);
    assert_int_equal(with_status(s, "cancelled"), MANY);
    assert_int_equal(with_status(s, "running"), 1);
    assert_int_equal(with_status(s, "completed"), 1);
    assert_int_equal(with_status(s, "failed"), 1);
    const int64_t left[] = {other, bobs, late};
    for (size_t i = 0; i < 3; i++)
        sql_is(s->db, "pending", "SELECT status FROM tasks WHERE n = %lld", (long long)left[i]);
    change_group_free(&c);
    set_blocked(s, 0);
    assert_consistent(s->db);
}

static void all_of_a_group_that_allow_it_are_retried(void **state)
{
    struct site *s = *state;
    struct change_group c;
    struct caller caller = site_caller(s, "alice");
    static const enum task_status states[] = {TASK_FAILED, TASK_TIMEOUT, TASK_CANCELLED,
                                              TASK_COMPLETED, TASK_RUNNING};
    for (size_t i = 0; i < 5; i++) put(s, (struct sketch){.group = "g"}, states[i]);
    put(s, (struct sketch){.group = "g"}, TASK_PENDING);
    change_group_init(&c, &caller, CHANGE_RETRY, "alice", "g");
    OK(s->r, operation_run(&c.op, s->db, &s->r->e));
    assert_int_equal(c.changed, 3);
    assert_int_equal(c.requested, 0);
    assert_int_equal(with_status(s, "pending"), 4);
    change_group_free(&c);
    change_group_init(&c, &caller, CHANGE_RETRY, "alice", "never used");
    OK(s->r, operation_run(&c.op, s->db, &s->r->e));
    assert_int_equal(c.changed, 0);
    change_group_free(&c);
    set_blocked(s, 0);
    assert_consistent(s->db);
}

static void a_group_that_does_not_fit_in_full_is_not_retried(void **state)
{
    struct site *s = *state;
    struct change_group c;
    site_set(s, "LEAT_LIMITS_QUEUED_PER_OWNER=3");
    struct caller caller = site_caller(s, "alice");
    for (int i = 0; i < 3; i++) put(s, (struct sketch){.group = "g"}, TASK_FAILED);
    put(s, (struct sketch){0}, TASK_PENDING);
    change_group_init(&c, &caller, CHANGE_RETRY, "alice", "g");
    assert_int_equal(operation_run(&c.op, s->db, &s->r->e), ERR_LIMIT);
    assert_string_equal(c.op.limit.name, "queued_per_owner");
    assert_int_equal(c.op.limit.limit, 3);
    assert_int_equal(with_status(s, "failed"), 3);
    change_group_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(what_each_state_allows),
        site_test(what_is_not_the_callers_is_not_there),
        site_test(a_retried_task_gets_as_many_attempts_as_its_type_says),
        site_test(a_retry_needs_room_in_its_owners_queue),
        site_test(all_of_a_group_that_allow_it_are_cancelled_in_portions),
        site_test(all_of_a_group_that_allow_it_are_retried),
        site_test(a_group_that_does_not_fit_in_full_is_not_retried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
