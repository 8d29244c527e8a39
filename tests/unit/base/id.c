#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void an_id_is_a_uuid_of_version_seven(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[ID_SIZE];
        id_new(id, 1703123456789);
        assert_true(id_valid(id));
        assert_int_equal(id[14], '7');
        assert_non_null(strchr("89ab", id[19]));
    }
}

static void an_id_begins_with_its_time(void **state)
{
    (void)state;
    char id[ID_SIZE];
    id_new(id, 0x0123456789ab);
    assert_memory_equal(id, "01234567-89ab-7", 15);
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    char before[ID_SIZE], after[ID_SIZE];
    id_new(before, 1703123456789);
    for (int64_t ms = 1; ms < 1000; ms++) {
        id_new(after, 1703123456789 + ms);
        assert_true(strcmp(before, after) < 0);
        memcpy(before, after, sizeof before);
    }
}

static void ids_of_one_moment_differ(void **state)
{
    (void)state;
    char a[ID_SIZE], b[ID_SIZE];
    id_new(a, 5);
    id_new(b, 5);
    assert_string_not_equal(a, b);
}

static void only_the_form_of_a_uuid_is_valid(void **state)
{
    (void)state;
    assert_true(id_valid("0190a6b4-7c1e-7abc-8def-0123456789ab"));
    static const char *const refused[] = {
        "",
        "0190a6b4-7c1e-7abc-8def-0123456789a",
        "0190a6b4-7c1e-7abc-8def-0123456789abc",
        "0190A6B4-7c1e-7abc-8def-0123456789ab",
        "0190a6b4_7c1e-7abc-8def-0123456789ab",
        "0190a6b4-7c1e-7abc-8def-0123456789ag",
        "0190a6b4-7c1e7-abc-8def-0123456789ab",
        "../../../etc/passwd/aaaaaaaaaaaaaaaa",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(id_valid(refused[i]));
}

static void a_word_has_so_many_hex_digits(void **state)
{
    (void)state;
    for (size_t digits = 0; digits < 40; digits++) {
        char word[50];
        memset(word, '!', sizeof word);
        id_hex(word, digits);
        assert_int_equal(strspn(word, "0123456789abcdef"), digits);
        assert_int_equal(word[digits], '\0');
        assert_int_equal(word[digits + 1], '!');
    }
}

static void random_numbers_stay_below_their_bound(void **state)
{
    (void)state;
    bool seen[7] = {false};
    for (int i = 0; i < 1000; i++) {
        uint32_t n = id_random(7);
        assert_in_range(n, 0, 6);
        seen[n] = true;
    }
    for (int i = 0; i < 7; i++) assert_true(seen[i]);
    assert_int_equal(id_random(0), 0);
}

static void the_boot_has_one_id(void **state)
{
    (void)state;
    char a[ID_SIZE], b[ID_SIZE];
    id_boot(a);
    id_boot(b);
    assert_true(id_valid(a));
    assert_string_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_a_uuid_of_version_seven),
        cmocka_unit_test(an_id_begins_with_its_time),
        cmocka_unit_test(ids_sort_by_time),
        cmocka_unit_test(ids_of_one_moment_differ),
        cmocka_unit_test(only_the_form_of_a_uuid_is_valid),
        cmocka_unit_test(a_word_has_so_many_hex_digits),
        cmocka_unit_test(random_numbers_stay_below_their_bound),
        cmocka_unit_test(the_boot_has_one_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
