/* Moments as RFC 3339 writes them. */
#include "base/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_time_is_read_to_the_millisecond(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2023-11-14T22:13:20Z", 1700000000000},
        {"2023-11-14t22:13:20z", 1700000000000},
        {"2023-11-14 22:13:20Z", 1700000000000},
        {"2023-11-14T23:13:20+01:00", 1700000000000},
        {"2023-11-14T23:13:20 01:00", 1700000000000},
        {"2023-11-14T16:43:20.5-05:30", 1700000000500},
        {"2023-11-14T22:13:20.1234567Z", 1700000000123},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1900-03-01T00:00:00Z", -2203891200000},
        {"2016-12-31T23:59:60Z", 1483228799000},
        {"9999-12-31T23:59:59Z", 253402300799000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 42;
        if (!timestamp_parse(cases[i].text, &ms)) fail_msg("%s is not read", cases[i].text);
        if (ms != cases[i].ms) fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

static void anything_else_is_no_time(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20Zx",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:60:00Z",
        "2023-11-14T22:13:61Z",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "23-11-14T22:13:20Z",
        "-2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20+24:00",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 42;
        if (timestamp_parse(cases[i], &ms)) fail_msg("%s is read", cases[i]);
        assert_int_equal(ms, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_read_to_the_millisecond),
        cmocka_unit_test(anything_else_is_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
