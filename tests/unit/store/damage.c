/* A database that is found malformed is written no more, by anybody; what is wrong with a file names it. */
#include "store/damage.h"

#include "fixture.h"

/* Closes, empties the log, and overwrites the first page of a table. */
static void spoil(struct room *r, const char *table)
{
    sqlite3 *sql;
    int64_t page = sql_number(r->db, "SELECT rootpage FROM sqlite_schema WHERE name = %Q", table);
    int64_t size = sql_number(r->db, "PRAGMA page_size");
    char *junk = mem_alloc((size_t)size);
    memset(junk, 0xa5, (size_t)size);
    room_close(r);
    assert_int_equal(sqlite3_open(r->path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(sql);
    int fd = open(r->path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, junk, (size_t)size, (page - 1) * size), size);
    close(fd);
    free(junk);
}

static void find(struct room *r)
{
    struct group g = {0};
    assert_int_equal(group_get(r->db, "alice", "g", &g, &r->e), ERR_MALFORMED);
    assert_non_null(strstr(r->e.text, r->path));
}

static void nothing_is_written_into_what_was_found_malformed(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    spoil(r, "groups");
    OK(r, room_open(r)); /* nobody knows yet */
    struct db *other = NULL;
    OK(r, db_open(&other, &(struct db_options){.path = r->path, .busy_ms = 100}, &r->e));
    assert_false(txn_malformed(r->db));
    find(r);

    struct db *both[] = {r->db, other};
    for (int i = 0; i < 2; i++) {
        assert_true(txn_malformed(both[i]));
        assert_int_equal(txn_begin(both[i], TXN_SYNC_AFTER, &r->e), ERR_MALFORMED);
        assert_non_null(strstr(r->e.text, r->path));
        assert_int_equal(txn_try_begin(both[i], TXN_SYNC_AFTER, false, &r->e), ERR_MALFORMED);
        assert_int_equal(txn_begin_quiet(both[i], 10, &r->e), ERR_MALFORMED);
    }
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1); /* reading goes on */
    db_close(other);

    room_close(r);
    OK(r, room_open(r));
    assert_true(txn_malformed(r->db)); /* also after a restart */
}

static void another_file_in_its_place_is_not_that_one(void **state)
{
    struct room *r = *state;
    char copy[64], command[160];
    make(r, (struct sketch){0});
    OK(r, db_checkpoint(r->db, &r->e));
    snprintf(copy, sizeof copy, "%s.copy", r->path);
    snprintf(command, sizeof command, "cp '%s' '%s'", r->path, copy);
    assert_int_equal(system(command), 0);
    spoil(r, "groups");
    OK(r, room_open(r));
    find(r);
    room_close(r);
    assert_int_equal(rename(copy, r->path), 0);
    OK(r, room_open(r));
    assert_false(txn_malformed(r->db));
    make(r, (struct sketch){.group = "g"});
    assert_consistent(r->db);
}

static void a_readonly_database_is_named(void **state)
{
    struct room *r = *state;
    assert_int_equal(sql_try(r->db, "PRAGMA query_only = 1"), SQLITE_OK);
    assert_int_equal(txn_begin(r->db, TXN_SYNC_AFTER, &r->e), ERR_IO);
    assert_non_null(strstr(r->e.text, "readonly"));
    assert_non_null(strstr(r->e.text, r->path));
    assert_false(txn_malformed(r->db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(nothing_is_written_into_what_was_found_malformed),
        room_test(another_file_in_its_place_is_not_that_one),
        room_test(a_readonly_database_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
