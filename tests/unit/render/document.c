#include "render/document.h"

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

static void an_error_has_the_words_of_the_job_and_beside_them_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *code, *message;
        bool retryable;
        int64_t exit_status, signal;
        const char *expected;
    } rows[] = {
        {"exit_status", "it said \"no\"", true, 3, TASK_NONE,
         "{\"code\":\"exit_status\",\"message\":\"it said \\\"no\\\"\",\"retryable\":true,"
         "\"exit_status\":3}"},
        {"killed_by_signal", NULL, false, TASK_NONE, 9,
         "{\"code\":\"killed_by_signal\",\"message\":null,\"retryable\":false,\"signal\":9}"},
        {"timeout", "late", true, TASK_NONE, TASK_NONE,
         "{\"code\":\"timeout\",\"message\":\"late\",\"retryable\":true}"},
        {"timeout", "late", true, 0, 0,
         "{\"code\":\"timeout\",\"message\":\"late\",\"retryable\":true}"},
        {NULL, NULL, false, TASK_NONE, TASK_NONE, "null"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct task t = pending();
        t.status = TASK_FAILED;
        t.error_code = (char *)rows[i].code;
        t.error_message = (char *)rows[i].message;
        t.error_retryable = rows[i].retryable;
        t.exit_status = rows[i].exit_status;
        t.signal = rows[i].signal;
        assert_member(&t, "error", rows[i].expected);
    }
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

static void assert_group(const struct group *g, const char *expected)
{
    struct buf b = {0};
    group_document_part(&b, g, &(struct task_view){.prefix = "/api"}, GROUP_WHOLE);
    assert_string_equal(buf_text(&b), expected);
    assert_true(json_valid(b.data, b.len));
    buf_free(&b);
}

static void the_group_has_every_member(void **state)
{
    (void)state;
    const struct group g = {
        .owner = (char *)"alice",
        .name = (char *)"repo-7",
        .status = "running",
        .counts = {1, 2, 3, 4, 5, 6},
        .progress = 62.5,
        .type = (char *)"clone",
        .error = (char *)"{\"code\":\"timeout\"}",
        .context = (char *)"{\"a\":1}",
        .version = 3,
        .created_at = 1000,
        .updated_at = 2000,
    };
    assert_group(&g, "{\"id\":\"repo-7\",\"owner\":\"alice\",\"status\":\"running\",\"type\":"
                     "\"clone\",\"progress\":62.5,"
                     "\"counts\":{\"pending\":1,\"running\":2,\"completed\":3,\"failed\":4,"
                     "\"timeout\":5,\"cancelled\":6},\"total\":21,\"error\":{\"code\":\"timeout\"},"
                     "\"context\":{\"a\":1},"
                     "\"version\":3,\"created_at\":1000,\"updated_at\":2000,\"links\":{"
                     "\"self\":\"/api/groups/repo-7\",\"events\":\"/api/groups/repo-7/events\","
                     "\"context\":\"/api/groups/repo-7/context\"}}");
}

static void one_never_used_is_idle_and_empty(void **state)
{
    (void)state;
    const struct group g = {.owner = (char *)"alice",
                            .name = (char *)"g",
                            .status = "idle",
                            .created_at = TASK_NONE,
                            .updated_at = TASK_NONE};
    assert_group(
        &g, "{\"id\":\"g\",\"owner\":\"alice\",\"status\":\"idle\",\"type\":null,\"progress\":0,"
            "\"counts\":{\"pending\":0,\"running\":0,\"completed\":0,\"failed\":0,"
            "\"timeout\":0,\"cancelled\":0},\"total\":0,\"error\":null,\"context\":null,"
            "\"version\":0,\"created_at\":null,\"updated_at\":null,\"links\":{"
            "\"self\":\"/api/groups/g\",\"events\":\"/api/groups/g/events\","
            "\"context\":\"/api/groups/g/context\"}}");
}

static void links_percent_encode_the_name(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"aZ09-._~", "aZ09-._~"}, {"a/b c", "a%2Fb%20c"},
        {"50%", "50%25"},         {"a?b#c&d=e+f", "a%3Fb%23c%26d%3De%2Bf"},
        {"\"\\", "%22%5C"},       {"\xc3\xa9", "%C3%A9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct group g = {.owner = (char *)"o", .name = (char *)rows[i][0], .status = "idle"};
        struct buf b = {0}, link = {0};
        group_document_part(&b, &g, &(struct task_view){.prefix = "/api"}, GROUP_WHOLE);
        buf_fmt(&link, "\"self\":\"/api/groups/%s\"", rows[i][1]);
        if (!strstr(b.data, link.data)) fail_msg("%s is not in %s", link.data, b.data);
        buf_free(&b);
        buf_free(&link);
    }
}

static void assert_envelope(const struct event *ev, const char *expected)
{
    struct buf b = {0};
    event_envelope(&b, ev, "9f3a0b1c");
    assert_string_equal(buf_text(&b), expected);
    buf_free(&b);
}

static void the_envelope_has_every_member(void **state)
{
    (void)state;
    const struct event ev = {
        .seq = 1042,
        .task = 3,
        .task_seq = 7,
        .owner = "alice",
        .group = "repo-7",
        .task_id = "t1",
        .request_id = "r1",
        .type = "task.progress",
        .ts = 1703123456789,
        .payload = "{\"percent\":40}",
    };
    assert_envelope(&ev,
                    "{\"id\":\"9f3a0b1c-1042\",\"type\":\"task.progress\",\"ts\":1703123456789,"
                    "\"task_id\":\"t1\",\"task_seq\":7,\"group_id\":\"repo-7\","
                    "\"request_id\":\"r1\",\"payload\":{\"percent\":40}}");
}

static void what_an_event_has_not_is_null(void **state)
{
    (void)state;
    const struct event ev = {
        .seq = 1, .owner = "alice", .type = "doc.created", .ts = 5, .payload = "{}"};
    assert_envelope(&ev,
                    "{\"id\":\"9f3a0b1c-1\",\"type\":\"doc.created\",\"ts\":5,\"task_id\":null,"
                    "\"task_seq\":null,\"group_id\":null,\"request_id\":null,\"payload\":{}}");
}

static void a_strange_group_stays_inside_its_string(void **state)
{
    (void)state;
    const struct event ev = {
        .seq = 1, .group = "a\"b\nc", .type = "doc.created", .ts = 5, .payload = "{}"};
    assert_envelope(&ev,
                    "{\"id\":\"9f3a0b1c-1\",\"type\":\"doc.created\",\"ts\":5,\"task_id\":null,"
                    "\"task_seq\":null,\"group_id\":\"a\\\"b\\nc\",\"request_id\":null,"
                    "\"payload\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_has_the_members_of_the_contract),
        cmocka_unit_test(what_a_pending_task_has_not_is_null),
        cmocka_unit_test(a_running_task_estimates_what_remains),
        cmocka_unit_test(elapsed_time_stops_at_completion),
        cmocka_unit_test(an_error_has_the_words_of_the_job_and_beside_them_numbers),
        cmocka_unit_test(the_result_is_shown_as_it_is),
        cmocka_unit_test(links_begin_with_the_prefix),
        cmocka_unit_test(the_group_has_every_member),
        cmocka_unit_test(one_never_used_is_idle_and_empty),
        cmocka_unit_test(links_percent_encode_the_name),
        cmocka_unit_test(the_envelope_has_every_member),
        cmocka_unit_test(what_an_event_has_not_is_null),
        cmocka_unit_test(a_strange_group_stays_inside_its_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
