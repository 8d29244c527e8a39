/* Every event and task in every dialect, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "render/dialect.h"

#include <stdio.h>
#include <string.h>

#define EPOCH "0123abcd"
#define TASK  "018cafe0-0000-7000-8000-000000000001"
#define WORDS "idle=ready,pending=analyzing,running=analyzing,completed=completed,failed=error"

static const struct dialect all[DIALECTS] = {
    [DIALECT_ENVELOPE] = {DIALECT_ENVELOPE, WORDS},
    [DIALECT_FLAT] = {DIALECT_FLAT, WORDS},
    [DIALECT_NOTIFY] = {DIALECT_NOTIFY, WORDS},
    [DIALECT_REPO] = {DIALECT_REPO, WORDS},
};

/* What was written is exactly this; the buffer is empty afterwards. */
static void assert_text(struct buf *out, const char *expected)
{
    if (strcmp(buf_text(out), expected))
        print_error("written:\n%s\nexpected:\n%s\n", buf_text(out), expected);
    assert_string_equal(buf_text(out), expected);
    buf_free(out);
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

/* Events of a task, as the database writes them. `data` is notify's, without its updated_at and what
 * follows that in `merged`; NULL: left out. `repo` is the payload there; NULL: as it was. */
static const struct {
    const char *type, *payload;
    const char *flat;
    const char *notify, *data, *merged;
    const char *repo;
} events[] = {
    {
        "task.created",
        "{\"status\":\"pending\",\"type\":\"wordcount\"}",
        "{\"type\":\"status_update\",\"status\":\"pending\",\"progress\":0,\"message\":"
        "\"pending\"}",
        "task_update",
        "\"status\":\"pending\",\"progress\":0,\"elapsed_time\":null,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        "",
        NULL,
    },
    {
        "task.status_changed",
        "{\"from\":\"pending\",\"to\":\"running\",\"attempt\":1,\"started_at\":1703123450000}",
        "{\"type\":\"status_update\",\"status\":\"running\",\"progress\":0,\"message\":"
        "\"running\"}",
        "task_update",
        "\"status\":\"processing\",\"progress\":0,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        "",
        NULL,
    },
    {
        "task.progress",
        "{\"percent\":33.333333,\"phase\":\"llm\",\"message\":\"a \\\"third\\\"\","
        "\"elapsed_seconds\":2.5,\"estimated_remaining_seconds\":5}",
        "{\"type\":\"progress_update\",\"progress\":33.333,\"message\":\"a \\\"third\\\"\"}",
        "task_update",
        "\"status\":\"processing\",\"progress\":33.333,\"elapsed_time\":2.5,"
        "\"estimated_remaining_seconds\":5,\"error_message\":null",
        "",
        NULL,
    },
    {
        "task.progress",
        "{\"percent\":0,\"phase\":\"llm\",\"elapsed_seconds\":0.0}",
        "{\"type\":\"progress_update\",\"progress\":0,\"message\":\"llm\"}",
        "task_update",
        "\"status\":\"processing\",\"progress\":0,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        "",
        NULL,
    },
    {
        "task.progress",
        "{\"percent\":100,\"elapsed_seconds\":1}",
        "{\"type\":\"progress_update\",\"progress\":100,\"message\":\"running\"}",
        "task_update",
        "\"status\":\"processing\",\"progress\":100,\"elapsed_time\":1,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        "",
        NULL,
    },
    {
        /* tried again */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"pending\",\"attempt\":1,\"started_at\":1703123450000,"
        "\"error\":{\"code\":\"exit_status\",\"message\":\"exit status 75\",\"retryable\":true},"
        "\"run_at\":1703123460000}",
        "{\"type\":\"status_update\",\"status\":\"pending\",\"progress\":0,"
        "\"message\":\"exit status 75\"}",
        "task_update",
        "\"status\":\"pending\",\"progress\":0,\"elapsed_time\":null,"
        "\"estimated_remaining_seconds\":null,\"error_message\":\"exit status 75\"",
        "",
        "{\"from\":\"running\",\"to\":\"pending\",\"attempt\":1,\"started_at\":1703123450000,"
        "\"error\":{\"code\":\"exit_status\",\"message\":\"exit status 75\",\"retryable\":true},"
        "\"error_msg\":\"exit status 75\",\"run_at\":1703123460000}",
    },
    {
        /* a number, digit for digit */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,\"started_at\":1703123450000,"
        "\"completed_at\":1703123456789,\"result\":12345678901234567890}",
        "{\"type\":\"completed\",\"result\":12345678901234567890,\"message\":\"completed\"}",
        "task_complete",
        "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":6.789,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        ",\"result\":12345678901234567890",
        NULL,
    },
    {
        /* the job's last words */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,\"started_at\":1,"
        "\"completed_at\":1,\"message\":\"3 pages\",\"result\":null}",
        "{\"type\":\"completed\",\"result\":null,\"message\":\"3 pages\"}",
        "task_complete",
        "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        ",\"result\":null",
        NULL,
    },
    {
        /* a job that said nothing */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"error\":{\"code\":\"killed_by_signal\",\"message\":null,"
        "\"retryable\":true,\"signal\":9}}",
        "{\"type\":\"failed\",\"error\":\"killed_by_signal\",\"message\":\"killed_by_signal\","
        "\"code\":\"killed_by_signal\",\"retryable\":true}",
        "task_failed",
        "\"status\":\"failed\",\"progress\":null,\"elapsed_time\":2,"
        "\"estimated_remaining_seconds\":null,\"error_message\":\"killed_by_signal\"",
        "",
        "{\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"error\":{\"code\":\"killed_by_signal\",\"message\":null,"
        "\"retryable\":true,\"signal\":9},\"error_msg\":\"killed_by_signal\"}",
    },
    {
        /* an object is merged, but what data has itself stays */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,\"started_at\":1,"
        "\"completed_at\":1,\"result\":{\"rows\":[1,{\"x\":null}],\"status\":\"fine\",\"to\":1.0,"
        "\"\\u0070rogress\":3,\"result\":{}}}",
        "{\"type\":\"completed\",\"result\":{\"rows\":[1,{\"x\":null}],\"status\":\"fine\","
        "\"to\":1.0,\"\\u0070rogress\":3,\"result\":{}},\"message\":\"completed\"}",
        "task_complete",
        "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        ",\"rows\":[1,{\"x\":null}],\"to\":1.0,\"result\":{}",
        NULL,
    },
    {
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,\"started_at\":1,"
        "\"completed_at\":1,\"result\":{}}",
        "{\"type\":\"completed\",\"result\":{},\"message\":\"completed\"}",
        "task_complete",
        "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        "",
        NULL,
    },
    {
        /* too large to be shown */
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,\"started_at\":1,"
        "\"completed_at\":1,\"result_url\":\"/api/x/result\"}",
        "{\"type\":\"completed\",\"result\":null,\"result_url\":\"/api/x/result\","
        "\"message\":\"completed\"}",
        "task_complete",
        "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":0,"
        "\"estimated_remaining_seconds\":null,\"error_message\":null",
        ",\"result\":null,\"result_url\":\"/api/x/result\"",
        NULL,
    },
    {
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"message\":\"half\",\"error\":{\"code\":\"exit_status\","
        "\"message\":\"no such page\",\"retryable\":false,\"exit_status\":3}}",
        "{\"type\":\"failed\",\"error\":\"no such page\",\"message\":\"no such page\","
        "\"code\":\"exit_status\",\"retryable\":false}",
        "task_failed",
        "\"status\":\"failed\",\"progress\":null,\"elapsed_time\":2,"
        "\"estimated_remaining_seconds\":null,\"error_message\":\"no such page\"",
        "",
        "{\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"message\":\"half\",\"error\":{\"code\":\"exit_status\","
        "\"message\":\"no such page\",\"retryable\":false,\"exit_status\":3},\"error_msg\":\"no "
        "such page\"}",
    },
    {
        "task.status_changed",
        "{\"from\":\"running\",\"to\":\"timeout\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"error\":{\"code\":\"timeout\",\"retryable\":true}}",
        "{\"type\":\"failed\",\"error\":\"timeout\",\"message\":\"timeout\",\"code\":\"timeout\","
        "\"retryable\":true}",
        "task_failed",
        "\"status\":\"failed\",\"progress\":null,\"elapsed_time\":2,"
        "\"estimated_remaining_seconds\":null,\"error_message\":\"timeout\"",
        "",
        "{\"from\":\"running\",\"to\":\"timeout\",\"attempt\":1,\"started_at\":1000,"
        "\"completed_at\":3000,\"error\":{\"code\":\"timeout\",\"retryable\":true},"
        "\"error_msg\":\"timeout\"}",
    },
    {
        "task.status_changed",
        "{\"from\":\"pending\",\"to\":\"cancelled\",\"attempt\":0,\"completed_at\":3000,"
        "\"error\":{\"code\":\"cancelled\",\"message\":\"cancelled while it waited\","
        "\"retryable\":false}}",
        "{\"type\":\"failed\",\"error\":\"cancelled while it waited\","
        "\"message\":\"cancelled while it waited\",\"code\":\"cancelled\",\"retryable\":false}",
        "task_failed",
        "\"status\":\"failed\",\"progress\":0,\"elapsed_time\":null,"
        "\"estimated_remaining_seconds\":null,\"error_message\":\"cancelled while it waited\"",
        "",
        "{\"from\":\"pending\",\"to\":\"cancelled\",\"attempt\":0,\"completed_at\":3000,"
        "\"error\":{\"code\":\"cancelled\",\"message\":\"cancelled while it waited\","
        "\"retryable\":false},\"error_msg\":\"cancelled while it waited\"}",
    },
    {
        "log.append",
        "{\"level\":\"warn\",\"message\":\"hm\"}",
        "{\"level\":\"warn\",\"message\":\"hm\",\"type\":\"log.append\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
    {"task.deleted", "{}", "{\"type\":\"task.deleted\"}", NULL, NULL, NULL, NULL},
    {
        /* what an application says is its own */
        "doc.created",
        "{\"type\":\"pdf\",\"payload_type\":1,\"group_id\":5,\"error\":{\"message\":\"m\"},"
        "\"from\":\"idle\"}",
        "{\"payload_type\":\"pdf\",\"group_id\":5,\"error\":{\"message\":\"m\"},"
        "\"from\":\"idle\",\"type\":\"doc.created\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
    {
        "doc.created",
        "{\"payload_type\":1,\"a\":{\"type\":2}}",
        "{\"payload_type\":1,\"a\":{\"type\":2},\"type\":\"doc.created\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
    {
        "doc.created",
        "{\"t\\u0079pe\":\"pdf\"}",
        "{\"payload_type\":\"pdf\",\"type\":\"doc.created\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
    {"doc.created", "null", "{\"payload\":null,\"type\":\"doc.created\"}", NULL, NULL, NULL, NULL},
    {
        "doc.created",
        "[{\"type\":1}]",
        "{\"payload\":[{\"type\":1}],\"type\":\"doc.created\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
    {
        "doc.created",
        "\"{\"",
        "{\"payload\":\"{\",\"type\":\"doc.created\"}",
        NULL,
        NULL,
        NULL,
        NULL,
    },
};
enum { EVENTS = sizeof events / sizeof *events };

static void envelope_of(struct buf *out, const char *group_key, const char *type,
                        const char *payload)
{
    buf_fmt(out,
            "{\"id\":\"0123abcd-1042\",\"type\":\"%s\",\"ts\":1703123456789,\"task_id\":\"" TASK
            "\",\"task_seq\":7,\"%s\":\"repo-7\",\"request_id\":\"r-1\",\"payload\":%s}",
            type, group_key, payload);
}

static void the_envelope_is_the_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENTS; i++) {
        struct event ev = event_of(events[i].type, events[i].payload);
        struct buf out = {0}, expected = {0};
        assert_true(dialect_shows(&all[DIALECT_ENVELOPE], ev.type));
        dialect_event(&out, &all[DIALECT_ENVELOPE], &ev, EPOCH);
        envelope_of(&expected, "group_id", events[i].type, events[i].payload);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void flat_is_one_level(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENTS; i++) {
        struct event ev = event_of(events[i].type, events[i].payload);
        struct buf out = {0};
        assert_true(dialect_shows(&all[DIALECT_FLAT], ev.type));
        dialect_event(&out, &all[DIALECT_FLAT], &ev, EPOCH);
        assert_text(&out, events[i].flat);
    }
}

static void notify_tells_states_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENTS; i++) {
        struct event ev = event_of(events[i].type, events[i].payload);
        struct buf out = {0}, expected = {0};
        assert_int_equal(dialect_shows(&all[DIALECT_NOTIFY], ev.type), events[i].notify != NULL);
        if (!events[i].notify) continue;
        dialect_event(&out, &all[DIALECT_NOTIFY], &ev, EPOCH);
        buf_fmt(&expected,
                "{\"id\":\"0123abcd-1042\",\"timestamp\":\"2023-12-21T01:50:56.789Z\","
                "\"type\":\"%s\",\"task_id\":\"" TASK
                "\",\"data\":{%s,\"updated_at\":\"2023-12-21T01:50:56.789Z\"%s}}",
                events[i].notify, events[i].data, events[i].merged);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void repo_is_the_envelope_in_other_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENTS; i++) {
        struct event ev = event_of(events[i].type, events[i].payload);
        struct buf out = {0}, expected = {0};
        assert_true(dialect_shows(&all[DIALECT_REPO], ev.type));
        dialect_event(&out, &all[DIALECT_REPO], &ev, EPOCH);
        envelope_of(&expected, "repo_id", events[i].type,
                    events[i].repo ? events[i].repo : events[i].payload);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

/* Of a group, which has no task. The map has no word for cancelled: it stays. */
static void a_groups_states_are_in_the_words_of_the_site(void **state)
{
    (void)state;
    struct event ev =
        event_of("group.status_changed", "{\"from\":\"running\",\"to\":\"cancelled\",\"counts\":"
                                         "{\"running\":0,\"failed\":0,\"cancelled\":1}}");
    struct buf out = {0};
    ev.task = ev.task_seq = 0;
    ev.task_id = ev.request_id = NULL;
    assert_false(dialect_shows(&all[DIALECT_NOTIFY], ev.type));
    dialect_event(&out, &all[DIALECT_REPO], &ev, EPOCH);
    assert_text(&out, "{\"id\":\"0123abcd-1042\",\"type\":\"repo.status_changed\","
                      "\"ts\":1703123456789,\"task_id\":null,\"task_seq\":null,"
                      "\"repo_id\":\"repo-7\",\"request_id\":null,\"payload\":{"
                      "\"from\":\"analyzing\",\"to\":\"cancelled\",\"counts\":"
                      "{\"running\":0,\"failed\":0,\"cancelled\":1}}}");

    const struct dialect unmapped = {.kind = DIALECT_REPO};
    ev.payload = "{\"from\":\"idle\",\"to\":\"failed\"}";
    dialect_event(&out, &unmapped, &ev, EPOCH);
    assert_non_null(strstr(out.data, "\"payload\":{\"from\":\"idle\",\"to\":\"failed\"}}"));
    buf_free(&out);

    const struct dialect odd = {DIALECT_REPO, "idle=\"quoted\",failed=\xc3\xa9"};
    dialect_event(&out, &odd, &ev, EPOCH);
    assert_non_null(strstr(out.data, "{\"from\":\"\\\"quoted\\\"\",\"to\":\"\xc3\xa9\"}}"));
    buf_free(&out);

    ev.type = "group.context_changed";
    ev.payload = "{\"version\":2}";
    dialect_event(&out, &all[DIALECT_REPO], &ev, EPOCH);
    assert_non_null(strstr(out.data, "\"type\":\"repo.context_changed\""));
    assert_non_null(strstr(out.data, "\"payload\":{\"version\":2}}"));
    buf_free(&out);
    dialect_event(&out, &all[DIALECT_FLAT], &ev, EPOCH);
    assert_text(&out, "{\"version\":2,\"type\":\"group.context_changed\"}");
}

#define NARROWED                                                                                   \
    "idle=ready,pending=analyzing,running=analyzing,completed=completed,failed=error,"             \
    "cancelled=error,running/clone=cloning,completed/clone=ready"

/* What a change is called, with the types of the tasks before and after; NULL: it is no event. */
static void a_word_may_be_narrowed_by_the_type_of_the_tasks(void **state)
{
    (void)state;
    static const struct dialect d = {DIALECT_REPO, NARROWED};
    static const struct {
        const char *from, *from_type, *to, *type;
        const char *from_word, *to_word;
    } rows[] = {
        {"idle", NULL, "pending", "clone", "ready", "analyzing"},
        {"pending", "clone", "running", "clone", "analyzing", "cloning"},
        {"running", "clone", "completed", "clone", "cloning", "ready"},
        {"completed", "clone", "pending", "lint", "ready", "analyzing"},
        {"pending", "lint", "running", "lint", NULL, NULL},
        {"running", "lint", "pending", NULL, NULL, NULL},
        {"running", "clone", "pending", "lint", "cloning", "analyzing"},
        {"running", NULL, "completed", NULL, "analyzing", "completed"},
        {"running", "lint", "completed", "lint", "analyzing", "completed"},
        {"running", "clone", "failed", "clone", "cloning", "error"},
        {"failed", NULL, "cancelled", NULL, NULL, NULL},
        {"completed", "clone", "idle", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf payload = {0}, expected = {0}, out = {0};
        buf_fmt(&payload, "{\"from\":\"%s\",\"to\":\"%s\"", rows[i].from, rows[i].to);
        if (rows[i].from_type) buf_fmt(&payload, ",\"from_type\":\"%s\"", rows[i].from_type);
        if (rows[i].type) buf_fmt(&payload, ",\"type\":\"%s\"", rows[i].type);
        buf_char(&payload, '}');
        struct event ev = event_of("group.status_changed", payload.data);
        assert_int_equal(dialect_shows_event(&d, &ev), rows[i].to_word != NULL);
        assert_true(dialect_shows_event(&all[DIALECT_ENVELOPE], &ev));
        assert_true(dialect_shows_event(&all[DIALECT_FLAT], &ev));
        assert_false(dialect_shows_event(&all[DIALECT_NOTIFY], &ev));
        if (rows[i].to_word) {
            dialect_event(&out, &d, &ev, EPOCH);
            buf_fmt(&expected, "\"payload\":{\"from\":\"%s\",\"to\":\"%s\"", rows[i].from_word,
                    rows[i].to_word);
            if (!strstr(out.data, expected.data))
                fail_msg("%s is not in %s", expected.data, out.data);
        }
        buf_free(&payload);
        buf_free(&expected);
        buf_free(&out);
    }
}

static void a_failed_repository_says_why(void **state)
{
    (void)state;
    struct event ev = event_of("group.status_changed",
                               "{\"from\":\"running\",\"to\":\"failed\",\"counts\":{},"
                               "\"error\":{\"code\":\"exit_status\",\"message\":\"no \\\"x\\\"\","
                               "\"retryable\":false,\"exit_status\":3}}");
    struct buf out = {0};
    dialect_event(&out, &all[DIALECT_REPO], &ev, EPOCH);
    assert_non_null(strstr(
        out.data, "\"payload\":{\"from\":\"analyzing\",\"to\":\"error\",\"counts\":{},"
                  "\"error\":{\"code\":\"exit_status\",\"message\":\"no \\\"x\\\"\","
                  "\"retryable\":false,\"exit_status\":3},\"error_msg\":\"no \\\"x\\\"\"}}"));
    buf_free(&out);
}

static void types_may_be_asked_for_in_the_words_of_the_dialect(void **state)
{
    (void)state;
    static const struct {
        const char *types, *repo;
    } rows[] = {
        {NULL, ""},
        {"", ""},
        {"*", "*"},
        {"task.*,doc.created", "task.*,doc.created"},
        {"group.*", "group.*"},
        {"repo.*", "group.*,repo.*"},
        {"repo.status_changed,task.*", "group.status_changed,repo.status_changed,task.*"},
        {"task.*,repo.context_changed", "task.*,group.context_changed,repo.context_changed"},
        {"repo", "repo"},
        {"repository.x,a.repo.x", "repository.x,a.repo.x"},
        {"repo.*.x", "group.*.x,repo.*.x"},
        {"a,,b,", "a,,b,"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (enum dialect_kind k = 0; k < DIALECTS; k++) {
            struct buf out = {0};
            const char *as_it_is = rows[i].types ? rows[i].types : "";
            dialect_types(&out, &all[k], rows[i].types);
            assert_text(&out, k == DIALECT_REPO ? rows[i].repo : as_it_is);
        }
}

static void a_page_has_what_the_dialect_shows(void **state)
{
    (void)state;
    for (enum dialect_kind k = 0; k < DIALECTS; k++) {
        struct buf out = {0}, expected = {0};
        size_t shown = 0;
        dialect_page_begin(&out, &all[k]);
        buf_str(&expected, k == DIALECT_NOTIFY ? "{\"messages\":[" : "{\"events\":[");
        for (size_t i = 0; i < EVENTS; i++) {
            struct event ev = event_of(events[i].type, events[i].payload);
            if (!dialect_shows_event(&all[k], &ev)) continue;
            dialect_page_event(&out, &all[k], &ev, EPOCH);
            if (shown++) buf_char(&expected, ',');
            dialect_event(&expected, &all[k], &ev, EPOCH);
        }
        dialect_page_end(&out, 77, k % 2, EPOCH);
        buf_fmt(&expected, "],\"cursor\":\"0123abcd-77\",\"more\":%s}", k % 2 ? "true" : "false");
        assert_true(json_valid(out.data, out.len));
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
    struct buf out = {0};
    dialect_page_begin(&out, &all[DIALECT_NOTIFY]);
    dialect_page_end(&out, 0, false, EPOCH);
    assert_text(&out, "{\"messages\":[],\"cursor\":\"0123abcd-0\",\"more\":false}");
}

static void flat_has_a_word_for_connected(void **state)
{
    (void)state;
    struct notice n = {
        .type = "stream.connected",
        .ts = 5,
        .task_id = TASK,
        .payload = "{\"cursor\":\"e-1\",\"server_time\":5,\"message\":\"connected\"}",
    };
    struct buf out = {0};
    dialect_notice(&out, &all[DIALECT_FLAT], &n);
    assert_text(&out, "{\"type\":\"connected\",\"taskId\":\"" TASK
                      "\",\"timestamp\":5,\"message\":\"connected\"}");
    n.task_id = NULL;
    n.payload = "{\"cursor\":\"e-1\",\"snapshot\":{\"message\":1},\"message\":\"resumed\"}";
    dialect_notice(&out, &all[DIALECT_FLAT], &n);
    assert_text(&out, "{\"type\":\"connected\",\"taskId\":null,\"timestamp\":5,"
                      "\"message\":\"resumed\",\"snapshot\":{\"message\":1}}");
    n.type = "stream.end";
    n.payload = "{\"reason\":\"rotated\",\"retry_ms\":2}";
    dialect_notice(&out, &all[DIALECT_FLAT], &n);
    assert_text(&out, "{\"reason\":\"rotated\",\"retry_ms\":2,\"type\":\"stream.end\"}");
}

static void elsewhere_the_stream_speaks_for_itself(void **state)
{
    (void)state;
    static const char *const types[] = {"stream.connected", "stream.reset", "stream.end"};
    static const enum dialect_kind kinds[] = {DIALECT_ENVELOPE, DIALECT_REPO};
    for (size_t i = 0; i < 6; i++) {
        const struct notice n = {types[i % 3], 5, TASK, "{\"reason\":\"epoch\"}", NULL};
        struct buf out = {0}, expected = {0};
        dialect_notice(&out, &all[kinds[i / 3]], &n);
        buf_fmt(&expected, "{\"type\":\"%s\",\"ts\":5,\"payload\":{\"reason\":\"epoch\"}}", n.type);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void notify_asks_for_a_synchronisation_and_says_nothing_else(void **state)
{
    (void)state;
    static const char *const types[] = {"stream.connected", "stream.reset", "stream.end"};
    for (enum dialect_kind k = 0; k < DIALECTS; k++)
        for (size_t i = 0; i < 3; i++) {
            const struct notice n = {.type = types[i]};
            assert_int_equal(dialect_shows_notice(&all[k], &n), k != DIALECT_NOTIFY || i == 1);
        }
    struct notice n = {.type = "stream.reset",
                       .ts = 1703123456789,
                       .payload = "{\"reason\":\"evicted\",\"oldest\":\"e-1\"}",
                       .id = "0123abcd-7"};
    struct buf out = {0};
    dialect_notice(&out, &all[DIALECT_NOTIFY], &n);
    assert_text(&out, "{\"id\":\"0123abcd-7\",\"timestamp\":\"2023-12-21T01:50:56.789Z\","
                      "\"type\":\"sync_required\",\"reason\":\"evicted\"}");
}

/* ---- tasks ---- */

static const struct task_view view = {.prefix = "/api", .epoch = EPOCH, .now = 1703123460000};

static struct task task_of(enum task_status status, double progress)
{
    return (struct task){
        .n = 3,
        .id = TASK,
        .owner = (char *)"alice",
        .type = (char *)"wordcount",
        .group = (char *)"repo-7",
        .request_id = (char *)"r-1",
        .status = status,
        .progress = progress,
        .attempt = 1,
        .max_attempts = 1,
        .run_at = TASK_NONE,
        .created_at = 1703123450000,
        .started_at = status == TASK_PENDING ? TASK_NONE : 1703123450000,
        .completed_at = task_status_terminal(status) ? 1703123456789 : TASK_NONE,
        .updated_at = 1703123456789,
        .queue_position = TASK_NONE,
        .event_count = 4,
        .cursor = 1042,
        .result_bytes = TASK_NONE,
    };
}

static const struct {
    enum task_status status;
    double progress;
    const char *result, *error_code, *error;
    const char *flat;
    const char *data; /* notify */
} tasks[] = {
    {TASK_PENDING, 0, NULL, NULL, NULL,
     "\"status\":\"pending\",\"progress\":0,\"result\":null,\"error\":null",
     "\"status\":\"pending\",\"progress\":0,\"elapsed_time\":null,"
     "\"estimated_remaining_seconds\":null,\"error_message\":null,"
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\""},
    {TASK_RUNNING, 25, NULL, NULL, NULL,
     "\"status\":\"running\",\"progress\":25,\"result\":null,\"error\":null",
     "\"status\":\"processing\",\"progress\":25,\"elapsed_time\":10,"
     "\"estimated_remaining_seconds\":30,\"error_message\":null,"
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\""},
    {TASK_COMPLETED, 100, "{\"n\":1,\"status\":2,\"id\":3}", NULL, NULL,
     "\"status\":\"completed\",\"progress\":100,\"result\":{\"n\":1,\"status\":2,\"id\":3},"
     "\"error\":null",
     "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":6.789,"
     "\"estimated_remaining_seconds\":null,\"error_message\":null,"
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\",\"n\":1"},
    {TASK_COMPLETED, 100, NULL, NULL, NULL,
     "\"status\":\"completed\",\"progress\":100,\"result\":null,"
     "\"result_url\":\"/api/tasks/" TASK "/result\",\"error\":null",
     "\"status\":\"completed\",\"progress\":100,\"elapsed_time\":6.789,"
     "\"estimated_remaining_seconds\":null,\"error_message\":null,"
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\",\"result\":null,"
     "\"result_url\":\"/api/tasks/" TASK "/result\""},
    {TASK_FAILED, 40, NULL, "exit_status", "exit \"3\"",
     "\"status\":\"failed\",\"progress\":40,\"result\":null,\"error\":\"exit \\\"3\\\"\"",
     "\"status\":\"failed\",\"progress\":40,\"elapsed_time\":6.789,"
     "\"estimated_remaining_seconds\":null,\"error_message\":\"exit \\\"3\\\"\","
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\""},
    {TASK_TIMEOUT, 40, NULL, "timeout", NULL,
     "\"status\":\"failed\",\"progress\":40,\"result\":null,\"error\":\"timeout\"",
     "\"status\":\"failed\",\"progress\":40,\"elapsed_time\":6.789,"
     "\"estimated_remaining_seconds\":null,\"error_message\":\"timeout\","
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\""},
    {TASK_CANCELLED, 0, NULL, "cancelled", "cancelled",
     "\"status\":\"failed\",\"progress\":0,\"result\":null,\"error\":\"cancelled\"",
     "\"status\":\"failed\",\"progress\":0,\"elapsed_time\":6.789,"
     "\"estimated_remaining_seconds\":null,\"error_message\":\"cancelled\","
     "\"updated_at\":\"2023-12-21T01:50:56.789Z\""},
};
enum { TASKS = sizeof tasks / sizeof *tasks };

static struct task task_at(size_t i)
{
    struct task t = task_of(tasks[i].status, tasks[i].progress);
    t.result = (char *)tasks[i].result;
    t.error_code = (char *)tasks[i].error_code;
    t.error_message = (char *)tasks[i].error;
    t.error_retryable = true;
    if (t.status == TASK_COMPLETED) t.result_bytes = 99;
    return t;
}

static void a_task_in_flat_and_notify(void **state)
{
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        struct task t = task_at(i);
        struct buf out = {0}, expected = {0};
        dialect_task(&out, &all[DIALECT_FLAT], &t, &view);
        buf_fmt(&expected, "{\"success\":%s,\"taskId\":\"" TASK "\",%s,\"code\":",
                tasks[i].error_code ? "false" : "true", tasks[i].flat);
        json_text(&expected, tasks[i].error_code);
        buf_fmt(&expected, ",\"retryable\":%s}", tasks[i].error_code ? "true" : "null");
        assert_text(&out, expected.data);
        buf_free(&expected);

        dialect_task(&out, &all[DIALECT_NOTIFY], &t, &view);
        buf_fmt(&expected,
                "{\"id\":\"" TASK "\",\"task_id\":\"" TASK "\",\"type\":\"wordcount\","
                "\"created_at\":\"2023-12-21T01:50:50.000Z\",\"started_at\":%s,"
                "\"completed_at\":%s,%s}",
                t.status == TASK_PENDING ? "null" : "\"2023-12-21T01:50:50.000Z\"",
                task_status_terminal(t.status) ? "\"2023-12-21T01:50:56.789Z\"" : "null",
                tasks[i].data);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
    assert_true(dialect_bare(&all[DIALECT_FLAT]));
    assert_true(dialect_bare(&all[DIALECT_NOTIFY]));
}

/* The document with `from` replaced by `to`. */
static void replace(struct buf *document, const char *from, const char *to)
{
    struct buf out = {0};
    const char *at = strstr(document->data, from);
    assert_non_null(at);
    buf_add(&out, document->data, (size_t)(at - document->data));
    buf_str(&out, to);
    buf_str(&out, at + strlen(from));
    buf_free(document);
    *document = out;
}

static void a_task_in_repo_is_the_document_in_other_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        struct task t = task_at(i);
        struct buf out = {0}, expected = {0};
        dialect_task(&out, &all[DIALECT_ENVELOPE], &t, &view);
        task_document(&expected, &t, &view);
        assert_text(&out, expected.data);

        replace(&expected, "\"group_id\"", "\"repo_id\"");
        replace(&expected, ",\"event_count\"",
                !tasks[i].error_code       ? ",\"error_msg\":null,\"event_count\""
                : !tasks[i].error          ? ",\"error_msg\":\"timeout\",\"event_count\""
                : tasks[i].error[0] == 'e' ? ",\"error_msg\":\"exit \\\"3\\\"\",\"event_count\""
                                           : ",\"error_msg\":\"cancelled\",\"event_count\"");
        dialect_task(&out, &all[DIALECT_REPO], &t, &view);
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
    assert_false(dialect_bare(&all[DIALECT_ENVELOPE]));
    assert_false(dialect_bare(&all[DIALECT_REPO]));
    assert_true(dialect_beside(&all[DIALECT_REPO]));
    assert_false(dialect_beside(&all[DIALECT_ENVELOPE]));
}

static void a_group_in_repo_has_the_words_of_the_site(void **state)
{
    (void)state;
    const struct group g = {.owner = (char *)"alice",
                            .name = (char *)"repo-7",
                            .status = "failed",
                            .context = (char *)"{\"status\":\"failed\",\"group_id\":1}"};
    for (enum dialect_kind kind = 0; kind < DIALECTS; kind++) {
        struct buf out = {0}, expected = {0};
        dialect_group(&out, &all[kind], &g, &(struct task_view){.prefix = "/api"});
        group_document_part(&expected, &g, &(struct task_view){.prefix = "/api"}, GROUP_WHOLE);
        if (kind == DIALECT_REPO) {
            replace(&expected, "\"status\":\"failed\"", "\"status\":\"error\"");
            replace(&expected, "\"error\":null", "\"error\":null,\"error_msg\":null");
        }
        assert_text(&out, expected.data);
        buf_free(&expected);
    }
}

static void list_of_tasks(struct buf *out, const struct dialect *d, const struct task *tasks_,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i) buf_char(out, ',');
        dialect_task(out, d, &tasks_[i], &view);
    }
}

static void a_list_of_tasks_has_their_documents(void **state)
{
    (void)state;
    struct task rows[TASKS];
    for (size_t i = 0; i < TASKS; i++) rows[i] = task_at(i);
    for (enum dialect_kind k = 0; k < DIALECTS; k++)
        for (size_t count = 0; count <= TASKS; count++) {
            struct buf out = {0}, expected = {0};
            const char *token = count % 2 ? "17" : NULL;
            dialect_task_list(&out, &all[k], rows, count, token, &view);
            buf_str(&expected, "{\"tasks\":[");
            list_of_tasks(&expected, &all[k], rows, count);
            buf_fmt(&expected, "],\"next_page_token\":\"%s\"}", token ? token : "");
            assert_true(json_valid(out.data, out.len));
            assert_text(&out, expected.data);
            buf_free(&expected);
        }
    for (enum dialect_kind k = 0; k < DIALECTS; k++)
        assert_int_equal(dialect_skips(&all[k]), k == DIALECT_NOTIFY);
}

static void a_list_of_groups_has_no_contexts(void **state)
{
    (void)state;
    const struct group rows[] = {
        {.owner = (char *)"alice",
         .name = (char *)"a",
         .status = "running",
         .type = (char *)"clone",
         .context = (char *)"{\"context\":1}"},
        {.owner = (char *)"alice",
         .name = (char *)"b",
         .status = "failed",
         .error = (char *)"{\"code\":\"timeout\",\"message\":null,\"retryable\":true}",
         .context = (char *)"[]"},
    };
    const struct dialect narrowed = {DIALECT_REPO, NARROWED};
    for (enum dialect_kind k = 0; k < DIALECTS; k++) {
        const struct dialect *d = k == DIALECT_REPO ? &narrowed : &all[k];
        struct buf out = {0};
        dialect_group_list(&out, d, rows, 2, "t", &(struct task_view){.prefix = "/api"});
        json_t *list = json_read(out.data, out.len, NULL);
        assert_non_null(list);
        assert_string_equal(json_string_value(json_object_get(list, "next_page_token")), "t");
        json_t *groups = json_object_get(list, "groups");
        assert_int_equal(json_array_size(groups), 2);
        for (size_t i = 0; i < 2; i++)
            assert_null(json_object_get(json_array_get(groups, i), "context"));
        const json_t *a = json_array_get(groups, 0), *b = json_array_get(groups, 1);
        bool repo = k == DIALECT_REPO;
        assert_string_equal(json_string_value(json_object_get(a, "status")),
                            repo ? "cloning" : "running");
        assert_string_equal(json_string_value(json_object_get(b, "status")),
                            repo ? "error" : "failed");
        const json_t *words = json_object_get(b, "error_msg");
        if (repo)
            assert_string_equal(json_string_value(words), "timeout");
        else
            assert_null(words);
        json_decref(list);
        buf_free(&out);
    }
    struct buf out = {0};
    dialect_group_list(&out, &narrowed, NULL, 0, NULL, &(struct task_view){.prefix = "/api"});
    assert_text(&out, "{\"groups\":[],\"next_page_token\":\"\"}");
}

static void statistics_in_notify_begin_with_three_numbers(void **state)
{
    (void)state;
    static const char document[] = "{\"version\":\"0.1\",\"tasks\":{\"total\":12}}";
    static const struct {
        struct dialect_stats stats;
        const char *notify;
    } rows[] = {
        {{12, 3, 5 * 1048576 + 524288},
         "{\"total_tasks\":12,\"active_connections\":3,\"memory_usage_mb\":5.5,"},
        {{0, 0, -1}, "{\"total_tasks\":0,\"active_connections\":0,\"memory_usage_mb\":null,"},
    };
    for (size_t i = 0; i < 2; i++)
        for (enum dialect_kind k = 0; k < DIALECTS; k++) {
            struct buf out = {0}, expected = {0};
            dialect_stats(&out, &all[k], document, &rows[i].stats);
            buf_str(&expected, k == DIALECT_NOTIFY ? rows[i].notify : "{");
            buf_str(&expected, document + 1);
            assert_text(&out, expected.data);
            buf_free(&expected);
        }
}

static void a_dialect_is_known_by_its_name(void **state)
{
    (void)state;
    static const char *const names[] = {"envelope", "flat", "notify", "repo"};
    static const char *const others[] = {"", "Flat", "fla", "flatt", "envelope,flat"};
    for (size_t i = 0; i < DIALECTS; i++) {
        assert_int_equal(dialect_named(names[i]), i);
        assert_string_equal(dialect_name((enum dialect_kind)i), names[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(dialect_named(others[i]), DIALECTS);
    assert_int_equal((struct dialect){0}.kind, DIALECT_ENVELOPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_envelope_is_the_contract),
        cmocka_unit_test(flat_is_one_level),
        cmocka_unit_test(notify_tells_states_and_nothing_else),
        cmocka_unit_test(repo_is_the_envelope_in_other_words),
        cmocka_unit_test(a_groups_states_are_in_the_words_of_the_site),
        cmocka_unit_test(a_word_may_be_narrowed_by_the_type_of_the_tasks),
        cmocka_unit_test(a_failed_repository_says_why),
        cmocka_unit_test(types_may_be_asked_for_in_the_words_of_the_dialect),
        cmocka_unit_test(a_page_has_what_the_dialect_shows),
        cmocka_unit_test(flat_has_a_word_for_connected),
        cmocka_unit_test(elsewhere_the_stream_speaks_for_itself),
        cmocka_unit_test(notify_asks_for_a_synchronisation_and_says_nothing_else),
        cmocka_unit_test(a_task_in_flat_and_notify),
        cmocka_unit_test(a_task_in_repo_is_the_document_in_other_words),
        cmocka_unit_test(a_group_in_repo_has_the_words_of_the_site),
        cmocka_unit_test(a_list_of_tasks_has_their_documents),
        cmocka_unit_test(a_list_of_groups_has_no_contexts),
        cmocka_unit_test(statistics_in_notify_begin_with_three_numbers),
        cmocka_unit_test(a_dialect_is_known_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
