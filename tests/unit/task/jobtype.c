#include "task/jobtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A jobs folder of each test's own. */
static char jobs[] = "/tmp/leat-jobtype-XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", jobs, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(jobs + sizeof jobs - 7, "XXXXXX");
    return mkdtemp(jobs) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s", jobs);
    return system(command); /* NOLINT(cert-env33-c) */
}

/* Reads type "j" with this conf. */
static enum err load(struct jobtype *t, const char *conf, struct error *e)
{
    if (conf) write_file("j.conf", conf, 0644);
    return jobtype_parse(t, jobs, "j", e);
}

static void standard_output_is_the_result_or_the_log(void **state)
{
    (void)state;
    struct jobtype t;
    struct error e = {0};
    assert_int_equal(load(&t, NULL, &e), ERR_OK);
    assert_int_equal(t.stdout_log, 0);
    assert_int_equal(load(&t, "stdout = log\n", &e), ERR_OK);
    assert_int_equal(t.stdout_log, 1);
    assert_int_equal(load(&t, "stdout = result\n", &e), ERR_OK);
    assert_int_equal(t.stdout_log, 0);
    assert_int_equal(load(&t, "stdout = both\n", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "'both' is not log or result"));
}

static void names_are_lower_case_words(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"a", true},    {"word-count_2", true}, {"", false},    {"1a", false},
        {"-a", false},  {"_a", false},          {"A", false},   {"a.conf", false},
        {"a/b", false}, {"..", false},          {"a b", false}, {"\xc3\xa9", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(jobtype_name_valid(rows[i].name), rows[i].valid);
}

static void a_name_has_at_most_sixty_four_bytes(void **state)
{
    (void)state;
    char name[66];
    memset(name, 'a', 65);
    name[64] = '\0';
    assert_true(jobtype_name_valid(name));
    name[64] = 'a';
    name[65] = '\0';
    assert_false(jobtype_name_valid(name));
}

static void without_a_conf_the_defaults_count(void **state)
{
    (void)state;
    struct jobtype t;
    assert_int_equal(load(&t, NULL, NULL), ERR_OK);
    assert_string_equal(t.name, "j");
    assert_int_equal(t.timeout_ms, 600000);
    assert_int_equal(t.kill_grace_ms, 5000);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(t.backoff_ms, 2000);
    assert_int_equal(t.lost_attempts, 3);
    assert_int_equal(t.max_input_bytes, -1);
    assert_string_equal(t.result_type, "");
    assert_int_equal(t.nice, 0);
    assert_int_equal(t.memory_bytes, 0);
    assert_int_equal(t.cpu_ms, 0);
    assert_int_equal(t.file_bytes, 0);
    assert_int_equal(t.processes, 0);
    assert_int_equal(t.retain_ms, -1);
    assert_int_equal(t.token, 0);
}

static void every_key_is_taken(void **state)
{
    (void)state;
    struct jobtype t;
    struct error e = {0};
    enum err rc =
        load(&t,
             "; a comment\ntimeout = 1.5\nkill_grace = 0\nattempts = 3\nbackoff = 0.25\n"
             "lost_attempts = 5\nmax_input_bytes = 0\nresult_type = text/csv; header=yes\n"
             "nice = 10\nmemory_mb = 64\ncpu_seconds = 7.5\nfile_mb = 2\nprocesses = 50\n"
             "concurrency = 2\nuser = www-data\nretain_hours = 0.5\ntoken = yes\n",
             &e);
    assert_string_equal(e.text, "");
    assert_int_equal(rc, ERR_OK);
    assert_int_equal(t.timeout_ms, 1500);
    assert_int_equal(t.kill_grace_ms, 0);
    assert_int_equal(t.attempts, 3);
    assert_int_equal(t.backoff_ms, 250);
    assert_int_equal(t.lost_attempts, 5);
    assert_int_equal(t.max_input_bytes, 0);
    assert_string_equal(t.result_type, "text/csv; header=yes");
    assert_int_equal(t.nice, 10);
    assert_int_equal(t.memory_bytes, 64 << 20);
    assert_int_equal(t.cpu_ms, 7500);
    assert_int_equal(t.file_bytes, 2 << 20);
    assert_int_equal(t.processes, 50);
    assert_int_equal(t.concurrency, 2);
    assert_string_equal(t.user, "www-data");
    assert_int_equal(t.retain_ms, 1800 * 1000);
    assert_int_equal(t.token, 1);
}

static void an_empty_value_is_the_default(void **state)
{
    (void)state;
    struct jobtype t;
    assert_int_equal(load(&t, "timeout =\nmemory_mb =\nresult_type =\nmax_input_bytes =\n", NULL),
                     ERR_OK);
    assert_int_equal(t.timeout_ms, 600000);
    assert_int_equal(t.memory_bytes, 0);
    assert_string_equal(t.result_type, "");
    assert_int_equal(t.max_input_bytes, -1);
}

static void a_bad_conf_is_refused_by_file_line_and_key(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"timeout = soon\n", "j.conf:1: timeout: "},
        {"nice = 1\ntimeout = 0\n", "j.conf:2: timeout: "},
        {"timeout = -1\n", "j.conf:1: timeout: "},
        {"timeout = inf\n", "j.conf:1: timeout: "},
        {"attempts = 0\n", "j.conf:1: attempts: "},
        {"attempts = 1.5\n", "j.conf:1: attempts: "},
        {"backoff = 301\n", "j.conf:1: backoff: "},
        {"nice = 20\n", "j.conf:1: nice: "},
        {"memory_mb = -1\n", "j.conf:1: memory_mb: "},
        {"result_type = json\n", "j.conf:1: result_type: "},
        {"result_type = text/\n", "j.conf:1: result_type: "},
        {"result_type = /csv\n", "j.conf:1: result_type: "},
        {"result_type = text/csv x\n", "j.conf:1: result_type: "},
        {"result_type = text/\xc3\xa9\n", "j.conf:1: result_type: "},
        {"time_out = 3\n", "j.conf:1: unknown key 'time_out'"},
        {"[limits]\ntimeout = 3\n", "j.conf:2: a job's conf has no sections: [limits]"},
        {"what\n", "j.conf:1: "},
        {"concurrency = many\n", "j.conf:1: concurrency: "},
        {"retain_hours = long\n", "j.conf:1: retain_hours: "},
        {"retain_hours = -1\n", "j.conf:1: retain_hours: "},
        {"token = maybe\n", "j.conf:1: token: "},
        {"user = a-name-that-no-system-could-have-given\n", "j.conf:1: user: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jobtype t;
        struct error e = {0};
        assert_int_equal(load(&t, rows[i][0], &e), ERR_INVALID);
        if (!strstr(e.text, rows[i][1])) fail_msg("'%s' does not say '%s'", e.text, rows[i][1]);
    }
}

static void backoff_doubles_up_to_five_minutes(void **state)
{
    (void)state;
    const struct jobtype t = {.backoff_ms = 2000};
    static const int64_t expected[] = {2000,  4000,   8000,   16000,  32000,
                                       64000, 128000, 256000, 300000, 300000};
    for (int64_t attempt = 1; attempt <= 10; attempt++)
        assert_int_equal(jobtype_backoff(&t, attempt, 0.5), expected[attempt - 1]);
    assert_int_equal(jobtype_backoff(&t, 1000000, 0.5), 300000);
}

static void backoff_is_spread_by_a_quarter_either_way(void **state)
{
    (void)state;
    const struct jobtype t = {.backoff_ms = 2000};
    assert_int_equal(jobtype_backoff(&t, 1, 0), 1500);
    assert_in_range(jobtype_backoff(&t, 1, 0.999999), 2499, 2500);
    assert_int_equal(jobtype_backoff(&t, 1000, 0), 225000);
    assert_int_equal(jobtype_backoff(&t, 1000, 0.999999), 300000); /* but not beyond the bound */
}

static void without_backoff_it_is_tried_at_once(void **state)
{
    (void)state;
    const struct jobtype t = {.backoff_ms = 0};
    assert_int_equal(jobtype_backoff(&t, 100, 0.9), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_lower_case_words),
        cmocka_unit_test(a_name_has_at_most_sixty_four_bytes),
        IN_FOLDER(without_a_conf_the_defaults_count),
        IN_FOLDER(every_key_is_taken),
        IN_FOLDER(standard_output_is_the_result_or_the_log),
        IN_FOLDER(an_empty_value_is_the_default),
        IN_FOLDER(a_bad_conf_is_refused_by_file_line_and_key),
        cmocka_unit_test(backoff_doubles_up_to_five_minutes),
        cmocka_unit_test(backoff_is_spread_by_a_quarter_either_way),
        cmocka_unit_test(without_backoff_it_is_tried_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
