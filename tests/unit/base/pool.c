/* Blocks that are kept: large enough, each given once, and no more of them than is said. */
#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void a_block_has_what_was_asked_for(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 2 * POOL_MAX; bytes++) {
        assert_true(pool_round(bytes) >= bytes && pool_round(bytes) < bytes + POOL_STEP);
        for (int again = 0; again < 2; again++) { /* new, then kept */
            unsigned char *block = pool_get(bytes);
            assert_non_null(block);
            assert_true(pool_size(block) >= pool_round(bytes));
            assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
            memset(block, 0xa5, bytes);
            pool_put(block);
        }
    }
    assert_int_equal(pool_size(NULL), 0);
    pool_put(NULL);
}

static void what_was_given_back_last_is_given_first(void **state)
{
    (void)state;
    void *first = pool_get(500), *second = pool_get(500);
    assert_ptr_not_equal(first, second);
    pool_put(first);
    pool_put(second);
    assert_ptr_equal(pool_get(481), second); /* the same size */
    assert_ptr_equal(pool_get(512), first);
    pool_put(first);
    void *other = pool_get(513); /* another one */
    assert_ptr_not_equal(other, first);
    pool_put(other);
    pool_put(second);
}

static void no_block_is_given_twice(void **state)
{
    (void)state;
    enum { MANY = 3 * POOL_KEPT };
    unsigned char *blocks[MANY];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            blocks[i] = pool_get((size_t)(i % 7) * 100 + 1);
            assert_non_null(blocks[i]);
            memset(blocks[i], i % 251, pool_size(blocks[i]));
        }
        for (int i = 0; i < MANY; i++) {
            size_t size = pool_size(blocks[i]);
            for (size_t at = 0; at < size; at++) assert_int_equal(blocks[i][at], i % 251);
            pool_put(blocks[i]);
        }
    }
}

static void a_block_of_malloc_may_be_given_too(void **state)
{
    (void)state;
    char *block = realloc(pool_get(40), 1000);
    strcpy(block, "grown");
    pool_put(block);
    assert_ptr_equal(pool_get(pool_size(block) / POOL_STEP * POOL_STEP), block);
    pool_put(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_has_what_was_asked_for),
        cmocka_unit_test(what_was_given_back_last_is_given_first),
        cmocka_unit_test(no_block_is_given_twice),
        cmocka_unit_test(a_block_of_malloc_may_be_given_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
