/* Opening: new, old, newer and foreign databases, and whose life the cursors belong to. */
#include "fixture.h"

#include "gen/schema.h"

#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- one schema ----------------------------------------------------------------------------- */

static int newest_version(void)
{
    return schema_steps[schema_step_count - 1].version;
}

struct start {
    struct signal_pipe ready, go, epochs;
};

static void open_at_once(struct room *r, void *arg)
{
    struct start *s = arg;
    pipe_say(&s->ready);
    MUST(pipe_heard(&s->go));
    MUST(!room_open(r));
    MUST(write(s->epochs.to, db_epoch(r->db), EPOCH_DIGITS) == EPOCH_DIGITS);
    int64_t n;
    MUST(!txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    MUST(!sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    MUST(!txn_commit(r->db, &r->e));
}

static void processes_that_open_at_once_make_one_schema_and_one_epoch(void **state)
{
    enum { OPENERS = 4 };
    struct room *r = *state;
    for (int round = 0; round < 1 + 9 / slowness(); round++) {
        struct start s = {pipe_open(), pipe_open(), pipe_open()};
        pid_t pids[OPENERS];
        for (int i = 0; i < OPENERS; i++) pids[i] = room_fork(r, open_at_once, &s);
        for (int i = 0; i < OPENERS; i++) assert_true(pipe_heard(&s.ready));
        for (int i = 0; i < OPENERS; i++) pipe_say(&s.go);
        for (int i = 0; i < OPENERS; i++) child_succeeds(r, pids[i]);
        OK(r, room_open(r));
        for (int i = 0; i < OPENERS; i++) {
            char epoch[EPOCH_DIGITS + 1] = "";
            assert_int_equal(read(s.epochs.from, epoch, EPOCH_DIGITS), EPOCH_DIGITS);
            assert_string_equal(epoch, db_epoch(r->db));
        }
        assert_int_equal(sql_number(r->db, "PRAGMA user_version"), newest_version());
        assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), OPENERS);
        assert_consistent(r->db);
        room_close(r);
        pipe_close(&s.ready);
        pipe_close(&s.go);
        pipe_close(&s.epochs);
        room_clear(r);
    }
}

static void a_new_database_is_a_log_ahead_of_its_file(void **state)
{
    struct room *r = *state;
    OK(r, room_open(r));
    sql_is(r->db, "wal", "PRAGMA journal_mode");
    bool gives = false;
    OK(r, db_gives_back(r->db, &gives, &r->e)); /* what is freed, to the file system */
    assert_true(gives);
    assert_int_equal(sql_number(r->db, "PRAGMA user_version"), newest_version());
    assert_int_equal(strlen(db_epoch(r->db)), EPOCH_DIGITS);
    assert_int_equal(strspn(db_epoch(r->db), "0123456789abcdef"), EPOCH_DIGITS);
}

static void every_step_leads_from_the_one_before(void **state)
{
    /* as a database of each earlier version would be found */
    struct room *r = *state;
    for (size_t have = 0; have < schema_step_count; have++) {
        sqlite3 *sql = NULL;
        assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
        for (size_t i = 0; i < have; i++)
            assert_int_equal(sqlite3_exec(sql, schema_steps[i].sql, NULL, NULL, NULL), SQLITE_OK);
        char version[64];
        snprintf(version, sizeof version, "PRAGMA user_version = %d",
                 have ? schema_steps[have - 1].version : 0);
        assert_int_equal(sqlite3_exec(sql, version, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(sql);

        struct db *db = NULL;
        assert_int_equal(db_open(&db, &(struct db_options){.path = r->path, .busy_ms = 100}, &r->e),
                         ERR_STATE);
        assert_non_null(strstr(r->e.text, "migration"));
        OK(r, room_open(r));
        assert_int_equal(sql_number(r->db, "PRAGMA user_version"), newest_version());
        sql_is(r->db, "wal", "PRAGMA journal_mode");
        make(r, (struct sketch){.group = "g"});
        assert_consistent(r->db);
        room_close(r);
        room_clear(r);
    }
}

static void what_waited_in_an_older_database_waits_on(void **state)
{
    struct room *r = *state;
    sqlite3 *sql = NULL;
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(sqlite3_exec(sql, schema_steps[i].sql, NULL, NULL, NULL), SQLITE_OK);
    static const char tasks[] =
        "PRAGMA user_version = 6;"
        "INSERT INTO tasks (id, owner, type, group_id, request_id, run_at, serialize, created_at,"
        " updated_at) VALUES ('1', 'alice', 'echo', 'g', 'r', 2000000000000, 1, 1, 1),"
        " ('2', 'alice', 'echo', 'g', 'r', NULL, 1, 1, 1),"
        " ('3', 'alice', 'echo', 'g', 'r', NULL, 1, 1, 1),"
        " ('4', 'bob', 'echo', 'h', 'r', NULL, 0, 1, 1);"
        "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1 WHERE id = '4';"
        "UPDATE tasks SET status = 'failed', completed_at = 1, error_code = 'exit_status',"
        " error_message = 'no', error_retryable = 0, runner = NULL, lease_until = NULL"
        " WHERE id = '4';";
    assert_int_equal(sqlite3_exec(sql, tasks, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sql);
    OK(r, room_open(r));
    places_are(r, "1:- 2:1 3:2 4:-");
    sql_is(r->db, "echo {\"code\":\"exit_status\",\"message\":\"no\",\"retryable\":false}",
           "SELECT type || ' ' || error FROM groups WHERE name = 'h'");
    struct claim two = take(r, 1, T0);
    assert_int_equal(two.n, 2); /* the first one waits for its time and keeps nobody waiting */
    assert_int_equal(take(r, 1, T0).n, 0);
    finish(r, &two, &(struct claim_end){.status = TASK_COMPLETED, .now = T0});
    assert_int_equal(take(r, 1, T0).n, 3);
}

static void the_contexts_of_an_older_database_stay_what_they_are(void **state)
{
    struct room *r = *state;
    sqlite3 *sql = NULL;
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    for (int i = 0; i < 7; i++)
        assert_int_equal(sqlite3_exec(sql, schema_steps[i].sql, NULL, NULL, NULL), SQLITE_OK);
    static const char groups[] =
        "PRAGMA user_version = 7;"
        "INSERT INTO tasks (id, owner, type, group_id, request_id, created_at, updated_at)"
        " VALUES ('1', 'alice', 'echo', 'large', 'r', 1, 1);"
        "INSERT INTO groups (owner, name, created_at, updated_at) VALUES ('alice', 'null', 2, 2),"
        " ('alice', 'never', 3, 3), ('bob', 'large', 4, 4);"
        "UPDATE groups SET version = 1, context = 'null' WHERE name = 'null';"
        "UPDATE groups SET version = 41, context = json_quote(hex(zeroblob(500000)))"
        " WHERE owner = 'alice' AND name = 'large';";
    assert_int_equal(sqlite3_exec(sql, groups, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sql);
    OK(r, room_open(r));
    sql_is(
        r->db, "alice/large 41 1000002 alice/never 0 - alice/null 1 4 bob/large 0 -",
        "SELECT group_concat(g.owner || '/' || g.name || ' ' || g.version || ' '"
        " || coalesce(length(c.json), '-'), ' ') FROM (SELECT * FROM groups ORDER BY owner, name) g"
        " LEFT JOIN contexts c ON c.owner = g.owner AND c.name = g.name");
    assert_int_equal(
        sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'group.context_changed'"), 2);
    char *json;
    int64_t version;
    OK(r, group_context_get(r->db, "alice", "null", &json, &version, &r->e));
    assert_string_equal(json, "null");
    free(json);
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, group_context_put(r->db, "alice", "large", "{}", 41, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    sql_is(r->db, "42", "SELECT version FROM groups WHERE owner = 'alice' AND name = 'large'");
    assert_consistent(r->db);
}

static size_t step_named(const char *name)
{
    for (size_t i = 0; i < schema_step_count; i++)
        if (!strcmp(schema_steps[i].name, name)) return i;
    fail_msg("no step %s", name);
    return 0;
}

static void what_owners_have_already_is_counted(void **state)
{
    static const char rows[] =
        "INSERT INTO tasks (id, owner, type, request_id, created_at, updated_at)"
        " VALUES ('a', 'ann', 'echo', 'r', 1, 1), ('b', 'bob', 'echo', 'r', 1, 1);"
        "INSERT INTO inputs VALUES (1, 'text/plain', zeroblob(1000));"
        "INSERT INTO files VALUES (2, 'f', 5000, 'text/plain');"
        "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1, started_at = 1"
        " WHERE id = 'b';"
        "INSERT INTO results VALUES (2, 'text/plain', '\"x\"', '/r', zeroblob(300));"
        "UPDATE tasks SET status = 'completed', runner = NULL, lease_until = NULL,"
        " completed_at = 2 WHERE id = 'b';"
        "INSERT INTO groups (owner, name, created_at, updated_at) VALUES ('carol', 'g', 1, 1);"
        "INSERT INTO contexts (owner, name, json, updated_at) VALUES ('carol', 'g', '{\"a\":1}', "
        "1);";
    struct room *r = *state;
    sqlite3 *sql = NULL;
    char version[64];
    size_t have = step_named("bytes");
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    for (size_t i = 0; i < have; i++)
        assert_int_equal(sqlite3_exec(sql, schema_steps[i].sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, rows, NULL, NULL, NULL), SQLITE_OK);
    snprintf(version, sizeof version, "PRAGMA user_version = %d", schema_steps[have - 1].version);
    assert_int_equal(sqlite3_exec(sql, version, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sql);

    OK(r, room_open(r));
    assert_true(sql_number(r->db, "SELECT bytes FROM owners WHERE name = 'ann'") > 1200);
    assert_true(sql_number(r->db, "SELECT bytes FROM owners WHERE name = 'bob'") > 5900);
    assert_int_equal(sql_number(r->db, "SELECT bytes FROM owners WHERE name = 'carol'"),
                     7 + 200 + (int)strlen("{\"version\":1}"));
    assert_consistent(r->db);
    assert_int_equal(sql_try(r->db, "DELETE FROM tasks WHERE id = 'b'"), SQLITE_OK);
    assert_int_equal(sql_number(r->db, "SELECT bytes FROM owners WHERE name = 'bob'"), 202);
}

static void a_program_that_may_not_migrate_creates_no_schema(void **state)
{
    struct room *r = *state;
    struct db *db = NULL;
    assert_int_equal(db_open(&db, &(struct db_options){.path = r->path, .busy_ms = 100}, &r->e),
                     ERR_STATE);
    assert_null(db);
    struct stat st;
    assert_int_equal(stat(r->path, &st), 0);
    assert_int_equal(st.st_size, 0);
    OK(r, room_open(r));
    room_close(r);
    OK(r, db_open(&r->db, &(struct db_options){.path = r->path, .busy_ms = 100}, &r->e));
}

/* ---- newer and foreign ---------------------------------------------------------------------- */

/* All bytes of DB + suffix; absent is empty. */
static struct buf bytes_of(const struct room *r, const char *suffix)
{
    struct buf all = {0};
    char path[64];
    snprintf(path, sizeof path, "%s%s", r->path, suffix);
    buf_str(&all, "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n = 1; fd >= 0 && n > 0;) {
        n = read(fd, buf_reserve(&all, 65536), 65536);
        if (n > 0) all.len += (size_t)n;
    }
    if (fd >= 0) close(fd);
    return all;
}

static void a_newer_database_is_left_alone(struct room *r)
{
    struct buf before = bytes_of(r, ""), log_before = bytes_of(r, "-wal");
    for (int migrate = 0; migrate < 2; migrate++) {
        struct db *db = NULL;
        const struct db_options options = {.path = r->path, .busy_ms = 100, .migrate = migrate};
        assert_int_equal(db_open(&db, &options, &r->e), ERR_NEWER);
        assert_null(db);
        assert_int_equal(r->e.code, ERR_NEWER);
        assert_non_null(strstr(r->e.text, "99"));
    }
    struct buf after = bytes_of(r, ""), log_after = bytes_of(r, "-wal");
    assert_int_equal(after.len, before.len);
    assert_memory_equal(buf_text(&after), buf_text(&before), before.len);
    assert_int_equal(log_after.len, log_before.len);
    assert_memory_equal(buf_text(&log_after), buf_text(&log_before), log_before.len);
    buf_free(&before);
    buf_free(&log_before);
    buf_free(&after);
    buf_free(&log_after);
}

static void a_database_of_a_newer_program_keeps_every_byte(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    assert_int_equal(sql_try(r->db, "PRAGMA user_version = 99"), SQLITE_OK);
    room_close(r);
    a_newer_database_is_left_alone(r); /* all of it still in the log */

    sqlite3 *sql = NULL; /* all of it in the file, without a log */
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(sql);
    a_newer_database_is_left_alone(r);
}

static void a_copy_that_is_no_log_becomes_one(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    room_close(r);
    sqlite3 *sql = NULL;
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(sql);
    /* also for a program that may not migrate: the schema is current */
    OK(r, db_open(&r->db, &(struct db_options){.path = r->path, .busy_ms = 100}, &r->e));
    sql_is(r->db, "wal", "PRAGMA journal_mode");
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
}

static void what_is_no_database_is_an_error_and_stays(void **state)
{
    struct room *r = *state;
    FILE *f = fopen(r->path, "w");
    assert_non_null(f);
    for (int i = 0; i < 500; i++) fputs("this is a text, not a database\n", f);
    fclose(f);
    struct buf before = bytes_of(r, "");
    assert_int_equal(room_open(r), ERR_IO);
    assert_null(r->db);
    struct buf after = bytes_of(r, "");
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, before.len);
    buf_free(&before);
    buf_free(&after);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    struct room *r = *state;
    struct db *db = NULL;
    const struct db_options options = {
        .path = "/nonexistent/leat.db", .busy_ms = 1, .migrate = true};
    assert_int_equal(db_open(&db, &options, &r->e), ERR_IO);
    assert_non_null(strstr(r->e.text, "/nonexistent/leat.db"));
    assert_null(db);
}

static void companions_belong_to_the_group_like_the_database(void **state)
{
    struct room *r = *state;
    mode_t before = umask(007);
    enum err rc = room_open(r);
    umask(before);
    assert_int_equal(rc, ERR_OK);
    static const char *const files[] = {"", "-wal", "-shm", ".lock", ".bell"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", r->path, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
    }
}

/* The program's own statfs goes here: the filesystem is what the test says. */
static long filesystem;

int statfs(const char *path, struct statfs *out)
{
    (void)path;
    memset(out, 0, sizeof *out);
    *(__typeof__(out->f_type) *)&out->f_type = filesystem;
    return 0;
}

static void a_network_filesystem_is_refused_by_name(void **state)
{
    static const struct {
        long magic;
        const char *name;
    } kinds[] = {
        {0x6969, "NFS"}, {(long)0xff534d42, "CIFS"}, {(int)0xff534d42, "CIFS"}, {0x517b, "SMB"}};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        filesystem = kinds[i].magic;
        enum err rc = room_open(r);
        filesystem = 0;
        assert_int_equal(rc, ERR_IO);
        assert_non_null(strstr(r->e.text, kinds[i].name));
        assert_null(r->db);
    }
    filesystem = 0xef53; /* ext4 */
    enum err rc = room_open(r);
    filesystem = 0;
    assert_int_equal(rc, ERR_OK);
}

/* ---- epochs --------------------------------------------------------------------------------- */

static void the_epoch_stays_over_reopening(void **state)
{
    struct room *r = *state;
    char epoch[EPOCH_DIGITS + 1];
    strcpy(epoch, db_epoch(r->db));
    for (int i = 0; i < 3; i++) {
        room_close(r);
        OK(r, room_open(r));
        assert_string_equal(db_epoch(r->db), epoch);
    }
}

/* Reopens after `sql` changed what the database says of itself; the epoch must be another and stay. */
static void draws_a_new_epoch(struct room *r, const char *sql)
{
    char epoch[EPOCH_DIGITS + 1];
    strcpy(epoch, db_epoch(r->db));
    assert_int_equal(sql_try(r->db, "%s", sql), SQLITE_OK);
    room_close(r);
    OK(r, room_open(r));
    assert_string_not_equal(db_epoch(r->db), epoch);
    assert_int_equal(strlen(db_epoch(r->db)), EPOCH_DIGITS);
    strcpy(epoch, db_epoch(r->db));
    sql_is(r->db, epoch, "SELECT value FROM meta WHERE key = 'epoch'");
    room_close(r);
    OK(r, room_open(r));
    assert_string_equal(db_epoch(r->db), epoch);
}

static void after_a_reboot_the_epoch_is_new(void **state)
{
    draws_a_new_epoch(*state, "UPDATE meta SET value = 'another-boot' WHERE key = 'boot_id'");
}

static void without_a_sound_epoch_a_new_one_is_drawn(void **state)
{
    draws_a_new_epoch(*state, "DELETE FROM meta");
    draws_a_new_epoch(*state, "UPDATE meta SET value = '' WHERE key = 'epoch'");
    draws_a_new_epoch(*state, "UPDATE meta SET value = 'far too long' WHERE key = 'epoch'");
}

static void two_databases_have_two_epochs(void **state)
{
    struct room *r = *state;
    char path[64];
    snprintf(path, sizeof path, "%s/other.db", r->dir);
    struct db *other = NULL;
    OK(r,
       db_open(&other, &(struct db_options){.path = path, .busy_ms = 100, .migrate = true}, &r->e));
    assert_string_not_equal(db_epoch(other), db_epoch(r->db));
    db_close(other);
}

static void opening_again_writes_nothing(void **state)
{
    struct room *r = *state;
    room_close(r);
    struct buf before = bytes_of(r, "-wal");
    OK(r, room_open(r));
    room_close(r);
    struct buf after = bytes_of(r, "-wal");
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, before.len);
    buf_free(&before);
    buf_free(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        closed_room_test(processes_that_open_at_once_make_one_schema_and_one_epoch),
        closed_room_test(a_new_database_is_a_log_ahead_of_its_file),
        closed_room_test(every_step_leads_from_the_one_before),
        closed_room_test(what_waited_in_an_older_database_waits_on),
        closed_room_test(the_contexts_of_an_older_database_stay_what_they_are),
        closed_room_test(what_owners_have_already_is_counted),
        closed_room_test(a_program_that_may_not_migrate_creates_no_schema),
        room_test(a_database_of_a_newer_program_keeps_every_byte),
        room_test(a_copy_that_is_no_log_becomes_one),
        closed_room_test(what_is_no_database_is_an_error_and_stays),
        closed_room_test(a_folder_that_is_not_there_is_named),
        closed_room_test(companions_belong_to_the_group_like_the_database),
        closed_room_test(a_network_filesystem_is_refused_by_name),
        room_test(the_epoch_stays_over_reopening),
        room_test(after_a_reboot_the_epoch_is_new),
        room_test(without_a_sound_epoch_a_new_one_is_drawn),
        room_test(two_databases_have_two_epochs),
        room_test(opening_again_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
