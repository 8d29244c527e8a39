/* The thread that waits for the write lock and the disk. The other side of the lock is another connection: the
 * lock belongs to the open file, so it is as good as another process. */
#include "fixture.h"

#include "disk.h"
#include "store/io_thread.h"

struct threaded {
    struct room *r;
    struct db *other;
    struct io_thread *thread;
};

static int enter(void **state)
{
    if (room_enter(state)) return -1;
    struct threaded *t = mem_alloc(sizeof *t);
    t->r = *state;
    *state = t;
    struct db_options options = {.path = t->r->path, .busy_ms = 30000};
    return db_open(&t->other, &options, NULL) || io_thread_start(&t->thread, t->r->db, NULL);
}

static int leave(void **state)
{
    struct threaded *t = *state;
    void *room = t->r;
    io_thread_stop(t->thread);
    db_close(t->other);
    free(t);
    return room_leave(&room);
}

/* What is done next. */
static unsigned next_done(struct io_thread *thread)
{
    struct pollfd fd = {.fd = io_thread_fd(thread), .events = POLLIN};
    if (poll(&fd, 1, DEADLINE_MS) != 1) fail_msg("the thread does not answer");
    return io_thread_done(thread);
}

/* Waits until all of `wanted` is done. */
static void wait_for(struct io_thread *thread, unsigned wanted)
{
    for (unsigned done = 0; done != wanted;) {
        done |= next_done(thread);
        assert_int_equal(done & ~wanted, 0);
    }
}

static bool can_begin(struct db *db)
{
    if (txn_try_begin(db, TXN_SYNC_NONE, false, NULL)) return false;
    txn_rollback(db);
    return true;
}

static void a_free_lock_is_taken_for_who_asked(void **state)
{
    struct threaded *t = *state;
    io_thread_lock(t->thread);
    wait_for(t->thread, IO_LOCKED);
    assert_false(can_begin(t->other));
    OK(t->r, txn_try_begin(t->r->db, TXN_SYNC_NONE, true, &t->r->e));
    assert_false(can_begin(t->other));
    OK(t->r, txn_commit(t->r->db, &t->r->e));
    assert_true(can_begin(t->other));

    io_thread_lock(t->thread);
    wait_for(t->thread, IO_LOCKED);
    txn_unlock(t->r->db);
    assert_true(can_begin(t->other));
}

static void a_lock_that_another_holds_is_waited_for(void **state)
{
    struct threaded *t = *state;
    for (int i = 0; i < 20; i++) {
        OK(t->r, txn_begin(t->other, TXN_SYNC_NONE, &t->r->e));
        io_thread_lock(t->thread);
        struct pollfd fd = {.fd = io_thread_fd(t->thread), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, i % 2), 0);
        assert_int_equal(io_thread_done(t->thread), 0);
        int64_t until = clock_monotonic_ms() + DEADLINE_MS;
        while (!txn_wanted(t->other) && clock_monotonic_ms() < until) poll(NULL, 0, 1);
        assert_true(txn_wanted(t->other)); /* its holder can tell */
        txn_rollback(t->other);
        wait_for(t->thread, IO_LOCKED);
        assert_false(can_begin(t->other));
        txn_unlock(t->r->db);
    }
}

static void a_sync_is_of_the_log(void **state)
{
    struct threaded *t = *state;
    struct stat log, synced;
    char path[64];
    snprintf(path, sizeof path, "%s-wal", t->r->path);
    make(t->r, (struct sketch){0});
    int before = disk_syncs();
    io_thread_sync(t->thread);
    wait_for(t->thread, IO_SYNCED);
    assert_int_equal(disk_syncs(), before + 1);
    assert_int_equal(stat(path, &log), 0);
    assert_int_equal(fstat(disk.last_fd, &synced), 0);
    assert_true(log.st_size > 0);
    assert_int_equal(log.st_ino, synced.st_ino);
}

static void a_sync_that_fails_is_told(void **state)
{
    struct threaded *t = *state;
    disk_refuse(EIO);
    io_thread_sync(t->thread);
    wait_for(t->thread, IO_SYNC_FAILED);
    disk_refuse(0);
    io_thread_sync(t->thread);
    wait_for(t->thread, IO_SYNCED);
}

static void a_lock_is_not_taken_before_the_sync_has_ended(void **state)
{
    struct threaded *t = *state;
    int before = disk_syncs();
    disk_allow(0);
    io_thread_sync(t->thread);
    disk_wait(before + 1);
    io_thread_lock(t->thread);
    assert_true(can_begin(t->other)); /* others need not wait for our disk */
    disk_allow(INT_MAX);
    wait_for(t->thread, IO_SYNCED | IO_LOCKED);
    assert_false(can_begin(t->other));
    txn_unlock(t->r->db);
}

static void it_ends_while_it_waits_for_the_lock(void **state)
{
    struct threaded *t = *state;
    for (int i = 0; i < 20; i++) {
        OK(t->r, txn_begin(t->other, TXN_SYNC_NONE, &t->r->e));
        io_thread_lock(t->thread);
        if (i % 2) poll(NULL, 0, 1); /* it waits, or is about to */
        io_thread_stop(t->thread);
        OK(t->r, txn_commit(t->other, &t->r->e));
        assert_true(can_begin(t->other));
        assert_true(can_begin(t->r->db));
        OK(t->r, io_thread_start(&t->thread, t->r->db, &t->r->e));
    }
}

static void a_lock_that_nobody_took_is_released_at_the_end(void **state)
{
    struct threaded *t = *state;
    io_thread_lock(t->thread);
    struct pollfd fd = {.fd = io_thread_fd(t->thread), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, DEADLINE_MS), 1);
    assert_false(can_begin(t->other));
    io_thread_stop(t->thread);
    t->thread = NULL;
    assert_true(can_begin(t->other));
    io_thread_stop(NULL);
}

static void signals_of_the_process_are_left_to_others(void **state)
{
    (void)state;
    sigset_t mine, before, pending;
    siginfo_t info;
    sigemptyset(&mine);
    sigaddset(&mine, SIGTERM);
    sigprocmask(SIG_BLOCK, &mine, &before);
    kill(getpid(), SIGTERM); /* it would end us if the thread took it */
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGTERM));
    assert_int_equal(sigwaitinfo(&mine, &info), SIGTERM);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_free_lock_is_taken_for_who_asked),
        TEST(a_lock_that_another_holds_is_waited_for),
        TEST(a_sync_is_of_the_log),
        TEST(a_sync_that_fails_is_told),
        TEST(a_lock_is_not_taken_before_the_sync_has_ended),
        TEST(it_ends_while_it_waits_for_the_lock),
        TEST(a_lock_that_nobody_took_is_released_at_the_end),
        TEST(signals_of_the_process_are_left_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
