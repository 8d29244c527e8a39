#include "task/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void only_a_change_to_a_final_status_finishes(void **state)
{
    (void)state;
    static const struct {
        const char *type, *payload;
        bool finishes;
    } rows[] = {
        {"task.status_changed", "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1}", true},
        {"task.status_changed", "{\"from\":\"running\",\"to\":\"failed\"}", true},
        {"task.status_changed", "{\"from\":\"running\",\"to\":\"timeout\"}", true},
        {"task.status_changed", "{\"from\":\"pending\",\"to\":\"cancelled\"}", true},
        {"task.status_changed", "{\"from\":\"running\",\"to\":\"pending\"}", false},
        {"task.status_changed", "{\"from\":\"pending\",\"to\":\"running\"}", false},
        {"task.progress", "{\"to\":\"completed\"}", false},
        {"task.created", "{\"status\":\"pending\"}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct event ev = {.type = rows[i].type, .payload = rows[i].payload};
        assert_int_equal(event_finishes(&ev), rows[i].finishes);
    }
}

static void a_job_may_say_dotted_lower_case_words(void **state)
{
    (void)state;
    static const char *const allowed[] = {"doc.created", "message.delta", "a.b",   "a1.b_2.c",
                                          "tasks.done",  "taskx.y",       "x.task"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        assert_true(event_type_allowed(allowed[i]));
}

static void a_job_may_not_say_reserved_or_malformed_types(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",          "doc",     "doc.",  ".doc",   "doc..x",   "Doc.created",  "doc.Created",
        "doc-x.y",   "doc.x-y", "1a.b",  "doc.1x", "_a.b",     "doc created",  "doc.x ",
        "task.done", "group.x", "log.x", "file.x", "stream.x", "doc.\xc3\xa9", "doc.*",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(event_type_allowed(refused[i]));
}

static void a_type_has_at_most_a_hundred_bytes(void **state)
{
    (void)state;
    char type[102] = "doc.";
    memset(type + 4, 'x', 97);
    type[100] = '\0';
    assert_true(event_type_allowed(type));
    type[100] = 'x';
    assert_false(event_type_allowed(type));
}

static bool matches(const char *filter, const char *type)
{
    struct event_filter *f;
    assert_true(event_filter_parse(&f, filter));
    bool match = event_filter_match(f, type);
    event_filter_free(f);
    return match;
}

static void without_a_filter_everything_matches(void **state)
{
    (void)state;
    assert_true(matches(NULL, "task.progress"));
    assert_true(matches("", "task.progress"));
    assert_true(matches("*", "doc.created"));
}

static void a_filter_names_types_or_their_first_words(void **state)
{
    (void)state;
    assert_true(matches("task.*,doc.created", "task.progress"));
    assert_true(matches("task.*,doc.created", "doc.created"));
    assert_false(matches("task.*,doc.created", "doc.updated"));
    assert_false(matches("task.*", "tasks.x"));
    assert_false(matches("task", "task.progress"));
    assert_false(matches("doc.created", "doc.created.x"));
}

static void a_malformed_filter_is_refused(void **state)
{
    (void)state;
    static const char *const malformed[] = {",",   "a,",    ",a", "a,,b", "a*",
                                            "*.a", "a.*.b", "A",  "a b"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        struct event_filter *f;
        assert_false(event_filter_parse(&f, malformed[i]));
        assert_null(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_change_to_a_final_status_finishes),
        cmocka_unit_test(a_job_may_say_dotted_lower_case_words),
        cmocka_unit_test(a_job_may_not_say_reserved_or_malformed_types),
        cmocka_unit_test(a_type_has_at_most_a_hundred_bytes),
        cmocka_unit_test(without_a_filter_everything_matches),
        cmocka_unit_test(a_filter_names_types_or_their_first_words),
        cmocka_unit_test(a_malformed_filter_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
