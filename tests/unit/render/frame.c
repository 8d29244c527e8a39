/* Every frame, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "render/frame.h"

#include <stdio.h>
#include <string.h>

#define EPOCH "0123abcd"
#define TASK  "018cafe0-0000-7000-8000-000000000001"

static const struct dialect envelope = {.kind = DIALECT_ENVELOPE};
static const struct dialect notify = {.kind = DIALECT_NOTIFY};

static const enum frame_form forms[] = {FRAME_SSE, FRAME_NDJSON, FRAME_LOG};

/* What was written is exactly this; the buffer is empty afterwards. */
static void assert_written(struct buf *out, const char *expected, size_t len)
{
    if (out->len != len || memcmp(buf_text(out), expected, len) != 0)
        print_error("written:\n%s\nexpected:\n%s\n", buf_text(out), expected);
    assert_int_equal(out->len, len);
    assert_memory_equal(buf_text(out), expected, len);
    buf_free(out);
}

static void assert_text(struct buf *out, const char *expected)
{
    assert_written(out, expected, strlen(expected));
}

static struct event event_of(const char *type, const char *payload)
{
    return (struct event){
        .seq = 1042,
        .task = 3,
        .task_seq = 7,
        .owner = "alice",
        .group = "repo-7",
        .task_id = TASK,
        .request_id = "r-1",
        .type = type,
        .ts = 1703123456789,
        .payload = payload,
    };
}

static void event_is_an_id_and_one_line_of_data(void **state)
{
    struct event ev = event_of("task.progress", "{\"percent\":40}");
    struct buf out = {0};
    (void)state;
    frame_event(&out, FRAME_SSE, &envelope, &ev, EPOCH);
    assert_text(&out,
                "id: 0123abcd-1042\n"
                "data: {\"id\":\"0123abcd-1042\",\"type\":\"task.progress\","
                "\"ts\":1703123456789,\"task_id\":\"" TASK "\",\"task_seq\":7,"
                "\"group_id\":\"repo-7\",\"request_id\":\"r-1\",\"payload\":{\"percent\":40}}\n\n");
}

static void event_of_a_group_has_nulls_where_its_task_would_be(void **state)
{
    struct event ev = event_of("group.context_changed", "{\"version\":2}");
    struct buf out = {0};
    (void)state;
    ev.task = ev.task_seq = 0;
    ev.task_id = ev.request_id = NULL;
    frame_event(&out, FRAME_NDJSON, &envelope, &ev, EPOCH);
    assert_text(&out, "{\"id\":\"0123abcd-1042\",\"type\":\"group.context_changed\","
                      "\"ts\":1703123456789,\"task_id\":null,\"task_seq\":null,"
                      "\"group_id\":\"repo-7\",\"request_id\":null,\"payload\":{\"version\":2}}\n");
}

/* Line feeds and carriage returns end a line of a stream; U+2028 does not, and may stand as it is. */
static void awkward_text_stays_on_its_line(void **state)
{
    struct event ev = event_of("doc.created", "{\"t\":\"a\\nb\\r\\\"\xe2\x80\xa8\\u0000\"}");
    struct buf out = {0};
    (void)state;
    ev.group = "a\"b\\c\n\xe2\x80\xa8";
    ev.request_id = "r\r1";
    frame_event(&out, FRAME_SSE, &envelope, &ev, EPOCH);
    assert_text(&out, "id: 0123abcd-1042\n"
                      "data: {\"id\":\"0123abcd-1042\",\"type\":\"doc.created\","
                      "\"ts\":1703123456789,\"task_id\":\"" TASK "\",\"task_seq\":7,"
                      "\"group_id\":\"a\\\"b\\\\c\\n\xe2\x80\xa8\",\"request_id\":\"r\\r1\","
                      "\"payload\":{\"t\":\"a\\nb\\r\\\"\xe2\x80\xa8\\u0000\"}}\n\n");
}

static void event_without_a_word_in_the_dialect_is_not_there(void **state)
{
    struct event ev = event_of("doc.created", "{}");
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_event(&out, forms[i], &notify, &ev, EPOCH);
        assert_text(&out, "");
    }
}

static void log_shows_messages_and_nothing_of_other_events(void **state)
{
    static const char *const silent[][2] = {
        {"task.progress", "{\"message\":\"half\"}"},
        {"doc.created", "{\"message\":\"text\"}"},
        {"log.append", "{\"level\":\"info\"}"},
        {"log.append", "{\"message\":5}"},
        {"log.append", "null"},
    };
    struct buf out = {0};
    (void)state;
    struct event ev = event_of("log.append", "{\"level\":\"info\",\"message\":\"plain\"}");
    frame_event(&out, FRAME_LOG, &envelope, &ev, EPOCH);
    assert_text(&out, "plain\n");
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        ev = event_of(silent[i][0], silent[i][1]);
        frame_event(&out, FRAME_LOG, &envelope, &ev, EPOCH);
        assert_text(&out, "");
    }
}

static void log_gives_a_message_back_as_it_was_said(void **state)
{
    static const char said[] = "a\nb\"c\\\xe2\x80\xa8\0d\n";
    struct event ev = event_of(
        "log.append", "{\"level\":\"warn\",\"message\":\"a\\nb\\\"c\\\\\\u2028\\u0000d\"}");
    struct buf out = {0};
    (void)state;
    frame_event(&out, FRAME_LOG, &envelope, &ev, EPOCH);
    assert_written(&out, said, sizeof said - 1);
}

static void message_carries_an_id_only_when_it_has_a_position(void **state)
{
    static const char json[] = "{\"type\":\"stream.connected\",\"ts\":5,\"payload\":{\"a\":1}}";
    const struct notice said = {.type = "stream.connected", .ts = 5, .payload = "{\"a\":1}"};
    struct buf out = {0}, expected = {0};
    (void)state;
    for (int64_t id = -1; id <= 0; id++) {
        frame_notice(&out, FRAME_SSE, &envelope, &said, id, EPOCH);
        buf_fmt(&expected, "%sdata: %s\n\n", id < 0 ? "" : "id: 0123abcd-0\n", json);
        assert_text(&out, expected.data);
        buf_free(&expected);

        frame_notice(&out, FRAME_NDJSON, &envelope, &said, id, EPOCH);
        buf_fmt(&expected, "%s\n", json);
        assert_text(&out, expected.data);
        buf_free(&expected);

        frame_notice(&out, FRAME_LOG, &envelope, &said, id, EPOCH);
        assert_text(&out, "");
    }
}

/* WHATWG HTML, 9.2.6: a block without data dispatches nothing; its id counts. */
static void without_a_word_a_message_is_its_position_alone(void **state)
{
    const struct notice said = {.type = "stream.connected", .ts = 5, .payload = "{\"a\":1}"};
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_notice(&out, forms[i], &notify, &said, 3, EPOCH);
        assert_text(&out, forms[i] == FRAME_SSE ? "id: 0123abcd-3\n\n" : "");
        frame_notice(&out, forms[i], &notify, &said, -1, EPOCH);
        assert_text(&out, "");
    }
    frame_end(&out, FRAME_SSE, &notify, END_ROTATED, 9, 1500, 77, EPOCH);
    assert_text(&out, "id: 0123abcd-77\n\n");
    frame_end(&out, FRAME_SSE, &notify, END_FINISHED, 9, 1500, 77, EPOCH);
    assert_text(&out, "");
}

static void a_reset_has_its_position_in_its_text_where_the_dialect_wants_it(void **state)
{
    const struct notice said = {
        .type = "stream.reset", .ts = 1703123456789, .payload = "{\"reason\":\"epoch\"}"};
    struct buf out = {0};
    (void)state;
    frame_notice(&out, FRAME_SSE, &notify, &said, 3, EPOCH);
    assert_text(&out, "id: 0123abcd-3\n"
                      "data: {\"id\":\"0123abcd-3\",\"timestamp\":\"2023-12-21T01:50:56.789Z\","
                      "\"type\":\"sync_required\",\"reason\":\"epoch\"}\n\n");
}

static void a_change_without_a_change_of_word_is_not_there(void **state)
{
    static const struct dialect repo = {DIALECT_REPO, "pending=busy,running=busy"};
    struct event ev = event_of("group.status_changed", "{\"from\":\"pending\",\"to\":\"running\"}");
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_event(&out, forms[i], &repo, &ev, EPOCH);
        assert_text(&out, "");
    }
}

static void retry_is_for_event_streams(void **state)
{
    static const char *const expected[] = {"retry: 2000\n\n", "", ""};
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_retry(&out, forms[i], 2000);
        assert_text(&out, expected[i]);
    }
}

static void heartbeat_has_no_position(void **state)
{
    static const char *const expected[] = {
        ": heartbeat\n\n", "{\"type\":\"stream.heartbeat\",\"ts\":1703123456789}\n", ""};
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        frame_heartbeat(&out, forms[i], 1703123456789);
        assert_text(&out, expected[i]);
    }
}

static const struct {
    enum frame_end_reason reason;
    const char *name;
    bool goes_on; /* says where */
} ends[] = {
    {END_FINISHED, "finished", false}, {END_ROTATED, "rotated", true},
    {END_SHUTDOWN, "shutdown", true},  {END_EXPIRED, "expired", false},
    {END_REVOKED, "revoked", false},   {END_OVERLOADED, "overloaded", false},
};

static void end_names_its_reason_and_where_to_go_on(void **state)
{
    (void)state;
    assert_int_equal(sizeof ends / sizeof *ends, END_REASONS);
    for (size_t i = 0; i < END_REASONS; i++) {
        struct buf out = {0}, expected = {0};
        frame_end(&out, FRAME_SSE, &envelope, ends[i].reason, 9, 1500, 77, EPOCH);
        buf_fmt(&expected,
                "%sdata: {\"type\":\"stream.end\",\"ts\":9,"
                "\"payload\":{\"reason\":\"%s\",\"retry_ms\":1500}}\n\n",
                ends[i].goes_on ? "id: 0123abcd-77\n" : "", ends[i].name);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

/* Lines have no ids of their own beside the envelope, so the position is in the payload. */
static void end_of_lines_has_its_cursor_in_the_payload(void **state)
{
    (void)state;
    for (size_t i = 0; i < END_REASONS; i++) {
        struct buf out = {0}, expected = {0};
        frame_end(&out, FRAME_NDJSON, &envelope, ends[i].reason, 9, 1500, 77, EPOCH);
        buf_fmt(&expected,
                "{\"type\":\"stream.end\",\"ts\":9,"
                "\"payload\":{\"reason\":\"%s\",\"retry_ms\":1500%s}}\n",
                ends[i].name, ends[i].goes_on ? ",\"cursor\":\"0123abcd-77\"" : "");
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void log_that_is_cut_says_where_it_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < END_REASONS; i++) {
        struct buf out = {0}, expected = {0};
        buf_str(&expected, "");
        frame_end(&out, FRAME_LOG, &envelope, ends[i].reason, 9, 1500, 77, EPOCH);
        if (ends[i].goes_on)
            buf_fmt(&expected, "# %s; it goes on with ?follow=1&last_event_id=0123abcd-77\n",
                    ends[i].name);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void each_form_has_its_content_type(void **state)
{
    (void)state;
    assert_string_equal(frame_content_type(FRAME_SSE), "text/event-stream; charset=utf-8");
    assert_string_equal(frame_content_type(FRAME_NDJSON), "application/x-ndjson");
    assert_string_equal(frame_content_type(FRAME_LOG), "text/plain; charset=utf-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is_an_id_and_one_line_of_data),
        cmocka_unit_test(event_of_a_group_has_nulls_where_its_task_would_be),
        cmocka_unit_test(awkward_text_stays_on_its_line),
        cmocka_unit_test(event_without_a_word_in_the_dialect_is_not_there),
        cmocka_unit_test(log_shows_messages_and_nothing_of_other_events),
        cmocka_unit_test(log_gives_a_message_back_as_it_was_said),
        cmocka_unit_test(message_carries_an_id_only_when_it_has_a_position),
        cmocka_unit_test(without_a_word_a_message_is_its_position_alone),
        cmocka_unit_test(a_reset_has_its_position_in_its_text_where_the_dialect_wants_it),
        cmocka_unit_test(a_change_without_a_change_of_word_is_not_there),
        cmocka_unit_test(retry_is_for_event_streams),
        cmocka_unit_test(heartbeat_has_no_position),
        cmocka_unit_test(end_names_its_reason_and_where_to_go_on),
        cmocka_unit_test(end_of_lines_has_its_cursor_in_the_payload),
        cmocka_unit_test(log_that_is_cut_says_where_it_goes_on),
        cmocka_unit_test(each_form_has_its_content_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
