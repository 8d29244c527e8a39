/* Secrets: their form, their hash, and comparing. */
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void a_secret_has_its_form_and_no_two_are_alike(void **state)
{
    enum { MANY = 200 };
    static char secrets[MANY][SECRET_SIZE];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        secret_new(secrets[i]);
        assert_int_equal(strlen(secrets[i]), 48);
        assert_true(secret_valid(secrets[i]));
        for (int j = 0; j < i; j++) assert_string_not_equal(secrets[i], secrets[j]);
    }
}

static void every_character_of_a_secret_varies(void **state)
{
    bool varied[SECRET_SIZE] = {false};
    char first[SECRET_SIZE], other[SECRET_SIZE];
    (void)state;
    secret_new(first);
    for (int i = 0; i < 200; i++) {
        secret_new(other);
        for (int at = 0; at < SECRET_SIZE; at++) varied[at] |= first[at] != other[at];
    }
    for (int at = (int)strlen(SECRET_PREFIX); at < SECRET_SIZE - 1; at++) assert_true(varied[at]);
}

static void other_texts_are_no_secrets(void **state)
{
    static const char *const rows[] = {
        "",
        "leat_",
        "leat",
        "leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",   /* 42 */
        "leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 44 */
        "LEAT_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/",
        "leat_AAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAA",
        "leat_AAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAA",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_false(secret_valid(rows[i]));
    assert_true(secret_valid("leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_"));
}

/* FIPS 180-2, B.1, and the empty message. */
static void a_hash_is_sha256(void **state)
{
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"abc", "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
                "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad"},
        {"", "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24"
             "\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55"},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned char hash[SECRET_HASH_BYTES];
        secret_hash(hash, rows[i].text, strlen(rows[i].text));
        assert_memory_equal(hash, rows[i].hash, sizeof hash);
        assert_true(secret_equal(hash, rows[i].hash, sizeof hash));
        for (size_t at = 0; at < sizeof hash; at++) {
            hash[at] ^= 1;
            assert_false(secret_equal(hash, rows[i].hash, sizeof hash));
            hash[at] ^= 1;
        }
    }
}

static void wiping_leaves_nothing(void **state)
{
    char secret[SECRET_SIZE];
    (void)state;
    secret_new(secret);
    secret_wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++) assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_has_its_form_and_no_two_are_alike),
        cmocka_unit_test(every_character_of_a_secret_varies),
        cmocka_unit_test(other_texts_are_no_secrets),
        cmocka_unit_test(a_hash_is_sha256),
        cmocka_unit_test(wiping_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
