#include "task/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void what_remains_follows_from_what_passed(void **state)
{
    (void)state;
    assert_float_equal(progress_remaining(10, 50), 10, 1e-9);
    assert_float_equal(progress_remaining(10, 25), 30, 1e-9);
    assert_float_equal(progress_remaining(0, 25), 0, 1e-9);
    assert_float_equal(progress_remaining(10, 100), 0, 1e-9);
}

static void without_progress_nobody_knows(void **state)
{
    (void)state;
    assert_float_equal(progress_remaining(10, 0), -1, 0);
    assert_float_equal(progress_remaining(10, -1), -1, 0);
    assert_float_equal(progress_remaining(-1, 50), -1, 0);
}

static void the_first_report_is_written_at_once(void **state)
{
    (void)state;
    struct progress_gate g = progress_gate(10);
    assert_true(progress_report(&g, 1000));
    assert_int_equal(progress_due(&g), INT64_MAX);
}

static void a_report_too_soon_is_held_until_its_time(void **state)
{
    (void)state;
    struct progress_gate g = progress_gate(10);
    progress_report(&g, 1000);
    assert_false(progress_report(&g, 1099));
    assert_int_equal(progress_due(&g), 1100);
}

static void after_an_interval_a_report_passes_again(void **state)
{
    (void)state;
    struct progress_gate g = progress_gate(10);
    progress_report(&g, 1000);
    assert_true(progress_report(&g, 1100));
}

static void a_held_report_that_was_written_waits_no_more(void **state)
{
    (void)state;
    struct progress_gate g = progress_gate(10);
    progress_report(&g, 1000);
    progress_report(&g, 1050);
    progress_written(&g, 1100);
    assert_int_equal(progress_due(&g), INT64_MAX);
    assert_false(progress_report(&g, 1150));
    assert_int_equal(progress_due(&g), 1200);
}

static void a_second_of_reports_makes_so_many_rows(void **state)
{
    (void)state;
    struct progress_gate g = progress_gate(4);
    int written = 0;
    for (int64_t now = 0; now < 1000; now += 10) {
        if (progress_due(&g) <= now) progress_written(&g, now), written++;
        written += progress_report(&g, now);
    }
    assert_int_equal(written, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_remains_follows_from_what_passed),
        cmocka_unit_test(without_progress_nobody_knows),
        cmocka_unit_test(the_first_report_is_written_at_once),
        cmocka_unit_test(a_report_too_soon_is_held_until_its_time),
        cmocka_unit_test(after_an_interval_a_report_passes_again),
        cmocka_unit_test(a_held_report_that_was_written_waits_no_more),
        cmocka_unit_test(a_second_of_reports_makes_so_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
