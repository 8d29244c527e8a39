#include "ops/pause.h"

#include "ops/type_list.h"

#include "fixture.h"

/* Pauses or resumes; the outcome. *paused: whether it is paused then. */
static enum err set(struct site *s, const char *type, bool to, bool *paused)
{
    struct caller caller = site_caller(s, "ann");
    struct pause_type p;
    struct type_list list;
    pause_type_init(&p, &caller, type, to);
    enum err rc = operation_run(&p.op, s->db, &s->r->e);
    type_list_make(&list, s->types, &p.rows);
    const struct type_list_item *item = type_list_find(&list, type);
    *paused = item && item->paused;
    type_list_free(&list);
    pause_type_free(&p);
    return rc;
}

static void a_type_is_paused_until_it_is_resumed(void **state)
{
    struct site *s = *state;
    bool paused;
    site_job(s, "slow", NULL);
    for (int i = 0; i < 2; i++) {
        OK(s->r, set(s, "slow", true, &paused));
        assert_true(paused);
    }
    for (int i = 0; i < 2; i++) {
        OK(s->r, set(s, "slow", false, &paused));
        assert_false(paused);
    }
}

static void only_a_type_that_there_is_can_be_paused(void **state)
{
    static const char *const none[] = {"nosuch", "", "../slow", "Slow", "slow.conf"};
    struct site *s = *state;
    bool paused;
    site_job(s, "slow", NULL);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(set(s, none[i], true, &paused), ERR_NOTFOUND);
    assert_int_equal(sql_number(s->db, "SELECT count(*) FROM paused_types"), 0);
}

static void one_whose_file_is_gone_can_be_paused_while_it_has_tasks(void **state)
{
    struct site *s = *state;
    bool paused;
    make(s->r, (struct sketch){.type = "gone"});
    OK(s->r, set(s, "gone", true, &paused));
    assert_true(paused);
    OK(s->r, set(s, "gone", false, &paused));
    assert_false(paused);
}

static void a_pause_counts_as_a_write(void **state)
{
    struct site *s = *state;
    bool paused;
    site_set(s, "LEAT_LIMITS_WRITES_PER_MINUTE=1");
    site_job(s, "slow", NULL);
    OK(s->r, set(s, "slow", true, &paused));
    assert_int_equal(set(s, "slow", false, &paused), ERR_LIMIT);
    assert_int_equal(sql_number(s->db, "SELECT count(*) FROM paused_types"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(a_type_is_paused_until_it_is_resumed),
        site_test(only_a_type_that_there_is_can_be_paused),
        site_test(one_whose_file_is_gone_can_be_paused_while_it_has_tasks),
        site_test(a_pause_counts_as_a_write),
    };
    return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
