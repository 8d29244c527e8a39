#include "task/group.h"

#include "base/json.h"
#include "task/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void assert_document(const struct group *g, const char *expected)
{
    struct buf b = {0};
    group_document(&b, g, "/api");
    assert_string_equal(buf_text(&b), expected);
    assert_true(json_valid(b.data, b.len));
    buf_free(&b);
}

static void the_document_has_every_member(void **state)
{
    (void)state;
    const struct group g = {
        .owner = (char *)"alice",
        .name = (char *)"repo-7",
        .status = "running",
        .counts = {1, 2, 3, 4, 5, 6},
        .progress = 62.5,
        .context = (char *)"{\"a\":1}",
        .version = 3,
        .created_at = 1000,
        .updated_at = 2000,
    };
    assert_document(
        &g, "{\"id\":\"repo-7\",\"owner\":\"alice\",\"status\":\"running\",\"progress\":62.5,"
            "\"counts\":{\"pending\":1,\"running\":2,\"completed\":3,\"failed\":4,"
            "\"timeout\":5,\"cancelled\":6},\"total\":21,\"context\":{\"a\":1},"
            "\"version\":3,\"created_at\":1000,\"updated_at\":2000,\"links\":{"
            "\"self\":\"/api/groups/repo-7\",\"events\":\"/api/groups/repo-7/events\","
            "\"context\":\"/api/groups/repo-7/context\"}}");
}

static void one_never_used_is_idle_and_empty(void **state)
{
    (void)state;
    const struct group g = {.owner = (char *)"alice",
                            .name = (char *)"g",
                            .status = "idle",
                            .created_at = TASK_NONE,
                            .updated_at = TASK_NONE};
    assert_document(&g, "{\"id\":\"g\",\"owner\":\"alice\",\"status\":\"idle\",\"progress\":0,"
                        "\"counts\":{\"pending\":0,\"running\":0,\"completed\":0,\"failed\":0,"
                        "\"timeout\":0,\"cancelled\":0},\"total\":0,\"context\":null,"
                        "\"version\":0,\"created_at\":null,\"updated_at\":null,\"links\":{"
                        "\"self\":\"/api/groups/g\",\"events\":\"/api/groups/g/events\","
                        "\"context\":\"/api/groups/g/context\"}}");
}

static void links_percent_encode_the_name(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"aZ09-._~", "aZ09-._~"}, {"a/b c", "a%2Fb%20c"},
        {"50%", "50%25"},         {"a?b#c&d=e+f", "a%3Fb%23c%26d%3De%2Bf"},
        {"\"\\", "%22%5C"},       {"\xc3\xa9", "%C3%A9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct group g = {.owner = (char *)"o", .name = (char *)rows[i][0], .status = "idle"};
        struct buf b = {0}, link = {0};
        group_document(&b, &g, "/api");
        buf_fmt(&link, "\"self\":\"/api/groups/%s\"", rows[i][1]);
        if (!strstr(b.data, link.data)) fail_msg("%s is not in %s", link.data, b.data);
        buf_free(&b);
        buf_free(&link);
    }
}

static void a_name_is_text_that_a_url_can_hold(void **state)
{
    (void)state;
    char long_name[TASK_GROUP_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    assert_true(group_name_valid(long_name, TASK_GROUP_MAX));
    assert_false(group_name_valid(long_name, TASK_GROUP_MAX + 1));
    static const char *const valid[] = {"a", "...", ".a", "a.", " ", "a/b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        if (!group_name_valid(valid[i], strlen(valid[i]))) fail_msg("'%s' is refused", valid[i]);
    static const char *const invalid[] = {"", ".", "..", "a\n", "\x7f", "\x1f"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        if (group_name_valid(invalid[i], strlen(invalid[i]))) fail_msg("'%s' is taken", invalid[i]);
    assert_false(group_name_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_has_every_member),
        cmocka_unit_test(one_never_used_is_idle_and_empty),
        cmocka_unit_test(links_percent_encode_the_name),
        cmocka_unit_test(a_name_is_text_that_a_url_can_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
