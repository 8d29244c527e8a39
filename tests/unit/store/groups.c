/* Groups: their context, what is published into them, and their tasks in portions. */
#include "fixture.h"

#include "store/group_tasks.h"

static struct group get(struct room *r, const char *owner, const char *name)
{
    struct group g;
    OK(r, group_get(r->db, owner, name, &g, &r->e));
    return g;
}

static enum err put(struct room *r, const char *name, const char *json, int64_t expected,
                    int64_t now)
{
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    enum err rc = group_context_put(r->db, "alice", name, json, expected, now, &r->e);
    if (rc)
        txn_rollback(r->db);
    else
        OK(r, txn_commit(r->db, &r->e));
    return rc;
}

/* ---- context -------------------------------------------------------------------------------- */

/* The context of alice's group is `json`, NULL: none, and of that version. */
static void context_is(struct room *r, const char *name, const char *json, int64_t version)
{
    char *now = NULL;
    int64_t at = -1;
    OK(r, group_context_get(r->db, "alice", name, &now, &at, &r->e));
    if (json) assert_non_null(now);
    if (json)
        assert_string_equal(now, json);
    else
        assert_null(now);
    assert_int_equal(at, version);
    free(now);
}

static void a_context_is_kept_on_one_line_with_a_version(void **state)
{
    struct room *r = *state;
    assert_int_equal(put(r, "g", "{\n \"a\": null,\n \"b\": [1.50] }", -1, T0 + 1), ERR_OK);
    context_is(r, "g", "{\"a\":null,\"b\":[1.50]}", 1);
    struct group g = get(r, "alice", "g");
    assert_int_equal(g.version, 1);
    assert_null(g.context);
    assert_string_equal(g.status, "idle");
    assert_true(g.created_at == T0 + 1 && g.updated_at == T0 + 1);
    group_free(&g);
    assert_int_equal(put(r, "g", "null", -1, T0 + 2), ERR_OK);
    context_is(r, "g", "null", 2);
    g = get(r, "alice", "g");
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
    context_is(r, "g", "2", 2);
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
    context_is(r, "g", "{\"turn\":1}", 1);
    struct group g = get(r, "alice", "g");
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
    context_is(r, "g", NULL, 0);
}

/* A job of the group ends that was given version `given`. */
static void ends_with_context(struct room *r, const char *json, int64_t given)
{
    struct claim c = take(r, 1, T0);
    assert_int_equal(finish(r, &c,
                            &(struct claim_end){.status = TASK_COMPLETED,
                                                .context = json,
                                                .context_version = given,
                                                .now = T0 + 9}),
                     ERR_OK);
}

static void a_context_that_somebody_changed_meanwhile_stays_and_the_jobs_is_in_the_log(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "g"});
    assert_int_equal(put(r, "g", "1", -1, T0), ERR_OK);
    assert_int_equal(put(r, "g", "\"newer\"", -1, T0), ERR_OK);
    ends_with_context(r, "{ \"by\": [1.50, null] }", 1);
    context_is(r, "g", "\"newer\"", 2);
    char *id = id_of(r->db, 1);
    struct buf payload = {0};
    buf_fmt(&payload, "{\"task_id\":\"%s\",\"version\":2,\"context\":{\"by\":[1.50,null]}}", id);
    sql_is(r->db, payload.data,
           "SELECT payload FROM events WHERE type = 'group.context_conflict' AND owner = 'alice'"
           " AND group_id = 'g' AND task IS NULL AND task_id = '%s' AND request_id = 'req-1'"
           " AND ts = %lld",
           id, T0 + 9);
    buf_free(&payload);
    free(id);
    sql_is(r->db, "task.status_changed group.context_conflict", /* the newest first */
           "SELECT group_concat(type, ' ') FROM (SELECT type FROM events ORDER BY seq DESC LIMIT 3)"
           " WHERE type <> 'group.status_changed'");
    sql_is(r->db, "completed", "SELECT status FROM tasks WHERE n = 1");
    ends_with_context(r, "3", 2); /* the next one was given the newer one */
    context_is(r, "g", "3", 3);
    assert_int_equal(
        sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'group.context_conflict'"), 1);
    assert_consistent(r->db);
}

static void a_context_goes_with_its_group(void **state)
{
    struct room *r = *state;
    assert_int_equal(put(r, "g", "1", -1, T0), ERR_OK);
    assert_int_equal(put(r, "h", "2", -1, T0), ERR_OK);
    assert_int_equal(sql_try(r->db, "DELETE FROM groups WHERE name = 'g'"), SQLITE_OK);
    sql_is(r->db, "2", "SELECT group_concat(json) FROM contexts");
    context_is(r, "g", NULL, 0);
}

static int pages_read(struct db *db)
{
    int now, highest;
    sqlite3_db_status(db_sqlite(db), SQLITE_DBSTATUS_CACHE_MISS, &now, &highest, 1);
    return now;
}

/* A mebibyte in small pages: what is read of it would be seen. */
static void reading_a_group_reads_nothing_of_its_context(void **state)
{
    enum { GROUPS = 10 };
    struct room *r = *state;
    char *json = mem_alloc(1 << 20), name[16];
    memset(json, '1', (1 << 20) - 1);
    for (int i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(put(r, name, json, -1, T0 + i), ERR_OK);
    }
    free(json);
    room_close(r);
    OK(r, room_open(r));
    struct group_page page;
    pages_read(r->db);
    OK(r, group_page_read(r->db, "alice", NULL, GROUPS, &page, &r->e));
    assert_int_equal(page.count, GROUPS);
    for (size_t i = 0; i < page.count; i++) {
        struct group g = get(r, "alice", page.items[i].name);
        assert_true(g.version == 1 && g.updated_at == page.items[i].updated_at);
        group_free(&g);
    }
    group_page_free(&page);
    assert_in_range(pages_read(r->db), 0, 50);
    char *read = NULL;
    int64_t version;
    OK(r, group_context_get(r->db, "alice", "g5", &read, &version, &r->e));
    assert_int_equal(strlen(read), (1 << 20) - 1);
    free(read);
    assert_in_range(pages_read(r->db), 100, (1 << 20) / 512); /* one, not those beside it */
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
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, group_publish(r->db, "alice", "g", "req-9", "doc.created", "{ \"a\": null }", T0 + 1,
                        &seq, &r->e));
    OK(r, txn_commit(r->db, &r->e));
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

/* The tasks of alice's group "g" not behind `until`, in portions of two: "1 pending, 3 running". */
static void portions_are(struct room *r, int64_t until, const char *expected)
{
    struct buf all = {0};
    int64_t after = 0;
    for (bool more = true; more;) {
        struct group_portion p;
        OK(r, group_portion_read(r->db, "alice", "g", after, until, 2, &p, &r->e));
        for (size_t i = 0; i < p.count; i++) {
            assert_string_equal(p.items[i].type, "echo");
            buf_fmt(&all, "%s%lld %s", all.len ? ", " : "", (long long)p.items[i].n,
                    task_status_name(p.items[i].status));
            after = p.items[i].n;
        }
        more = p.more;
        assert_true(p.count == 2 || !more);
        group_portion_free(&p);
    }
    assert_string_equal(buf_text(&all), expected);
    buf_free(&all);
}

static void the_tasks_of_a_group_come_in_portions_without_gap_or_repetition(void **state)
{
    struct room *r = *state;
    portions_are(r, INT64_MAX, "");
    for (int i = 0; i < 4; i++) make(r, (struct sketch){.group = "g"});
    make(r, (struct sketch){.group = "h"});
    make(r, (struct sketch){.group = "g", .owner = "bob", .priority = -1});
    struct claim done = take(r, 1, T0);
    for (int i = 0; i < 2; i++) take(r, 1, T0); /* bob's, and another one of alice's */
    finish(r, &done, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    int64_t newest = 0;
    OK(r, group_tasks_newest(r->db, &newest, &r->e));
    assert_int_equal(newest, 6);
    make(r, (struct sketch){.group = "g"}); /* comes while somebody reads */
    portions_are(r, newest, "1 completed, 2 running, 3 pending, 4 pending");
    portions_are(r, INT64_MAX, "1 completed, 2 running, 3 pending, 4 pending, 7 pending");
    portions_are(r, 0, "");
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
        room_test(a_context_that_somebody_changed_meanwhile_stays_and_the_jobs_is_in_the_log),
        room_test(a_context_goes_with_its_group),
        room_test(reading_a_group_reads_nothing_of_its_context),
        room_test(a_published_event_is_the_groups_and_no_tasks),
        room_test(an_event_names_its_task),
        room_test(groups_are_listed_latest_change_first_without_gap_or_repetition),
        room_test(the_tasks_of_a_group_come_in_portions_without_gap_or_repetition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
