#include "task/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EPOCH "9f3a0b1c"

static void what_clients_send_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cursor_kind kind;
    } rows[] = {
        {NULL, CURSOR_NONE},
        {"", CURSOR_NONE},
        {"earliest", CURSOR_EARLIEST},
        {"now", CURSOR_NOW},
        {EPOCH "-0", CURSOR_AT},
        {EPOCH "-1042", CURSOR_AT},
        {EPOCH "-9223372036854775807", CURSOR_AT},
        {EPOCH "-9223372036854775808", CURSOR_FOREIGN},
        {EPOCH "-99999999999999999999", CURSOR_FOREIGN},
        {EPOCH "-042", CURSOR_FOREIGN},
        {EPOCH "-", CURSOR_FOREIGN},
        {EPOCH "--1", CURSOR_FOREIGN},
        {EPOCH "-+1", CURSOR_FOREIGN},
        {EPOCH "- 1", CURSOR_FOREIGN},
        {EPOCH "-1 ", CURSOR_FOREIGN},
        {EPOCH "-1x", CURSOR_FOREIGN},
        {EPOCH "1", CURSOR_FOREIGN},
        {EPOCH, CURSOR_FOREIGN},
        {"9F3A0B1C-1", CURSOR_FOREIGN},
        {"00000000-1", CURSOR_FOREIGN},
        {"Now", CURSOR_FOREIGN},
        {"1042", CURSOR_FOREIGN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(cursor_parse(rows[i].text, EPOCH).kind, rows[i].kind);
}

static void a_position_keeps_its_number(void **state)
{
    (void)state;
    assert_int_equal(cursor_parse(EPOCH "-1042", EPOCH).seq, 1042);
    assert_int_equal(cursor_parse(EPOCH "-9223372036854775807", EPOCH).seq, INT64_MAX);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const int64_t positions[] = {0, 1, 1042, INT64_MAX};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        struct buf b = {0};
        cursor_write(&b, EPOCH, positions[i]);
        struct cursor c = cursor_parse(buf_text(&b), EPOCH);
        assert_int_equal(c.kind, CURSOR_AT);
        assert_int_equal(c.seq, positions[i]);
        buf_free(&b);
    }
}

static void quoted_it_is_a_json_string(void **state)
{
    (void)state;
    struct buf b = {0};
    cursor_quote(&b, EPOCH, 7);
    assert_string_equal(buf_text(&b), "\"" EPOCH "-7\"");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_clients_send_is_told_apart),
        cmocka_unit_test(a_position_keeps_its_number),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(quoted_it_is_a_json_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
