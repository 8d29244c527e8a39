#include "server/spool.h"

#include "../store/fixture.h"

#include <sys/syscall.h>

/* Writes to files that nobody else can see are short: this much room is left. */
static size_t room_left = SIZE_MAX;

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct stat st;
    if (room_left != SIZE_MAX && !fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_nlink) {
        if (!room_left) {
            errno = ENOSPC;
            return -1;
        }
        if (len > room_left) len = room_left;
        room_left -= len;
    }
    return syscall(SYS_write, fd, bytes, len);
}

static void it_has_no_name_and_nobody_else_can_read_it(void **state)
{
    struct room *r = *state;
    struct spool s = {0};
    struct stat st;
    OK(r, spool_open(&s, r->path, false, &r->e));
    assert_int_equal(fstat(s.fd, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    struct stat folder;
    assert_int_equal(stat(r->dir, &folder), 0);
    assert_int_equal(st.st_dev, folder.st_dev);
    int fd = s.fd;
    spool_close(&s);
    spool_close(&s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void what_was_added_is_read_from_anywhere_and_hashed(void **state)
{
    struct room *r = *state;
    struct spool s = {0};
    unsigned char hash[crypto_hash_sha256_BYTES], expected[crypto_hash_sha256_BYTES];
    char got[4] = "";
    OK(r, spool_open(&s, r->path, true, &r->e));
    OK(r, spool_add(&s, "abc", 3, &r->e));
    OK(r, spool_add(&s, "", 0, &r->e));
    OK(r, spool_add(&s, "defg", 4, &r->e));
    assert_int_equal(s.bytes, 7);
    OK(r, spool_read(&s, got, 3, 2, &r->e));
    assert_string_equal(got, "cde");
    assert_int_equal(spool_read(&s, got, 3, 5, &r->e), ERR_IO); /* behind its end */
    spool_hash(&s, hash);
    crypto_hash_sha256(expected, (const unsigned char *)"abcdefg", 7);
    assert_memory_equal(hash, expected, sizeof hash);
    spool_close(&s);
}

static void a_disk_that_is_full_says_so(void **state)
{
    struct room *r = *state;
    struct spool s = {0};
    OK(r, spool_open(&s, r->path, false, &r->e));
    room_left = 5;
    assert_int_equal(spool_add(&s, "0123456789", 10, &r->e), ERR_FULL);
    room_left = SIZE_MAX;
    assert_int_equal(s.bytes, 5);
    spool_close(&s);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct room *r = *state;
    struct spool s = {0};
    assert_int_equal(spool_open(&s, "/nowhere/at/all", false, &r->e), ERR_IO);
    assert_false(s.open);
    spool_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(it_has_no_name_and_nobody_else_can_read_it),
        room_test(what_was_added_is_read_from_anywhere_and_hashed),
        room_test(a_disk_that_is_full_says_so),
        room_test(a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
