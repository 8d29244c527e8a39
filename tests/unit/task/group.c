#include "task/group.h"

#include "task/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void a_name_is_text_that_a_url_can_hold(void **state)
{
    (void)state;
    char long_name[TASK_GROUP_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    assert_true(group_name_valid(long_name, TASK_GROUP_MAX));
    assert_false(group_name_valid(long_name, TASK_GROUP_MAX + 1));
    static const char *const valid[] = {"a",   "...",      ".a",       "a.",      " ",
                                        "a/b", "\xc3\xa9", "\xc2\xa0", "\xc3\x85"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        if (!group_name_valid(valid[i], strlen(valid[i]))) fail_msg("'%s' is refused", valid[i]);
    static const char *const invalid[] = {"",     ".",         "..",       "a\n",      "\x7f",
                                          "\x1f", "a\xc2\x85", "\xc2\x80", "\xc2\x9f."};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        if (group_name_valid(invalid[i], strlen(invalid[i]))) fail_msg("'%s' is taken", invalid[i]);
    assert_false(group_name_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_text_that_a_url_can_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
