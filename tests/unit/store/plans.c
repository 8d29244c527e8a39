/* How statements and their triggers find their rows: by what is listed here, each with its bound, whatever a database
 * holds and whether SQLite has statistics of it or not. A statement that begins to walk tasks or events, or to sort what
 * may be much, fails here. */
#include "fixture.h"

/* The plan of a statement and of the triggers that it fires, one step a line; caller frees. */
static char *plan_of(struct db *db, const char *sql)
{
    struct buf text = {0}, out = {0};
    buf_fmt(&text, "EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *st = NULL;
    sqlite3_db_config(db_sqlite(db), SQLITE_DBCONFIG_TRIGGER_EQP, 1, NULL);
    if (sqlite3_prepare_v2(db_sqlite(db), text.data, -1, &st, NULL))
        fail_msg("%s", sqlite3_errmsg(db_sqlite(db)));
    buf_str(&out, "");
    while (sqlite3_step(st) == SQLITE_ROW)
        buf_fmt(&out, "%s\n", (const char *)sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
    buf_free(&text);
    return out.data;
}

/* Fails unless hot statements find their rows by the index that was made for them. */
static void assert_indexes_used(struct room *r)
{
    static const struct {
        enum query query;
        const char *step;
    } expected[] = {
        {Q_CLAIM_PROMOTE, "SEARCH tasks USING INDEX tasks_delayed (run_at<?)"},
        {Q_CLAIM_NEXT, "SCAN o USING INDEX queue_owners_by_turn\n"},
        {Q_CLAIM_NEXT, "SEARCH q USING PRIMARY KEY (owner=?)"},
        {Q_CLAIM_NEXT, "SEARCH q USING PRIMARY KEY (owner=? AND priority=?)"},
        {Q_CLAIM_NEXT, "SEARCH t USING INDEX tasks_ready (owner=? AND priority=? AND type=?)"},
        {Q_CLAIM_DUE, "SEARCH q USING INDEX queues_by_type (type=?)"},
        {Q_CLAIM_DUE, "SEARCH t USING INDEX tasks_delayed\n"},
        /* the triggers of a change: turns of a group, its type and its error */
        {Q_CLAIM_FINISH, "SEARCH b USING INDEX tasks_in_turn (owner=? AND group_id=?)"},
        {Q_CLAIM_FINISH,
         "SEARCH tasks USING INDEX tasks_next (owner=? AND group_id=? AND status=? AND blocked=?)"},
        {Q_CLAIM_FINISH,
         "SEARCH t USING COVERING INDEX tasks_of_group (owner=? AND group_id=? AND status=?)"},
        {Q_CLAIM_FINISH,
         "SEARCH t USING COVERING INDEX tasks_by_group (owner=? AND group_id=? AND status=?)"},
        {Q_EVENT_NEXT, "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"},
        {Q_EVENT_STRAGGLER, "SEARCH events USING INTEGER PRIMARY KEY (rowid<?)"},
        {Q_CLAIMS_TO_STOP, "SEARCH t USING INDEX tasks_running (runner=?)"},
        {Q_INPUT_INFO, "SEARCH uploads USING INDEX uploads_of_task (task=?)"},
        {Q_PORTION_NEXT, "SEARCH p USING INDEX portions_of_upload (upload=? AND rowid>?)"},
        {Q_RETENTION_UPLOADS,
         "SEARCH uploads USING INDEX uploads_loose (touched_at>? AND touched_at<?)"},
        {Q_RETENTION_PORTIONS, "SEARCH u USING INDEX uploads_loose (touched_at=?)"},
        {Q_RETENTION_PORTIONS, "SEARCH p USING COVERING INDEX portions_of_upload (upload=?)"},
        {Q_TASK_DELETE, "SEARCH uploads USING INDEX uploads_of_task (task=?)"},
        {Q_RUNNER_LEASES, "SEARCH tasks USING INDEX tasks_running (runner=?)"},
        {Q_EVENTS_OF_TASK, "SEARCH events USING INDEX events_by_task (task=? AND rowid>?)"},
        {Q_EVENTS_OF_GROUP,
         "SEARCH events USING INDEX events_by_group (owner=? AND group_id=? AND rowid>?)"},
        {Q_EVENTS_OF_OWNER, "SEARCH events USING INDEX events_by_owner (owner=? AND rowid>?)"},
        {Q_EVENTS_ALL, "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"},
        {Q_TASK_BY_ID, "SEARCH t USING INDEX sqlite_autoindex_tasks_1 (id=?)"},
        {Q_TASK_BY_ID, "SEARCH e USING INDEX events_by_task (task=?)"},
        {Q_QUEUE_BEFORE, "SEARCH p USING PRIMARY KEY (owner=? AND priority=? AND part>?)"},
        {Q_QUEUE_BEFORE, "SEARCH b USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
        {Q_TASK_BY_N, "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"},
        {Q_TASK_STATE, "SEARCH e USING COVERING INDEX events_by_task (task=?)"},
        {Q_TASK_UNFINISHED_OWNER,
         "SEARCH tasks USING COVERING INDEX tasks_by_status (owner=? AND status=?)"},
        {Q_GROUP_GET, "SEARCH t USING INDEX tasks_by_group (owner=? AND group_id=? AND status=?)"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char *plan = plan_of(r->db, query_sources[expected[i].query].sql);
        if (!strstr(plan, expected[i].step))
            fail_msg("%s: no %s in\n%s", query_sources[expected[i].query].name, expected[i].step,
                     plan);
        free(plan);
    }
}

/* ---- a grown database ----------------------------------------------------------------------- */

/* What ANALYZE would find where there are a million tasks of a hundred owners, in a thousand groups, and ten million
 * events; 10,000 tasks wait and 100 run. Of each index its rows, and how many of them share its first columns. */
static const char statistics[] = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES"
                                 " ('tasks', 'sqlite_autoindex_tasks_1', '1000000 1'),"
                                 " ('tasks', 'tasks_by_status', '1000000 10000 1700'),"
                                 " ('tasks', 'tasks_by_type', '1000000 10000 1000 170'),"
                                 " ('tasks', 'tasks_by_group', '600000 6000 600 100'),"
                                 " ('tasks', 'tasks_of_group', '600000 6000 600 100 60'),"
                                 " ('tasks', 'tasks_all_by_status', '1000000 170000'),"
                                 " ('tasks', 'tasks_all_by_type', '1000000 100000 17000'),"
                                 " ('tasks', 'tasks_ready', '10000 100 50 10'),"
                                 " ('tasks', 'tasks_delayed', '1000 1'),"
                                 " ('tasks', 'tasks_in_turn', '1000 100 10'),"
                                 " ('tasks', 'tasks_next', '1000 100 10 10 10'),"
                                 " ('tasks', 'tasks_running', '100 25'),"
                                 " ('tasks', 'tasks_finished', '989900 99000 1'),"
                                 " ('tasks', 'tasks_unique', '100 10 5 1'),"
                                 " ('events', 'events_by_task', '9900000 10'),"
                                 " ('events', 'events_by_group', '6000000 60000 6000'),"
                                 " ('events', 'events_by_owner', '10000000 100000'),"
                                 " ('events', 'events_of_no_task', '100000 1'),"
                                 " ('groups', 'sqlite_autoindex_groups_1', '1000 10 1'),"
                                 " ('groups', 'groups_by_name', '1000 2 1'),"
                                 " ('groups', 'groups_by_change', '1000 10 1 1'),"
                                 " ('groups', 'groups_by_change_all', '1000 1 1 1'),"
                                 " ('groups', 'groups_empty', '10 1')";

static void assume_growth(struct db *db)
{
    assert_int_equal(sql_try(db, "ANALYZE"), SQLITE_OK); /* makes the table */
    assert_int_equal(sql_try(db, "DELETE FROM sqlite_stat1"), SQLITE_OK);
    assert_int_equal(sql_try(db, "%s", statistics), SQLITE_OK);
    sql_is(db, "0",
           "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name IN"
           " ('tasks', 'events', 'groups') AND name NOT IN (SELECT idx FROM sqlite_stat1)");
    sql_is(db, "0",
           "SELECT count(*) FROM sqlite_stat1 WHERE idx NOT IN (SELECT name FROM sqlite_schema"
           " WHERE type = 'index') AND idx <> 'sqlite_autoindex_groups_1'");
    assert_int_equal(sql_try(db, "ANALYZE sqlite_schema"), SQLITE_OK); /* reads it */
}

/* ---- what is right -------------------------------------------------------------------------- */

/* A step that is a walk, and what bounds it: of one statement, or of any. */
struct fine {
    const char *step;
    const char *statements; /* names between blanks; NULL: all */
    const char *bound;
};

static const struct fine scans[] = {
    {"SCAN CONSTANT ROW", NULL, "one"},
    {"SCAN sqlite_sequence", " events_newest ", "a row a table"},
    {"SCAN meta", " meta_get ", "two"},
    {"SCAN j VIRTUAL TABLE INDEX 1:", NULL, "types with a setting of their own"},
    {"SCAN task_counts", " queue_stats_tasks retention_any retention_due retention_tasks ",
     "types and statuses"},
    {"SCAN c", " retention_any retention_due retention_tasks runner_wanted ", "types and statuses"},
    {"SCAN p", " claim_due ", "types and statuses"},
    {"SCAN paused_types", " types_paused ", "types, LIMIT"},
    {"SCAN x", " types_broken ", "types and runners"},
    {"SCAN broken_types", " types_broken_clear retention_runners ", "types and runners"},
    {"SCAN runners", " queue_stats_runners runner_alive ", "runners of the last seven days"},
    {"SCAN r", " retention_any retention_due retention_runners ", "runners of the last seven days"},
    {"SCAN processes", " process_all ", "processes"},
    {"SCAN figures", " metric_all metric_delete ", "metrics and their labels"},
    {"SCAN credentials", " credential_tokens ",
     "tokens and tickets that have not expired: of the command line alone"},
    {"SCAN rates", " retention_any retention_due retention_rates ",
     "owners that were counted in the last ten minutes"},
    {"SCAN made", " batch_created ", "bulk_max: groups of a request"},
    {"SCAN line", " input_create_batch task_create_batch ", "bulk_max"},
    {"SCAN portion", " log_backlog_events task_delete tasks_delete ", "LIMIT"},
    {"SCAN json_each VIRTUAL TABLE INDEX 1:", " tasks_delete tasks_touch ", "16: TASKS_AT_ONCE"},
    {"SCAN remains", " retention_any ", "one: EXISTS"},
    {"SCAN remains", " retention_due ", "tasks whose log is being removed"},
    {"SCAN old", " retention_due ", "what there is to remove: of leat gc --dry-run alone"},
    {"SCAN o USING INDEX queue_owners_by_turn", " claim_next ", "owners of which nothing is open"},
    {"SCAN q", " queue_stats_due ", "queues: owners, priorities and types that something waits of"},
};

/* All ways to the rows of tasks and events, but a row by its number. */
static const struct fine ways[] = {
    {"INDEX sqlite_autoindex_tasks_1 (id=?)", NULL, "one"},
    {"INDEX sqlite_autoindex_tasks_1 (id>? AND id<?)", " task_ids ", "LIMIT"},
    {"INTEGER PRIMARY KEY (rowid<?)", " event_straggler task_page_all ", "LIMIT"},
    {"INTEGER PRIMARY KEY (rowid>?)", " event_next events_all ", "LIMIT"},
    {"INTEGER PRIMARY KEY (rowid>?)", " batch_created ", "bulk_max: the newest events"},
    {"INTEGER PRIMARY KEY (rowid>? AND rowid<?)", " batch_created ", "bulk_max"},
    /* lists: LIMIT and OFFSET, all conditions in the index */
    {"INDEX tasks_by_status (owner=? AND status=? AND rowid<?)", " task_page_owner ", "LIMIT"},
    {"INDEX tasks_by_type (owner=? AND type=? AND status=? AND rowid<?)", " task_page_owner_type ",
     "LIMIT"},
    {"INDEX tasks_by_group (owner=? AND group_id=? AND status=? AND rowid<?)", " task_page_group ",
     "LIMIT"},
    {"INDEX tasks_of_group (owner=? AND group_id=? AND status=? AND type=? AND rowid<?)",
     " task_page_group_type ", "LIMIT"},
    {"INDEX tasks_all_by_status (status=? AND rowid<?)", " task_page_status ", "LIMIT"},
    {"INDEX tasks_all_by_type (type=? AND status=? AND rowid<?)", " task_page_type ", "LIMIT"},
    {"INDEX tasks_by_group (owner=? AND group_id=? AND status=? AND rowid>? AND rowid<?)",
     " group_portion task_numbers_group ", "LIMIT"},
    {"INDEX tasks_of_group (owner=? AND group_id=? AND status=? AND type=? AND rowid>? AND "
     "rowid<?)",
     " task_numbers_group_type ", "LIMIT"},
    {"INDEX tasks_by_status (owner=? AND status=?)", " rate_created task_unfinished_owner ",
     "LIMIT"},
    {"INDEX tasks_all_by_status (status=?)", " task_unfinished_all ", "LIMIT"},
    /* queues */
    {"INDEX tasks_all_by_status (status=?)", " claims_abandoned ", "tasks that run"},
    {"INDEX tasks_running (runner>?)", " runner_wanted ", "one: EXISTS"},
    {"INDEX tasks_running (runner=?)", NULL, "tasks that run"},
    {"INTEGER PRIMARY KEY (rowid>? AND rowid<?)", " queue_before ",
     "64: the nearer end of a part of a queue"},
    {"INTEGER PRIMARY KEY (rowid>? AND rowid<?)", " queue_between ",
     "127: the rest of a part of a queue"},
    {"INDEX tasks_ready (owner=? AND priority=? AND type=?)", " claim_next queue_stats_due ",
     "one: the oldest"},
    {"INDEX tasks_delayed (run_at<?)", " claim_promote ", "LIMIT"},
    {"INDEX tasks_delayed (run_at<?)", " claim_promotable ", "one: EXISTS"},
    {"INDEX tasks_delayed (run_at<?)", " queue_stats_due ", "those of paused types, and one"},
    {"INDEX tasks_delayed", " claim_due ", "one: the earliest"},
    {"INDEX tasks_in_turn (owner=? AND group_id=?)", NULL, "one: the oldest"},
    {"INDEX tasks_next (owner=? AND group_id=? AND status=? AND blocked=?)", NULL,
     "two: who may run, and who has just come"},
    {"INDEX tasks_unique (owner=? AND type=? AND unique_text=?)", " task_unique ",
     "few unfinished"},
    /* groups */
    {"INDEX tasks_by_group (owner=? AND group_id=? AND status=?)", NULL,
     "the newest, or those of the group that run"},
    {"INDEX tasks_of_group (owner=? AND group_id=? AND status=?)", NULL, "one: the first type"},
    {"INDEX tasks_of_group (owner=? AND group_id=? AND status=? AND type<?)", NULL, "one: EXISTS"},
    {"INDEX tasks_of_group (owner=? AND group_id=? AND status=? AND type>?)", NULL, "one: EXISTS"},
    /* the log */
    {"INDEX events_by_task (task=?)", NULL, "the newest, or LIMIT, or of leat gc --dry-run alone"},
    {"INDEX events_by_task (task=? AND rowid>?)", " events_of_task ", "LIMIT"},
    {"INDEX events_by_group (owner=? AND group_id=? AND rowid>?)", " events_of_group ", "LIMIT"},
    {"INDEX events_by_owner (owner=? AND rowid>?)", " events_of_owner ", "LIMIT"},
    /* what goes */
    {"INDEX tasks_finished (type=? AND completed_at<?)",
     " retention_any retention_due retention_tasks ",
     "EXISTS, LIMIT, or of leat gc --dry-run alone"},
    {"INDEX events_of_no_task (ts<?)", " retention_any retention_due retention_events ",
     "EXISTS, LIMIT, or of leat gc --dry-run alone"},
};

static bool among(const struct fine *list, size_t count, const char *statement, const char *step)
{
    char name[64];
    snprintf(name, sizeof name, " %s ", statement);
    for (size_t i = 0; i < count; i++) {
        assert_true(*list[i].bound);
        if (!strcmp(list[i].step, step) &&
            (!list[i].statements || strstr(list[i].statements, name)))
            return true;
    }
    return false;
}

/* "SEARCH t USING COVERING INDEX x (a=?) LEFT-JOIN" is "INDEX x (a=?)"; NULL when it is no search in more than a row
 * of tasks or events. */
static const char *way_of(char *step)
{
    char *end = strstr(step, " LEFT-JOIN"), *at = strstr(step, " USING ");
    if (strncmp(step, "SEARCH ", 7) || !at) return NULL; /* without USING: min() or max() */
    if (end) *end = '\0';
    at += strlen(" USING ");
    if (!strncmp(at, "COVERING ", 9)) at += 9;
    if (!strcmp(at, "INTEGER PRIMARY KEY (rowid=?)")) return NULL;
    bool ours = !strncmp(at, "INDEX tasks_", 12) || !strncmp(at, "INDEX events_", 13) ||
                !strncmp(at, "INDEX sqlite_autoindex_tasks_", 29) ||
                !strncmp(at, "INTEGER PRIMARY KEY", 19) || !strncmp(at, "AUTOMATIC", 9);
    return ours ? at : NULL;
}

static bool is_fine(const char *statement, char *step)
{
    if (!strncmp(step, "SCAN ", 5))
        return among(scans, sizeof scans / sizeof *scans, statement, step);
    if (!strncmp(step, "USE TEMP B-TREE", 15) || !strncmp(step, "MULTI-INDEX", 11)) return false;
    const char *way = way_of(step);
    return !way || among(ways, sizeof ways / sizeof *ways, statement, way);
}

static void assert_plans_fine(struct db *db)
{
    int steps = 0;
    for (int q = 0; q < Q_COUNT; q++) {
        char *plan = plan_of(db, query_sources[q].sql), *whole = mem_str(plan), *rest = plan;
        for (char *step; (step = strsep(&rest, "\n")) && *step; steps++)
            if (!is_fine(query_sources[q].name, step))
                fail_msg("%s: \"%s\" has no bound that is known, in\n%s", query_sources[q].name,
                         step, whole);
        free(plan);
        free(whole);
    }
    assert_true(steps > Q_COUNT);
}

static void no_statement_and_no_trigger_walks_what_grows(void **state)
{
    struct room *r = *state;
    assert_plans_fine(r->db);
    assert_indexes_used(r);
    assume_growth(r->db);
    assert_plans_fine(r->db);
    assert_indexes_used(r);
}

/* A bound that nothing needs any more would let something else in. */
static void what_is_listed_as_fine_is_needed(void **state)
{
    struct room *r = *state;
    struct buf all = {0};
    for (int q = 0; q < Q_COUNT; q++) {
        char *plan = plan_of(r->db, query_sources[q].sql), *rest = plan;
        for (char *step; (step = strsep(&rest, "\n")) && *step;) {
            const char *way = way_of(step);
            buf_fmt(&all, "\n%s|%s\n", query_sources[q].name, way ? way : step);
        }
        free(plan);
    }
    const struct {
        const struct fine *list;
        size_t count;
    } lists[] = {{scans, sizeof scans / sizeof *scans}, {ways, sizeof ways / sizeof *ways}};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l].count; i++) {
            const struct fine *f = &lists[l].list[i];
            char *names = mem_str(f->statements ? f->statements : " "), *rest = names;
            for (char *name; (name = strsep(&rest, " "));) {
                if (!*name && f->statements) continue;
                char line[256];
                snprintf(line, sizeof line, "%s|%s\n", name, f->step);
                if (!strstr(buf_text(&all), line)) fail_msg("nothing needs %s", line);
            }
            free(names);
        }
    buf_free(&all);
}

static void a_walk_is_noticed(void **state)
{
    struct room *r = *state;
    static const char *const walks[] = {
        "SELECT * FROM tasks t WHERE t.owner = 'x' AND t.priority = 1",
        "SELECT * FROM events AS x WHERE x.type = 'log.append'",
        "SELECT * FROM tasks WHERE type = 'x' ORDER BY created_at",
        "SELECT count(*) FROM events WHERE seq > 7 AND type = 'x'",
        "DELETE FROM tasks WHERE group_id = 'x'",
    };
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
        char *plan = plan_of(r->db, walks[i]), *rest = plan;
        bool fine = true;
        for (char *step; (step = strsep(&rest, "\n")) && *step;)
            if (!is_fine("anything", step)) fine = false;
        if (fine) fail_msg("%s: goes by", walks[i]);
        free(plan);
    }
}

static void the_plans_of_triggers_are_seen(void **state)
{
    struct room *r = *state;
    char *plan = plan_of(r->db, query_sources[Q_TASK_DELETE].sql);
    assert_non_null(strstr(plan, "SEARCH events USING COVERING INDEX events_by_task (task=?)"));
    free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(no_statement_and_no_trigger_walks_what_grows),
        room_test(what_is_listed_as_fine_is_needed),
        room_test(a_walk_is_noticed),
        room_test(the_plans_of_triggers_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
