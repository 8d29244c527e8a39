#include "runner/artifacts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads a report of `len` bytes. */
static void read_report(struct artifacts_report *out, const char *bytes, size_t len)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    artifacts_read(out, fd);
    close(fd);
}

#define REPORT(out, text) read_report(out, text, sizeof(text) - 1)

static void a_report_says_what_was_kept_and_what_was_not(void **state)
{
    (void)state;
    struct artifacts_report r;
    REPORT(&r, "K5 a b.txt\0Rfile \"x\" is not kept: why\0K0 empty\0.\0");
    assert_int_equal(r.files.count, 2);
    assert_string_equal(r.files.items[0].name, "a b.txt");
    assert_int_equal(r.files.items[0].bytes, 5);
    assert_string_equal(r.files.items[1].name, "empty");
    assert_string_equal(r.refused[0], "file \"x\" is not kept: why");
    assert_null(r.refused[1]);
    assert_null(r.failed);
    assert_null(r.too_much);
    artifacts_report_free(&r);
}

static void a_report_without_an_end_keeps_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cut[] = {{"", 0}, {"K5 a\0", 5}, {"K5 a\0K", 6}};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        struct artifacts_report r;
        read_report(&r, cut[i].text, cut[i].len);
        assert_int_equal(r.files.count, 0);
        assert_non_null(r.failed);
        artifacts_report_free(&r);
    }
}

static void what_crossed_a_bound_or_failed_keeps_nothing(void **state)
{
    (void)state;
    struct artifacts_report r;
    REPORT(&r, "K5 a\0Ttoo many\0");
    assert_int_equal(r.files.count, 0);
    assert_string_equal(r.too_much, "too many");
    assert_null(r.failed);
    artifacts_report_free(&r);
    REPORT(&r, "K5 a\0Fno room\0");
    assert_int_equal(r.files.count, 0);
    assert_string_equal(r.failed, "no room");
    artifacts_report_free(&r);
}

static void a_long_report_is_read_whole(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < 5000; i++) {
        buf_fmt(&text, "K%d file-%d", i, i);
        buf_char(&text, '\0');
    }
    buf_add(&text, ".", 2);
    struct artifacts_report r;
    read_report(&r, text.data, text.len);
    assert_int_equal(r.files.count, 5000);
    assert_string_equal(r.files.items[4999].name, "file-4999");
    artifacts_report_free(&r);
    buf_free(&text);
}

static void only_a_folder_with_something_in_it_is_worth_a_process(void **state)
{
    (void)state;
    char folder[] = "/tmp/leat-keep-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    assert_false(artifacts_needed(folder));
    snprintf(path, sizeof path, "%s/.x", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(artifacts_needed(folder));
    rmdir(path);
    assert_false(artifacts_needed("/tmp/leat-keep-of-nobody"));
    snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink("/etc", path), 0);
    assert_true(artifacts_needed(path)); /* the process will say what is wrong with it */
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_says_what_was_kept_and_what_was_not),
        cmocka_unit_test(a_report_without_an_end_keeps_nothing),
        cmocka_unit_test(what_crossed_a_bound_or_failed_keeps_nothing),
        cmocka_unit_test(a_long_report_is_read_whole),
        cmocka_unit_test(only_a_folder_with_something_in_it_is_worth_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
