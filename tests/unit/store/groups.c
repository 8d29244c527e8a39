/* Groups: their context, what is published into them, and what is done to all their tasks at once. */
#include "fixture.h"

static struct group get(struct room *r, const char *owner, const char *name)
{
    struct group g;
    OK(r, group_get(r->db, owner, name, &g, &r->e));
    return g;
}

static enum err put(struct room *r, const char *name, const char *json, int64_t expected,
                    int64_t now)
{
    OK(r, db_begin(r->db, DB_SYNC_AFTER, &r->e));
    enum err rc = group_context_put(r->db, "alice", name, json, expected, now, &r->e);
    if (rc)
        db_rollback(r->db);
    else
        OK(r, db_commit(r->db, &r->e));
    return rc;
}

/* ---- context -------------------------------------------------------------------------------- */

static void a_context_is_kept_on_one_line_with_a_version(void **state)
{
    struct room *r = *state;
    assert_int_equal(put(r, "g", "{\n \"a\": null,\n \"b\": [1.50] }", -1, T0 + 1), ERR_OK);
    struct group g = get(r, "alice", "g");
    assert_string_equal(g.context, "{\"a\":null,\"b\":[1.50]}");
    assert_int_equal(g.version, 1);
    assert_string_equal(g.status, "idle");
    assert_true(g.created_at == T0 + 1 && g.updated_at == T0 + 1);
    group_free(&g);
    assert_int_equal(put(r, "g", "null", -1, T0 + 2), ERR_OK);
    g = get(r, "alice", "g");
    assert_string_equal(g.context, "null");
    assert_true(g.version == 2 && g.updated_at == T0 + 2);
    group_free(&g);
    sql_is(r->db, "{\"version\":1} {\"version\":2}",
           "SELECT group_concat(payload, ' ') FROM events WHERE type = 'group.context_changed'");
}

static void a_context_is_replaced_only_at_the_version_that_is_expected(void **state)
{
    struct room *r = *state;
    assert_int_equal(put(r, "g", "1", 1, T0), ERR_STATE);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM groups"), 0);
    assert_int_equal(put(r, "g", "1", 0, T0), ERR_OK); /* never set: version 0 */
    assert_int_equal(put(r, "g", "2", 0, T0), ERR_STATE);
    assert_int_equal(put(r, "g", "2", 2, T0), ERR_STATE);
    assert_int_equal(put(r, "g", "2", 1, T0), ERR_OK);
    struct group g = get(r, "alice", "g");
    assert_string_equal(g.context, "2");
    assert_int_equal(g.version, 2);
    group_free(&g);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events"), 2);
}

static void a_context_that_is_no_json_is_not_kept(void **state)
{
    struct room *r = *state;
    assert_int_equal(put(r, "g", "{broken", -1, T0), ERR_INTERNAL);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM groups"), 0);
}

static void a_job_gives_the_context_of_its_group_when_it_completes(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    struct claim c = take(r, 1, T0);
    assert_int_equal(finish(r, &c,
                            &(struct claim_end){.status = TASK_COMPLETED,
                                                .context = "{ \"turn\": 1 }",
                                                .now = T0 + 9}),
                     ERR_OK);
    struct group g = get(r, "alice", "g");
    assert_string_equal(g.context, "{\"turn\":1}");
    assert_true(g.version == 1 && g.updated_at == T0 + 9);
    assert_string_equal(g.status, "completed");
    group_free(&g);
    assert_consistent(r->db);
}

static void a_fenced_job_gives_no_context(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    struct claim c = take(r, 1, T0), other = {c.n, 2, c.attempt};
    assert_int_equal(
        finish(r, &other, &(struct claim_end){.status = TASK_COMPLETED, .context = "1", .now = T0}),
        ERR_FENCED);
    struct group g = get(r, "alice", "g");
    assert_true(!g.context && g.version == 0);
    group_free(&g);
}

static void a_context_without_a_group_is_nobodys(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct claim c = take(r, 1, T0);
    assert_int_equal(
        finish(r, &c, &(struct claim_end){.status = TASK_COMPLETED, .context = "1", .now = T0}),
        ERR_OK);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM groups"), 0);
}

/* ---- publishing ----------------------------------------------------------------------------- */

static void a_published_event_is_the_groups_and_no_tasks(void **state)
{
    struct room *r = *state;
    int64_t seq = 0;
    OK(r, db_begin(r->db, DB_SYNC_AFTER, &r->e));
    OK(r, group_publish(r->db, "alice", "g", "req-9", "doc.created", "{ \"a\": null }", T0 + 1,
                        &seq, &r->e));
    OK(r, db_commit(r->db, &r->e));
    struct event_list l = {0};
    const struct event_scope scope = {.kind = SCOPE_GROUP, .owner = "alice", .group = "g"};
    OK(r, events_read(r->db, &scope, 0, 9, 9999, &l, &r->e));
    assert_int_equal(l.count, 1);
    const struct event *ev = &l.items[0];
    assert_true(ev->seq == seq && ev->ts == T0 + 1 && !ev->task && !ev->task_seq && !ev->task_id);
    assert_string_equal(ev->type, "doc.created");
    assert_string_equal(ev->payload, "{\"a\":null}");
    assert_string_equal(ev->request_id, "req-9");
    int64_t n;
    assert_int_equal(event_task(r->db, seq, &n, &r->e), ERR_NOTFOUND);
    assert_int_equal(event_task(r->db, seq + 1, &n, &r->e), ERR_NOTFOUND);
    event_list_free(&l);
    struct group g = get(r, "alice", "g"); /* exists by being named */
    assert_true(g.created_at == T0 + 1 && g.updated_at == T0 + 1);
    group_free(&g);
    g = get(r, "bob", "g");
    assert_true(g.created_at == TASK_NONE);
    group_free(&g);
}

static void an_event_names_its_task(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    int64_t second = make(r, (struct sketch){0}), n = 0;
    OK(r, event_task(r->db, 2, &n, &r->e));
    assert_int_equal(n, second);
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* The groups that pages of two show one after the other, as "owner/name". */
static void pages_are(struct room *r, const char *owner, const char *expected)
{
    struct buf text = {0};
    struct group_name at = {0};
    buf_str(&text, "");
    for (bool more = true; more;) {
        struct group_page p;
        OK(r, group_page_read(r->db, owner, at.name ? &at : NULL, 2, &p, &r->e));
        assert_true(p.count <= 2 && (p.count == 2 || !p.more));
        for (size_t i = 0; i < p.count; i++)
            buf_fmt(&text, "%s/%s ", p.items[i].owner, p.items[i].name);
        free(at.owner);
        free(at.name);
        at = (struct group_name){0};
        more = p.more;
        if (more)
            at = (struct group_name){.owner = mem_str(p.items[p.count - 1].owner),
                                     .name = mem_str(p.items[p.count - 1].name),
                                     .updated_at = p.items[p.count - 1].updated_at};
        group_page_free(&p);
    }
    assert_string_equal(text.data, expected);
    buf_free(&text);
}

static void groups_are_listed_latest_change_first_without_gap_or_repetition(void **state)
{
    struct room *r = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    pages_are(r, "alice", "");
    for (size_t i = 0; i < 5; i++) /* two at one time */
        make(r, (struct sketch){.group = names[i], .now = T0 + (int64_t)i / 2});
    make(r, (struct sketch){.group = "z", .owner = "bob", .now = T0 + 1});
    pages_are(r, "alice", "alice/e alice/d alice/c alice/b alice/a ");
    pages_are(r, "bob", "bob/z ");
    pages_are(r, NULL, "alice/e bob/z alice/d alice/c alice/b alice/a ");
    assert_int_equal(put(r, "a", "1", -1, T0 + 9), ERR_OK);
    pages_are(r, "alice", "alice/a alice/e alice/d alice/c alice/b ");
}

/* ---- all tasks of a group ------------------------------------------------------------------- */

static void cancelling_a_group_ends_what_waits_and_asks_for_what_runs(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.group = "g"});
    int64_t other = make(r, (struct sketch){.group = "h"});
    int64_t bobs = make(r, (struct sketch){.group = "g", .owner = "bob", .priority = -1});
    struct claim done = take(r, 1, T0), runs = take(r, 1, T0);
    finish(r, &done, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    int64_t cancelled = -1, requested = -1;
    OK(r, db_begin(r->db, DB_SYNC_BEFORE, &r->e));
    OK(r, group_cancel(r->db, "alice", "g", T0 + 5, &cancelled, &requested, &r->e));
    OK(r, db_commit(r->db, &r->e));
    assert_true(cancelled == 2 && requested == 1);
    sql_is(
        r->db, "completed running cancelled cancelled",
        "SELECT group_concat(status, ' ') FROM (SELECT status FROM tasks WHERE owner = 'alice' AND"
        " group_id = 'g' ORDER BY n)");
    assert_int_equal(sql_number(r->db, "SELECT cancel_requested FROM tasks WHERE n = %lld", runs.n),
                     1);
    sql_is(r->db, "pending", "SELECT status FROM tasks WHERE n = %lld", other);
    sql_is(r->db, "pending", "SELECT status FROM tasks WHERE n = %lld", bobs);
    assert_consistent(r->db);

    OK(r, db_begin(r->db, DB_SYNC_BEFORE, &r->e));
    OK(r, group_cancel(r->db, "alice", "never", T0 + 5, &cancelled, &requested, &r->e));
    OK(r, db_commit(r->db, &r->e));
    assert_true(cancelled == 0 && requested == 0);
}

static int64_t attempts_of(void *arg, const char *type)
{
    *(int *)arg += 1;
    return !strcmp(type, "often") ? 5 : 1;
}

static void retrying_a_group_makes_what_did_not_complete_wait_again(void **state)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED};
    struct room *r = *state;
    for (int i = 0; i < 4; i++) {
        make(r, (struct sketch){.group = "g", .type = i == 2 ? "often" : "once"});
        struct claim c = take(r, 1, T0);
        finish(
            r, &c,
            &(struct claim_end){.status = ends[i], .now = T0, .error_code = i ? "timeout" : NULL});
    }
    make(r, (struct sketch){.group = "g"}); /* waits already */
    int asked = 0;
    int64_t retried = -1;
    OK(r, db_begin(r->db, DB_SYNC_AFTER, &r->e));
    OK(r, group_retry(r->db, "alice", "g", attempts_of, &asked, T0 + 7, &retried, &r->e));
    OK(r, db_commit(r->db, &r->e));
    assert_true(retried == 3 && asked == 3);
    sql_is(
        r->db, "completed 1, pending 2, pending 6, pending 2, pending 1",
        "SELECT group_concat(status || ' ' || max_attempts, ', ') FROM (SELECT * FROM tasks ORDER"
        " BY n)");
    assert_consistent(r->db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_context_is_kept_on_one_line_with_a_version),
        room_test(a_context_is_replaced_only_at_the_version_that_is_expected),
        room_test(a_context_that_is_no_json_is_not_kept),
        room_test(a_job_gives_the_context_of_its_group_when_it_completes),
        room_test(a_fenced_job_gives_no_context),
        room_test(a_context_without_a_group_is_nobodys),
        room_test(a_published_event_is_the_groups_and_no_tasks),
        room_test(an_event_names_its_task),
        room_test(groups_are_listed_latest_change_first_without_gap_or_repetition),
        room_test(cancelling_a_group_ends_what_waits_and_asks_for_what_runs),
        room_test(retrying_a_group_makes_what_did_not_complete_wait_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
