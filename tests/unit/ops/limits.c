#include "ops/limits.h"

#include "ops/change.h"
#include "ops/group_ops.h"
#include "ops/ticket.h"

#include "fixture.h"

/* Whether `owner` may create at `now`; an admitted one does. */
static bool creates(struct site *s, const char *owner, int64_t now, struct limit_hit *hit)
{
    struct caller caller = site_caller(s, owner);
    int64_t n;
    *hit = (struct limit_hit){0};
    OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
    enum err rc = limits_create(s->db, &caller, TASK_NONE, now, hit, &s->r->e);
    if (!rc)
        OK(s->r,
           sketch_create(s->db, &(struct sketch){.owner = owner, .now = now}, NULL, &n, &s->r->e));
    else if (rc != ERR_LIMIT)
        fail_msg("%s", s->r->e.text);
    OK(s->r, txn_commit(s->db, &s->r->e));
    return !rc;
}

static void creates_per_minute_counts_the_last_sixty_seconds(void **state)
{
    static const struct {
        const char *owner;
        int64_t at_ms;
        bool may;
        int64_t retry_s;
    } rows[] = {
        {"ann", 0, true, 0},
        {"ann", 10000, true, 0},
        {"ann", 20000, true, 0},
        {"ann", 20001, false, 40},
        {"ann", 59999, false, 1},
        {"bob", 59999, true, 0},
        {"ann", 60001, true, 0},
        {"ann", 60002, false, 10},
        {"ann", 70001, true, 0},
        {"ann", 80000 - 1, false, 1},
        {"ann", 200000, true, 0},
        {"ann", 200000, true, 0},
        {"ann", 200000, true, 0},
        {"ann", 200000, false, 60},
        /* the clock is set back an hour */
        {"ann", -3400000, true, 0},
        {"ann", -3400000, true, 0},
        {"ann", -3400000, true, 0},
        {"ann", -3400000, false, 60},
    };
    struct site *s = *state;
    site_set(s, "LEAT_LIMITS_CREATES_PER_MINUTE=3");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct limit_hit hit;
        if (creates(s, rows[i].owner, T0 + rows[i].at_ms, &hit) != rows[i].may)
            fail_msg("row %zu", i);
        if (rows[i].may) continue;
        assert_string_equal(hit.name, "creates_per_minute");
        assert_int_equal(hit.limit, 3);
        assert_int_equal(hit.window_s, 60);
        if (hit.retry_s != rows[i].retry_s) fail_msg("row %zu: %lld", i, (long long)hit.retry_s);
    }
}

/* One at a time and several, by accounts: a stranger uses up nobody else's. */
static void anonymous_callers_are_counted_by_address(void **state)
{
    static const struct {
        const char *account;
        int64_t at_ms, count;
        bool may;
    } rows[] = {
        {"any 127.0.0.1", 0, 1, true},      {"any 127.0.0.1", 1, 2, true},
        {"any 127.0.0.1", 59000, 1, false}, {"any 127.0.0.2", 59000, 4, false},
        {"any 127.0.0.2", 59000, 3, true},  {"any 127.0.0.2", 59001, 1, false},
        {"any 127.0.0.1", 60000, 3, true},  {"any 127.0.0.1", 119000, 1, false},
        {"any 127.0.0.1", 120000, 1, true},
    };
    struct site *s = *state;
    const int64_t minute = T0 / 60000 * 60000;
    site_set(s, "LEAT_LIMITS_CREATES_PER_MINUTE=3");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caller caller = site_caller(s, "any");
        struct limits_batch batch = {.due = rows[i].count};
        struct limit_hit hit = {0};
        int64_t now = minute + rows[i].at_ms;
        bool may, one;
        caller.anonymous = true;
        caller.account = rows[i].account;
        OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
        OK(s->r, limits_batch(s->db, &caller, &batch, now, &may, &s->r->e));
        one = !limits_create(s->db, &caller, TASK_NONE, now, &hit, NULL);
        if (may) OK(s->r, limits_note_created(s->db, &caller, rows[i].count, now, &s->r->e));
        OK(s->r, txn_commit(s->db, &s->r->e));
        if (may != rows[i].may || (rows[i].count == 1 && one != may)) fail_msg("row %zu", i);
        if (one) continue;
        assert_string_equal(hit.name, "creates_per_minute");
        assert_int_equal(hit.window_s, 60);
        assert_int_equal(hit.retry_s, (60000 - rows[i].at_ms % 60000 + 999) / 1000);
    }
}

static void queued_per_owner_counts_what_waits(void **state)
{
    struct site *s = *state;
    struct limit_hit hit;
    site_set(s, "LEAT_LIMITS_QUEUED_PER_OWNER=2");
    assert_true(creates(s, "ann", T0, &hit));
    assert_true(creates(s, "ann", T0, &hit));
    assert_false(creates(s, "ann", T0, &hit));
    assert_string_equal(hit.name, "queued_per_owner");
    assert_int_equal(hit.limit, 2);
    assert_int_equal(hit.window_s, 0);
    assert_int_equal(hit.retry_s, 1);
    assert_true(creates(s, "bob", T0, &hit));
    take(s->r, 7, T0); /* a running one does not wait any more */
    assert_true(creates(s, "ann", T0, &hit));
    assert_false(creates(s, "ann", T0, &hit));

    OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
    assert_int_equal(limits_queued(s->db, s->conf, "ann", 0, &hit, NULL), ERR_OK);
    assert_int_equal(limits_queued(s->db, s->conf, "ann", 1, &hit, NULL), ERR_LIMIT);
    assert_int_equal(limits_queued(s->db, s->conf, "bob", 1, &hit, NULL), ERR_OK);
    assert_int_equal(limits_queued(s->db, s->conf, "bob", 2, &hit, NULL), ERR_LIMIT);
    txn_rollback(s->db);
}

static void none_is_no_limit(void **state)
{
    static const char *const settings[] = {"LEAT_LIMITS_QUEUED_PER_OWNER=0",
                                           "LEAT_LIMITS_CREATES_PER_MINUTE=0"};
    struct site *s = *state;
    struct limit_hit hit;
    for (int i = 0; i < 2; i++) {
        site_set(s, settings[i]);
        for (int j = 0; j < 20; j++) assert_true(creates(s, "ann", T0, &hit));
    }
    assert_false(limits_counts(s->conf, CONF_LIMITS_POLLS_PER_MINUTE));
    site_set(s, "LEAT_LIMITS_POLLS_PER_MINUTE=5");
    assert_true(limits_counts(s->conf, CONF_LIMITS_POLLS_PER_MINUTE));
}

/* By accounts, in a minute of the clock: the minute may change once while this runs. */
static void uses_are_counted_by_account_and_kind(void **state)
{
    static const struct {
        enum conf_key key;
        const char *variable, *name;
    } kinds[] = {
        {CONF_LIMITS_POLLS_PER_MINUTE, "LEAT_LIMITS_POLLS_PER_MINUTE=3", "polls_per_minute"},
        {CONF_LIMITS_STREAM_OPENS_PER_MINUTE, "LEAT_LIMITS_STREAM_OPENS_PER_MINUTE=3",
         "stream_opens_per_minute"},
    };
    struct site *s = *state;
    for (int k = 0; k < 2; k++) {
        site_set(s, kinds[k].variable);
        for (int try = 0; try < 2; try++) {
            int64_t minute = clock_wall_ms() / 60000;
            bool may[5];
            for (int i = 0; i < 5; i++) {
                struct caller caller = site_caller(s, "ann");
                struct count_use c;
                caller.account = i == 4 ? "ann 127.0.0.2" : "ann 127.0.0.1";
                count_use_init(&c, &caller, kinds[k].key);
                assert_true(c.op.fleeting);
                may[i] = !operation_run(&c.op, s->db, &s->r->e);
                if (!may[i]) {
                    assert_int_equal(c.op.error.code, ERR_LIMIT);
                    assert_string_equal(c.op.limit.name, kinds[k].name);
                    assert_int_equal(c.op.limit.window_s, 60);
                    assert_in_range(c.op.limit.retry_s, 1, 60);
                }
                count_use_free(&c);
            }
            if (clock_wall_ms() / 60000 != minute) continue;
            assert_true(may[0] && may[1] && may[2] && may[4]);
            assert_false(may[3]);
            break;
        }
    }
}

/* ---- writes_per_minute ---- */

static enum err publishes(struct site *s, const char *account, size_t bytes, struct publish *p)
{
    struct caller caller = site_caller(s, "ann");
    caller.account = account;
    publish_init(p, &caller, "ann", "g");
    p->type = mem_str("doc.created");
    buf_char(&p->payload, '"');
    for (size_t i = 2; i < bytes; i++) buf_char(&p->payload, 'x');
    buf_char(&p->payload, '"');
    return operation_run(&p->op, s->db, NULL);
}

static enum err puts_context(struct site *s, size_t bytes, struct put_context *p)
{
    struct caller caller = site_caller(s, "ann");
    put_context_init(p, &caller, "ann", "g");
    buf_char(&p->json, '"');
    for (size_t i = 2; i < bytes; i++) buf_char(&p->json, 'x');
    buf_char(&p->json, '"');
    return operation_run(&p->op, s->db, NULL);
}

/* One change of each kind; how many of them were let in. `hit` is that of the last that was not. */
static int changes(struct site *s, const char *id, struct limit_hit *hit)
{
    struct caller caller = site_caller(s, "ann");
    struct publish p;
    struct put_context put;
    struct make_ticket t;
    struct change_task c;
    struct change_group g;
    make_ticket_init(&t, &caller);
    t.ttl_ms = 1000;
    change_task_init(&c, &caller, CHANGE_CANCEL, id);
    change_group_init(&g, &caller, CHANGE_CANCEL, "ann", "g");
    publishes(s, "ann", 10, &p);
    puts_context(s, 10, &put);
    struct operation *all[] = {&p.op, &put.op, &t.op, &c.op, &g.op};
    int may = 0;
    for (int i = 0; i < 5; i++) {
        if (i > 1) operation_run(all[i], s->db, NULL);
        may += !all[i]->error.code;
        if (!all[i]->error.code) continue;
        assert_int_equal(all[i]->error.code, ERR_LIMIT);
        *hit = all[i]->limit;
    }
    publish_free(&p);
    put_context_free(&put);
    make_ticket_free(&t);
    change_task_free(&c);
    change_group_free(&g);
    return may;
}

static void writes_per_minute_counts_each_kind_of_change(void **state)
{
    struct site *s = *state;
    for (int try = 0; try < 2; try++) {
        char *id = id_of(s->db, make(s->r, (struct sketch){.owner = "ann"}));
        struct limit_hit hit = {0};
        int64_t minute = clock_wall_ms() / 60000;
        assert_int_equal(sql_try(s->db, "DELETE FROM rates"), SQLITE_OK);
        site_set(s, "LEAT_LIMITS_WRITES_PER_MINUTE=3");
        int may = changes(s, id, &hit);
        free(id);
        if (clock_wall_ms() / 60000 != minute) continue;
        assert_int_equal(may, 3);
        assert_string_equal(hit.name, "writes_per_minute");
        assert_int_equal(hit.limit, 3);
        assert_int_equal(hit.window_s, 60);
        assert_in_range(hit.retry_s, 1, 60);
        assert_int_equal(sql_number(s->db, "SELECT used FROM rates"), 3);

        struct publish p; /* another account of the owner */
        assert_int_equal(publishes(s, "ann 127.0.0.2", 10, &p), ERR_OK);
        publish_free(&p);
        return;
    }
}

static void what_fails_is_not_counted_as_a_write(void **state)
{
    struct site *s = *state;
    site_set(s, "LEAT_LIMITS_WRITES_PER_MINUTE=1");
    struct caller caller = site_caller(s, "ann");
    for (int i = 0; i < 3; i++) {
        struct change_task c;
        change_task_init(&c, &caller, CHANGE_DELETE, "01890000-0000-7000-8000-000000000000");
        assert_int_equal(operation_run(&c.op, s->db, NULL), ERR_NOTFOUND);
        change_task_free(&c);
    }
    assert_int_equal(sql_number(s->db, "SELECT count(*) FROM rates"), 0);
}

/* ---- bytes_per_owner ---- */

static void an_owner_that_is_full_adds_nothing(void **state)
{
    struct site *s = *state;
    struct publish p;
    struct put_context put;
    site_set(s, "LEAT_LIMITS_BYTES_PER_OWNER=10000");
    assert_int_equal(publishes(s, "ann", 9000, &p), ERR_OK);
    publish_free(&p);
    assert_int_equal(publishes(s, "ann", 2000, &p), ERR_FULL);
    assert_string_equal(p.op.code, "owner_full");
    publish_free(&p);
    assert_int_equal(puts_context(s, 500, &put), ERR_OK);
    put_context_free(&put);
    assert_int_equal(puts_context(s, 2000, &put), ERR_FULL);
    assert_string_equal(put.op.code, "owner_full");
    put_context_free(&put);
    assert_int_equal(sql_number(s->db, "SELECT count(*) FROM events WHERE type = 'doc.created'"),
                     1);

    struct caller caller = site_caller(s, "ann"), other = site_caller(s, "bob");
    struct operation op = {0};
    OK(s->r, txn_begin(s->db, TXN_SYNC_NONE, &s->r->e));
    assert_int_equal(limits_bytes(s->db, caller.conf, "ann", 5000, &op, NULL), ERR_FULL);
    OK(s->r, limits_bytes(s->db, other.conf, "bob", 5000, &op, &s->r->e));
    OK(s->r, limits_bytes(s->db, caller.conf, "ann", -5000, &op, &s->r->e)); /* less is no more */
    txn_rollback(s->db);

    assert_int_equal(puts_context(s, 5, &put), ERR_OK); /* a smaller one */
    put_context_free(&put);
    assert_int_equal(sql_try(s->db, "DELETE FROM events WHERE type = 'doc.created'"), SQLITE_OK);
    assert_int_equal(publishes(s, "ann", 2000, &p), ERR_OK); /* there is room again */
    publish_free(&p);
    assert_consistent(s->db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(creates_per_minute_counts_the_last_sixty_seconds),
        site_test(anonymous_callers_are_counted_by_address),
        site_test(queued_per_owner_counts_what_waits),
        site_test(none_is_no_limit),
        site_test(uses_are_counted_by_account_and_kind),
        site_test(writes_per_minute_counts_each_kind_of_change),
        site_test(what_fails_is_not_counted_as_a_write),
        site_test(an_owner_that_is_full_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
