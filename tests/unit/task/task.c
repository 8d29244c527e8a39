#include "task/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void elapsed_time_is_that_of_the_attempt(void **state)
{
    (void)state;
    static const struct {
        enum task_status status;
        int64_t started_at, completed_at;
        double seconds;
    } rows[] = {
        {TASK_PENDING, TASK_NONE, TASK_NONE, -1}, {TASK_PENDING, 3000, TASK_NONE, -1},
        {TASK_CANCELLED, TASK_NONE, 4000, -1},    {TASK_RUNNING, 3000, TASK_NONE, 2},
        {TASK_COMPLETED, 3000, 4500, 1.5},        {TASK_RUNNING, 6000, TASK_NONE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct task t = {.status = rows[i].status,
                               .started_at = rows[i].started_at,
                               .completed_at = rows[i].completed_at};
        assert_float_equal(task_elapsed_seconds(&t, 5000), rows[i].seconds, 1e-9);
    }
}

static void freeing_leaves_an_empty_task(void **state)
{
    (void)state;
    struct task t = {.owner = mem_str("a"), .result = mem_str("1"), .error_code = mem_str("x")};
    task_free(&t);
    assert_null(t.owner);
    task_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elapsed_time_is_that_of_the_attempt),
        cmocka_unit_test(freeing_leaves_an_empty_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
