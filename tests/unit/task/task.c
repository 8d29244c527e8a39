#include "task/task.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct task_view view = {.prefix = "/api", .epoch = "9f3a0b1c", .now = 5000};

static struct task pending(void)
{
    return (struct task){
        .n = 3,
        .id = "t1",
        .owner = (char *)"alice",
        .type = (char *)"wordcount",
        .request_id = (char *)"r1",
        .status = TASK_PENDING,
        .max_attempts = 1,
        .timeout_ms = TASK_NONE,
        .run_at = TASK_NONE,
        .created_at = 1000,
        .started_at = TASK_NONE,
        .completed_at = TASK_NONE,
        .updated_at = 1000,
        .queue_position = 2,
        .event_count = 1,
        .cursor = 7,
        .result_bytes = TASK_NONE,
    };
}

static json_t *document(const struct task *t)
{
    struct buf b = {0};
    struct error e = {0};
    task_document(&b, t, &view);
    json_t *doc = json_read(b.data, b.len, &e);
    if (!doc) fail_msg("%s: %s", e.text, b.data);
    assert_null(strchr(b.data, '\n'));
    buf_free(&b);
    return doc;
}

/* The member as JSON text equals `expected`. */
static void assert_member(const struct task *t, const char *name, const char *expected)
{
    json_t *doc = document(t), *value = json_object_get(doc, name);
    if (!value) fail_msg("no member %s", name);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(text, expected);
    free(text);
    json_decref(doc);
}

static void the_document_has_the_members_of_the_contract(void **state)
{
    (void)state;
    static const char *const members[] = {
        "id",
        "type",
        "status",
        "progress",
        "phase",
        "message",
        "group_id",
        "priority",
        "owner",
        "request_id",
        "attempt",
        "max_attempts",
        "run_at",
        "created_at",
        "started_at",
        "completed_at",
        "updated_at",
        "elapsed_seconds",
        "estimated_remaining_seconds",
        "queue_position",
        "cancel_requested",
        "result",
        "result_type",
        "result_bytes",
        "error",
        "event_count",
        "cursor",
        "files",
        "links",
    };
    struct task t = pending();
    json_t *doc = document(&t);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!json_object_get(doc, members[i])) fail_msg("no member %s", members[i]);
    assert_int_equal(json_object_size(doc), sizeof members / sizeof *members);
    json_decref(doc);
}

static void what_a_pending_task_has_not_is_null(void **state)
{
    (void)state;
    struct task t = pending();
    static const char *const absent[] = {
        "phase",      "message",      "group_id",        "run_at",
        "started_at", "completed_at", "elapsed_seconds", "estimated_remaining_seconds",
        "result",     "result_type",  "result_bytes",    "error"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_member(&t, absent[i], "null");
    assert_member(&t, "queue_position", "2");
    assert_member(&t, "cursor", "\"9f3a0b1c-7\"");
    assert_member(&t, "files", "[]");
}

static void a_running_task_estimates_what_remains(void **state)
{
    (void)state;
    struct task t = pending();
    t.status = TASK_RUNNING;
    t.started_at = 3000;
    assert_member(&t, "estimated_remaining_seconds", "null");
    t.progress = 25;
    assert_member(&t, "elapsed_seconds", "2");
    assert_member(&t, "estimated_remaining_seconds", "6");
}

static void elapsed_time_stops_at_completion(void **state)
{
    (void)state;
    struct task t = pending();
    t.status = TASK_COMPLETED;
    t.progress = 100;
    t.started_at = 3000;
    t.completed_at = 4500;
    assert_member(&t, "estimated_remaining_seconds", "null");
    json_t *doc = document(&t);
    assert_float_equal(json_real_value(json_object_get(doc, "elapsed_seconds")), 1.5, 1e-9);
    json_decref(doc);
}

static void an_error_has_code_message_and_retryable(void **state)
{
    (void)state;
    struct task t = pending();
    t.status = TASK_FAILED;
    t.error_code = (char *)"exit_status";
    t.error_message = (char *)"exit status 3: \"no\"";
    t.error_retryable = true;
    assert_member(&t, "error",
                  "{\"code\":\"exit_status\",\"message\":\"exit status 3: \\\"no\\\"\","
                  "\"retryable\":true}");
}

static void the_result_is_shown_as_it_is(void **state)
{
    (void)state;
    struct task t = pending();
    t.status = TASK_COMPLETED;
    t.result = (char *)"{\"words\":[1,2]}";
    t.result_type = (char *)"application/json";
    t.result_bytes = 15;
    assert_member(&t, "result", "{\"words\":[1,2]}");
    assert_member(&t, "result_type", "\"application/json\"");
    assert_member(&t, "result_bytes", "15");
}

static void links_begin_with_the_prefix(void **state)
{
    (void)state;
    struct task t = pending();
    assert_member(&t, "links",
                  "{\"self\":\"/api/tasks/t1\",\"events\":\"/api/tasks/t1/events\","
                  "\"result\":\"/api/tasks/t1/result\",\"cancel\":\"/api/tasks/t1/cancel\","
                  "\"retry\":\"/api/tasks/t1/retry\"}");
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
        cmocka_unit_test(the_document_has_the_members_of_the_contract),
        cmocka_unit_test(what_a_pending_task_has_not_is_null),
        cmocka_unit_test(a_running_task_estimates_what_remains),
        cmocka_unit_test(elapsed_time_stops_at_completion),
        cmocka_unit_test(an_error_has_code_message_and_retryable),
        cmocka_unit_test(the_result_is_shown_as_it_is),
        cmocka_unit_test(links_begin_with_the_prefix),
        cmocka_unit_test(freeing_leaves_an_empty_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
