#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void a_zeroed_buffer_is_empty_text(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_string_equal(buf_text(&b), "");
    assert_null(b.data);
    buf_clear(&b);
    buf_drop(&b, 5);
    buf_free(&b);
}

static void what_is_added_stands_in_order_and_ends_with_a_nul(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_str(&b, "a");
    buf_char(&b, 'b');
    buf_int(&b, INT64_MIN);
    buf_fmt(&b, "%s-%d", "c", 7);
    buf_add(&b, "d\0e", 3);
    assert_memory_equal(b.data, "ab-9223372036854775808c-7d\0e", 29);
    assert_int_equal(b.len, 28);
    buf_free(&b);
}

static void adding_nothing_makes_an_empty_string(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add(&b, NULL, 0);
    assert_non_null(b.data);
    assert_string_equal(b.data, "");
    buf_free(&b);
}

static void it_grows_as_far_as_needed(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 100000; i++) buf_char(&b, (char)('a' + i % 26));
    assert_int_equal(b.len, 100000);
    assert_true(b.cap > b.len);
    for (int i = 0; i < 100000; i++) assert_int_equal(b.data[i], 'a' + i % 26);
    assert_int_equal(b.data[b.len], '\0');
    buf_free(&b);
}

static void a_long_format_is_not_cut(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_fmt(&b, "%5000d", 1);
    assert_int_equal(b.len, 5000);
    assert_int_equal(strlen(b.data), 5000);
    buf_free(&b);
}

static void reserved_room_is_there(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_str(&b, "ab");
    memset(buf_reserve(&b, 1000), 'x', 1000);
    b.len += 1000;
    buf_char(&b, 'c');
    assert_int_equal(b.len, 1003);
    assert_int_equal(b.data[1002], 'c');
    buf_free(&b);
}

static void dropping_removes_from_the_front(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_str(&b, "abcdef");
    buf_drop(&b, 2);
    assert_string_equal(b.data, "cdef");
    buf_drop(&b, 0);
    assert_int_equal(b.len, 4);
    buf_drop(&b, 99);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_free(&b);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_str(&b, "abc");
    const char *before = b.data;
    buf_clear(&b);
    assert_string_equal(buf_text(&b), "");
    buf_str(&b, "x");
    assert_ptr_equal(b.data, before);
    buf_free(&b);
    assert_null(b.data);
}

static void copies_are_ended_by_a_nul(void **state)
{
    (void)state;
    char *copy = mem_dup("abc", 2);
    assert_string_equal(copy, "ab");
    free(copy);
    copy = mem_dup("", 0);
    assert_string_equal(copy, "");
    free(copy);
}

static void null_stays_null(void **state)
{
    (void)state;
    assert_null(mem_dup(NULL, 3));
    assert_null(mem_str(NULL));
}

static void new_memory_is_zeroed(void **state)
{
    (void)state;
    char *p = mem_alloc(100), zeros[100] = {0};
    assert_memory_equal(p, zeros, 100);
    free(p);
    free(mem_alloc(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_text),
        cmocka_unit_test(what_is_added_stands_in_order_and_ends_with_a_nul),
        cmocka_unit_test(adding_nothing_makes_an_empty_string),
        cmocka_unit_test(it_grows_as_far_as_needed),
        cmocka_unit_test(a_long_format_is_not_cut),
        cmocka_unit_test(reserved_room_is_there),
        cmocka_unit_test(dropping_removes_from_the_front),
        cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(copies_are_ended_by_a_nul),
        cmocka_unit_test(null_stays_null),
        cmocka_unit_test(new_memory_is_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
