#include "task/job_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct job_line parsed(const char *line)
{
    struct job_line s;
    struct error e = {0};
    if (job_line_parse(&s, line, strlen(line), &e)) fail_msg("%s: %s", line, e.text);
    return s;
}

/* The line is refused, and the reason contains `why`. */
static void assert_refused(const char *line, size_t len, const char *why)
{
    struct job_line s;
    struct error e = {0};
    if (job_line_parse(&s, line, len, &e) != ERR_INVALID) fail_msg("%s: not refused", line);
    if (!strstr(e.text, why)) fail_msg("%s: '%s' does not say '%s'", line, e.text, why);
    assert_null(s.message);
    assert_null(s.json);
}

static void assert_text(const char *got, const char *expected)
{
    if (!expected)
        assert_null(got);
    else
        assert_string_equal(got, expected);
}

static void a_number_is_progress_and_the_rest_its_message(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        double percent;
        const char *message;
    } rows[] = {
        {"40", 40, NULL},       {"40 Compiling", 40, "Compiling"},
        {"0", 0, NULL},         {"100 done", 100, "done"},
        {"40.5", 40.5, NULL},   {"40.5 half way", 40.5, "half way"},
        {"40%", 40, NULL},      {"40% Compiling", 40, "Compiling"},
        {"  40\tx  ", 40, "x"}, {"40 x\r", 40, "x"},
        {"040", 40, NULL},      {"40 \xc3\xa9t\xc3\xa9", 40, "\xc3\xa9t\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s = parsed(rows[i].line);
        assert_int_equal(s.kind, JOB_LINE_PROGRESS);
        assert_float_equal(s.percent, rows[i].percent, 1e-9);
        assert_text(s.message, rows[i].message);
        assert_null(s.phase);
        job_line_free(&s);
    }
}

static void an_empty_line_says_nothing(void **state)
{
    (void)state;
    static const char *const empty[] = {"", " ", "\t\r"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct job_line s = parsed(empty[i]);
        assert_int_equal(s.kind, JOB_LINE_NOTHING);
        job_line_free(&s);
    }
}

static void what_is_no_percentage_is_refused(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"Compiling", "neither"}, {"-1", "neither"},        {"40x", "neither"},
        {"40,5", "neither"},      {"40.", "neither"},       {".5", "neither"},
        {"1e1", "neither"},       {"nan", "neither"},       {"0x10", "neither"},
        {"101", "0 to 100"},      {"100.01 x", "0 to 100"}, {"9999999999999999999999999", "digits"},
        {"40 \xff", "UTF-8"},     {"[40]", "neither"},      {"\"40\"", "neither"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_refused(lines[i][0], strlen(lines[i][0]), lines[i][1]);
}

static void a_nul_in_text_is_refused(void **state)
{
    (void)state;
    assert_refused("40 a\0b", 6, "message contains a NUL");
    static const char *const lines[][2] = {
        {"{\"message\":\"a\\u0000b\"}", "message contains a NUL"},
        {"{\"phase\":\"\\u0000\"}", "phase contains a NUL"},
        {"{\"log\":\"\\u0000\"}", "log contains a NUL"},
        {"{\"type\":\"a.b\\u0000\"}", "type contains a NUL"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_refused(lines[i][0], strlen(lines[i][0]), lines[i][1]);
}

static void an_object_gives_any_part_of_progress(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        double percent;
        const char *phase, *message;
    } rows[] = {
        {"{\"progress\":40,\"phase\":\"llm\",\"message\":\"m\"}", 40, "llm", "m"},
        {"{\"progress\":0.5}", 0.5, NULL, NULL},
        {"{\"phase\":\"llm\"}", -1, "llm", NULL},
        {"{\"message\":\"\"}", -1, NULL, ""},
        {" {\"progress\":1e2} ", 100, NULL, NULL},
        {"{\"progress\":40,\"phase\":null,\"message\":null}", 40, NULL, NULL},
        {"{\"progress\":null,\"phase\":\"llm\"}", -1, "llm", NULL},
        {"{\"step\":3,\"progress\":40,\"of\":[7]}", 40, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s = parsed(rows[i].line);
        assert_int_equal(s.kind, JOB_LINE_PROGRESS);
        assert_float_equal(s.percent, rows[i].percent, 1e-9);
        assert_text(s.phase, rows[i].phase);
        assert_text(s.message, rows[i].message);
        job_line_free(&s);
    }
}

static void an_event_keeps_its_payload(void **state)
{
    (void)state;
    struct job_line s =
        parsed("{\"type\":\"doc.created\", \"payload\": {\"b\": [1, null], \"a\": \"\\n\"}}");
    assert_int_equal(s.kind, JOB_LINE_EVENT);
    assert_string_equal(s.type, "doc.created");
    assert_string_equal(s.json, "{\"b\": [1, null], \"a\": \"\\n\"}");
    job_line_free(&s);
}

static void numbers_keep_their_digits(void **state)
{
    (void)state;
    struct job_line s =
        parsed("{\"payload\":{},\"type\":\"a.b\",\"payload\":{\"x\":0.1,\"y\":1.50}}");
    assert_string_equal(s.json, "{\"x\":0.1,\"y\":1.50}");
    job_line_free(&s);
}

static void an_event_without_payload_has_an_empty_one(void **state)
{
    (void)state;
    struct job_line s = parsed("{\"type\":\"doc.created\"}");
    assert_string_equal(s.json, "{}");
    job_line_free(&s);
}

static void a_log_line_has_a_level(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"log\":\"x\"}", "info"},
        {"{\"log\":\"x\",\"level\":\"debug\"}", "debug"},
        {"{\"level\":\"error\",\"log\":\"x\"}", "error"},
        {"{\"log\":\"x\",\"level\":\"warn\"}", "warn"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s = parsed(rows[i][0]);
        assert_int_equal(s.kind, JOB_LINE_LOG);
        assert_string_equal(s.message, "x");
        assert_string_equal(s.level, rows[i][1]);
        job_line_free(&s);
    }
}

static void checkpoint_and_context_are_any_value(void **state)
{
    (void)state;
    static const char *const values[] = {"[{\"role\": \"user\"}]", "5", "\"x\"", "null", "1.50"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char line[100];
        snprintf(line, sizeof line, "{\"context\":%s}", values[i]);
        struct job_line c = parsed(line);
        assert_int_equal(c.kind, JOB_LINE_CONTEXT);
        assert_string_equal(c.json, values[i]);
        job_line_free(&c);
    }
    struct job_line s = parsed("{\"checkpoint\":{\"at\": 3}}");
    assert_int_equal(s.kind, JOB_LINE_CHECKPOINT);
    assert_string_equal(s.json, "{\"at\": 3}");
    job_line_free(&s);
    s = parsed("{\"context\":{}}");
    assert_int_equal(s.kind, JOB_LINE_CONTEXT);
    assert_string_equal(s.json, "{}");
    job_line_free(&s);
}

static void a_malformed_object_is_refused_by_the_name_of_its_member(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"{}", "says nothing"},
        {"{\"phase\":null,\"message\":null}", "says nothing"},
        {"{\"progress\":40", "line 1"},
        {"{\"progress\":40} x", "line 1"},
        {"{\"progress\":\"40\"}", "progress is not a number"},
        {"{\"progress\":null}", "says nothing"},
        {"{\"log\":null}", "log is not a string"},
        {"{\"progress\":true}", "progress is not a number"},
        {"{\"progress\":101}", "progress is not from 0 to 100"},
        {"{\"progress\":-0.1}", "progress is not from 0 to 100"},
        {"{\"phase\":1}", "phase is not a string"},
        {"{\"message\":{}}", "message is not a string"},
        {"{\"percent\":40}", "unknown member 'percent'"},
        {"{\"percent\":40,\"phase\":null}", "unknown member 'percent'"},
        {"{\"type\":\"doc\"}", "type 'doc'"},
        {"{\"type\":\"task.done\"}", "type 'task.done'"},
        {"{\"type\":7}", "type is not a string"},
        {"{\"payload\":{}}", "payload without type"},
        {"{\"type\":\"a.b\",\"progress\":1}", "type and progress"},
        {"{\"progress\":1,\"log\":\"x\"}", "progress and log"},
        {"{\"checkpoint\":{},\"context\":{}}", "checkpoint and context"},
        {"{\"log\":1}", "log is not a string"},
        {"{\"level\":\"warn\"}", "level without log"},
        {"{\"log\":\"x\",\"level\":\"fatal\"}", "level is not"},
        {"{\"log\":\"x\",\"level\":3}", "level is not"},
        {"{\"message\":\"\xff\"}", "line 1"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_refused(lines[i][0], strlen(lines[i][0]), lines[i][1]);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char line[1024] = "{\"type\":\"a.b\",\"payload\":";
    size_t n = strlen(line);
    memset(line + n, '[', 400);
    assert_refused(line, n + 400, "nested");
}

static void half_a_surrogate_pair_becomes_a_replacement_character(void **state)
{
    (void)state;
    static const struct {
        const char *line, *json;
        bool mended;
    } rows[] = {
        {"{\"type\":\"a.b\",\"payload\":\"\\ud83d\"}", "\"\\ufffd\"", true},
        {"{\"type\":\"a.b\",\"payload\":\"\\uDE00x\"}", "\"\\ufffdx\"", true},
        {"{\"type\":\"a.b\",\"payload\":\"\\ud83d\\ud83d\\ude00\"}", "\"\\ufffd\\ud83d\\ude00\"",
         true},
        {"{\"type\":\"a.b\",\"payload\":\"\\uD83D\\uDE00\"}", "\"\\uD83D\\uDE00\"", false},
        {"{\"type\":\"a.b\",\"payload\":\"\\\\ud83d\"}", "\"\\\\ud83d\"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s;
        struct error e = {0};
        if (job_line_parse(&s, rows[i].line, strlen(rows[i].line), &e)) fail_msg("%s", e.text);
        assert_string_equal(s.json, rows[i].json);
        assert_int_equal(s.mended, rows[i].mended);
        job_line_free(&s);
    }
    assert_refused("{\"log\":\"\\ud8", strlen("{\"log\":\"\\ud8"), "");
}

static void a_cut_line_is_known_by_its_beginning(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum job_line_kind kind;
    } rows[] = {
        {"{\"context\":{", JOB_LINE_CONTEXT},
        {" { \"checkpoint\" : [", JOB_LINE_CHECKPOINT},
        {"{\"log\":\"\\\"context", JOB_LINE_NOTHING},
        {"{\"context", JOB_LINE_NOTHING},
        {"\"context\"", JOB_LINE_NOTHING},
        {"", JOB_LINE_NOTHING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(job_line_guess(rows[i].line, strlen(rows[i].line)), rows[i].kind);
}

static void terminal_control_is_taken_out_of_the_log(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message, *ansi;
    } rows[] = {
        {"plain", "plain", NULL},
        {"\033[32mgreen\033[0m", "green", "\033[32mgreen\033[0m"},
        {"\033[mnone\033[38;2;1;2;3mrgb\033[4:3mcurly", "nonergbcurly",
         "\033[mnone\033[38;2;1;2;3mrgb\033[4:3mcurly"},
        {"<3>\033[1;31mbad\033[K", "bad", "\033[1;31mbad"},
        {"\033]0;a title\007text", "text", NULL},
        {"\033[31m\033]0;title\007<b>\033[2J\a\xc2\x9b", "<b>", "\033[31m<b>"},
        {"\033]8;;http://x\033\\link\033]8;;\033\\", "link", NULL},
        {"\033(Bplain\033=", "plain", NULL},
        {"\033[>4;1mkeys\033[?25m\033[1 mx", "keysx", NULL},
        {"\033[31m\033[0m", "", NULL},
        {"\033[31m\xff", "\xef\xbf\xbd", "\033[31m\xef\xbf\xbd"},
        {"a\bb\tc\x7f", "ab\tc", NULL},
        {"\033[999", "", NULL},
        {"\033", "", NULL},
        {"\xc2\x9b caf\xc3\xa9 \xc2\xa9", " caf\xc3\xa9 \xc2\xa9", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s;
        job_log_line(&s, rows[i].line, strlen(rows[i].line));
        assert_string_equal(s.message, rows[i].message);
        assert_int_equal(!!s.ansi, !!rows[i].ansi);
        if (s.ansi) assert_string_equal(s.ansi, rows[i].ansi);
        job_line_free(&s);
    }
}

static void a_log_line_of_json_is_freed_of_it_likewise(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{\"log\":\"\\u001b[32mgreen\\u001b]0;t\\u0007\\nnext\\u001b[2J\"}", "green\nnext",
         "\033[32mgreen\nnext"},
        {"{\"log\":\"a\\u001b]0;without end\\nb\\u001b[3\\nc\"}", "a\nb\nc", NULL},
        {"{\"level\":\"error\",\"log\":\"plain\\t\\r\"}", "plain\t", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s = parsed(rows[i][0]);
        assert_string_equal(s.message, rows[i][1]);
        assert_text(s.ansi, rows[i][2]);
        job_line_free(&s);
    }
}

static void colours_are_left_out_where_they_make_an_event_too_long(void **state)
{
    (void)state;
    /* both texts, and the nine bytes that the sequence is in JSON */
    for (size_t n = 0; n < 2; n++) {
        struct buf line = {0};
        while (line.len < JOB_LINE_MAX / 2 - 5 + n) buf_char(&line, 'x');
        buf_str(&line, "\033[1m");
        struct job_line s;
        job_log_line(&s, line.data, line.len);
        assert_int_equal(strlen(s.message), line.len - 4);
        assert_int_equal(!!s.ansi, n == 0);
        job_line_free(&s);
        buf_free(&line);
    }
}

static void stderr_prefixes_give_the_level(void **state)
{
    (void)state;
    static const struct {
        const char *line, *level, *message;
    } rows[] = {
        {"plain", "info", "plain"}, {"<0>x", "error", "x"}, {"<1>x", "error", "x"},
        {"<2>x", "error", "x"},     {"<3>x", "error", "x"}, {"<4>x", "warn", "x"},
        {"<5>x", "info", "x"},      {"<6>x", "info", "x"},  {"<7>x", "debug", "x"},
        {"<8>x", "info", "<8>x"},   {"<3x", "info", "<3x"}, {"<3>", "error", ""},
        {"", "info", ""},           {"x\r", "info", "x"},   {" <3>x", "info", " <3>x"},
        {"<33>x", "info", "<33>x"}, {"40", "info", "40"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s;
        job_log_line(&s, rows[i].line, strlen(rows[i].line));
        assert_int_equal(s.kind, JOB_LINE_LOG);
        assert_string_equal(s.level, rows[i].level);
        assert_string_equal(s.message, rows[i].message);
        job_line_free(&s);
    }
}

static void what_is_not_text_on_stderr_is_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t len;
        const char *message;
    } rows[] = {
        {"a\xff"
         "b",
         3,
         "a\xef\xbf\xbd"
         "b"},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b"},
        {"\xc3", 1, "\xef\xbf\xbd"},
        {"\xc3\xa9\x80", 3, "\xc3\xa9\xef\xbf\xbd"},
        {"\xf0\x9f\x98\x80\xed\xa0\x80", 7, "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job_line s;
        job_log_line(&s, rows[i].line, rows[i].len);
        assert_string_equal(s.message, rows[i].message);
        job_line_free(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_progress_and_the_rest_its_message),
        cmocka_unit_test(an_empty_line_says_nothing),
        cmocka_unit_test(what_is_no_percentage_is_refused),
        cmocka_unit_test(a_nul_in_text_is_refused),
        cmocka_unit_test(an_object_gives_any_part_of_progress),
        cmocka_unit_test(an_event_keeps_its_payload),
        cmocka_unit_test(numbers_keep_their_digits),
        cmocka_unit_test(an_event_without_payload_has_an_empty_one),
        cmocka_unit_test(a_log_line_has_a_level),
        cmocka_unit_test(checkpoint_and_context_are_any_value),
        cmocka_unit_test(a_malformed_object_is_refused_by_the_name_of_its_member),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(half_a_surrogate_pair_becomes_a_replacement_character),
        cmocka_unit_test(a_cut_line_is_known_by_its_beginning),
        cmocka_unit_test(terminal_control_is_taken_out_of_the_log),
        cmocka_unit_test(a_log_line_of_json_is_freed_of_it_likewise),
        cmocka_unit_test(colours_are_left_out_where_they_make_an_event_too_long),
        cmocka_unit_test(stderr_prefixes_give_the_level),
        cmocka_unit_test(what_is_not_text_on_stderr_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
