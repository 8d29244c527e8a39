/* Who is woken, who notices, and what a checkpoint does to those who read. */
#include "fixture.h"

#include "store/bell.h"

#include <sys/stat.h>

static bool rings_within(const struct bell *b, int ms)
{
    return poll(&(struct pollfd){.fd = bell_fd(b), .events = POLLIN}, 1, ms) == 1;
}

static void commit_one(struct room *r)
{
    make(r, (struct sketch){0});
}

/* ---- the bell ------------------------------------------------------------------------------- */

struct talk {
    struct signal_pipe ready, go;
};

/* Hears the bell, finds what is new, says so; as often as it is told. */
static void listen_and_read(struct room *r, void *arg)
{
    struct talk *t = arg;
    struct bell *bell = NULL;
    struct event_list l = {0};
    int64_t at = 0;
    MUST(!room_open(r));
    MUST(!bell_open(&bell, r->path, &r->e));
    pipe_say(&t->ready);
    for (int i = 0; i < 20; i++) {
        MUST(rings_within(bell, DEADLINE_MS));
        bell_answer(bell);
        /* what rang is there to be read, whenever one looks after the answer */
        MUST(!events_read(r->db, &(struct event_scope){.kind = SCOPE_ALL}, at, 99, 1 << 20, &l,
                          &r->e));
        MUST(l.count > 0);
        at = l.items[l.count - 1].seq;
        pipe_say(&t->ready);
    }
    event_list_free(&l);
    bell_close(bell);
}

static void a_commit_wakes_a_listener_in_another_process_who_then_finds_it(void **state)
{
    struct room *r = *state;
    struct talk t = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, listen_and_read, &t);
    OK(r, room_open(r));
    for (int i = 0; i < 20; i++) {
        assert_true(pipe_heard(&t.ready));
        commit_one(r);
    }
    assert_true(pipe_heard(&t.ready));
    room_close(r);
    child_succeeds(r, pid);
    pipe_close(&t.ready);
    pipe_close(&t.go);
}

static void every_kind_of_commit_rings_and_what_changes_nothing_does_not(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    OK(r, bell_open(&bell, r->path, &r->e));
    assert_false(rings_within(bell, 0));
    for (int sync = TXN_SYNC_NONE; sync <= TXN_SYNC_BEFORE; sync++) {
        int64_t n;
        OK(r, txn_begin(r->db, (enum txn_sync)sync, &r->e));
        OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
        assert_false(rings_within(bell, 0));
        OK(r, txn_commit(r->db, &r->e));
        assert_true(rings_within(bell, 0));
        bell_answer(bell);
        assert_false(rings_within(bell, 0));
    }
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    txn_rollback(r->db);
    OK(r, db_checkpoint(r->db, &r->e));
    assert_false(rings_within(bell, 0));
    bell_close(bell);
}

static void a_quiet_commit_rings_nobody_and_the_next_rings_again(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    int64_t n;
    OK(r, bell_open(&bell, r->path, &r->e));
    OK(r, txn_begin_quiet(r->db, 100, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_false(rings_within(bell, 0));
    commit_one(r);
    assert_true(rings_within(bell, 0));
    bell_close(bell);
}

static void what_only_triggers_change_rings_too(void **state)
{
    /* an event of a job is an insert into a view; a claim is read from with RETURNING */
    struct room *r = *state;
    struct bell *bell = NULL;
    commit_one(r);
    OK(r, bell_open(&bell, r->path, &r->e));
    struct claim c = take(r, 1, T0);
    assert_true(rings_within(bell, 0));
    bell_answer(bell);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, claim_event(r->db, &c, "doc.created", "{}", T0, NULL, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_true(rings_within(bell, 0));
    bell_close(bell);
}

static void many_rings_are_answered_at_once(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    OK(r, bell_open(&bell, r->path, &r->e));
    for (int i = 0; i < 600 / slowness(); i++) commit_one(r);
    assert_true(rings_within(bell, 0));
    bell_answer(bell);
    assert_false(rings_within(bell, 0));
    commit_one(r);
    assert_true(rings_within(bell, 0));
    bell_close(bell);
}

static void a_bell_can_be_heard_before_there_is_a_database(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    OK(r, bell_open(&bell, r->path, &r->e));
    assert_false(rings_within(bell, 0));
    OK(r, room_open(r));
    assert_true(rings_within(bell, 0)); /* the epoch was drawn */
    bell_close(bell);
}

static void a_bell_where_no_folder_is_is_an_error(void **state)
{
    struct room *r = *state;
    struct bell *bell = NULL;
    assert_int_equal(bell_open(&bell, "/nonexistent/leat.db", &r->e), ERR_IO);
    assert_non_null(strstr(r->e.text, "/nonexistent/leat.db.bell"));
    assert_null(bell);
}

static void the_bell_does_not_grow_and_is_not_inherited(void **state)
{
    struct room *r = *state;
    char path[64];
    struct stat st;
    for (int i = 0; i < 3; i++) commit_one(r);
    snprintf(path, sizeof path, "%s.bell", r->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1);
    struct bell *bell = NULL;
    OK(r, bell_open(&bell, r->path, &r->e));
    assert_true(fcntl(bell_fd(bell), F_GETFD) & FD_CLOEXEC);
    bell_close(bell);
}

/* ---- noticing without the bell -------------------------------------------------------------- */

static void commit_when_told(struct room *r, void *arg)
{
    struct talk *t = arg;
    MUST(!room_open(r));
    pipe_say(&t->ready);
    while (pipe_heard(&t->go)) {
        int64_t n;
        MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        MUST(!sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
        MUST(!txn_commit(r->db, &r->e));
        pipe_say(&t->ready);
    }
}

static void a_change_is_what_others_committed(void **state)
{
    struct room *r = *state;
    struct talk t = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, commit_when_told, &t);
    assert_true(pipe_heard(&t.ready));
    OK(r, room_open(r));
    assert_true(db_changed(r->db)); /* at first, whatever happened */
    assert_false(db_changed(r->db));
    commit_one(r);
    assert_false(db_changed(r->db)); /* one's own */
    for (int i = 0; i < 3; i++) {
        pipe_say(&t.go);
        assert_true(pipe_heard(&t.ready));
        assert_true(db_changed(r->db));
        assert_false(db_changed(r->db));
        commit_one(r);
        assert_false(db_changed(r->db));
    }
    OK(r, db_checkpoint(r->db, &r->e));
    assert_false(db_changed(r->db));
    /* the first commit after a checkpoint begins the log anew */
    pipe_say(&t.go);
    assert_true(pipe_heard(&t.ready));
    assert_true(db_changed(r->db));
    assert_false(db_changed(r->db));
    assert_true(txn_idle(r->db));
    room_kill(r, pid);
    pipe_close(&t.ready);
    pipe_close(&t.go);
}

static void idle_is_without_transaction_and_without_open_statement(void **state)
{
    struct room *r = *state;
    commit_one(r);
    assert_true(txn_idle(r->db));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_false(txn_idle(r->db));
    txn_rollback(r->db);
    assert_true(txn_idle(r->db));
    OK(r, txn_read_begin(r->db, &r->e));
    assert_false(txn_idle(r->db));
    txn_read_end(r->db);
    assert_true(txn_idle(r->db));
    txn_read_end(r->db); /* harmless */

    struct q_events_all_row row;
    struct q_events_all_cursor c = q_events_all(r->db, 0, 9, &r->e);
    assert_true(q_events_all_next(&c, &row));
    assert_false(txn_idle(r->db));
    OK(r, q_events_all_close(&c));
    assert_true(txn_idle(r->db));
    assert_false(q_events_all_next(&c, &row));
    OK(r, q_events_all_close(&c)); /* harmless */
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

/* The salts of the log's header: they change when the log begins anew. 0: there is no log yet. */
static uint64_t log_salt(const struct room *r)
{
    char path[64];
    uint64_t salt = 0;
    snprintf(path, sizeof path, "%s-wal", r->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    if (pread(fd, &salt, sizeof salt, 16) != (ssize_t)sizeof salt) salt = 0;
    close(fd);
    return salt;
}

static int64_t size_of(const struct room *r, const char *suffix)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", r->path, suffix);
    return stat(path, &st) ? -1 : (int64_t)st.st_size;
}

static void nobody_checkpoints_by_committing_or_closing(void **state)
{
    struct room *r = *state;
    int64_t before = size_of(r, "");
    char *bytes = mem_alloc(200000);
    for (int i = 0; i < 30; i++) make(r, (struct sketch){.input = bytes, .input_bytes = 200000});
    free(bytes);
    assert_true(db_wal_pages(r->db) > 1500); /* SQLite by itself would have at 1000 */
    assert_int_equal(size_of(r, ""), before);
    room_close(r);
    assert_int_equal(size_of(r, ""), before);
    assert_true(size_of(r, "-wal") > 30 * 200000);
    OK(r, room_open(r));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 30);
}

static void a_checkpoint_moves_the_log_into_the_database(void **state)
{
    struct room *r = *state;
    char *bytes = mem_alloc(100000);
    for (int i = 0; i < 20; i++) make(r, (struct sketch){.input = bytes, .input_bytes = 100000});
    free(bytes);
    assert_true(db_wal_pages(r->db) > 500);
    int64_t before = size_of(r, "");
    OK(r, db_checkpoint(r->db, &r->e));
    assert_true(size_of(r, "") > before + 19 * 100000); /* a few pages were free */
    assert_int_equal(db_wal_pages(r->db), 0);
    assert_true(txn_idle(r->db));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 20);
    /* and all is there without the log */
    room_close(r);
    char path[64];
    snprintf(path, sizeof path, "%s-wal", r->path);
    assert_int_equal(unlink(path), 0);
    OK(r, room_open(r));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 20);
    assert_consistent(r->db);
}

static void after_a_checkpoint_the_log_begins_anew_and_does_not_grow(void **state)
{
    struct room *r = *state;
    commit_one(r);
    int64_t largest = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++) commit_one(r);
        uint64_t salt = log_salt(r);
        OK(r, db_checkpoint(r->db, &r->e));
        commit_one(r);
        assert_true(log_salt(r) != salt);
        int64_t size = size_of(r, "-wal");
        if (round == 1) largest = size;
        if (round > 1) assert_true(size <= largest + largest / 4);
    }
    sql_is(r->db, "ok", "PRAGMA integrity_check");
}

/* Reads one state for as long as it is told, and must find it the same. */
static void read_one_state(struct room *r, void *arg)
{
    struct talk *t = arg;
    MUST(!room_open(r));
    MUST(!txn_read_begin(r->db, &r->e));
    int64_t tasks = sql_number(r->db, "SELECT count(*) FROM tasks");
    int64_t events = sql_number(r->db, "SELECT sum(seq) FROM events");
    pipe_say(&t->ready);
    do {
        MUST(sql_number(r->db, "SELECT count(*) FROM tasks") == tasks);
        MUST(sql_number(r->db, "SELECT sum(seq) FROM events") == events);
        MUST(!contradiction_here(r->db));
    } while (poll(&(struct pollfd){.fd = t->go.from, .events = POLLIN}, 1, 1) == 0);
    txn_read_end(r->db);
    MUST(sql_number(r->db, "SELECT count(*) FROM tasks") > tasks);
}

static void a_log_that_was_long_is_cut_when_it_begins_anew(void **state)
{
    struct room *r = *state;
    char *bytes = mem_alloc(200000);
    for (int i = 0; i < 100; i++) make(r, (struct sketch){.input = bytes, .input_bytes = 200000});
    free(bytes);
    assert_true(size_of(r, "-wal") > 100 * 200000);
    OK(r, db_checkpoint(r->db, &r->e));
    commit_one(r);
    assert_true(size_of(r, "-wal") <= 16 << 20);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM inputs"), 100);
}

static void a_checkpoint_never_resets_the_log_under_a_reader(void **state)
{
    struct room *r = *state;
    for (int i = 0; i < 10; i++) commit_one(r);
    OK(r, db_checkpoint(r->db, &r->e));
    commit_one(r); /* the reader below needs the log */
    struct talk t = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, read_one_state, &t);
    assert_true(pipe_heard(&t.ready));
    OK(r, room_open(r));
    uint64_t salt = log_salt(r);
    assert_true(salt != 0);
    for (int i = 0; i < 50; i++) {
        commit_one(r);
        OK(r, db_checkpoint(r->db, &r->e)); /* skips what the reader needs */
        assert_true(log_salt(r) == salt);
    }
    pipe_say(&t.go);
    room_close(r);
    child_succeeds(r, pid);
    OK(r, room_open(r));
    OK(r, db_checkpoint(r->db, &r->e));
    commit_one(r);
    assert_true(log_salt(r) != salt);
    sql_is(r->db, "ok", "PRAGMA integrity_check");
    assert_consistent(r->db);
    pipe_close(&t.ready);
    pipe_close(&t.go);
}

static void a_checkpoint_waits_its_turn(void **state)
{
    struct room *r = *state;
    struct talk t = {pipe_open(), pipe_open()};
    commit_one(r);
    room_close(r);
    pid_t pid = room_fork(r, read_one_state, &t); /* any reader: it waits for nobody */
    assert_true(pipe_heard(&t.ready));
    OK(r, room_open(r));
    OK(r, db_checkpoint(r->db, &r->e));

    struct db *other = NULL;
    OK(r, db_open(&other, &(struct db_options){.path = r->path, .busy_ms = 60}, &r->e));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(db_checkpoint(other, &r->e), ERR_BUSY);
    txn_rollback(r->db);
    OK(r, db_checkpoint(other, &r->e));
    db_close(other);
    commit_one(r);
    pipe_say(&t.go);
    room_close(r);
    child_succeeds(r, pid);
    pipe_close(&t.ready);
    pipe_close(&t.go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_commit_wakes_a_listener_in_another_process_who_then_finds_it),
        room_test(every_kind_of_commit_rings_and_what_changes_nothing_does_not),
        room_test(a_quiet_commit_rings_nobody_and_the_next_rings_again),
        room_test(what_only_triggers_change_rings_too),
        room_test(many_rings_are_answered_at_once),
        closed_room_test(a_bell_can_be_heard_before_there_is_a_database),
        closed_room_test(a_bell_where_no_folder_is_is_an_error),
        room_test(the_bell_does_not_grow_and_is_not_inherited),
        room_test(a_change_is_what_others_committed),
        room_test(idle_is_without_transaction_and_without_open_statement),
        room_test(nobody_checkpoints_by_committing_or_closing),
        room_test(a_checkpoint_moves_the_log_into_the_database),
        room_test(after_a_checkpoint_the_log_begins_anew_and_does_not_grow),
        room_test(a_log_that_was_long_is_cut_when_it_begins_anew),
        room_test(a_checkpoint_never_resets_the_log_under_a_reader),
        room_test(a_checkpoint_waits_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
