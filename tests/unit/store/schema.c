/* What the triggers of the schema write and refuse, whoever changes the rows. */
#include "fixture.h"

/* ---- the status machine --------------------------------------------------------------------- */

/* A fresh task in group "g" that stands in `status`, brought there by allowed changes. */
static int64_t task_in(struct room *r, enum task_status status)
{
    int64_t n = make(r, (struct sketch){.group = "g"});
    if (status == TASK_PENDING) return n;
    assert_int_equal(sql_try(r->db,
                             "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1,"
                             " started_at = 1, attempt = 1 WHERE n = %lld",
                             n),
                     SQLITE_OK);
    if (status != TASK_RUNNING)
        assert_int_equal(sql_try(r->db,
                                 "UPDATE tasks SET status = %Q, runner = NULL, lease_until ="
                                 " NULL, completed_at = 2 WHERE n = %lld",
                                 task_status_name(status), n),
                         SQLITE_OK);
    return n;
}

static void the_schema_and_the_table_of_statuses_allow_the_same(void **state)
{
    struct room *r = *state;
    int allowed = 0, refused = 0;
    for (enum task_status from = 0; from < TASK_STATUSES; from++)
        for (enum task_status to = 0; to < TASK_STATUSES; to++) {
            if (from == to) continue;
            int64_t n = task_in(r, from);
            int64_t before = sql_number(r->db, "SELECT max(seq) FROM events");
            int rc = sql_try(r->db, "UPDATE tasks SET status = %Q WHERE n = %lld",
                             task_status_name(to), n);
            bool allows = rc == SQLITE_OK;
            if (!allows) assert_int_equal(rc, SQLITE_CONSTRAINT_TRIGGER);
            if (allows != task_status_allowed(from, to))
                fail_msg("%s to %s: the schema says %d", task_status_name(from),
                         task_status_name(to), allows);
            assert_int_equal(sql_number(r->db,
                                        "SELECT count(*) FROM events WHERE seq > %lld AND type"
                                        " = 'task.status_changed'",
                                        before),
                             allows);
            sql_is(r->db, task_status_name(allows ? to : from),
                   "SELECT status FROM tasks WHERE n = %lld", n);
            *(allows ? &allowed : &refused) += 1;
        }
    assert_int_equal(allowed, 10);
    assert_int_equal(refused, 20);
}

static void a_refused_change_writes_nothing_at_all(void **state)
{
    struct room *r = *state;
    int64_t n = task_in(r, TASK_COMPLETED);
    int64_t before = sql_number(r->db, "SELECT max(seq) FROM events");
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'running', message = 'x'"),
                     SQLITE_CONSTRAINT_TRIGGER);
    assert_int_equal(sql_number(r->db, "SELECT max(seq) FROM events"), before);
    sql_is(r->db, NULL, "SELECT message FROM tasks WHERE n = %lld", n);
    assert_int_equal(sql_number(r->db, "SELECT completed FROM groups"), 1);
}

static void a_status_that_stays_writes_no_event(void **state)
{
    struct room *r = *state;
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        int64_t n = task_in(r, s);
        int64_t before = sql_number(r->db, "SELECT max(seq) FROM events");
        assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = status WHERE n = %lld", n), 0);
        assert_int_equal(sql_number(r->db, "SELECT max(seq) FROM events"), before);
    }
}

static void a_status_outside_the_machine_is_refused(void **state)
{
    struct room *r = *state;
    task_in(r, TASK_RUNNING);
    assert_int_not_equal(sql_try(r->db, "UPDATE tasks SET status = 'done'"), SQLITE_OK);
    assert_int_not_equal(sql_try(r->db, "UPDATE tasks SET status = NULL"), SQLITE_OK);
    assert_int_not_equal(sql_try(r->db, "UPDATE tasks SET progress = 101"), SQLITE_OK);
    assert_int_not_equal(sql_try(r->db, "UPDATE tasks SET progress = -1"), SQLITE_OK);
}

static void a_task_can_only_start_as_pending(void **state)
{
    struct room *r = *state;
    for (enum task_status s = TASK_RUNNING; s < TASK_STATUSES; s++)
        assert_int_equal(sql_try(r->db,
                                 "INSERT INTO tasks (id, owner, type, request_id, status,"
                                 " created_at, updated_at) VALUES ('x', 'alice', 'echo', 'r',"
                                 " %Q, 1, 1)",
                                 task_status_name(s)),
                         SQLITE_CONSTRAINT_TRIGGER);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
}

static void what_counts_are_kept_by_does_not_change(void **state)
{
    static const char *const changes[] = {"n = n + 100",    "id = 'other'",   "owner = 'bob'",
                                          "type = 'other'", "group_id = 'h'", "group_id = NULL",
                                          "priority = 9"};
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        assert_int_equal(sql_try(r->db, "UPDATE tasks SET %s", changes[i]),
                         SQLITE_CONSTRAINT_TRIGGER);
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET owner = 'alice', priority = 0"), SQLITE_OK);
    assert_consistent(r->db);
}

static void an_unfinished_task_cannot_be_deleted(void **state)
{
    struct room *r = *state;
    task_in(r, TASK_PENDING);
    task_in(r, TASK_RUNNING);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE status = 'pending'"),
                     SQLITE_CONSTRAINT_TRIGGER);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE status = 'running'"),
                     SQLITE_CONSTRAINT_TRIGGER);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 2);
    assert_consistent(r->db);
}

/* ---- payloads ------------------------------------------------------------------------------- */

/* The events after `after`, one "type payload" a line. */
static void events_are(struct room *r, int64_t after, const char *expected)
{
    sql_is(r->db, expected,
           "SELECT group_concat(type || ' ' || payload, char(10)) FROM (SELECT type, payload FROM"
           " events WHERE seq > %lld ORDER BY seq)",
           after);
}

static int64_t newest(struct room *r)
{
    int64_t seq = -1;
    OK(r, events_newest(r->db, &seq, &r->e));
    return seq;
}

static void creating_says_type_and_status(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.type = "word\"count"});
    events_are(r, 0, "task.created {\"status\":\"pending\",\"type\":\"word\\\"count\"}");
    assert_int_equal(sql_number(r->db, "SELECT ts FROM events"), T0);
}

static void claiming_says_attempt_and_start(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    int64_t at = newest(r);
    struct claim c = take(r, 1, T0 + 5);
    assert_int_equal(c.n, 1);
    events_are(r, at,
               "task.status_changed {\"from\":\"pending\",\"to\":\"running\",\"attempt\":1,"
               "\"started_at\":1700000000005}");
    assert_int_equal(sql_number(r->db, "SELECT max(ts) FROM events"), T0 + 5);
}

/* Claims and finishes a new task; the events of the finish are `expected`. */
static void ends_with(void **state, const struct claim_end *end, const char *expected)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0 + 5);
    int64_t at = newest(r);
    assert_int_equal(finish(r, &c, end), ERR_OK);
    events_are(r, at, expected);
    assert_consistent(r->db);
}

static void completing_without_a_result_says_when(void **state)
{
    ends_with(state, &(struct claim_end){.status = TASK_COMPLETED, .now = T0 + 9},
              "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009}");
}

static void completing_carries_an_inline_result_with_its_nulls(void **state)
{
    static const char result[] = "{ \"a\": null,\n  \"b\": [1.50, {\"c\": null}] }";
    ends_with(state,
              &(struct claim_end){.status = TASK_COMPLETED,
                                  .now = T0 + 9,
                                  .result = result,
                                  .result_bytes = strlen(result),
                                  .result_type = "application/json",
                                  .result_inline = result,
                                  .result_url = "/api/r"},
              "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"result\":{\"a\":null,\"b\":[1.50,{\"c\":null}]}}");
}

static void a_result_that_is_null_is_a_result(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_COMPLETED,
                                  .now = T0 + 9,
                                  .result = "null",
                                  .result_bytes = 4,
                                  .result_type = "application/json",
                                  .result_inline = "null",
                                  .result_url = "/api/r"},
              "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,\"result\":null}");
}

static void a_result_that_is_text_is_a_string(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_COMPLETED,
                                  .now = T0 + 9,
                                  .result = "two\nlines",
                                  .result_bytes = 9,
                                  .result_type = "text/plain",
                                  .result_inline = "\"two\\nlines\"",
                                  .result_url = "/api/r"},
              "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"result\":\"two\\nlines\"}");
}

static void a_large_or_binary_result_is_only_an_address(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_COMPLETED,
                                  .now = T0 + 9,
                                  .result = "\0\1\2",
                                  .result_bytes = 3,
                                  .result_type = "application/octet-stream",
                                  .result_url = "/api/tasks/x/result"},
              "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"result_url\":\"/api/tasks/x/result\"}");
}

static void failing_says_why(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_FAILED,
                                  .now = T0 + 9,
                                  .error_code = "exit_status",
                                  .error_message = "said \"no\"",
                                  .error_retryable = true,
                                  .exit_status = 3},
              "task.status_changed {\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"error\":{\"code\":\"exit_status\",\"message\":\"said \\\"no\\\"\","
              "\"retryable\":true,\"exit_status\":3}}");
}

static void being_killed_says_by_which_signal(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_FAILED,
                                  .now = T0 + 9,
                                  .error_code = "killed_by_signal",
                                  .error_message = "oops",
                                  .signal = 9},
              "task.status_changed {\"from\":\"running\",\"to\":\"failed\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"error\":{\"code\":\"killed_by_signal\",\"message\":\"oops\","
              "\"retryable\":false,\"signal\":9}}");
}

/* Says "almost" and ends so; the event of the end is `expected`. */
static void says_at_the_end(struct room *r, const struct claim_end *end, const char *expected)
{
    struct claim c = take(r, 1, T0 + 5);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, 90, "last", "almost", T0 + 6, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    int64_t at = newest(r);
    assert_int_equal(finish(r, &c, end), ERR_OK);
    events_are(r, at, expected);
}

static void the_last_message_stands_in_the_event_of_the_end_alone(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.max_attempts = 2});
    says_at_the_end(r, &(struct claim_end){.status = TASK_PENDING, .now = T0 + 9},
                    "task.status_changed {\"from\":\"running\",\"to\":\"pending\",\"attempt\":1,"
                    "\"started_at\":1700000000005,\"run_at\":0}");
    says_at_the_end(r, &(struct claim_end){.status = TASK_COMPLETED, .now = T0 + 9},
                    "task.status_changed {\"from\":\"running\",\"to\":\"completed\",\"attempt\":2,"
                    "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
                    "\"message\":\"almost\"}");
}

static void timing_out_is_a_status_with_an_error(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_TIMEOUT,
                                  .now = T0 + 9,
                                  .error_code = "timeout",
                                  .error_message = "after 600 s"},
              "task.status_changed {\"from\":\"running\",\"to\":\"timeout\",\"attempt\":1,"
              "\"started_at\":1700000000005,\"completed_at\":1700000000009,"
              "\"error\":{\"code\":\"timeout\",\"message\":\"after 600 s\",\"retryable\":false}}");
}

static void trying_again_says_when_and_why(void **state)
{
    ends_with(state,
              &(struct claim_end){.status = TASK_PENDING,
                                  .run_at = T0 + 2000,
                                  .now = T0 + 9,
                                  .error_code = "exit_status",
                                  .error_message = "75",
                                  .error_retryable = true},
              "task.status_changed {\"from\":\"running\",\"to\":\"pending\",\"attempt\":1,"
              "\"started_at\":1700000000005,"
              "\"error\":{\"code\":\"exit_status\",\"message\":\"75\",\"retryable\":true},"
              "\"run_at\":1700000002000}");
}

static void the_next_attempt_says_nothing_of_the_last(void **state)
{
    struct room *r = *state;
    trying_again_says_when_and_why(state);
    int64_t at = newest(r);
    assert_int_equal(take(r, 1, T0 + 2000).attempt, 2);
    events_are(r, at,
               "task.status_changed {\"from\":\"pending\",\"to\":\"running\",\"attempt\":2,"
               "\"started_at\":1700000002000}");
}

static void cancelling_before_the_start_says_so(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.run_at = T0 + 500});
    int64_t at = newest(r);
    char *id = id_of(r->db, n);
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, task_cancel(r->db, id, "alice", T0 + 3, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    free(id);
    events_are(r, at,
               "task.status_changed {\"from\":\"pending\",\"to\":\"cancelled\",\"attempt\":0,"
               "\"completed_at\":1700000000003,\"error\":{\"code\":\"cancelled\","
               "\"message\":\"cancelled while it waited\",\"retryable\":false}}");
}

static void progress_says_what_is_known(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    int64_t at = newest(r);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, 25, NULL, NULL, T0 + 1500, &r->e));
    OK(r, claim_progress(r->db, &c, -1, "llm", "Compiling", T0 + 2000, &r->e));
    OK(r, claim_progress(r->db, &c, 30, NULL, NULL, T0 + 1000, &r->e));
    OK(r, claim_progress(r->db, &c, 100, "", "done", T0 + 4250, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    events_are(r, at,
               "task.progress {\"percent\":25,\"elapsed_seconds\":1.5,"
               "\"estimated_remaining_seconds\":4.5}\n"
               "task.progress {\"percent\":25,\"phase\":\"llm\",\"message\":\"Compiling\","
               "\"elapsed_seconds\":2.0,\"estimated_remaining_seconds\":6.0}\n"
               "task.progress {\"percent\":30,\"phase\":\"llm\",\"message\":\"Compiling\","
               "\"elapsed_seconds\":1.0,\"estimated_remaining_seconds\":2.333}\n"
               "task.progress {\"percent\":100,\"phase\":\"\",\"message\":\"done\","
               "\"elapsed_seconds\":4.25,\"estimated_remaining_seconds\":0.0}");
}

static void progress_before_the_first_percent_estimates_nothing(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    int64_t at = newest(r);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &c, -1, NULL, "Starting", T0 + 100, &r->e));
    OK(r, claim_progress(r->db, &c, 33.3, NULL, NULL, T0 + 100, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    events_are(r, at,
               "task.progress {\"percent\":0,\"message\":\"Starting\",\"elapsed_seconds\":0.1}\n"
               "task.progress {\"percent\":33.3,\"message\":\"Starting\",\"elapsed_seconds\":0.1,"
               "\"estimated_remaining_seconds\":0.2}");
}

static void completing_writes_no_progress_of_its_own(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    assert_int_equal(finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .now = T0}), 0);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'task.progress'"),
                     0);
    assert_int_equal(sql_number(r->db, "SELECT progress FROM tasks"), 100);
}

static void an_event_of_a_job_is_kept_on_one_line(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    struct claim c = take(r, 1, T0);
    int64_t at = newest(r);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_event(r->db, &c, "doc.created", "{\n \"a\" : null,\r\n \"t\":\"x\\ny\" }", T0 + 1,
                      NULL, &r->e));
    OK(r, claim_event(r->db, &c, "message.delta", "\"hé\"", T0 + 2, NULL, &r->e));
    OK(r, claim_event(r->db, &c, "message.delta", "null", T0 + 2, NULL, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    events_are(r, at,
               "doc.created {\"a\":null,\"t\":\"x\\ny\"}\nmessage.delta \"hé\"\n"
               "message.delta null");
    sql_is(r->db, "3,4,5",
           "SELECT group_concat(task_seq) FROM events WHERE seq > %lld AND group_id ="
           " 'g' AND owner = 'alice' AND request_id = 'req-1'",
           at);
}

static void a_group_tells_each_change_of_its_status_with_its_counts(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "g"});
    struct claim a = take(r, 1, T0), b = take(r, 1, T0);
    finish(r, &a, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    finish(r, &b,
           &(struct claim_end){.status = TASK_FAILED, .now = T0, .error_code = "exit_status"});
    sql_is(r->db,
           "{\"from\":\"idle\",\"to\":\"pending\",\"counts\":{\"pending\":1,\"running\":0,"
           "\"completed\":0,\"failed\":0,\"timeout\":0,\"cancelled\":0},\"type\":\"echo\"}\n"
           "{\"from\":\"pending\",\"to\":\"running\",\"counts\":{\"pending\":1,\"running\":1,"
           "\"completed\":0,\"failed\":0,\"timeout\":0,\"cancelled\":0},\"type\":\"echo\","
           "\"from_type\":\"echo\"}\n"
           "{\"from\":\"running\",\"to\":\"failed\",\"counts\":{\"pending\":0,\"running\":0,"
           "\"completed\":1,\"failed\":1,\"timeout\":0,\"cancelled\":0},\"type\":\"echo\","
           "\"from_type\":\"echo\",\"error\":{\"code\":\"exit_status\",\"retryable\":false}}",
           "SELECT group_concat(payload, char(10)) FROM (SELECT payload FROM events WHERE type ="
           " 'group.status_changed' ORDER BY seq)");
    sql_is(r->db, "3",
           "SELECT count(*) FROM events WHERE type = 'group.status_changed' AND owner ="
           " 'alice' AND group_id = 'g' AND task IS NULL AND task_seq IS NULL"
           " AND task_id IS NULL");
}

/* The types and errors of the changes of group g, "from(type)>to(type)", the error of the last one behind them. */
static void group_says(struct room *r, const char *expected)
{
    sql_is(r->db, expected,
           "SELECT group_concat(from_ || '(' || coalesce(from_type, '') || ')>' || to_ || '(' ||"
           " coalesce(type, '') || ')' || coalesce(error, ''), ' ') FROM (SELECT"
           " payload ->> 'from' AS from_, payload ->> 'from_type' AS from_type,"
           " payload ->> 'to' AS to_, payload ->> 'type' AS type, payload -> 'error' AS error"
           " FROM events WHERE type = 'group.status_changed' ORDER BY seq)");
}

static void a_group_tells_the_type_of_its_tasks_where_it_is_one(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g", .type = "clone"}); /* 1 */
    make(r, (struct sketch){.group = "g",
                            .type = "scan"}); /* 2; the status stays, and so does the type */
    make(r, (struct sketch){.group = "h", .type = "other", .priority = -1});
    struct group g;
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_string_equal(g.type, "clone");
    assert_null(g.error);
    group_free(&g);
    assert_int_equal(sql_try(r->db, "DELETE FROM events WHERE group_id = 'h'"), SQLITE_OK);
    struct claim one = take(r, 1, T0);
    finish(r, &one, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    struct claim two = take(r, 1, T0);
    finish(r, &two, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    group_says(r,
               "idle()>pending(clone) pending(clone)>running(clone) running(clone)>pending(scan) "
               "pending(scan)>running(scan) running(scan)>completed()");
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_null(g.type);
    group_free(&g);
}

static void a_failed_group_tells_the_type_and_the_error_of_its_newest_failure(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g", .type = "clone"});
    make(r, (struct sketch){.group = "g", .type = "clone"});
    make(r, (struct sketch){.group = "g", .type = "scan"});
    struct claim c[3];
    for (int i = 0; i < 3; i++) c[i] = take(r, 1, T0);
    finish(r, &c[1],
           &(struct claim_end){.status = TASK_TIMEOUT,
                               .now = T0,
                               .error_code = "timeout",
                               .error_message = "too long",
                               .error_retryable = true});
    finish(r, &c[0],
           &(struct claim_end){.status = TASK_FAILED,
                               .now = T0,
                               .error_code = "exit_status",
                               .error_message = "no",
                               .exit_status = 2});
    assert_int_equal(sql_try(r->db, "DELETE FROM events"), SQLITE_OK);
    finish(r, &c[2], &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    group_says(r, "running(clone)>failed(clone){\"code\":\"timeout\",\"message\":\"too long\","
                  "\"retryable\":true}");
    struct group g;
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_string_equal(g.type, "clone");
    assert_string_equal(g.error,
                        "{\"code\":\"timeout\",\"message\":\"too long\",\"retryable\":true}");
    group_free(&g);
    /* the next change of the status forgets it */
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, task_retry(r->db, 2, 1, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_string_equal(g.status, "pending");
    assert_null(g.error);
    group_free(&g);
    assert_int_equal(sql_try(r->db, "DELETE FROM events"), SQLITE_OK);
    struct claim again = take(r, 1, T0);
    finish(r, &again, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    group_says(r, "pending(clone)>running(clone) running(clone)>failed(clone)"
                  "{\"code\":\"exit_status\",\"message\":\"no\",\"retryable\":false,"
                  "\"exit_status\":2}");
}

static void the_change_of_a_group_follows_the_change_that_made_it(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    sql_is(r->db, "task.created,group.status_changed",
           "SELECT group_concat(type) FROM (SELECT type FROM events ORDER BY seq)");
}

static void a_new_context_tells_its_version(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    int64_t at = newest(r);
    assert_int_equal(sql_try(r->db,
                             "INSERT INTO contexts (owner, name, json, updated_at)"
                             " VALUES ('alice', 'g', '{\"a\":1}', %lld)",
                             T0 + 7),
                     SQLITE_OK);
    events_are(r, at, "group.context_changed {\"version\":1}");
    assert_int_equal(sql_number(r->db, "SELECT ts FROM events ORDER BY seq DESC LIMIT 1"), T0 + 7);
    at = newest(r);
    assert_int_equal(sql_try(r->db, "UPDATE contexts SET json = '2', updated_at = %lld", T0 + 8),
                     SQLITE_OK);
    events_are(r, at, "group.context_changed {\"version\":2}");
    sql_is(r->db, "2", "SELECT version FROM groups WHERE updated_at = %lld", T0 + 8);
}

static void deleting_leaves_one_event_and_moves_the_mark(void **state)
{
    struct room *r = *state;
    int64_t a = task_in(r, TASK_COMPLETED), b = task_in(r, TASK_FAILED);
    int64_t last_of_a = sql_number(r->db, "SELECT max(seq) FROM events WHERE task = %lld", a);
    int64_t last_of_b = sql_number(r->db, "SELECT max(seq) FROM events WHERE task = %lld", b);
    char *id = id_of(r->db, b);
    int64_t at = newest(r);
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, task_delete(r->db, id, "alice", T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    events_are(r, at,
               "task.deleted {}\ngroup.status_changed {\"from\":\"failed\",\"to\":\"completed\","
               "\"counts\":{\"pending\":0,\"running\":0,\"completed\":1,\"failed\":0,"
               "\"timeout\":0,\"cancelled\":0},\"type\":\"echo\",\"from_type\":\"echo\"}");
    sql_is(r->db, id,
           "SELECT task_id FROM events WHERE type = 'task.deleted' AND owner = 'alice' AND"
           " group_id = 'g' AND request_id = 'req-1' AND task IS NULL AND task_seq IS NULL");
    free(id);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE task = %lld", b), 0);
    assert_int_equal(sql_number(r->db, "SELECT evicted_seq FROM owners WHERE name = 'alice'"),
                     last_of_b);
    id = id_of(r->db, a);
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, task_delete(r->db, id, "alice", T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    free(id);
    assert_true(last_of_a < last_of_b);
    assert_int_equal(sql_number(r->db, "SELECT evicted_seq FROM owners WHERE name = 'alice'"),
                     last_of_b);
    sql_is(r->db, "idle", "SELECT status FROM groups");
    assert_consistent(r->db);
}

static void deleting_takes_input_and_result_along(void **state)
{
    struct room *r = *state;
    int64_t n = make(r, (struct sketch){.input = "in", .input_bytes = 2});
    struct claim c = take(r, 1, T0);
    finish(r, &c,
           &(struct claim_end){.status = TASK_COMPLETED,
                               .now = T0,
                               .result = "out",
                               .result_bytes = 3,
                               .result_type = "text/plain",
                               .result_url = "/r"});
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM inputs, results"), 1);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE n = %lld", n), SQLITE_OK);
    assert_int_equal(sql_number(r->db,
                                "SELECT (SELECT count(*) FROM inputs) + (SELECT count(*) FROM"
                                " results)"),
                     0);
}

static void numbers_are_never_used_again(void **state)
{
    struct room *r = *state;
    int64_t n = task_in(r, TASK_CANCELLED);
    int64_t at = newest(r);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks; DELETE FROM events"), SQLITE_OK);
    assert_true(newest(r) > at);
    at = newest(r);
    assert_true(make(r, (struct sketch){0}) > n);
    assert_int_equal(sql_number(r->db, "SELECT min(seq) FROM events"), at + 1);
}

/* ---- groups --------------------------------------------------------------------------------- */

/* SPEC: running, else pending, else failed if any failed or timed out, else cancelled if all were,
 * else completed; idle when empty. */
static const char *status_by_the_book(const int64_t *counts)
{
    int64_t total = 0;
    for (int s = 0; s < TASK_STATUSES; s++) total += counts[s];
    if (!total) return "idle";
    if (counts[TASK_RUNNING]) return "running";
    if (counts[TASK_PENDING]) return "pending";
    if (counts[TASK_FAILED] || counts[TASK_TIMEOUT]) return "failed";
    return counts[TASK_CANCELLED] == total ? "cancelled" : "completed";
}

static void a_groups_status_follows_from_any_mixture_of_tasks(void **state)
{
    struct room *r = *state;
    for (int mix = 0; mix < 1 << TASK_STATUSES; mix++) {
        int64_t counts[TASK_STATUSES];
        for (int s = 0; s < TASK_STATUSES; s++) counts[s] = mix >> s & 1 ? 1 + s % 2 : 0;
        assert_int_equal(
            sql_try(r->db,
                    "INSERT INTO groups (owner, name, pending, running, completed, failed,"
                    " timeout, cancelled, created_at, updated_at) VALUES ('alice', 'mix%d',"
                    " %lld, %lld, %lld, %lld, %lld, %lld, 1, 1)",
                    mix, counts[TASK_PENDING], counts[TASK_RUNNING], counts[TASK_COMPLETED],
                    counts[TASK_FAILED], counts[TASK_TIMEOUT], counts[TASK_CANCELLED]),
            SQLITE_OK);
        char name[16];
        snprintf(name, sizeof name, "mix%d", mix);
        struct group g;
        OK(r, group_get(r->db, "alice", name, &g, &r->e));
        assert_string_equal(g.status, status_by_the_book(counts));
        for (int s = 0; s < TASK_STATUSES; s++) assert_int_equal(g.counts[s], counts[s]);
        group_free(&g);
    }
}

static void a_group_never_used_is_idle_and_empty(void **state)
{
    struct room *r = *state;
    struct group g;
    OK(r, group_get(r->db, "alice", "nothing", &g, &r->e));
    assert_string_equal(g.status, "idle");
    assert_string_equal(g.owner, "alice");
    assert_string_equal(g.name, "nothing");
    for (int s = 0; s < TASK_STATUSES; s++) assert_int_equal(g.counts[s], 0);
    assert_null(g.context);
    assert_int_equal(g.version, 0);
    assert_true(g.progress == 0 && g.created_at == TASK_NONE && g.updated_at == TASK_NONE);
    group_free(&g);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM groups"), 0);
}

static void a_groups_progress_counts_the_finished_and_what_runs(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.group = "g"});
    struct claim a = take(r, 1, T0), b = take(r, 1, T0);
    finish(r, &a, &(struct claim_end){.status = TASK_FAILED, .now = T0, .error_code = "timeout"});
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_progress(r->db, &b, 50, NULL, NULL, T0 + 1, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    struct group g;
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_true(g.progress == 37.5);
    group_free(&g);
}

static void groups_of_one_name_and_two_owners_are_two(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "g", .owner = "bob"});
    make(r, (struct sketch){.group = "g", .owner = "bob"});
    struct group g;
    OK(r, group_get(r->db, "bob", "g", &g, &r->e));
    assert_int_equal(g.counts[TASK_PENDING], 2);
    group_free(&g);
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    assert_int_equal(g.counts[TASK_PENDING], 1);
    group_free(&g);
}

/* ---- the queue ------------------------------------------------------------------------------ */

static void the_place_in_the_queue_counts_the_owners_tasks_that_go_first(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});              /* 1 */
    make(r, (struct sketch){.owner = "bob"}); /* 2 */
    make(r, (struct sketch){.priority = -1}); /* 3 */
    make(r, (struct sketch){.priority = 5});  /* 4 */
    make(r, (struct sketch){0});              /* 5 */
    make(r, (struct sketch){.priority = 5});  /* 6 */
    places_are(r, "1:3 2:1 3:5 4:1 5:4 6:2");
    assert_int_equal(take(r, 1, T0).n, 4);
    places_are(r, "1:2 2:1 3:4 4:- 5:3 6:1");
    assert_int_equal(take(r, 1, T0).n, 2); /* bob's turn */
    assert_int_equal(take(r, 1, T0).n, 6);
    places_are(r, "1:1 2:- 3:3 4:- 5:2 6:-");
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'cancelled', completed_at = 1"
                                    " WHERE n = 1"),
                     SQLITE_OK);
    places_are(r, "1:- 2:- 3:2 4:- 5:1 6:-");
    assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'pending', completed_at = NULL"
                                    " WHERE n = 1"),
                     SQLITE_OK);
    places_are(r, "1:1 2:- 3:3 4:- 5:2 6:-");
}

/* ---- everything at once --------------------------------------------------------------------- */

static const char *pick(const char *const *words, uint32_t count)
{
    return words[id_random(count)];
}

/* One operation on a random task, allowed or not; the store decides. */
static void step(struct room *r, int64_t now)
{
    static const char *const owners[] = {"alice", "bob", "carol"};
    static const char *const groups[] = {NULL, "g", "h"}, *const types[] = {"echo", "scan"};
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED, TASK_PENDING};
    int64_t n = sql_number(r->db, "SELECT n FROM tasks ORDER BY random() LIMIT 1");
    uint32_t dice = id_random(100);
    enum err rc = ERR_OK;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    if (dice < 30 || n < 0) {
        rc = sketch_create(r->db,
                           &(struct sketch){.owner = pick(owners, 3),
                                            .type = pick(types, 2),
                                            .group = pick(groups, 3),
                                            .priority = id_random(3),
                                            .run_at = id_random(3) ? 0 : now + id_random(50),
                                            .serialize = !id_random(3),
                                            .input = "in",
                                            .input_bytes = 2,
                                            .now = now},
                           NULL, &n, &r->e);
    } else if (dice < 55) {
        struct task t = {0};
        rc = claim_next(
            r->db,
            &(struct claim_wish){.runner = 1 + id_random(3), .now = now, .lease_until = now + 100},
            &t, &r->e);
        task_free(&t);
    } else if (dice < 80) {
        struct claim c = {n, 1 + id_random(3),
                          sql_number(r->db, "SELECT attempt FROM tasks WHERE n = %lld", n)};
        enum task_status status = ends[id_random(5)];
        if (dice < 65)
            rc = claim_progress(r->db, &c, (double)id_random(100), "p", NULL, now, &r->e);
        else
            rc = claim_finish(
                r->db, &c,
                &(struct claim_end){.status = status,
                                    .run_at = id_random(2) ? TASK_NONE : now + 20,
                                    .attempt_unspent = id_random(2),
                                    .lost = !id_random(4),
                                    .error_code = status == TASK_COMPLETED ? NULL : "x",
                                    .result = status == TASK_COMPLETED ? "r" : NULL,
                                    .result_bytes = 1,
                                    .result_type = "text/plain",
                                    .result_inline = id_random(2) ? "\"r\"" : NULL,
                                    .result_url = "/r",
                                    .now = now},
                &r->e);
    } else {
        char *id = id_of(r->db, n);
        if (dice < 87)
            rc = task_cancel(r->db, id, id_random(4) ? NULL : "bob", now, &r->e);
        else if (dice < 94)
            rc = task_delete(r->db, id, NULL, T0, &r->e);
        else
            rc = task_retry(r->db, n, 2, now, &r->e);
        free(id);
    }
    if (rc && rc != ERR_STATE && rc != ERR_FENCED && rc != ERR_NOTFOUND)
        fail_msg("%d %s", (int)rc, r->e.text);
    if (id_random(20))
        OK(r, txn_commit(r->db, &r->e));
    else
        txn_rollback(r->db);
}

static void a_random_walk_contradicts_no_invariant(void **state)
{
    struct room *r = *state;
    int steps = 4000 / slowness();
    for (int i = 1; i <= steps; i++) {
        step(r, T0 + i);
        if (i % (steps / 20) == 0) assert_consistent(r->db);
    }
    if (slowness() == 1) { /* the walk went everywhere */
        assert_int_equal(sql_number(r->db, "SELECT count(DISTINCT status) FROM task_counts"),
                         TASK_STATUSES);
        assert_true(sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'task.deleted'") >
                    0);
    }
    sql_is(r->db, "ok", "PRAGMA integrity_check");
}

static void the_invariants_notice_what_they_are_for(void **state)
{
    /* A wrong row for most of them, written past the triggers. */
    static const char *const wrongs[] = {
        "DELETE FROM events WHERE task = 1 AND task_seq = 2",
        "UPDATE events SET task_seq = task_seq + 1 WHERE task = 1",
        "DELETE FROM events WHERE task = 2",
        "UPDATE events SET payload = json_set(payload, '$.to', 'failed') WHERE task = 1",
        "UPDATE events SET owner = 'bob' WHERE seq = 1",
        "UPDATE events SET payload = '{' || char(10) || '}' WHERE seq = 1",
        "UPDATE groups SET completed = completed + 1, running = running",
        "DELETE FROM groups",
        "UPDATE queues SET pending = pending + 1",
        "UPDATE queues SET ready = 0",
        "DELETE FROM queues",
        "INSERT INTO queues VALUES ('alice', 9, 'echo', 0, 0)",
        "UPDATE queue_owners SET pending = pending + 1",
        "UPDATE queue_owners SET delayed = 1",
        "DELETE FROM queue_owners",
        "UPDATE groups SET type = 'other'",
        "UPDATE groups SET error = '{}'",
        "INSERT INTO inputs VALUES (99, 'x', x'00')",
        "DELETE FROM owners",
        "UPDATE task_counts SET tasks = tasks + 1",
        "UPDATE figures SET value = value + 1 WHERE name = 'log_deleted'",
    };
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "g"});
    task_in(r, TASK_FAILED);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE status = 'failed'"), SQLITE_OK);
    take(r, 1, T0);
    assert_consistent(r->db);
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        assert_int_equal(sql_try(r->db, "%s", wrongs[i]), SQLITE_OK);
        if (!contradiction_here(r->db)) fail_msg("not noticed: %s", wrongs[i]);
        txn_rollback(r->db);
    }
    assert_consistent(r->db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(the_schema_and_the_table_of_statuses_allow_the_same),
        room_test(a_refused_change_writes_nothing_at_all),
        room_test(a_status_that_stays_writes_no_event),
        room_test(a_status_outside_the_machine_is_refused),
        room_test(a_task_can_only_start_as_pending),
        room_test(what_counts_are_kept_by_does_not_change),
        room_test(an_unfinished_task_cannot_be_deleted),
        room_test(creating_says_type_and_status),
        room_test(claiming_says_attempt_and_start),
        room_test(completing_without_a_result_says_when),
        room_test(completing_carries_an_inline_result_with_its_nulls),
        room_test(a_result_that_is_null_is_a_result),
        room_test(a_result_that_is_text_is_a_string),
        room_test(a_large_or_binary_result_is_only_an_address),
        room_test(failing_says_why),
        room_test(being_killed_says_by_which_signal),
        room_test(the_last_message_stands_in_the_event_of_the_end_alone),
        room_test(timing_out_is_a_status_with_an_error),
        room_test(trying_again_says_when_and_why),
        room_test(the_next_attempt_says_nothing_of_the_last),
        room_test(cancelling_before_the_start_says_so),
        room_test(progress_says_what_is_known),
        room_test(progress_before_the_first_percent_estimates_nothing),
        room_test(completing_writes_no_progress_of_its_own),
        room_test(an_event_of_a_job_is_kept_on_one_line),
        room_test(a_group_tells_each_change_of_its_status_with_its_counts),
        room_test(a_group_tells_the_type_of_its_tasks_where_it_is_one),
        room_test(a_failed_group_tells_the_type_and_the_error_of_its_newest_failure),
        room_test(the_change_of_a_group_follows_the_change_that_made_it),
        room_test(a_new_context_tells_its_version),
        room_test(deleting_leaves_one_event_and_moves_the_mark),
        room_test(deleting_takes_input_and_result_along),
        room_test(numbers_are_never_used_again),
        room_test(a_groups_status_follows_from_any_mixture_of_tasks),
        room_test(a_group_never_used_is_idle_and_empty),
        room_test(a_groups_progress_counts_the_finished_and_what_runs),
        room_test(groups_of_one_name_and_two_owners_are_two),
        room_test(the_place_in_the_queue_counts_the_owners_tasks_that_go_first),
        room_test(a_random_walk_contradicts_no_invariant),
        room_test(the_invariants_notice_what_they_are_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
