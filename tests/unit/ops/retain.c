#include "ops/retain.h"

#include "fixture.h"

static const char *own(struct site *s, int64_t now)
{
    static char text[200];
    struct buf json = {0};
    retain_own(&json, s->types, now);
    snprintf(text, sizeof text, "%s", buf_text(&json));
    buf_free(&json);
    return text;
}

static void types_that_say_nothing_are_kept_as_the_site_says(void **state)
{
    struct site *s = *state;
    site_job(s, "usual", "timeout = 5\n");
    assert_string_equal(own(s, T0), "");
    assert_int_equal(retain_shortest(s->types, 5000), 5000);
    assert_int_equal(retain_shortest(s->types, 0), 0);
}

static void what_a_type_says_comes_first(void **state)
{
    struct site *s = *state;
    site_job(s, "brief", "retain_hours = 0.5\n");
    site_job(s, "ever", "retain_hours = 0\n");
    site_job(s, "usual", NULL);
    assert_string_equal(own(s, 10000000), "{\"brief\":8200000,\"ever\":0}");
    assert_int_equal(retain_shortest(s->types, 5000), 5000);
    assert_int_equal(retain_shortest(s->types, 86400000), 1800000);
    assert_int_equal(retain_shortest(s->types, 0), 1800000);
}

static void nothing_goes_of_a_type_whose_conf_is_wrong(void **state)
{
    struct site *s = *state;
    site_job(s, "bad", "retain_hours = 1\ntimeout = soon\n");
    assert_string_equal(own(s, T0), "{\"bad\":0}");
    assert_int_equal(retain_shortest(s->types, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(types_that_say_nothing_are_kept_as_the_site_says),
        site_test(what_a_type_says_comes_first),
        site_test(nothing_goes_of_a_type_whose_conf_is_wrong),
    };
    return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
