#include "ops/job_types.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 30000 };

/* A jobs folder and a registry of each test's own. */
static char jobs[] = "/tmp/leat-job-types-XXXXXX";
static struct job_types *types;

static const char *path_of(char path[200], const char *name)
{
    snprintf(path, 200, "%s/%s", jobs, name);
    return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[200];
    FILE *f = fopen(path_of(path, name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void remove_file(const char *name)
{
    char path[200];
    assert_int_equal(unlink(path_of(path, name)), 0);
}

/* As if nobody had touched the file for an hour. */
static void age(const char *name)
{
    char path[200];
    struct timespec times[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
    assert_int_equal(utimensat(AT_FDCWD, path_of(path, name), times, 0), 0);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(jobs + sizeof jobs - 7, "XXXXXX");
    if (!mkdtemp(jobs)) return -1;
    types = job_types_open(jobs);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[200];
    job_types_close(types);
    snprintf(command, sizeof command, "rm -rf %s", jobs);
    return system(command); /* NOLINT(cert-env33-c) */
}

static void refresh(void)
{
    assert_int_equal(job_types_refresh(types, NULL), ERR_OK);
}

static const struct jobtype *find(const char *name)
{
    const struct jobtype *t = NULL;
    assert_int_equal(job_types_find(types, name, &t, NULL), ERR_OK);
    return t;
}

static enum err finding(const char *name)
{
    const struct jobtype *t = NULL;
    return job_types_find(types, name, &t, NULL);
}

/* What keeps its tasks waiting, with JOBS for the path of the folder. */
static const char *problem(const char *name)
{
    static char text[300];
    struct error why;
    bool wrong = job_types_problem(types, name, &why);
    assert_int_equal(wrong, *why.text != '\0');
    const char *path = strstr(why.text, jobs);
    size_t before = path ? (size_t)(path - why.text) : strlen(why.text);
    snprintf(text, sizeof text, "%.*s%s%s", (int)before, why.text, path ? "JOBS" : "",
             path ? path + strlen(jobs) : "");
    return text;
}

/* The names of all types, with a blank behind each. */
static const char *all(char out[200])
{
    const struct job_type *t;
    *out = '\0';
    for (size_t at = 0; (t = job_types_next(types, &at));) {
        strcat(out, t->conf.name);
        strcat(out, " ");
    }
    return out;
}

static void a_type_is_found_with_what_its_conf_says(void **state)
{
    (void)state;
    write_file("a", "#!/bin/sh\n", 0755);
    write_file("b", "#!/bin/sh\n", 0755);
    write_file("b.conf", "attempts = 3\n", 0644);
    assert_int_equal(finding("a"), ERR_NOTFOUND); /* nothing is known before the first refresh */
    refresh();
    assert_int_equal(find("a")->attempts, 1);
    assert_int_equal(find("b")->attempts, 3);
    assert_string_equal(find("b")->name, "b");
    assert_int_equal(finding("c"), ERR_NOTFOUND);
    assert_int_equal(finding("../a"), ERR_NOTFOUND);
}

static void types_are_listed_by_name(void **state)
{
    (void)state;
    char names[200];
    write_file("zz", "", 0755);
    write_file("aa", "", 0755);
    write_file("mm.conf", "", 0644);   /* its executable is missing */
    write_file("notes", "", 0644);     /* no job */
    write_file("README.md", "", 0755); /* no name of a type */
    char path[200];
    assert_int_equal(mkdir(path_of(path, "lib"), 0755), 0);
    refresh();
    assert_string_equal(all(names), "aa mm zz ");
    assert_null(job_types_get(types, "notes"));
    assert_int_equal(job_types_get(types, "mm")->file, JOB_FILE_MISSING);
    assert_int_equal(finding("mm"), ERR_NOTFOUND);
}

static void what_cannot_be_executed_is_no_type(void **state)
{
    (void)state;
    char path[200];
    write_file("plain", "x", 0644);
    write_file("job.conf", "", 0755);
    assert_int_equal(mkdir(path_of(path, "folder"), 0755), 0);
    refresh();
    static const char *const names[] = {"plain", "folder", "missing", "job.conf", "../j", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(finding(names[i]), ERR_NOTFOUND);
}

static void a_link_to_an_executable_is_a_type(void **state)
{
    (void)state;
    char path[200];
    assert_int_equal(symlink("/bin/cat", path_of(path, "linked")), 0);
    refresh();
    assert_string_equal(find("linked")->name, "linked");
}

static void a_missing_folder_is_an_error_of_the_system(void **state)
{
    (void)state;
    job_types_close(types);
    types = job_types_open("/nowhere/at/all");
    assert_int_equal(job_types_refresh(types, NULL), ERR_IO);
    assert_int_equal(job_types_refresh_one(types, "j", NULL), ERR_IO);
}

static void a_broken_conf_is_told_with_file_and_line(void **state)
{
    (void)state;
    const struct jobtype *t = NULL;
    struct error e = {0};
    write_file("a", "", 0755);
    write_file("a.conf", "attempts = 2\nnonsense = 1\n", 0644);
    refresh();
    assert_int_equal(job_types_find(types, "a", &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "a.conf:2"));
    assert_non_null(strstr(e.text, "nonsense"));
    assert_string_equal(job_types_get(types, "a")->broken, e.text);
    assert_int_equal(job_types_get(types, "a")->conf.attempts, 1); /* the defaults */

    write_file("a.conf", "attempts = 2\n", 0644);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(find("a")->attempts, 2);
    assert_null(job_types_get(types, "a")->broken);
}

static void a_conf_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    char path[200];
    write_file("a", "", 0755);
    assert_int_equal(symlink("a.conf", path_of(path, "a.conf")), 0);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_IO);
    assert_int_equal(finding("a"), ERR_INVALID);
    remove_file("a.conf");
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    find("a");
}

static void what_comes_into_the_folder_or_goes_is_seen_at_once(void **state)
{
    (void)state;
    char names[200];
    write_file("a", "", 0755);
    refresh();
    write_file("b", "", 0755);
    refresh();
    assert_string_equal(all(names), "a b ");
    remove_file("a");
    refresh();
    assert_string_equal(all(names), "b ");
}

/* Refreshes until the registry says so. */
static void refresh_until_attempts_are(const char *name, int64_t attempts)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    do {
        assert_true(clock_monotonic_ms() < until);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        refresh();
    } while (find(name)->attempts != attempts);
}

static void a_conf_that_is_edited_is_seen_within_a_second(void **state)
{
    (void)state;
    char path[200];
    write_file("a", "", 0755);
    write_file("a.conf", "attempts = 1\n", 0644);
    age(".");
    refresh();
    assert_int_equal(find("a")->attempts, 1);
    /* In place, of the same size. */
    int fd = open(path_of(path, "a.conf"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "attempts = 7\n", 13, 0), 13);
    close(fd);
    refresh_until_attempts_are("a", 7);
}

static void one_type_is_refreshed_at_once(void **state)
{
    (void)state;
    write_file("a", "", 0755);
    age("a");
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(find("a")->attempts, 1);
    for (int i = 2; i < 10; i++) { /* faster than a time stamp moves on */
        char conf[32];
        snprintf(conf, sizeof conf, "attempts = %d\n", i);
        write_file("a.conf", conf, 0644);
        assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
        assert_int_equal(find("a")->attempts, i);
    }
    remove_file("a.conf");
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(find("a")->attempts, 1);
    remove_file("a");
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(finding("a"), ERR_NOTFOUND);
    assert_int_equal(job_types_refresh_one(types, "../../etc/passwd", NULL), ERR_OK);
    assert_int_equal(job_types_refresh_one(types, "never", NULL), ERR_OK);
    assert_null(job_types_get(types, "never"));
}

static void one_type_is_looked_at_once_a_turn(void **state)
{
    (void)state;
    write_file("a", "", 0755);
    job_types_turn(types);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    write_file("a.conf", "attempts = 3\n", 0644);
    write_file("b", "", 0755);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(find("a")->attempts, 1);
    assert_int_equal(job_types_refresh_one(types, "b", NULL),
                     ERR_OK); /* which was not looked at yet */
    find("b");
    job_types_turn(types);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(find("a")->attempts, 3);
}

static void a_file_that_lost_its_permission_is_told(void **state)
{
    (void)state;
    char path[200];
    write_file("a", "", 0755);
    refresh();
    assert_int_equal(chmod(path_of(path, "a"), 0644), 0);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(job_types_get(types, "a")->file, JOB_FILE_NOT_EXECUTABLE);
    assert_string_equal(problem("a"), "'a' in JOBS is not executable");
    assert_int_equal(finding("a"), ERR_NOTFOUND);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(job_types_get(types, "a")->file, JOB_FILE_READY);
    assert_string_equal(problem("a"), "");
    find("a");
}

static void a_file_that_becomes_executable_later_is_seen(void **state)
{
    (void)state;
    char path[200];
    write_file("a", "", 0644);
    refresh();
    assert_null(job_types_get(types, "a"));
    assert_int_equal(chmod(path_of(path, "a"), 0755), 0);
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (finding("a")) {
        assert_true(clock_monotonic_ms() < until);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        refresh();
    }
}

static void a_file_that_is_being_written_is_busy(void **state)
{
    (void)state;
    char path[200];
    write_file("a", "#!/bin/sh\n", 0755);
    int fd = open(path_of(path, "a"), O_WRONLY | O_APPEND | O_CLOEXEC);
    refresh();
    assert_int_equal(job_types_get(types, "a")->file, JOB_FILE_BUSY);
    assert_string_equal(problem("a"), "the job file 'a' is being written");
    find("a"); /* it is a type all the same */
    close(fd);
    assert_int_equal(job_types_refresh_one(types, "a", NULL), ERR_OK);
    assert_int_equal(job_types_get(types, "a")->file, JOB_FILE_READY);
}

static void clients_do_not_learn_where_the_jobs_are(void **state)
{
    static const struct {
        const char *text, *shown; /* %s: the folder */
    } rows[] = {
        {"no executable 'a' in %s", "no executable 'a'"},
        {"'a' in %s is not executable", "'a' is not executable"},
        {"%s/a.conf:1: timeout: 'soon'", "a.conf:1: timeout: 'soon'"},
        {"cannot execute %s/a: Text file busy", "cannot execute a: Text file busy"},
        {"%s", ""},
        {"in %s", "in "},
        {"%s/%s/x", "x"},
        {"the job file 'a' is being written", "the job file 'a' is being written"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf text = {0}, shown = {0};
        for (const char *p = rows[i].text; *p; p++) {
            bool path = p[0] == '%' && p[1] == 's';
            if (path) buf_str(&text, jobs), p++;
            if (!path) buf_char(&text, *p);
        }
        job_types_hide_folder(types, &shown, buf_text(&text));
        assert_string_equal(buf_text(&shown), rows[i].shown);
        buf_free(&text);
        buf_free(&shown);
    }
}

static void a_folder_that_is_gone_leaves_what_was_known(void **state)
{
    (void)state;
    char away[sizeof jobs + 8];
    struct error e = {0};
    write_file("a", "", 0755);
    refresh();
    snprintf(away, sizeof away, "%s.away", jobs);
    assert_int_equal(rename(jobs, away), 0);
    assert_int_equal(job_types_refresh(types, &e), ERR_IO);
    assert_non_null(strstr(e.text, jobs));
    assert_int_equal(job_types_refresh_one(types, "a", &e), ERR_IO);
    find("a");
    assert_int_equal(rename(away, jobs), 0);
    write_file("b", "", 0755);
    refresh();
    find("b");
}

static void a_folder_that_is_exchanged_by_a_link_is_seen_at_once(void **state)
{
    (void)state;
    char one[200], two[200], link[200], names[200];
    assert_int_equal(mkdir(path_of(one, "1"), 0755), 0);
    assert_int_equal(mkdir(path_of(two, "2"), 0755), 0);
    write_file("1/a", "", 0755);
    write_file("2/b", "", 0755);
    assert_int_equal(symlink("1", path_of(link, "jobs")), 0);
    job_types_close(types);
    types = job_types_open(link);
    refresh();
    assert_string_equal(all(names), "a ");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("2", link), 0);
    refresh();
    assert_string_equal(all(names), "b ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_type_is_found_with_what_its_conf_says),
        TEST(types_are_listed_by_name),
        TEST(what_cannot_be_executed_is_no_type),
        TEST(a_link_to_an_executable_is_a_type),
        TEST(a_missing_folder_is_an_error_of_the_system),
        TEST(a_broken_conf_is_told_with_file_and_line),
        TEST(a_conf_that_cannot_be_read_is_told),
        TEST(what_comes_into_the_folder_or_goes_is_seen_at_once),
        TEST(a_conf_that_is_edited_is_seen_within_a_second),
        TEST(one_type_is_refreshed_at_once),
        TEST(one_type_is_looked_at_once_a_turn),
        TEST(a_file_that_lost_its_permission_is_told),
        TEST(a_file_that_becomes_executable_later_is_seen),
        TEST(a_file_that_is_being_written_is_busy),
        TEST(clients_do_not_learn_where_the_jobs_are),
        TEST(a_folder_that_is_gone_leaves_what_was_known),
        TEST(a_folder_that_is_exchanged_by_a_link_is_seen_at_once),
    };
    return cmocka_run_group_tests_name("job_types", tests, NULL, NULL);
}
