#include "runner/result.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define TEXT  "text/plain; charset=utf-8"
#define JSON  "application/json"
#define BYTES "application/octet-stream"

static void assert_result(const char *body, size_t len, const char *conf, size_t inline_max,
                          const char *type, const char *value)
{
    struct buf b = {0};
    buf_add(&b, body, len);
    struct result r;
    result_read(&r, &b, conf, inline_max);
    assert_string_equal(r.type, type);
    if (value)
        assert_string_equal(r.value, value);
    else
        assert_null(r.value);
    free(r.value);
    buf_free(&b);
}

static void json_text_and_bytes_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t len;
        const char *type, *value;
    } rows[] = {
        {"3\n", 2, JSON, "3\n"},
        {"{\"a\": 1}", 8, JSON, "{\"a\": 1}"},
        {"\"x\"", 3, JSON, "\"x\""},
        {"null", 4, JSON, "null"},
        {"hello", 5, TEXT, "\"hello\""},
        {"hello\n", 6, TEXT, "\"hello\""},
        {"hello\n\n", 7, TEXT, "\"hello\\n\""},
        {"\n", 1, TEXT, "\"\""},
        {"3 4\n", 4, TEXT, "\"3 4\""},
        {"a\0b", 3, TEXT, "\"a\\u0000b\""},
        {"\xc3\xa9", 2, TEXT, "\"\xc3\xa9\""},
        {"\xff\xfe", 2, BYTES, NULL},
        {"\x1f\x8b\x08", 3, BYTES, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_result(rows[i].body, rows[i].len, "", 1000, rows[i].type, rows[i].value);
}

static void a_large_body_has_a_type_but_no_value(void **state)
{
    (void)state;
    assert_result("[1,2]", 5, "", 4, JSON, NULL);
    assert_result("[1,2]", 5, "", 5, JSON, "[1,2]");
    assert_result("hello", 5, "", 4, TEXT, NULL);
    assert_result("\xff", 1, "", 0, BYTES, NULL);
}

static void the_conf_names_the_type(void **state)
{
    (void)state;
    assert_result("[1,2]", 5, "application/vnd.x+json", 100, "application/vnd.x+json", "[1,2]");
    assert_result("<a/>", 4, "image/svg+xml", 100, "image/svg+xml", "\"<a/>\"");
    assert_result("\xff", 1, "image/png", 100, "image/png", NULL);
}

static void a_text_type_keeps_json_from_being_looked_for(void **state)
{
    (void)state;
    assert_result("12\n", 3, "text/plain", 100, "text/plain", "\"12\"");
    assert_result("12\n", 3, "Text/CSV; header=no", 100, "Text/CSV; header=no", "\"12\"");
}

/* The same documents for the reader that builds a tree and for the one that does not. */
static void both_readers_agree(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "",
        " ",
        "1",
        "-1",
        "0",
        "-0",
        "01",
        "-",
        "+1",
        "1.",
        ".1",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "1e",
        "1e+",
        "1.e5",
        "0x1",
        "true",
        "tru",
        "truex",
        "false",
        "null",
        "nul",
        "NaN",
        "\"\"",
        "\"a\"",
        "\"",
        "\"a",
        "\"\\\"\"",
        "\"\\",
        "\"\\x\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"\\u00e9\"",
        "\"\\u00e\"",
        "\"\\u00eg\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",
        "\"\\uDBFF\\uDFFF\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x7f\"",
        "\"\xc3\xa9\"",
        "\"\xff\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,2]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "[1",
        "[[]]",
        "[[],[]]",
        "[[]",
        "[]]",
        "{}",
        "{ }",
        "{\"a\":1}",
        "{ \"a\" : 1 , \"b\" : [ ] }",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "[1}",
        "{\"a\":{\"b\":{}}}",
        "1 2",
        "{} {}",
        " 1 ",
        "\t[1]\r\n",
        "[1]x",
        "'a'",
        "// x\n1",
        "[true,false,null]",
        "{\"a\":[1,{\"b\":2}]}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        size_t len = strlen(documents[i]);
        if (json_valid(documents[i], len) != result_is_json(documents[i], len))
            fail_msg("%s", documents[i]);
    }
}

static void nesting_has_a_bound(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH + 1)];
    memset(text, '[', JSON_DEPTH);
    memset(text + JSON_DEPTH, ']', JSON_DEPTH);
    assert_true(result_is_json(text, 2 * (size_t)JSON_DEPTH));
    memset(text, '[', JSON_DEPTH + 1);
    memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
    assert_false(result_is_json(text, sizeof text));
}

static void a_nul_is_no_blank(void **state)
{
    (void)state;
    assert_false(result_is_json("1\0", 2));
    assert_false(result_is_json("\0", 1));
    assert_false(result_is_json("\"\\\0\"", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_text_and_bytes_are_told_apart),
        cmocka_unit_test(a_large_body_has_a_type_but_no_value),
        cmocka_unit_test(the_conf_names_the_type),
        cmocka_unit_test(a_text_type_keeps_json_from_being_looked_for),
        cmocka_unit_test(both_readers_agree),
        cmocka_unit_test(nesting_has_a_bound),
        cmocka_unit_test(a_nul_is_no_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
