#include "task/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void names_that_are_fine(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a",
        "report.pdf",
        "Gr\xc3\xbc\xc3\x9f, alle.txt",
        "100% sure",
        "%",
        "%4",
        "%zz.txt",
        "a..b",
        "-rf",
        "a b",
        "what?",
        "#1",
        "~",
        "\xf0\x9f\x8e\x89.png",
        "\xc2\xa0",
        "a:b",
        "\"q\"",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (file_name_refused(names[i])) fail_msg("%s: %s", names[i], file_name_refused(names[i]));
    char longest[FILE_NAME_MAX + 2] = "";
    memset(longest, 'x', FILE_NAME_MAX);
    assert_null(file_name_refused(longest));
    longest[FILE_NAME_MAX] = 'x';
    assert_non_null(file_name_refused(longest));
}

static void names_that_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",         ".",    "..",     ".htaccess",    "a/b",      "/etc/passwd", "a\\b",
        "..\\x",    "%2f",  "a%2F..", "%00",          "x%41",     "a\nb",        "a\x7f",
        "\x1b[31m", "\xff", "\xc3",   "\xed\xa0\x80", "\xc2\x85", "a\xc2\x80",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!file_name_refused(names[i])) fail_msg("name %zu is taken", i);
}

static void types_follow_from_extensions(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
        bool shown, sandboxed;
    } cases[] = {
        {"a.txt", "text/plain; charset=utf-8", true, true},
        {"a.csv", "text/csv; charset=utf-8", true, true},
        {"a.JSON", "application/json", true, true},
        {"a.png", "image/png", true, false},
        {"a.tar.jpeg", "image/jpeg", true, false},
        {"a.pdf", "application/pdf", true, false},
        {"a.html", "text/html; charset=utf-8", false, true},
        {"a.HTM", "text/html; charset=utf-8", false, true},
        {"a.svg", "image/svg+xml", false, true},
        {"a.xml", "application/xml", false, true},
        {"a.zip", "application/zip", false, true},
        {"a.exe", "application/octet-stream", false, true},
        {"a.png.bin", "application/octet-stream", false, true},
        {"png", "application/octet-stream", false, true},
        {"a.", "application/octet-stream", false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *type = file_content_type(cases[i].name);
        assert_string_equal(type, cases[i].type);
        assert_int_equal(file_shown(type), cases[i].shown);
        assert_int_equal(file_sandboxed(type), cases[i].sandboxed);
    }
    assert_false(file_shown("text/x-of-another-version"));
    assert_true(file_sandboxed("text/x-of-another-version"));
}

static void nothing_is_of_a_type_that_a_page_could_load_as_code(void **state)
{
    (void)state;
    static const char *const names[] = {"a.js", "a.mjs", "a.css", "a.wasm", "a.cjs", "a.JS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *type = file_content_type(names[i]);
        assert_null(strstr(type, "script"));
        assert_null(strstr(type, "css"));
        assert_null(strstr(type, "wasm"));
    }
}

static void a_disposition_says_the_name_in_ascii_and_in_full(void **state)
{
    (void)state;
    static const struct {
        const char *name, *expected;
    } cases[] = {
        {"a b.txt", "inline; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"},
        {"x\".html", "attachment; filename=\"x_.html\"; filename*=UTF-8''x%22.html"},
        {"\xc3\xa9.zip", "attachment; filename=\"__.zip\"; filename*=UTF-8''%C3%A9.zip"},
        {"100%.zip", "attachment; filename=\"100_.zip\"; filename*=UTF-8''100%25.zip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        struct task_file f = {.name = (char *)cases[i].name,
                              .content_type = (char *)file_content_type(cases[i].name)};
        file_disposition(&out, &f);
        assert_string_equal(out.data, cases[i].expected);
        buf_free(&out);
    }
}

static void a_document_has_the_url(void **state)
{
    (void)state;
    struct file_list l = {0};
    file_list_add(&l, "a?b/\"c", 12);
    struct buf out = {0};
    file_document(&out, &l.items[0], "/api", "t1");
    assert_string_equal(out.data, "{\"name\":\"a?b/\\\"c\",\"bytes\":12,"
                                  "\"content_type\":\"application/octet-stream\","
                                  "\"url\":\"/api/tasks/t1/files/a%3Fb%2F%22c\"}");
    buf_free(&out);
    file_list_free(&l);
}

static void a_list_grows(void **state)
{
    (void)state;
    struct file_list l = {0};
    for (int i = 0; i < 1000; i++) file_list_add(&l, i % 2 ? "odd.txt" : "even", i);
    assert_int_equal(l.count, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(l.items[i].bytes, i);
    assert_string_equal(l.items[999].content_type, "text/plain; charset=utf-8");
    file_list_free(&l);
    assert_null(l.items);
}

static void a_path_keeps_its_slashes_where_it_is_one(void **state)
{
    (void)state;
    struct buf out = {0};
    file_escape(&out, "/a b/%", true);
    assert_string_equal(out.data, "/a%20b/%25");
    buf_clear(&out);
    file_escape(&out, "/a", false);
    assert_string_equal(out.data, "%2Fa");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_fine),
        cmocka_unit_test(names_that_are_not),
        cmocka_unit_test(types_follow_from_extensions),
        cmocka_unit_test(nothing_is_of_a_type_that_a_page_could_load_as_code),
        cmocka_unit_test(a_disposition_says_the_name_in_ascii_and_in_full),
        cmocka_unit_test(a_document_has_the_url),
        cmocka_unit_test(a_list_grows),
        cmocka_unit_test(a_path_keeps_its_slashes_where_it_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
