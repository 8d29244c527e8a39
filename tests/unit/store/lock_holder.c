/* Who holds the write lock: that it is said, and who may be ended for it. */
#include "store/lock_holder.h"

#include "fixture.h"

/* Stands in the write lock, stopped. */
static void stop_inside(struct room *r, void *arg)
{
    (void)arg;
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    raise(SIGSTOP);
}

static pid_t stopped_holder(struct room *r)
{
    int status;
    room_close(r);
    pid_t pid = room_fork(r, stop_inside, NULL);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) fail_msg("no holder");
    return pid;
}

static void whoever_holds_the_lock_says_so_until_it_is_given_up(void **state)
{
    struct room *r = *state;
    struct lock_holder h;
    assert_false(lock_held(r->path, 0, &h));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_true(lock_held(r->path, 0, &h));
    assert_int_equal(h.pid, getpid());
    assert_true(h.start > 0);
    assert_true(lock_holder_is_near(&h));
    assert_false(h.lengthy);
    assert_false(lock_held(r->path, 60000, &h)); /* not for so long */
    OK(r, txn_commit(r->db, &r->e));
    assert_false(lock_held(r->path, 0, &h));
    OK(r, txn_try_begin(r->db, TXN_SYNC_NONE, false, &r->e));
    assert_true(lock_held(r->path, 0, &h));
    txn_rollback(r->db);
    assert_false(lock_held(r->path, 0, &h));
}

static void a_holder_that_was_killed_holds_nothing(void **state)
{
    struct room *r = *state;
    struct lock_holder h;
    pid_t pid = stopped_holder(r);
    assert_true(lock_held(r->path, 0, &h));
    assert_int_equal(h.pid, pid);
    room_kill(r, pid);
    assert_false(lock_held(r->path, 0, &h));
    OK(r, room_open(r));
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    txn_rollback(r->db);
}

static void one_is_overdue_after_ten_seconds_of_one_turn(void **state)
{
    struct room *r = *state;
    struct lock_holder h;
    struct lock_watch w = {0};
    assert_false(lock_watch_overdue(&w, r->path, &h));
    pid_t pid = stopped_holder(r);
    assert_false(lock_watch_overdue(&w, r->path, &h));
    assert_int_equal(w.seen.pid, pid);
    w.from -= LOCK_ENDED_MS - 1000;
    assert_false(lock_watch_overdue(&w, r->path, &h));
    w.from -= 1000;
    assert_true(lock_watch_overdue(&w, r->path, &h));
    assert_int_equal(h.pid, pid);
    w.last -= LOCK_ENDED_MS; /* a watch that was stopped itself begins anew */
    assert_false(lock_watch_overdue(&w, r->path, &h));
    room_kill(r, pid);
    assert_false(lock_watch_overdue(&w, r->path, &h));
    assert_int_equal(w.seen.pid, 0);
}

/* What a line says is believed only as far as it can be checked. */
static void nobody_else_is_taken_for_the_holder(void **state)
{
    struct room *r = *state;
    struct lock_holder h;
    char path[64];
    snprintf(path, sizeof path, "%s.lock", r->path);
    for (int i = 0; i < 4; i++) {
        pid_t pid = stopped_holder(r);
        assert_true(lock_held(r->path, 0, &h));
        char line[97];
        int n = snprintf(line, sizeof line, "%lld %lld %llu %lld %s",
                         (long long)(i == 0 ? getpid() : pid), (long long)h.start + (i == 1),
                         (unsigned long long)h.ns + (i == 2), (long long)h.since, "write");
        memset(line + n, ' ', sizeof line - 2 - (size_t)n);
        line[95] = '\n';
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, line, 96, 0), 96);
        close(fd);
        struct lock_watch w = {0};
        lock_watch_overdue(&w, r->path, &h);
        w.from -= LOCK_ENDED_MS;
        assert_int_equal(lock_watch_overdue(&w, r->path, &h), i == 3);
        room_kill(r, pid);
    }
}

static void a_checkpoint_may_take_its_time(void **state)
{
    struct room *r = *state;
    struct lock_holder h;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    lock_holder_set(txn_lock_fd(r->db), true);
    assert_true(lock_held(r->path, 0, &h));
    assert_true(h.lengthy);
    txn_rollback(r->db);
    OK(r, db_checkpoint(r->db, &r->e));
    assert_false(lock_held(r->path, 0, &h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(whoever_holds_the_lock_says_so_until_it_is_given_up),
        room_test(a_holder_that_was_killed_holds_nothing),
        room_test(one_is_overdue_after_ten_seconds_of_one_turn),
        room_test(nobody_else_is_taken_for_the_holder),
        room_test(a_checkpoint_may_take_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
