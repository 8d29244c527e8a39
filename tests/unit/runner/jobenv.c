#include "runner/jobenv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const struct task task = {
    .id = "t1",
    .owner = (char *)"alice",
    .type = (char *)"wordcount",
    .group = (char *)"repo-7",
    .request_id = (char *)"r1",
    .attempt = 2,
    .max_attempts = 3,
};

static char **made(const struct jobenv_own *own, const struct task *t, const char *content_type)
{
    return jobenv_make(&(struct jobenv){.own = own,
                                        .task = t,
                                        .content_type = content_type,
                                        .folder = "/w/t1.2",
                                        .events = "/w/t1.2.events",
                                        .files = "/w/t1.2.files",
                                        .checkpoint = "/w/t1.2.checkpoint",
                                        .deadline = 1703123456789});
}

/* The value of the one entry of that name, or NULL. */
static const char *value(char **env, const char *name)
{
    const char *found = NULL;
    size_t len = strlen(name);
    for (char **p = env; *p; p++) {
        if (strncmp(*p, name, len) || (*p)[len] != '=') continue;
        if (found) fail_msg("%s twice", name);
        found = *p + len + 1;
    }
    return found;
}

static void assert_has(char **env, const char *name, const char *expected)
{
    const char *got = value(env, name);
    if (!got) fail_msg("no %s", name);
    assert_string_equal(got, expected);
}

static void a_job_is_told_about_its_task(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"LEAT_TASK_ID", "t1"},
        {"LEAT_TYPE", "wordcount"},
        {"LEAT_ATTEMPT", "2"},
        {"LEAT_CHECKPOINT_FILE", "/w/t1.2.checkpoint"},
        {"LEAT_MAX_ATTEMPTS", "3"},
        {"LEAT_GROUP", "repo-7"},
        {"LEAT_OWNER", "alice"},
        {"LEAT_REQUEST_ID", "r1"},
        {"LEAT_CONTENT_TYPE", "text/plain"},
        {"LEAT_DEADLINE", "1703123456789"},
        {"LEAT_EVENTS", "/w/t1.2.events"},
        {"LEAT_FILES", "/w/t1.2.files"},
    };
    char **env = made(&(struct jobenv_own){0}, &task, "text/plain");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_has(env, expected[i][0], expected[i][1]);
    jobenv_free(env);
}

static void the_runners_four_variables_are_passed_on(void **state)
{
    (void)state;
    const struct jobenv_own own = {.path = "/p", .lang = "de_DE", .tz = "UTC", .home = "/home/x"};
    char **env = made(&own, &task, NULL);
    assert_has(env, "PATH", "/p");
    assert_has(env, "LANG", "de_DE");
    assert_has(env, "TZ", "UTC");
    assert_has(env, "HOME", "/home/x");
    jobenv_free(env);
}

static void without_them_there_are_defaults(void **state)
{
    (void)state;
    char **env = made(&(struct jobenv_own){0}, &task, NULL);
    assert_has(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
    assert_has(env, "LANG", "C.UTF-8");
    assert_has(env, "HOME", "/w/t1.2");
    assert_null(value(env, "TZ"));
    jobenv_free(env);
}

static void what_a_task_has_not_is_set_but_empty(void **state)
{
    (void)state;
    struct task t = task;
    t.group = NULL;
    char **env = made(&(struct jobenv_own){0}, &t, NULL);
    assert_has(env, "LEAT_GROUP", "");
    assert_has(env, "LEAT_CONTENT_TYPE", "");
    jobenv_free(env);
}

static void nothing_else_is_in_it(void **state)
{
    (void)state;
    const struct jobenv_own own = {.tz = "UTC"};
    char **env = made(&own, &task, NULL);
    size_t count = 0;
    while (env[count]) count++;
    assert_int_equal(count, 16);
    jobenv_free(env);
}

static void only_a_job_that_has_a_token_is_told_of_the_site(void **state)
{
    (void)state;
    struct jobenv what = {.own = &(struct jobenv_own){0}, .task = &task, .folder = "/w"};
    char **env = jobenv_make(&what);
    assert_null(value(env, "LEAT_URL"));
    assert_null(value(env, "LEAT_TOKEN"));
    jobenv_free(env);
    what.url = "https://example.org";
    what.token = "leat_x";
    what.context = "/w/context";
    what.own = &(struct jobenv_own){.tz = "UTC"}; /* all that there can be */
    env = jobenv_make(&what);
    assert_has(env, "LEAT_URL", "https://example.org");
    assert_has(env, "LEAT_TOKEN", "leat_x");
    jobenv_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_told_about_its_task),
        cmocka_unit_test(the_runners_four_variables_are_passed_on),
        cmocka_unit_test(without_them_there_are_defaults),
        cmocka_unit_test(what_a_task_has_not_is_set_but_empty),
        cmocka_unit_test(nothing_else_is_in_it),
        cmocka_unit_test(only_a_job_that_has_a_token_is_told_of_the_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
