#include "runner/outbox.h"

#include "base/buf.h"
#include "base/id.h"
#include "store/events.h"
#include "store/tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A database with one running task. */
struct bench {
    char folder[40];
    struct db *db;
    struct claim claim;
};

static int set_up(void **state)
{
    struct bench *b = mem_alloc(sizeof *b);
    char path[80];
    strcpy(b->folder, "/tmp/leat-outbox-XXXXXX");
    if (!mkdtemp(b->folder)) return -1;
    snprintf(path, sizeof path, "%s/leat.db", b->folder);
    struct db_options options = {.path = path, .busy_ms = 1000, .migrate = true};
    struct task_new new = {.id = "t1",
                           .owner = "alice",
                           .type = "x",
                           .request_id = "r",
                           .max_attempts = 1,
                           .timeout_ms = TASK_NONE,
                           .run_at = TASK_NONE,
                           .now = 1000};
    struct process_id self = {.pid = 1, .start = 1};
    struct task t = {0};
    int64_t n, runner = 0;
    if (db_open(&b->db, &options, NULL) || txn_begin(b->db, TXN_SYNC_NONE, NULL) ||
        task_create(b->db, &new, &n, NULL) ||
        runner_register(b->db, &self, "", 1000, 2000, &runner, NULL) ||
        claim_next(b->db, &(struct claim_wish){.runner = runner, .now = 1000, .lease_until = 2000},
                   &t, NULL) ||
        txn_commit(b->db, NULL))
        return -1;
    b->claim = (struct claim){n, runner, t.attempt};
    task_free(&t);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    char command[80];
    db_close(b->db);
    snprintf(command, sizeof command, "rm -rf %s", b->folder);
    free(b);
    return system(command); /* NOLINT(cert-env33-c) */
}

static void write_out(struct bench *b, struct outbox *o)
{
    struct error e = {0};
    bool dropped;
    assert_int_equal(txn_begin(b->db, TXN_SYNC_NONE, NULL), ERR_OK);
    if (outbox_write(o, b->db, &b->claim, &dropped, &e)) fail_msg("%s", e.text);
    assert_int_equal(txn_commit(b->db, NULL), ERR_OK);
    outbox_clear(o);
}

/* The log of the task after its first two events (created, running): "type payload" lines. */
static void assert_logged(struct bench *b, const char *expected)
{
    struct event_list list = {0};
    struct event_scope scope = {.kind = SCOPE_TASK, .task = b->claim.n};
    struct buf text = {0};
    assert_int_equal(events_read(b->db, &scope, 0, 100, 1 << 20, &list, NULL), ERR_OK);
    for (size_t i = 2; i < list.count; i++)
        buf_fmt(&text, "%s %s\n", list.items[i].type, list.items[i].payload);
    assert_string_equal(buf_text(&text), expected);
    buf_free(&text);
    event_list_free(&list);
}

static void report(struct outbox *o, double percent, const char *phase, const char *message,
                   int64_t mono)
{
    struct report r = {percent, mem_str(phase), mem_str(message)};
    outbox_progress(o, &r, mono, 1000 + mono);
}

static void redraw(struct outbox *o, const char *text, int64_t mono)
{
    struct job_line said;
    job_log_line(&said, text, strlen(text));
    outbox_redraw(o, &said, mono, 1000 + mono);
    job_line_free(&said);
}

static void redrawn_lines_are_merged_and_the_last_arrives(void **state)
{
    struct outbox o;
    outbox_open(&o, 10);
    redraw(&o, "1%", 0);
    redraw(&o, "2%", 10);
    redraw(&o, "3%", 20);
    assert_int_equal(o.count, 1);
    assert_int_equal(outbox_next(&o), 100);
    outbox_due(&o, 99, 1099, false);
    assert_int_equal(o.count, 1);
    outbox_due(&o, 100, 1100, false);
    redraw(&o, "4%", 110);
    outbox_settle(&o, 120, 1120);
    outbox_settle(&o, 120, 1120); /* there is nothing more */
    assert_int_equal(outbox_next(&o), INT64_MAX);
    write_out(*state, &o);
    assert_logged(*state, "log.append {\"level\":\"info\",\"message\":\"1%\"}\n"
                          "log.append {\"level\":\"info\",\"message\":\"3%\"}\n"
                          "log.append {\"level\":\"info\",\"message\":\"4%\"}\n");
    redraw(&o, "5%", 130);
    outbox_free(&o); /* what is held back too */
}

static void a_first_report_is_written_at_once(void **state)
{
    struct outbox o;
    outbox_open(&o, 10);
    report(&o, 40, "llm", "hello", 0);
    assert_int_equal(o.count, 1);
    write_out(*state, &o);
    assert_logged(*state, "task.progress {\"percent\":40,\"phase\":\"llm\",\"message\":\"hello\","
                          "\"elapsed_seconds\":0.0,\"estimated_remaining_seconds\":0.0}\n");
    outbox_free(&o);
}

static void reports_too_soon_are_merged_into_the_newest_of_each_member(void **state)
{
    struct outbox o;
    outbox_open(&o, 10);
    report(&o, 10, NULL, NULL, 0);
    report(&o, 20, "one", "a", 10);
    report(&o, -1, NULL, "b", 20);
    report(&o, 30, NULL, NULL, 30);
    assert_int_equal(o.count, 1);
    outbox_due(&o, 99, 1099, false);
    assert_int_equal(o.count, 1);
    outbox_due(&o, 100, 1100, false);
    assert_int_equal(o.count, 2);
    write_out(*state, &o);
    assert_logged(*state, "task.progress {\"percent\":10,\"elapsed_seconds\":0.0,"
                          "\"estimated_remaining_seconds\":0.0}\n"
                          "task.progress {\"percent\":30,\"phase\":\"one\",\"message\":\"b\","
                          "\"elapsed_seconds\":0.1,\"estimated_remaining_seconds\":0.233}\n");
    outbox_free(&o);
}

static void at_the_end_the_held_report_is_written_early(void **state)
{
    struct outbox o;
    (void)state;
    outbox_open(&o, 10);
    report(&o, 10, NULL, NULL, 0);
    report(&o, 90, NULL, NULL, 10);
    outbox_due(&o, 20, 1020, true);
    assert_int_equal(o.count, 2);
    outbox_due(&o, 500, 1500, true);
    assert_int_equal(o.count, 2);
    outbox_free(&o);
}

static void events_keep_their_order_and_none_is_merged(void **state)
{
    struct outbox o;
    outbox_open(&o, 10);
    outbox_event(&o, mem_str("doc.created"), mem_str("{\"a\":1}"), 1001);
    outbox_log(&o, "warn", "careful", 7, 1002);
    outbox_event(&o, mem_str("doc.created"), mem_str("{\"a\":1}"), 1003);
    write_out(*state, &o);
    assert_logged(*state, "doc.created {\"a\":1}\n"
                          "log.append {\"level\":\"warn\",\"message\":\"careful\"}\n"
                          "doc.created {\"a\":1}\n");
    outbox_free(&o);
}

static void a_line_has_its_colours_beside_its_message(void **state)
{
    struct outbox o;
    struct job_line said;
    outbox_open(&o, 10);
    job_log_line(&said, "<4>\033[33m<b>\"", strlen("<4>\033[33m<b>\""));
    outbox_line(&o, &said, 1001);
    job_line_free(&said);
    redraw(&o, "\033[7m1%", 1002);
    write_out(*state, &o);
    assert_logged(
        *state,
        "log.append {\"level\":\"warn\",\"message\":\"<b>\\\"\",\"ansi\":\"\\u001b[33m<b>\\\"\"}\n"
        "log.append {\"level\":\"info\",\"message\":\"1%\",\"ansi\":\"\\u001b[7m1%\"}\n");
    outbox_free(&o);
}

static void what_is_no_text_is_replaced_in_a_log_line(void **state)
{
    struct outbox o;
    outbox_open(&o, 10);
    outbox_log(&o, "info",
               "a\0b\xff"
               "c\"",
               6, 1001);
    write_out(*state, &o);
    assert_logged(*state, "log.append {\"level\":\"info\","
                          "\"message\":\"a\xef\xbf\xbd"
                          "b\xef\xbf\xbd"
                          "c\\\"\"}\n");
    outbox_free(&o);
}

static void after_a_rollback_all_is_written_again(void **state)
{
    struct bench *b = *state;
    struct outbox o;
    bool dropped;
    outbox_open(&o, 10);
    report(&o, 40, NULL, NULL, 0);
    outbox_event(&o, mem_str("doc.created"), mem_str("{}"), 1001);
    assert_int_equal(txn_begin(b->db, TXN_SYNC_NONE, NULL), ERR_OK);
    assert_int_equal(outbox_write(&o, b->db, &b->claim, &dropped, NULL), ERR_OK);
    txn_rollback(b->db);
    write_out(b, &o);
    assert_logged(b, "task.progress {\"percent\":40,\"elapsed_seconds\":0.0,"
                     "\"estimated_remaining_seconds\":0.0}\ndoc.created {}\n");
    outbox_free(&o);
}

static void without_the_claim_nothing_is_written(void **state)
{
    struct bench *b = *state;
    struct claim other = b->claim;
    struct outbox o;
    bool dropped;
    other.attempt++;
    outbox_open(&o, 10);
    outbox_event(&o, mem_str("doc.created"), mem_str("{}"), 1001);
    assert_int_equal(txn_begin(b->db, TXN_SYNC_NONE, NULL), ERR_OK);
    assert_int_equal(outbox_write(&o, b->db, &other, &dropped, NULL), ERR_FENCED);
    assert_int_equal(txn_commit(b->db, NULL), ERR_OK);
    assert_logged(b, "");
    outbox_free(&o);
}

#define WITH_TASK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TASK(redrawn_lines_are_merged_and_the_last_arrives),
        WITH_TASK(a_first_report_is_written_at_once),
        WITH_TASK(reports_too_soon_are_merged_into_the_newest_of_each_member),
        WITH_TASK(at_the_end_the_held_report_is_written_early),
        WITH_TASK(events_keep_their_order_and_none_is_merged),
        WITH_TASK(a_line_has_its_colours_beside_its_message),
        WITH_TASK(what_is_no_text_is_replaced_in_a_log_line),
        WITH_TASK(after_a_rollback_all_is_written_again),
        WITH_TASK(without_the_claim_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
