#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void assert_quoted(const char *text, size_t len, const char *expected)
{
    struct buf b = {0};
    json_quote(&b, text, len);
    assert_string_equal(buf_text(&b), expected);
    assert_true(json_valid(b.data, b.len));
    buf_free(&b);
}

static void a_string_is_escaped_no_more_than_needed(void **state)
{
    (void)state;
    assert_quoted("", 0, "\"\"");
    assert_quoted("plain /text", 11, "\"plain /text\"");
    assert_quoted("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    assert_quoted("\n\r\t\x01\x1f\x7f", 6, "\"\\n\\r\\t\\u0001\\u001f\x7f\"");
    assert_quoted("a\0b", 3, "\"a\\u0000b\"");
    assert_quoted("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9,
                  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void a_byte_that_is_no_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    assert_quoted("a\xff"
                  "b",
                  3,
                  "\"a\xef\xbf\xbd"
                  "b\"");
    assert_quoted("\xc3", 1, "\"\xef\xbf\xbd\"");
    assert_quoted("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted("x\xe2\x82", 3, "\"x\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted("\xff\"", 2, "\"\xef\xbf\xbd\\\"\"");
}

static void a_null_text_is_null(void **state)
{
    (void)state;
    struct buf b = {0};
    json_text(&b, NULL);
    json_text(&b, "x");
    assert_string_equal(b.data, "null\"x\"");
    buf_free(&b);
}

static void utf8_is_told_from_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } rows[] = {
        {"", 0, true},
        {"a\0b", 3, true},
        {"\xc2\x80", 2, true},
        {"\xed\x9f\xbf", 3, true},
        {"\xee\x80\x80", 3, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\x80", 1, false},             /* a continuation alone */
        {"\xc1\xbf", 2, false},         /* overlong */
        {"\xe0\x9f\xbf", 3, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* a surrogate */
        {"\xf4\x90\x80\x80", 4, false}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", 4, false},
        {"\xc3", 1, false},
        {"\xe2\x82", 2, false},
        {"\xe2\x82"
         "a",
         3, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(utf8_valid(rows[i].text, rows[i].len), rows[i].valid);
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    for (size_t len = 0; len < sizeof expected / sizeof *expected; len++)
        assert_int_equal(utf8_cut(text, len), expected[len]);
}

static void numbers_have_three_decimals_at_most(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "0"},           {40, "40"},
        {33.3, "33.3"},     {0.125, "0.125"},
        {1.0 / 3, "0.333"}, {-2.5, "-2.5"},
        {-0.0, "0"},        {-0.0001, "0"},
        {100, "100"},       {1e15, "1000000000000000"},
        {NAN, "0"},         {INFINITY, "0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b = {0};
        json_number(&b, rows[i].value);
        assert_string_equal(b.data, rows[i].text);
        buf_free(&b);
    }
}

static void keys_are_separated_by_commas(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_char(&b, '{');
    json_key(&b, "a");
    buf_char(&b, '1');
    json_key(&b, "b");
    buf_char(&b, '2');
    buf_char(&b, '}');
    assert_string_equal(b.data, "{\"a\":1,\"b\":2}");
    buf_free(&b);
}

static void any_json_value_is_read(void **state)
{
    (void)state;
    static const char *const values[] = {"{}",   "[]",   "1",     "-0.5e3",     "\"x\"",
                                         "true", "null", " [1] ", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_true(json_valid(values[i], strlen(values[i])));
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const values[] = {"",         " ",      "{",   "[1,]", "{\"a\":1,}",
                                         "01",       "1.",     "'x'", "nul",  "[1] 2",
                                         "\"\xff\"", "\"\n\"", "NaN"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_false(json_valid(values[i], strlen(values[i])));
    assert_false(json_valid("1\0", 2));
    assert_false(json_valid("\0", 1));
    assert_false(json_valid("[1]\0", 4));
    assert_false(json_valid("1\0\0", 3));
}

static void a_syntax_error_names_line_and_column(void **state)
{
    (void)state;
    struct error e = {0};
    static const char text[] = "{\n  \"a\": x}";
    assert_null(json_read(text, sizeof text - 1, &e));
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "line 2, column 8"));
}

static void a_number_of_any_size_is_read_as_one(void **state)
{
    (void)state;
    static const char *const numbers[] = {"9223372036854775808",
                                          "-9223372036854775809",
                                          "1e999",
                                          "-1E+999",
                                          "0.1e99999",
                                          "12345678901234567890.5e999",
                                          "100000000000000000000",
                                          "-1e9999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct buf b = {0};
        buf_fmt(&b, "{\"1e999\\\"\":[%s,\"x 1e999\"],\"b\":%s}", numbers[i], numbers[i]);
        json_t *value = json_read(b.data, b.len, NULL);
        assert_non_null(value);
        json_t *list = json_object_get(value, "1e999\"");
        double sign = *numbers[i] == '-' ? -1 : 1;
        assert_true(json_number_value(json_object_get(value, "b")) * sign > 9e18);
        assert_true(json_number_value(json_array_get(list, 0)) * sign > 9e18);
        assert_string_equal(json_string_value(json_array_get(list, 1)), "x 1e999");
        json_decref(value);
        buf_free(&b);
    }
}

static void a_large_number_excuses_nothing(void **state)
{
    (void)state;
    static const char *const values[] = {
        "1e999.5",   "01e999",     "00012345678901234567890", "[1e999 1]", "1e999e5", "--1e999",
        "[1e999-5]", "-1e999x",    "12345678901234567890.",   "1e9999 .5", ".1e999",  "+1e999",
        "{1e999:1}", "[1e999,01]", "1234567890123456789012e", "1e999\"",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_false(json_valid(values[i], strlen(values[i])));
    struct error e = {0};
    static const char text[] = "[1e999,\n12345678901234567890,\n 1e9999 , x]";
    assert_null(json_read(text, sizeof text - 1, &e));
    assert_non_null(strstr(e.text, "line 3, column 11"));
}

static void nesting_has_a_bound(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH + 1)];
    memset(text, '[', JSON_DEPTH);
    memset(text + JSON_DEPTH, ']', JSON_DEPTH);
    assert_true(json_valid(text, 2 * (size_t)JSON_DEPTH));
    memset(text, '[', JSON_DEPTH + 1);
    memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
    struct error e = {0};
    assert_null(json_read(text, sizeof text, &e));
    assert_non_null(strstr(e.text, "nested"));
}

static void brackets_in_strings_do_not_nest(void **state)
{
    (void)state;
    char text[1000];
    memset(text, '[', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    assert_true(json_valid(text, sizeof text));
    static const char escaped[] = "\"\\\"[[\"";
    assert_true(json_valid(escaped, sizeof escaped - 1));
}

static void the_last_of_members_with_one_name_is_found(void **state)
{
    (void)state;
    static const char text[] = "{ \"a\" : 1, \"b\":{\"a\":9}, \"\\u0061\": 0.10 }";
    struct json_span found = json_find_last(text, "a");
    assert_int_equal(found.len, 4);
    assert_memory_equal(found.at, "0.10", 4);
    assert_null(json_find_last(text, "c").at);
}

/* Every member of `text` as name=value; a walk that stops early is told by what is missing. */
static void assert_members(const char *text, const char *expected)
{
    struct buf b = {0};
    buf_str(&b, "");
    for (struct json_member m; json_next(&text, &m);)
        buf_fmt(&b, "%.*s=%.*s|", (int)m.name.len, m.name.at, (int)m.value.len, m.value.at);
    assert_string_equal(buf_text(&b), expected);
    buf_free(&b);
}

static void members_are_walked_as_they_are_written(void **state)
{
    (void)state;
    assert_members("{}", "");
    assert_members(" { } ", "");
    assert_members("{\"a\":1}", "a=1|");
    assert_members("\n{ \"a\" : 1.50 , \"b\" : null }", "a=1.50|b=null|");
    assert_members("{\"a\":123456789012345678901234567890,\"b\":1e400}",
                   "a=123456789012345678901234567890|b=1e400|");
    assert_members("{\"a\":{\"a\":[1,{\"}\":\"]\\\"\"}]},\"b\":[[],{}]}",
                   "a={\"a\":[1,{\"}\":\"]\\\"\"}]}|b=[[],{}]|");
    assert_members("{\"a\\\"b\":\"x,}\\\\\",\"\":\"\"}", "a\\\"b=\"x,}\\\\\"|=\"\"|");
    assert_members("{\"a\":1,\"a\":2}", "a=1|a=2|");
}

static void what_is_no_object_has_no_members(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      "null",   "12",         "\"{}\"",    "[{\"a\":1}]",
                                        "{",     "{\"",    "{\"a\"",     "{\"a\":\"", "{\"a\":[",
                                        "{a:1}", "{\"a\\", "{\"a\":\"\\"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_members(texts[i], "");
}

static void a_member_is_found_by_what_its_name_means(void **state)
{
    (void)state;
    static const char text[] = "{\"b\":{\"a\":1},\"\\u0061\":2,\"a\":3,\"a\\u0000\":4}";
    struct json_span found = json_find(text, "a");
    assert_int_equal(found.len, 1);
    assert_int_equal(*found.at, '2');
    assert_null(json_find(text, "c").at);
    assert_null(json_find("[\"a\"]", "a").at);
    assert_null(json_find("{\"a\\u0000\":4}", "a").at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_is_escaped_no_more_than_needed),
        cmocka_unit_test(a_byte_that_is_no_utf8_becomes_the_replacement_character),
        cmocka_unit_test(a_null_text_is_null),
        cmocka_unit_test(utf8_is_told_from_bytes),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(numbers_have_three_decimals_at_most),
        cmocka_unit_test(keys_are_separated_by_commas),
        cmocka_unit_test(any_json_value_is_read),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(a_syntax_error_names_line_and_column),
        cmocka_unit_test(a_number_of_any_size_is_read_as_one),
        cmocka_unit_test(a_large_number_excuses_nothing),
        cmocka_unit_test(nesting_has_a_bound),
        cmocka_unit_test(brackets_in_strings_do_not_nest),
        cmocka_unit_test(the_last_of_members_with_one_name_is_found),
        cmocka_unit_test(members_are_walked_as_they_are_written),
        cmocka_unit_test(what_is_no_object_has_no_members),
        cmocka_unit_test(a_member_is_found_by_what_its_name_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
