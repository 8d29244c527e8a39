#include "ops/type_list.h"

#include "fixture.h"

/* All of it, as "name", with "!" where it is paused and "(why)" where it is broken. */
static const char *shown(struct site *s, const struct type_rows *rows)
{
    static char text[600];
    struct type_list list;
    int n = 0;
    *text = '\0';
    type_list_make(&list, s->types, rows);
    for (size_t i = 0; i < list.count; i++) {
        const struct type_list_item *t = &list.items[i];
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%s%s%s ", t->conf.name,
                      t->paused ? "!" : "", t->broken ? "(" : "", t->broken ? t->broken : "",
                      t->broken ? ")" : "");
    }
    type_list_free(&list);
    return text;
}

static void files_and_rows_are_one_list_by_name(void **state)
{
    struct site *s = *state;
    char *paused[] = {(char *)"cat", (char *)"away"};
    struct broken_row broken[] = {{(char *)"busy", (char *)"Text file busy", T0},
                                  {(char *)"bad", (char *)"an older story", T0},
                                  {(char *)"zero", (char *)"no executable 'zero'", T0}};
    site_job(s, "cat", NULL);
    site_job(s, "busy", NULL);
    site_job(s, "bad", "timeout = soon\n");
    site_file(s, "half.conf", "", 0644);
    site_file(s, "README", "not a type", 0644);
    assert_string_equal(shown(s, &(struct type_rows){0}),
                        "bad(bad.conf:1: timeout: 'soon' is not a number of seconds from 0.001 to "
                        "2.592e+06) busy cat half(no "
                        "executable 'half') ");
    assert_string_equal(shown(s, &(struct type_rows){paused, 2, broken, 3}),
                        "away!(no executable 'away') bad(bad.conf:1: timeout: 'soon' is not a "
                        "number of seconds from 0.001 to 2.592e+06) busy(Text file busy) cat! "
                        "half(no executable 'half') zero(no "
                        "executable 'zero') ");
}

static void one_is_found_by_its_name(void **state)
{
    struct site *s = *state;
    struct type_list list;
    site_job(s, "cat", "timeout = 5\n");
    type_list_make(&list, s->types, &(struct type_rows){0});
    assert_int_equal(type_list_find(&list, "cat")->conf.timeout_ms, 5000);
    assert_null(type_list_find(&list, "dog"));
    type_list_free(&list);
    assert_null(type_list_find(&list, "cat"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(files_and_rows_are_one_list_by_name),
        site_test(one_is_found_by_its_name),
    };
    return cmocka_run_group_tests_name("type_list", tests, NULL, NULL);
}
