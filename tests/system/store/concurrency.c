/* Several processes on one database: who waits, for how long, and who sees what. */
#include "../../unit/store/fixture.h"

#include "store/write_lock.h"

#include <sys/file.h>
#include <sys/time.h>

/* Opens the database as another process would: without the write lock, say the sqlite3 shell. */
static sqlite3 *foreign(const struct room *r)
{
    sqlite3 *sql = NULL;
    if (sqlite3_open(r->path, &sql)) return NULL;
    sqlite3_db_config(sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_autocheckpoint(sql, 0);
    return sql;
}

static enum err open_with(struct room *r, int64_t busy_ms)
{
    return db_open(
        &r->db, &(struct db_options){.path = r->path, .busy_ms = busy_ms, .migrate = true}, &r->e);
}

/* ---- writers -------------------------------------------------------------------------------- */

enum { WRITERS = 4 };

struct work {
    int count;
    enum txn_sync sync;
    struct signal_pipe go;
};

static void write_tasks(struct room *r, void *arg)
{
    const struct work *w = arg;
    MUST(!room_open(r));
    char byte;
    MUST(read(w->go.from, &byte, 1) == 1);
    char owner[16];
    snprintf(owner, sizeof owner, "%d", (int)getpid());
    int64_t last = 0;
    for (int i = 0; i < w->count; i++) {
        int64_t n;
        MUST(!txn_begin(r->db, w->sync, &r->e));
        MUST(!sketch_create(r->db, &(struct sketch){.owner = owner, .group = "g", .now = T0 + i},
                            NULL, &n, &r->e));
        MUST(!txn_commit(r->db, &r->e));
        MUST(n > last);
        last = n;
    }
}

static void write_together(struct room *r, struct work w)
{
    pid_t pids[WRITERS];
    w.go = pipe_open();
    room_close(r);
    for (int i = 0; i < WRITERS; i++) pids[i] = room_fork(r, write_tasks, &w);
    for (int i = 0; i < WRITERS; i++) pipe_say(&w.go);
    for (int i = 0; i < WRITERS; i++) child_succeeds(r, pids[i]);
    pipe_close(&w.go);
    OK(r, room_open(r));
}

static void nobody_is_turned_away_and_nothing_is_lost(void **state)
{
    struct room *r = *state;
    int each = 400 / slowness();
    write_together(r, (struct work){.count = each, .sync = TXN_SYNC_AFTER});
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), WRITERS * each);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM events WHERE type = 'task.created'"),
                     WRITERS * each);
    assert_int_equal(sql_number(r->db, "SELECT max(n) - min(n) + 1 FROM tasks"), WRITERS * each);
    assert_int_equal(sql_number(r->db, "SELECT max(seq) - count(*) FROM events"), 0);
    assert_consistent(r->db);
}

static void numbers_and_log_are_in_one_order_of_commits(void **state)
{
    struct room *r = *state;
    write_together(r, (struct work){.count = 100 / slowness(), .sync = TXN_SYNC_NONE});
    assert_int_equal(sql_number(r->db,
                                "SELECT count(*) FROM (SELECT task - lag(task, 1, 0) OVER (ORDER"
                                " BY seq) AS step FROM events WHERE type = 'task.created')"
                                " WHERE step <> 1"),
                     0);
}

static void checkpoint_without_rest(struct room *r, void *arg)
{
    const struct signal_pipe *ready = arg;
    MUST(!room_open(r));
    pipe_say(ready);
    for (;;) MUST(!db_checkpoint(r->db, &r->e));
}

static void checkpoints_without_rest_beside_writers_lose_nothing(void **state)
{
    struct room *r = *state;
    int each = 200 / slowness();
    struct signal_pipe ready = pipe_open();
    room_close(r);
    pid_t pid = room_fork(r, checkpoint_without_rest, &ready);
    assert_true(pipe_heard(&ready));
    write_together(r, (struct work){.count = each, .sync = TXN_SYNC_NONE});
    room_close(r);
    room_kill(r, pid);
    pipe_close(&ready);
    OK(r, room_open(r));
    sql_is(r->db, "ok", "PRAGMA integrity_check");
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), WRITERS * each);
    assert_consistent(r->db);
}

/* A reader never sees the log shrink, change behind itself, or skip: seq n+1 is never visible before
 * seq n. */
static void read_the_log(struct room *r, void *arg)
{
    const struct work *w = arg;
    MUST(!room_open(r));
    pipe_say(&w->go);
    struct event_list l = {0};
    int64_t at = 0;
    const struct event_scope all = {.kind = SCOPE_ALL};
    while (at < w->count) {
        MUST(!events_read(r->db, &all, at, 50, 1 << 20, &l, &r->e));
        for (size_t i = 0; i < l.count; i++) MUST(l.items[i].seq == ++at);
        MUST(txn_idle(r->db));
    }
    event_list_free(&l);
}

static void a_reader_beside_writers_sees_each_event_once_and_in_order(void **state)
{
    struct room *r = *state;
    int each = 200 / slowness();
    struct work reader = {.count = WRITERS * each + WRITERS, .go = pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, read_the_log, &reader);
    assert_true(pipe_heard(&reader.go));
    write_together(r, (struct work){.count = each, .sync = TXN_SYNC_AFTER});
    /* each owner's first task also changes the group */
    assert_int_equal(sql_number(r->db, "SELECT max(seq) FROM events"), reader.count);
    room_close(r);
    child_succeeds(r, pid);
    pipe_close(&reader.go);
}

/* ---- waiting -------------------------------------------------------------------------------- */

struct hold {
    struct signal_pipe held, release;
};

/* Holds the write lock until told. */
static void hold_write_lock(struct room *r, void *arg)
{
    struct hold *h = arg;
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    pipe_say(&h->held);
    MUST(pipe_heard(&h->release));
    txn_rollback(r->db);
}

/* Holds SQLite's write lock and nothing else. */
static void hold_sqlite(struct room *r, void *arg)
{
    struct hold *h = arg;
    sqlite3 *sql = foreign(r);
    MUST(sql && !sqlite3_exec(sql, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    pipe_say(&h->held);
    MUST(pipe_heard(&h->release));
    MUST(!sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL));
    sqlite3_close(sql);
}

static int lock_file(const struct room *r)
{
    char path[64];
    snprintf(path, sizeof path, "%s.lock", r->path);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static bool write_lock_is_free(const struct room *r)
{
    int fd = lock_file(r);
    bool is_free = !flock(fd, LOCK_EX | LOCK_NB);
    close(fd);
    return is_free;
}

/* txn_begin while a child holds what it needs: busy after its time, not long after; and afterwards as
 * if nothing had been. */
static void is_busy_while(struct room *r, void (*holds)(struct room *, void *))
{
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, holds, &h);
    assert_true(pipe_heard(&h.held));
    OK(r, open_with(r, 150)); /* opening takes no lock */
    for (int sync = TXN_SYNC_NONE; sync <= TXN_SYNC_BEFORE; sync++) {
        int64_t start = clock_monotonic_ms();
        assert_int_equal(txn_begin(r->db, (enum txn_sync)sync, &r->e), ERR_BUSY);
        int64_t waited = clock_monotonic_ms() - start;
        assert_in_range(waited, 140, 10000);
        assert_int_equal(r->e.code, ERR_BUSY);
        assert_true(txn_idle(r->db));
    }
    pipe_say(&h.release);
    child_succeeds(r, pid);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
    assert_true(write_lock_is_free(r));
    make(r, (struct sketch){0});
    pipe_close(&h.held);
    pipe_close(&h.release);
}

static void a_writer_waits_busy_ms_for_its_turn_and_no_longer(void **state)
{
    is_busy_while(*state, hold_write_lock);
}

static void a_writer_waits_busy_ms_for_a_lock_that_knows_no_write_lock(void **state)
{
    is_busy_while(*state, hold_sqlite);
}

static void a_wait_of_nothing_is_an_answer_at_once(void **state)
{
    struct room *r = *state;
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_write_lock, &h);
    assert_true(pipe_heard(&h.held));
    OK(r, open_with(r, 0));
    assert_int_equal(txn_begin(r->db, TXN_SYNC_NONE, &r->e), ERR_BUSY);
    pipe_say(&h.release);
    child_succeeds(r, pid);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    txn_rollback(r->db);
    pipe_close(&h.held);
    pipe_close(&h.release);
}

/* Holds the write lock for a moment. */
static void hold_briefly(struct room *r, void *arg)
{
    struct hold *h = arg;
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    pipe_say(&h->held);
    poll(NULL, 0, 100);
    txn_rollback(r->db);
}

static void whoever_waits_is_let_in_when_the_write_lock_is_free(void **state)
{
    struct room *r = *state;
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_briefly, &h);
    assert_true(pipe_heard(&h.held));
    OK(r, open_with(r, DEADLINE_MS));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    txn_rollback(r->db);
    child_succeeds(r, pid);
    pipe_close(&h.held);
    pipe_close(&h.release);
}

/* Waits for its turn as long as it takes. */
static void wait_to_write(struct room *r, void *arg)
{
    struct hold *h = arg;
    MUST(pipe_heard(&h->held));
    MUST(!open_with(r, DEADLINE_MS));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    txn_rollback(r->db);
}

static bool becomes_wanted(struct room *r, bool wanted)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (txn_wanted(r->db) != wanted && clock_monotonic_ms() < until) poll(NULL, 0, 1);
    return txn_wanted(r->db) == wanted;
}

static void who_writes_can_tell_that_another_waits(void **state)
{
    struct room *r = *state;
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t killed = room_fork(r, wait_to_write, &h), served = room_fork(r, wait_to_write, &h);
    OK(r, open_with(r, DEADLINE_MS));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_false(txn_wanted(r->db));
    pipe_say(&h.held);
    pipe_say(&h.held);
    assert_true(becomes_wanted(r, true));
    room_kill(r, killed); /* which leaves nothing behind */
    assert_true(becomes_wanted(r, true));
    txn_rollback(r->db);
    child_succeeds(r, served);
    assert_true(becomes_wanted(r, false));
    pipe_close(&h.held);
    pipe_close(&h.release);
}

static void the_write_lock_is_free_when_its_holder_is_killed(void **state)
{
    struct room *r = *state;
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_write_lock, &h);
    assert_true(pipe_heard(&h.held));
    room_kill(r, pid);
    OK(r, open_with(r, 2000));
    make(r, (struct sketch){0});
    pipe_close(&h.held);
    pipe_close(&h.release);
}

static void a_reader_waits_for_nobody(void **state)
{
    struct room *r = *state;
    make(r, (struct sketch){0});
    struct hold h = {pipe_open(), pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, hold_write_lock, &h);
    assert_true(pipe_heard(&h.held));
    OK(r, open_with(r, 0));
    struct task t = {0};
    OK(r, task_get_n(r->db, 1, &t, &r->e));
    task_free(&t);
    pipe_say(&h.release);
    child_succeeds(r, pid);
    pipe_close(&h.held);
    pipe_close(&h.release);
}

/* ---- the write lock alone -------------------------------------------------------------------- */

static void count_alarm(int signo)
{
    (void)signo;
}

static void the_write_lock_releases_alarms_and_signals_as_they_were(void **state)
{
    struct room *r = *state;
    int held = lock_file(r), fd = lock_file(r);
    assert_int_equal(flock(held, LOCK_EX), 0);
    sigset_t mask, before, after;
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &before);
    struct sigaction action = {.sa_handler = count_alarm}, found;
    sigaction(SIGALRM, &action, NULL);

    int64_t start = clock_monotonic_ms();
    assert_int_equal(write_lock_take(fd, 60, &r->e), ERR_BUSY);
    assert_in_range(clock_monotonic_ms() - start, 55, 10000);

    sigprocmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&after, SIGALRM) && sigismember(&after, SIGTERM));
    assert_false(sigismember(&after, SIGINT));
    sigaction(SIGALRM, NULL, &found);
    assert_true(found.sa_handler == count_alarm);
    struct itimerval timer;
    getitimer(ITIMER_REAL, &timer);
    assert_int_equal(timer.it_value.tv_sec + timer.it_value.tv_usec, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGALRM, SIG_DFL);

    flock(held, LOCK_UN);
    OK(r, write_lock_take(fd, 0, &r->e));
    assert_int_not_equal(flock(held, LOCK_EX | LOCK_NB), 0);
    write_lock_release(fd);
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
    close(held);
    close(fd);
}

static void other_signals_do_not_end_the_wait(void **state)
{
    struct room *r = *state;
    int held = lock_file(r), fd = lock_file(r);
    assert_int_equal(flock(held, LOCK_EX), 0);
    struct sigaction action = {.sa_handler = count_alarm}, before;
    sigaction(SIGUSR1, &action, &before);
    pid_t self = getpid(), pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            kill(self, SIGUSR1);
            poll(NULL, 0, 3);
        }
    }
    r->children[0] = pid;
    int64_t start = clock_monotonic_ms();
    enum err rc = write_lock_take(fd, 100, &r->e);
    int64_t waited = clock_monotonic_ms() - start;
    room_kill(r, pid);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(rc, ERR_BUSY);
    assert_in_range(waited, 95, 10000);
    close(held);
    close(fd);
}

/* Takes the write lock, starts `cat` with what a program inherits, and dies without leaving. */
static void die_with_a_child(struct room *r, void *arg)
{
    struct signal_pipe *end = arg;
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, 0);
        dup2(end->from, 0);
        close(end->to);
        execlp("cat", "cat", (char *)NULL);
        _exit(1);
    }
    /* cat runs: its pipe on /proc tells, without a wait of a fixed time */
    char name[64], command[16] = "";
    snprintf(name, sizeof name, "/proc/%d/comm", (int)pid);
    for (int64_t stop = clock_monotonic_ms() + DEADLINE_MS; strncmp(command, "cat", 3);) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, command, sizeof command - 1);
        if (fd >= 0) close(fd);
        MUST(n >= 0 && clock_monotonic_ms() < stop);
    }
    _exit(0);
}

static void what_a_child_executes_does_not_hold_the_write_lock(void **state)
{
    struct room *r = *state;
    struct signal_pipe end = pipe_open();
    room_close(r);
    /* cat lives until `end` is closed; as an orphan of ours it could not be waited for otherwise */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = room_fork(r, die_with_a_child, &end);
    child_succeeds(r, pid);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* cat is there */
    OK(r, open_with(r, 500));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    txn_rollback(r->db);
    pipe_close(&end);
    assert_true(waitpid(-1, NULL, 0) > 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void no_descriptor_of_the_database_survives_an_exec(void **state)
{
    struct room *r = *state;
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    int64_t n;
    OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    OK(r, db_checkpoint(r->db, &r->e));
    int found = 0;
    for (int fd = 3; fd < 256; fd++) {
        char link[64], target[128];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len < 0) continue;
        target[len] = '\0';
        if (strncmp(target, r->dir, strlen(r->dir))) continue;
        found++;
        if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC)) fail_msg("%s is inherited", target);
    }
    assert_true(found >= 5); /* database, -wal, -shm, lock, bell */
}

/* ---- what others see ------------------------------------------------------------------------ */

struct look {
    struct signal_pipe ask, done;
};

/* Answers each question whether the task is there with a byte: y or n. */
static void look_for_tasks(struct room *r, void *arg)
{
    struct look *l = arg;
    MUST(!room_open(r));
    for (char byte; pipe_say(&l->done), read(l->ask.from, &byte, 1) == 1 && byte == '!';) {
        bool there = sql_number(r->db, "SELECT count(*) FROM tasks") > 0;
        MUST(write(l->done.to, there ? "y" : "n", 1) == 1);
    }
}

static bool others_see_it(struct look *l)
{
    char answer[2];
    pipe_say(&l->ask);
    for (size_t got = 0; got < 2;) {
        ssize_t n = read(l->done.from, answer + got, 2 - got);
        if (n <= 0) fail_msg("the reader is gone");
        got += (size_t)n;
    }
    return answer[0] == 'y';
}

static void others_see_a_state_after_its_commit_and_not_before(void **state)
{
    struct room *r = *state;
    for (int sync = TXN_SYNC_NONE; sync <= TXN_SYNC_BEFORE; sync++) {
        struct look l = {pipe_open(), pipe_open()};
        room_close(r);
        pid_t pid = room_fork(r, look_for_tasks, &l);
        assert_true(pipe_heard(&l.done));
        OK(r, room_open(r));
        int64_t n;
        OK(r, txn_begin(r->db, (enum txn_sync)sync, &r->e));
        assert_false(others_see_it(&l));
        OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
        assert_false(others_see_it(&l));
        OK(r, txn_commit(r->db, &r->e));
        assert_true(others_see_it(&l));
        assert_int_equal(write(l.ask.to, "q", 1), 1);
        child_succeeds(r, pid);
        pipe_close(&l.ask);
        pipe_close(&l.done);
        assert_int_equal(sql_try(r->db, "UPDATE tasks SET status = 'cancelled', completed_at = 1;"
                                        " DELETE FROM tasks"),
                         SQLITE_OK);
    }
}

static void a_writer_stands_in_the_write_lock_from_begin_to_its_end(void **state)
{
    struct room *r = *state;
    assert_true(write_lock_is_free(r));
    for (int commits = 0; commits < 2; commits++) {
        OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
        assert_false(write_lock_is_free(r));
        if (commits)
            OK(r, txn_commit(r->db, &r->e));
        else
            txn_rollback(r->db);
        assert_true(write_lock_is_free(r));
    }
}

static void what_is_rolled_back_was_never_there(void **state)
{
    struct room *r = *state;
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){.group = "g"}, NULL, &n, &r->e));
    txn_rollback(r->db);
    txn_rollback(r->db); /* harmless */
    assert_int_equal(sql_number(r->db, "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM"
                                       " events) + (SELECT count(*) FROM groups)"),
                     0);
    int64_t seq;
    OK(r, events_newest(r->db, &seq, &r->e));
    assert_int_equal(seq, 0);
}

static void a_reader_in_a_transaction_sees_one_state(void **state)
{
    struct room *r = *state;
    struct work w = {.count = 5, .sync = TXN_SYNC_AFTER, .go = pipe_open()};
    room_close(r);
    pid_t pid = room_fork(r, write_tasks, &w);
    OK(r, room_open(r));
    OK(r, txn_read_begin(r->db, &r->e));
    assert_false(txn_idle(r->db));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
    pipe_say(&w.go);
    child_succeeds(r, pid);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
    struct group g;
    OK(r, group_get(r->db, "alice", "g", &g, &r->e));
    group_free(&g);
    int64_t seq;
    OK(r, events_newest(r->db, &seq, &r->e));
    assert_int_equal(seq, 0);
    txn_read_end(r->db);
    assert_true(txn_idle(r->db));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 5);
    pipe_close(&w.go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(nobody_is_turned_away_and_nothing_is_lost),
        room_test(numbers_and_log_are_in_one_order_of_commits),
        room_test(checkpoints_without_rest_beside_writers_lose_nothing),
        room_test(a_reader_beside_writers_sees_each_event_once_and_in_order),
        room_test(a_writer_waits_busy_ms_for_its_turn_and_no_longer),
        room_test(a_writer_waits_busy_ms_for_a_lock_that_knows_no_write_lock),
        room_test(a_wait_of_nothing_is_an_answer_at_once),
        room_test(whoever_waits_is_let_in_when_the_write_lock_is_free),
        room_test(who_writes_can_tell_that_another_waits),
        room_test(the_write_lock_is_free_when_its_holder_is_killed),
        room_test(a_reader_waits_for_nobody),
        room_test(a_writer_stands_in_the_write_lock_from_begin_to_its_end),
        room_test(the_write_lock_releases_alarms_and_signals_as_they_were),
        room_test(other_signals_do_not_end_the_wait),
        room_test(what_a_child_executes_does_not_hold_the_write_lock),
        room_test(no_descriptor_of_the_database_survives_an_exec),
        room_test(others_see_a_state_after_its_commit_and_not_before),
        room_test(what_is_rolled_back_was_never_there),
        room_test(a_reader_in_a_transaction_sees_one_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
