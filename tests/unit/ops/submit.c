#include "ops/submit.h"

#include "fixture.h"
#include "store/inputs.h"

/* A request for a task of this type, unchecked. */
static void ask(struct site *s, struct submit *out, const char *owner, const char *type)
{
    struct caller caller = site_caller(s, owner);
    submit_init(out, &caller);
    out->type = mem_str(type);
}

static void set_key(struct submit *s, const char *key, const char *payload)
{
    s->key = mem_str(key);
    s->key_ms = 60000;
    submit_fingerprint(s->fingerprint, &payload, &(size_t){strlen(payload)}, 1);
}

static void set_input(struct submit *s, const char *text)
{
    s->input = mem_str(text);
    s->input_bytes = strlen(text);
    s->content_type = mem_str("text/plain");
}

static enum err run(struct site *s, struct submit *submit)
{
    return operation_run(&submit->op, s->db, &s->r->e);
}

static int64_t tasks(struct site *s)
{
    return sql_number(s->db, "SELECT count(*) FROM tasks");
}

/* ---- before the transaction ---- */

static void a_request_is_checked_against_its_type(void **state)
{
    static const struct {
        const char *type, *input;
        bool by_get;
        enum err rc;
        const char *code, *says;
    } rows[] = {
        {"plain", "0123456789+", false, ERR_OK, NULL, NULL},
        {"small", "0123456789", false, ERR_OK, NULL, NULL},
        {"small", "0123456789+", false, ERR_FULL, "body_too_large",
         "'small' takes at most 10 bytes"},
        {"small", "x", true, ERR_OK, NULL, NULL},
        {"plain", "x", true, ERR_STATE, "not_by_get", "get = yes"},
        {NULL, NULL, false, ERR_INVALID, "invalid_request", "type: missing"},
        {"", NULL, false, ERR_INVALID, "unknown_type", "type: "},
        {"nosuch", NULL, false, ERR_INVALID, "unknown_type", "'nosuch'"},
        {"../outside", NULL, false, ERR_INVALID, "unknown_type", "'../outside'"},
        {"Plain", NULL, false, ERR_INVALID, "unknown_type", "'Plain'"},
        {"small.conf", NULL, false, ERR_INVALID, "unknown_type", "'small.conf'"},
        {"notes", NULL, false, ERR_INVALID, "unknown_type", "'notes'"},
        {"wrong", NULL, false, ERR_INTERNAL, "type_misconfigured",
         "wrong.conf:2: unknown key 'nope'"},
    };
    struct site *s = *state;
    site_job(s, "plain", NULL);
    site_job(s, "small", "get = yes\nmax_input_bytes = 10\n");
    site_job(s, "wrong", "get = yes\nnope = 1\n");
    site_file(s, "notes", "no job\n", 0644);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submit one;
        struct error e = {0};
        ask(s, &one, "ann", rows[i].type);
        if (rows[i].input) set_input(&one, rows[i].input);
        one.by_get = rows[i].by_get;
        enum err rc = submit_check(&one, &e);
        if (rc != rows[i].rc) fail_msg("row %zu: %d %s", i, (int)rc, e.text);
        if (rows[i].code)
            assert_string_equal(one.op.code, rows[i].code);
        else
            assert_null(one.op.code);
        if (rows[i].says && !strstr(e.text, rows[i].says)) fail_msg("row %zu: %s", i, e.text);
        submit_free(&one);
    }
}

static void a_request_may_lower_what_its_type_says_and_not_raise_it(void **state)
{
    static const struct {
        int64_t attempts, timeout_ms;            /* asked for */
        int64_t max_attempts, wanted_timeout_ms; /* what it gets */
    } rows[] = {
        {TASK_NONE, TASK_NONE, 3, TASK_NONE}, /* the type's, looked up when it runs */
        {2, 5000, 2, 5000},
        {3, 20000, 3, 20000},
        {9, 30000, 3, 20000},
    };
    struct site *s = *state;
    site_job(s, "t", "attempts = 3\ntimeout = 20\nserialize = group\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submit one;
        ask(s, &one, "ann", "t");
        one.max_attempts = rows[i].attempts;
        one.timeout_ms = rows[i].timeout_ms;
        OK(s->r, submit_check(&one, &s->r->e));
        OK(s->r, run(s, &one));
        assert_true(one.created);
        assert_int_equal(one.task.max_attempts, rows[i].max_attempts);
        assert_int_equal(one.timeout_ms, rows[i].wanted_timeout_ms);
        assert_true(one.serialize);
        submit_free(&one);
    }
}

static void a_type_that_appears_is_known_at_once(void **state)
{
    struct site *s = *state;
    struct submit one;
    char path[96];
    ask(s, &one, "ann", "new");
    assert_int_equal(submit_check(&one, NULL), ERR_INVALID);
    snprintf(path, sizeof path, "%s/jobs/new", s->r->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755); /* nobody refreshes */
    close(fd);
    OK(s->r, submit_check(&one, &s->r->e));
    submit_free(&one);
}

static void fingerprints_tell_lists_of_parts_apart(void **state)
{
    static const char *const lists[][3] = {
        {"ab", "c", ""}, {"a", "bc", ""}, {"", "abc", ""}, {"ab", "", "c"}, {"ab", "c", "c"}};
    enum { LISTS = sizeof lists / sizeof *lists };
    unsigned char prints[LISTS][FINGERPRINT_BYTES], again[FINGERPRINT_BYTES];
    (void)state;
    for (size_t i = 0; i < LISTS; i++) {
        size_t lengths[3];
        for (size_t j = 0; j < 3; j++) lengths[j] = strlen(lists[i][j]);
        submit_fingerprint(prints[i], lists[i], lengths, 3);
        submit_fingerprint(again, lists[i], lengths, 3);
        assert_memory_equal(prints[i], again, sizeof again);
        for (size_t j = 0; j < i; j++) assert_memory_not_equal(prints[i], prints[j], sizeof again);
    }
}

/* ---- inside it ---- */

static void a_task_is_made_of_what_was_asked_for(void **state)
{
    struct site *s = *state;
    struct submit one;
    int64_t before = clock_wall_ms();
    ask(s, &one, "ann", "t");
    one.group = mem_str("g");
    one.max_attempts = 2;
    one.priority = 7;
    one.delay_ms = 60000;
    set_input(&one, "bytes");
    OK(s->r, run(s, &one));
    const struct task *t = &one.task;
    assert_true(one.created && !one.joined);
    assert_string_equal(t->owner, "ann");
    assert_string_equal(t->type, "t");
    assert_string_equal(t->group, "g");
    assert_string_equal(t->request_id, "req-1");
    assert_int_equal(t->status, TASK_PENDING);
    assert_int_equal(t->priority, 7);
    assert_int_equal(t->max_attempts, 2);
    assert_in_range(t->run_at, before + 60000, clock_wall_ms() + 60000);
    sql_is(s->db, "bytes", "SELECT CAST(body AS TEXT) FROM inputs WHERE task = %lld",
           (long long)t->n);
    assert_consistent(s->db);
    submit_free(&one);
}

static void a_key_makes_one_task(void **state)
{
    static const struct {
        const char *owner, *key, *payload;
        enum err rc;
        bool created;
    } rows[] = {
        {"ann", "k", "one", ERR_OK, true},     {"ann", "k", "one", ERR_OK, false},
        {"ann", "k", "two", ERR_STATE, false}, {"ann", "K", "one", ERR_OK, true},
        {"bob", "k", "one", ERR_OK, true},     {"bob", "k", "one", ERR_OK, false},
        {"ann", NULL, "one", ERR_OK, true},
    };
    struct site *s = *state;
    char first[ID_SIZE] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submit one;
        ask(s, &one, rows[i].owner, "t");
        one.max_attempts = 1;
        if (rows[i].key) set_key(&one, rows[i].key, rows[i].payload);
        assert_int_equal(run(s, &one), rows[i].rc);
        assert_int_equal(one.created, rows[i].created);
        if (rows[i].rc) assert_string_equal(one.op.code, "idempotency_key_reused");
        if (i == 0) strcpy(first, one.task.id);
        if (i == 1) assert_string_equal(one.task.id, first);
        submit_free(&one);
    }
    assert_int_equal(tasks(s), 4);
}

/* A key's task that was deleted, or whose end is long enough ago. */
static void a_key_is_free_again(void **state)
{
    static const struct {
        bool deleted;
        int64_t ended_ago_ms; /* -1: it has not */
        int64_t join_ms;
        bool created;
    } rows[] = {
        {false, -1, -1, false},       {false, -1, 0, false},          {false, 1000, -1, false},
        {false, 1000, 60000, false},  {false, 60000, 1000, true},     {true, 1000, -1, true},
        {false, -3600000, -1, false}, {false, -3600000, 60000, true}, /* the clock was set back */
    };
    struct site *s = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submit first, second;
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        ask(s, &first, "ann", "t");
        first.max_attempts = 1;
        set_key(&first, key, "x");
        OK(s->r, run(s, &first));
        if (rows[i].ended_ago_ms != -1) {
            OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
            OK(s->r, task_cancel(s->db, first.task.id, NULL, clock_wall_ms() - rows[i].ended_ago_ms,
                                 &s->r->e));
            if (rows[i].deleted)
                OK(s->r, task_delete(s->db, first.task.id, NULL, clock_wall_ms(), &s->r->e));
            OK(s->r, txn_commit(s->db, &s->r->e));
        }
        ask(s, &second, "ann", "t");
        second.max_attempts = 1;
        second.join_ms = rows[i].join_ms;
        set_key(&second, key, "x");
        OK(s->r, run(s, &second));
        if (second.created != rows[i].created) fail_msg("row %zu", i);
        assert_int_equal(!strcmp(first.task.id, second.task.id), !rows[i].created);
        submit_free(&first);
        submit_free(&second);
    }
}

static void an_unfinished_task_of_the_same_name_is_joined(void **state)
{
    static const struct {
        const char *owner, *type, *unique;
        bool joined;
    } rows[] = {
        {"ann", "t", "u", false},  {"ann", "t", "u", true},  {"ann", "t", "v", false},
        {"ann", "o", "u", false},  {"bob", "t", "u", false}, {"ann", "t", NULL, false},
        {"ann", "t", NULL, false},
    };
    struct site *s = *state;
    char id[ID_SIZE] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submit one;
        ask(s, &one, rows[i].owner, rows[i].type);
        one.max_attempts = 1;
        one.unique = mem_str(rows[i].unique);
        OK(s->r, run(s, &one));
        assert_int_equal(one.joined, rows[i].joined);
        assert_int_equal(one.created, !rows[i].joined);
        if (!i) strcpy(id, one.task.id);
        submit_free(&one);
    }
    OK(s->r, txn_begin(s->db, TXN_SYNC_BEFORE, &s->r->e));
    OK(s->r, task_cancel(s->db, id, "ann", clock_wall_ms(), &s->r->e));
    OK(s->r, txn_commit(s->db, &s->r->e));
    struct submit again;
    ask(s, &again, "ann", "t");
    again.max_attempts = 1;
    again.unique = mem_str("u");
    OK(s->r, run(s, &again)); /* it is finished: this one is new */
    assert_true(again.created);
    submit_free(&again);
}

/* ---- many ---- */

static void fill(struct site *s, struct submit_many *m, const char *const *uniques, size_t count)
{
    struct caller caller = site_caller(s, "ann");
    submit_many_init(m);
    for (size_t i = 0; i < count; i++) {
        struct submit *one = submit_many_add(m, &caller, (int64_t)i + 10);
        one->type = mem_str("t");
        one->max_attempts = 1;
        one->unique = mem_str(uniques[i]);
    }
}

static void many_are_made_in_their_order_and_join_each_other(void **state)
{
    static const char *const uniques[] = {NULL, "u", NULL, "u", "v"};
    struct site *s = *state;
    struct submit_many m;
    fill(s, &m, uniques, 5);
    OK(s->r, operation_run(&m.op, s->db, &s->r->e));
    assert_int_equal(m.line, 0);
    assert_int_equal(tasks(s), 4);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(m.items[i].joined, i == 3);
        if (i) assert_true(i == 3 || m.items[i].task.n > m.items[i - 1].task.n || i == 4);
    }
    assert_string_equal(m.items[1].task.id, m.items[3].task.id);
    submit_many_free(&m);
}

static void of_many_one_that_fails_undoes_all_and_says_which(void **state)
{
    static const char *const uniques[5] = {NULL};
    struct site *s = *state;
    struct submit_many m;
    site_set(s, "LEAT_LIMITS_QUEUED_PER_OWNER=3");
    fill(s, &m, uniques, 5);
    assert_int_equal(operation_run(&m.op, s->db, &s->r->e), ERR_LIMIT);
    assert_int_equal(m.line, 13);
    assert_string_equal(m.op.limit.name, "queued_per_owner");
    assert_int_equal(tasks(s), 0);
    assert_int_equal(sql_number(s->db, "SELECT count(*) FROM events"), 0);
    m.count--; /* what is left of them fits one less */
    submit_free(&m.items[m.count]);
    m.count--;
    submit_free(&m.items[m.count]);
    OK(s->r, operation_run(&m.op, s->db, &s->r->e));
    assert_int_equal(m.line, 0);
    assert_int_equal(tasks(s), 3);
    submit_many_free(&m);
}

/* Whether made at once or, near a limit, one by one: the last that it allows is made, and the next is named. */
static void many_may_reach_each_limit_and_not_pass_it(void **state)
{
    static const struct {
        const char *setting, *name;
        bool delayed;
    } limits[] = {{"LEAT_LIMITS_QUEUED_PER_OWNER=5", "queued_per_owner", false},
                  {"LEAT_LIMITS_DELAYED_PER_OWNER=5", "delayed_per_owner", true},
                  {"LEAT_LIMITS_CREATES_PER_MINUTE=5", "creates_per_minute", false}};
    static const char *const uniques[4] = {NULL};
    struct site *s = *state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        site_set(s, limits[i].setting);
        sql_try(s->db, "UPDATE tasks SET status = 'cancelled'; UPDATE tasks SET created_at = 1");
        for (size_t count = 3; count > 0; count--) { /* 3, and 2; then one more is too many */
            struct submit_many m;
            fill(s, &m, uniques, count == 1 ? 2 : count);
            for (size_t k = 0; limits[i].delayed && k < m.count; k++) m.items[k].delay_ms = 60000;
            enum err rc = operation_run(&m.op, s->db, &s->r->e);
            assert_int_equal(rc, count == 1 ? ERR_LIMIT : ERR_OK);
            assert_int_equal(m.line, count == 1 ? 10 : 0);
            if (rc) assert_string_equal(m.op.limit.name, limits[i].name);
            submit_many_free(&m);
        }
        assert_int_equal(tasks(s), 5 * ((int64_t)i + 1));
    }
}

static void one_key_covers_many(void **state)
{
    static const char *const uniques[3] = {NULL};
    struct site *s = *state;
    char ids[3][ID_SIZE];
    for (int i = 0; i < 3; i++) {
        struct submit_many m;
        const char *payload = i == 2 ? "other" : "same";
        fill(s, &m, uniques, 3);
        m.key = mem_str("k");
        m.key_ms = 60000;
        submit_fingerprint(m.fingerprint, &payload, &(size_t){strlen(payload)}, 1);
        enum err rc = operation_run(&m.op, s->db, &s->r->e);
        assert_int_equal(rc, i == 2 ? ERR_STATE : ERR_OK);
        if (i == 2) assert_string_equal(m.op.code, "idempotency_key_reused");
        for (int j = 0; j < 3; j++) {
            if (i == 0) strcpy(ids[j], m.items[j].task.id);
            if (i == 1) assert_string_equal(m.items[j].task.id, ids[j]);
        }
        assert_int_equal(tasks(s), 3);
        submit_many_free(&m);
    }
}

/* ---- inputs in portions ---- */

/* Makes one whose input is of so many bytes. */
static enum err run_large(struct site *s, struct submit *one, size_t bytes)
{
    one->input = mem_alloc(bytes);
    one->input_bytes = bytes;
    one->content_type = mem_str("text/plain");
    return submit_run(one, s->db, &s->r->e);
}

static void a_large_input_of_which_a_portion_is_refused_leaves_nothing(void **state)
{
    struct site *s = *state;
    struct submit one;
    ask(s, &one, "ann", "t");
    one.max_attempts = 1;
    assert_int_equal(sql_try(s->db, "CREATE TEMP TRIGGER no BEFORE INSERT ON portions WHEN"
                                    " (SELECT count(*) FROM portions) = 1"
                                    " BEGIN SELECT raise(ABORT, 'no'); END"),
                     0);
    assert_int_equal(run_large(s, &one, 2 * INPUT_PORTION), ERR_STATE);
    assert_int_equal(one.op.error.code, ERR_STATE);
    assert_int_equal(tasks(s), 0);
    sql_is(s->db, "0", "SELECT count(*) FROM uploads WHERE touched_at > 0");
    sql_is(s->db, "0", "SELECT bytes FROM owners WHERE name = 'ann'");
    submit_free(&one);
}

static void a_large_input_is_stored_before_its_task(void **state)
{
    struct site *s = *state;
    struct submit one;
    ask(s, &one, "ann", "t");
    one.max_attempts = 1;
    OK(s->r, run_large(s, &one, 2 * INPUT_PORTION + 5));
    assert_true(one.created);
    assert_int_equal(sql_number(s->db, "SELECT sum(length(body)) FROM portions"),
                     2 * INPUT_PORTION + 5);
    assert_int_equal(sql_number(s->db, "SELECT task FROM uploads"), one.task.n);
    submit_free(&one);
    assert_consistent(s->db);
}

static void a_task_that_is_there_already_takes_no_large_input(void **state)
{
    struct site *s = *state;
    for (int i = 0; i < 3; i++) {
        struct submit one;
        ask(s, &one, "ann", "t");
        one.max_attempts = 1;
        set_key(&one, i < 2 ? "k" : "other", "the same");
        one.unique = mem_str("u");
        OK(s->r, run_large(s, &one, INPUT_PORTION + 1));
        assert_int_equal(one.created, i == 0);
        assert_int_equal(one.joined, i == 2);
        assert_int_equal(tasks(s), 1);
        assert_int_equal(sql_number(s->db, "SELECT count(*) FROM uploads"), 1);
        submit_free(&one);
    }
    sql_is(s->db, "2", "SELECT count(*) FROM idempotency"); /* also of the one that joined */
}

static void two_large_requests_of_one_key_make_one_task_and_leave_one_input(void **state)
{
    struct site *s = *state;
    struct submit both[2];
    for (int i = 0; i < 2; i++) {
        struct submit *one = &both[i];
        ask(s, one, "ann", "t");
        one->max_attempts = 1;
        one->input_bytes = 0;
        one->content_type = mem_str("text/plain");
        set_key(one, "k", "the same");
        submit_reserve(one);
        OK(s->r, run(s, one));
        assert_true(one->upload);
    }
    for (int i = 0; i < 2; i++) {
        submit_uploaded(&both[i]);
        OK(s->r, run(s, &both[i]));
        assert_int_equal(both[i].created, i == 0);
    }
    assert_string_equal(both[0].task.id, both[1].task.id);
    sql_is(s->db, "1", "SELECT count(*) FROM uploads WHERE touched_at > 0");
    for (int i = 0; i < 2; i++) submit_free(&both[i]);
    assert_consistent(s->db);
}

static void the_bytes_of_an_owner_are_looked_at_before_anything_is_stored(void **state)
{
    struct site *s = *state;
    struct submit one, other;
    site_set(s, "LEAT_LIMITS_BYTES_PER_OWNER=1000000");
    ask(s, &one, "ann", "t");
    ask(s, &other, "ann", "t");
    one.input_bytes = 600000;
    other.input_bytes = 600000;
    assert_int_equal(submit_may(&one, s->db, &s->r->e), ERR_OK);
    submit_reserve(&one);
    submit_reserve(&other);
    OK(s->r, run(s, &one));
    assert_int_equal(submit_may(&other, s->db, &s->r->e), ERR_FULL);
    assert_int_equal(run(s, &other), ERR_FULL); /* what is on its way counts */
    assert_string_equal(other.op.code, "owner_full");
    struct submit_drop drop;
    submit_drop_init(&drop, &one, 1);
    OK(s->r, operation_run(&drop.op, s->db, &s->r->e));
    OK(s->r, run(s, &other));
    submit_free(&one);
    submit_free(&other);
    assert_consistent(s->db);
}

static void inputs_of_many_are_stored_before_their_tasks_all_or_none(void **state)
{
    static const char *const uniques[] = {NULL, "u", "u"};
    struct site *s = *state;
    struct submit_many m;
    struct submit_inputs in;
    fill(s, &m, uniques, 3);
    for (size_t i = 0; i < 3; i++) {
        m.items[i].input = mem_alloc(INPUT_PORTION + 1);
        m.items[i].input_bytes = INPUT_PORTION + 1;
        m.items[i].content_type = mem_str("text/plain");
    }
    site_set(s, "LEAT_LIMITS_BYTES_PER_OWNER=600000");
    for (size_t i = 0; i < 3; i++) m.items[i].caller.conf = s->conf;
    submit_inputs_init(&in, &m, 0);
    assert_int_equal(operation_run(&in.op, s->db, &s->r->e), ERR_FULL);
    assert_int_equal(m.line, 12);
    sql_is(s->db, "0", "SELECT count(*) FROM uploads");
    for (size_t i = 0; i < 3; i++) m.items[i].caller.conf = s->base;
    OK(s->r, operation_run(&in.op, s->db, &s->r->e));
    OK(s->r, operation_run(&m.op, s->db, &s->r->e));
    assert_int_equal(tasks(s), 2);
    sql_is(s->db, "2", "SELECT count(*) FROM uploads WHERE task IS NOT NULL");
    sql_is(s->db, "1", "SELECT count(*) FROM uploads WHERE touched_at = 0");
    assert_consistent(s->db);
    submit_many_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(a_request_is_checked_against_its_type),
        site_test(a_request_may_lower_what_its_type_says_and_not_raise_it),
        site_test(a_type_that_appears_is_known_at_once),
        site_test(fingerprints_tell_lists_of_parts_apart),
        site_test(a_task_is_made_of_what_was_asked_for),
        site_test(a_key_makes_one_task),
        site_test(a_key_is_free_again),
        site_test(an_unfinished_task_of_the_same_name_is_joined),
        site_test(many_are_made_in_their_order_and_join_each_other),
        site_test(of_many_one_that_fails_undoes_all_and_says_which),
        site_test(many_may_reach_each_limit_and_not_pass_it),
        site_test(one_key_covers_many),
        site_test(a_large_input_is_stored_before_its_task),
        site_test(a_large_input_of_which_a_portion_is_refused_leaves_nothing),
        site_test(a_task_that_is_there_already_takes_no_large_input),
        site_test(two_large_requests_of_one_key_make_one_task_and_leave_one_input),
        site_test(the_bytes_of_an_owner_are_looked_at_before_anything_is_stored),
        site_test(inputs_of_many_are_stored_before_their_tasks_all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
