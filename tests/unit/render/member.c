#include "render/member.h"

#include "task/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_object(struct buf *out, const char *expected)
{
    buf_char(out, '}');
    assert_string_equal(out->data, expected);
    assert_true(json_valid(out->data, out->len));
    buf_free(out);
}

static void members_are_separated_and_what_is_absent_is_null(void **state)
{
    (void)state;
    struct buf out = {0};
    buf_char(&out, '{');
    member_text(&out, "a", "x\"y");
    member_text(&out, "b", NULL);
    member_int(&out, "c", -7);
    member_int(&out, "d", TASK_NONE);
    member_number(&out, "e", 0.5);
    member_number(&out, "f", -1);
    member_bool(&out, "g", true);
    member_bool(&out, "h", false);
    member_json(&out, "i", (struct json_span){"[1]junk", 3});
    member_json(&out, "j", (struct json_span){0});
    assert_object(&out, "{\"a\":\"x\\\"y\",\"b\":null,\"c\":-7,\"d\":null,\"e\":0.5,\"f\":null,"
                        "\"g\":true,\"h\":false,\"i\":[1],\"j\":null}");
}

static void times_are_iso_8601_in_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "{\"t\":\"1970-01-01T00:00:00.000Z\"}"},
        {1703123456789, "{\"t\":\"2023-12-21T01:50:56.789Z\"}"},
        {951782400001, "{\"t\":\"2000-02-29T00:00:00.001Z\"}"},
        {TASK_NONE, "{\"t\":null}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = {0};
        buf_char(&out, '{');
        member_iso_time(&out, "t", rows[i].ms);
        assert_object(&out, rows[i].text);
    }
}

static void a_copied_member_stays_as_it_was_written(void **state)
{
    (void)state;
    const char *from = "{ \"a\" : 1.00 , \"\\u0062\":[ 2 ] }";
    struct buf out = {0};
    buf_char(&out, '{');
    for (struct json_member m; json_next(&from, &m);) member_copy(&out, &m);
    assert_object(&out, "{\"a\" : 1.00,\"\\u0062\":[ 2 ]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_separated_and_what_is_absent_is_null),
        cmocka_unit_test(times_are_iso_8601_in_utc),
        cmocka_unit_test(a_copied_member_stays_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
