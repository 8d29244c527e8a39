#include "runner/broken_types.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEADLINE_MS = 30000, HOUR_MS = 3600 * 1000 };

static char jobs[] = "/tmp/leat-broken-XXXXXX";
static struct loop *loop;
static struct job_types *types;
static struct broken_types broken;
static char released[64];

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

static void release(void *arg, const char *type)
{
    assert_ptr_equal(arg, &broken);
    strncat(released, type, sizeof released - strlen(released) - 1);
}

static int make(void **state)
{
    (void)state;
    strcpy(jobs + sizeof jobs - 7, "XXXXXX");
    *released = '\0';
    if (!mkdtemp(jobs) || loop_open(&loop, NULL)) return -1;
    types = job_types_open(jobs);
    broken_types_open(&broken, loop, types, release, &broken);
    broken.patience_ms = HOUR_MS;
    write_file("good", "#!/bin/sh\n", 0755);
    write_file("bad", "#!/bin/sh\n", 0755);
    write_file("bad.conf", "timeout = soon\n", 0644);
    return job_types_refresh(types, NULL) ? -1 : 0;
}

static int unmake(void **state)
{
    (void)state;
    char command[200];
    broken_types_close(&broken);
    job_types_close(types);
    loop_close(loop);
    snprintf(command, sizeof command, "rm -rf %s", jobs);
    return system(command); /* NOLINT(cert-env33-c) */
}

static void turn_until_released(const char *type)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (strcmp(released, type) != 0) {
        assert_true(clock_monotonic_ms() < until);
        assert_int_equal(loop_wait(loop, 1000, NULL), ERR_OK);
    }
}

static void only_a_broken_type_is_held(void **state)
{
    (void)state;
    assert_false(broken_types_hold(&broken, "good"));
    assert_true(broken_types_hold(&broken, "bad"));
    assert_true(broken_types_hold(&broken, "missing"));
    assert_int_equal(broken.count, 2);
    assert_true(broken_types_hold(&broken, "bad")); /* again: nothing new */
    assert_int_equal(broken.count, 2);
}

static void what_is_mended_is_released(void **state)
{
    (void)state;
    assert_true(broken_types_hold(&broken, "bad"));
    write_file("bad.conf", "timeout = 5\n", 0644);
    turn_until_released("bad");
    assert_false(broken_types_hold(&broken, "bad"));
    broken_types_mended(&broken, "bad");
    assert_int_equal(broken.count, 0);
    broken_types_mended(&broken, "good"); /* nothing was wrong */
}

static void a_type_whose_job_did_not_start_is_held_and_tried_again(void **state)
{
    (void)state;
    assert_true(broken_types_report(&broken, "good", "Text file busy"));
    assert_true(broken_types_hold(&broken, "good"));
    turn_until_released("good");
    assert_false(broken_types_hold(&broken, "good"));
    assert_true(broken_types_report(&broken, "good", "Text file busy")); /* still */
    assert_true(broken_types_hold(&broken, "good"));
}

static void tasks_do_not_wait_longer_than_the_patience_lasts(void **state)
{
    (void)state;
    broken.patience_ms = 30;
    assert_true(broken_types_hold(&broken, "bad"));
    turn_until_released("bad");
    assert_false(broken_types_hold(&broken, "bad"));
    assert_false(broken_types_report(&broken, "bad", "still"));
}

static void without_patience_nothing_is_held(void **state)
{
    (void)state;
    broken.patience_ms = 0;
    assert_false(broken_types_hold(&broken, "bad"));
    assert_false(broken_types_report(&broken, "good", "busy"));
    assert_int_equal(broken.count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_a_broken_type_is_held),
        TEST(what_is_mended_is_released),
        TEST(a_type_whose_job_did_not_start_is_held_and_tried_again),
        TEST(tasks_do_not_wait_longer_than_the_patience_lasts),
        TEST(without_patience_nothing_is_held),
    };
    return cmocka_run_group_tests_name("broken_types", tests, NULL, NULL);
}
