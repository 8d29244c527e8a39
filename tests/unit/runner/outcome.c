#include "runner/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Of the first of two attempts unless the row says otherwise. */
static const struct row {
    enum stop stop;
    enum ending ending;
    int number;
    int64_t attempt; /* 0: 1 */
    enum task_status status;
    const char *code;
    bool retryable;
} rows[] = {
    {STOP_NONE, ENDING_EXIT, 0, 0, TASK_COMPLETED, NULL, true},
    {STOP_NONE, ENDING_EXIT, 0, 2, TASK_COMPLETED, NULL, true},
    {STOP_NONE, ENDING_EXIT, 1, 0, TASK_PENDING, "exit_status", true},
    {STOP_NONE, ENDING_EXIT, 1, 2, TASK_FAILED, "exit_status", true},
    {STOP_NONE, ENDING_EXIT, 75, 0, TASK_PENDING, "exit_status", true},
    {STOP_NONE, ENDING_EXIT, 75, 2, TASK_FAILED, "exit_status", true},
    {STOP_NONE, ENDING_EXIT, 64, 0, TASK_FAILED, "exit_status", false},
    {STOP_NONE, ENDING_EXIT, 65, 0, TASK_FAILED, "exit_status", false},
    {STOP_NONE, ENDING_EXIT, 66, 0, TASK_FAILED, "exit_status", false},
    {STOP_NONE, ENDING_EXIT, 67, 0, TASK_PENDING, "exit_status", true},
    {STOP_NONE, ENDING_EXIT, 255, 0, TASK_PENDING, "exit_status", true},
    {STOP_NONE, ENDING_SIGNAL, 9, 0, TASK_PENDING, "killed_by_signal", true},
    {STOP_NONE, ENDING_SIGNAL, 9, 2, TASK_FAILED, "killed_by_signal", true},
    {STOP_NONE, ENDING_NO_EXEC, 0, 0, TASK_PENDING, "exec_failed", true},
    {STOP_NONE, ENDING_NO_EXEC, 0, 2, TASK_FAILED, "exec_failed", true},
    {STOP_NONE, ENDING_NO_FILES, 0, 0, TASK_PENDING, "exec_failed", true},
    {STOP_NONE, ENDING_NO_FILES, 0, 2, TASK_FAILED, "exec_failed", true},
    {STOP_NONE, ENDING_NO_TYPE, 0, 0, TASK_FAILED, "type_removed", false},
    {STOP_NONE, ENDING_UNUSABLE, 0, 0, TASK_FAILED, "exec_failed", true},
    {STOP_NONE, ENDING_NO_SYSTEM, 0, 2, TASK_PENDING, "exec_failed", true},
    {STOP_NONE, ENDING_HELD, 0, 2, TASK_PENDING, "exec_failed", true},
    {STOP_TIMEOUT, ENDING_SIGNAL, 15, 0, TASK_TIMEOUT, "timeout", true},
    {STOP_TIMEOUT, ENDING_EXIT, 0, 0, TASK_TIMEOUT, "timeout", true},
    {STOP_CANCEL, ENDING_EXIT, 0, 0, TASK_CANCELLED, "cancelled", false},
    {STOP_CANCEL, ENDING_EXIT, 75, 0, TASK_CANCELLED, "cancelled", false},
    {STOP_DRAIN, ENDING_SIGNAL, 9, 2, TASK_PENDING, NULL, false},
    {STOP_DRAIN, ENDING_EXIT, 0, 2, TASK_PENDING, NULL, false},
    {STOP_TOO_LARGE, ENDING_SIGNAL, 9, 0, TASK_FAILED, "result_too_large", false},
    {STOP_CONTEXT, ENDING_SIGNAL, 9, 0, TASK_FAILED, "context_too_large", true},
    {STOP_CHECKPOINT, ENDING_SIGNAL, 9, 0, TASK_FAILED, "checkpoint_too_large", true},
    {STOP_FILES, ENDING_EXIT, 0, 0, TASK_FAILED, "result_too_large", false},
    {STOP_REFUSED, ENDING_SIGNAL, 9, 0, TASK_FAILED, "exec_failed", true},
};

static void decide(struct outcome *o, const struct row *row, const char *said)
{
    outcome_decide(o, &(struct attempt_end){
                          .stop = row->stop,
                          .ending = row->ending,
                          .number = row->number,
                          .said = said,
                          .attempt = row->attempt ? row->attempt : 1,
                          .max_attempts = 2,
                          .timeout_ms = 1500,
                          .result_max = 8,
                      });
}

static void the_ending_decides_the_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o;
        decide(&o, &rows[i], "said");
        if (o.status != rows[i].status) fail_msg("row %zu: %s", i, task_status_name(o.status));
        if (!rows[i].code)
            assert_null(o.code);
        else
            assert_string_equal(o.code, rows[i].code);
        if (o.code) assert_int_equal(o.retryable, rows[i].retryable);
        free(o.message);
    }
}

static void only_a_stopping_runner_or_a_refusing_system_spends_no_attempt(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o;
        decide(&o, &rows[i], NULL);
        assert_int_equal(o.unspent, rows[i].stop == STOP_DRAIN ||
                                        rows[i].ending == ENDING_NO_SYSTEM ||
                                        rows[i].ending == ENDING_HELD);
        free(o.message);
    }
}

static void only_what_failed_waits_before_it_is_tried_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o;
        decide(&o, &rows[i], NULL);
        assert_int_equal(o.backoff, rows[i].status == TASK_PENDING && rows[i].stop == STOP_NONE);
        free(o.message);
    }
}

static void the_message_says_what_happened(void **state)
{
    (void)state;
    static const struct {
        struct row row;
        const char *said, *message;
    } cases[] = {
        {{.ending = ENDING_EXIT, .number = 3}, NULL, "the job failed and said nothing"},
        {{.ending = ENDING_EXIT, .number = 3}, "", "the job failed and said nothing"},
        {{.ending = ENDING_EXIT, .number = 3}, "no such file", "no such file"},
        {{.ending = ENDING_SIGNAL, .number = 9}, NULL, "the job was ended by a signal: Killed"},
        {{.ending = ENDING_SIGNAL, .number = 9}, "oops", "oops"},
        {{.ending = ENDING_NO_EXEC}, "cannot execute: why", "cannot execute: why"},
        {{.ending = ENDING_NO_TYPE}, "no executable 'x'", "no executable 'x'"},
        {{.stop = STOP_TIMEOUT}, "said", "not finished within 1.5 s"},
        {{.stop = STOP_CANCEL}, "said", "cancelled"},
        {{.stop = STOP_TOO_LARGE}, "said", "the result is larger than 8 bytes"},
        {{.stop = STOP_FILES}, "which bound", "which bound"},
        {{.ending = ENDING_NO_FILES}, "why", "why"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;
        decide(&o, &cases[i].row, cases[i].said);
        assert_string_equal(o.message, cases[i].message);
        free(o.message);
    }
}

static void the_number_stands_beside_the_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o;
        decide(&o, &rows[i], "said");
        bool exited = o.code && !strcmp(o.code, "exit_status");
        bool killed = o.code && !strcmp(o.code, "killed_by_signal");
        assert_int_equal(o.exit_status, exited ? rows[i].number : 0);
        assert_int_equal(o.signal, killed ? rows[i].number : 0);
        free(o.message);
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char said[2001];
    for (size_t i = 0; i < sizeof said - 1; i += 2) memcpy(said + i, "\xc3\xa9", 2);
    said[sizeof said - 1] = '\0';
    struct outcome o;
    decide(&o, &(struct row){.ending = ENDING_EXIT, .number = 3}, said);
    size_t len = strlen(o.message);
    assert_in_range(len, 490, 500);
    assert_int_equal((unsigned char)o.message[len - 1], 0xa9);
    free(o.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_decides_the_status),
        cmocka_unit_test(only_a_stopping_runner_or_a_refusing_system_spends_no_attempt),
        cmocka_unit_test(only_what_failed_waits_before_it_is_tried_again),
        cmocka_unit_test(the_message_says_what_happened),
        cmocka_unit_test(the_number_stands_beside_the_words),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
