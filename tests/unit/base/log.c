#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* U+0080 to U+009F are controls: U+009B begins an escape sequence, as ESC [ does. */
static void what_is_quoted_steers_no_terminal(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"curl/8.5.0 (x)", "curl/8.5.0 (x)"},
        {"a \"b\" \\c", "a 'b' /c"},
        {"a\nts=0 level=info\r\x1b[31m\x7f", "a ts=0 level=info  [31m "},
        {"\xc2\x9b"
         "31mred\xc2\x80\xc2\x9f",
         " 31mred  "},
        {"\xc2\xa0 caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
         "\xc2\xa0 caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\x9b"
         "31m caf\xe9",
         "?31m caf?"},
        {"\xed\xa0\x80 \xc0\xaf \xf0\x9f\x98", "??? ?? ???"},
        {NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char to[100];
        assert_string_equal(log_quote(to, sizeof to, rows[i][0]), rows[i][1]);
    }
}

static void what_does_not_fit_is_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *whole;
    } rows[] = {{1, ""},
                {2, "a"},
                {3, "a"},
                {4, "a\xc3\xa9"},
                {7, "a\xc3\xa9"},
                {6, "a\xc3\xa9"},
                {8, "a\xc3\xa9\xf0\x9f\x98\x80"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char to[9];
        memset(to, '#', sizeof to);
        assert_string_equal(log_quote(to, rows[i].size, "a\xc3\xa9\xf0\x9f\x98\x80"),
                            rows[i].whole);
        assert_int_equal(to[rows[i].size], '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_quoted_steers_no_terminal),
        cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
