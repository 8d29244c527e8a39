#include "task/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *const words[] = {"pending", "running", "completed",
                                    "failed",  "timeout", "cancelled"};

static void each_status_has_its_word(void **state)
{
    (void)state;
    for (enum task_status s = 0; s < TASK_STATUSES; s++)
        assert_string_equal(task_status_name(s), words[s]);
}

static void each_word_is_read_back(void **state)
{
    (void)state;
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        enum task_status got = TASK_STATUSES;
        assert_true(task_status_parse(words[s], &got));
        assert_int_equal(got, s);
    }
}

static void an_unknown_word_changes_nothing(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", "Pending", "pending ", "pend", "done", "idle"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        enum task_status got = TASK_FAILED;
        assert_false(task_status_parse(unknown[i], &got));
        assert_int_equal(got, TASK_FAILED);
    }
}

static void four_statuses_are_final(void **state)
{
    (void)state;
    for (enum task_status s = 0; s < TASK_STATUSES; s++)
        assert_int_equal(task_status_terminal(s), s != TASK_PENDING && s != TASK_RUNNING);
}

/* SPEC, section 1, row by row. */
static void only_the_listed_changes_are_allowed(void **state)
{
    (void)state;
    static const char allowed[TASK_STATUSES][TASK_STATUSES + 1] = {
        [TASK_PENDING] = ".r...x", [TASK_RUNNING] = "p.cftx", [TASK_COMPLETED] = "......",
        [TASK_FAILED] = "p.....",  [TASK_TIMEOUT] = "p.....", [TASK_CANCELLED] = "p.....",
    };
    for (enum task_status from = 0; from < TASK_STATUSES; from++)
        for (enum task_status to = 0; to < TASK_STATUSES; to++)
            assert_int_equal(task_status_allowed(from, to), allowed[from][to] != '.');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_status_has_its_word),
        cmocka_unit_test(each_word_is_read_back),
        cmocka_unit_test(an_unknown_word_changes_nothing),
        cmocka_unit_test(four_statuses_are_final),
        cmocka_unit_test(only_the_listed_changes_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
