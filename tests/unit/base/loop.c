#include "base/loop.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 10000, DEADLINE_MS = 30000 };

static struct loop *loop;

/* A timer of a test: notes its name when it fires, then does what `then` says to `other`. */
struct alarm {
    struct loop_timer timer;
    char name;
    enum { NOTHING, STOP_OTHER, SET_OTHER, SET_ITSELF, FREE_ITSELF } then;
    struct alarm *other;
    int64_t at; /* for SET_OTHER and SET_ITSELF */
};

static char fired[64];

static void note(void *arg)
{
    struct alarm *a = arg;
    size_t len = strlen(fired);
    assert_true(len + 1 < sizeof fired);
    assert_false(loop_timer_is_set(&a->timer));
    fired[len] = a->name;
    switch (a->then) {
    case NOTHING: break;
    case STOP_OTHER: loop_timer_stop(loop, &a->other->timer); break;
    case SET_OTHER: loop_timer_set(loop, &a->other->timer, a->at); break;
    case SET_ITSELF: loop_timer_set(loop, &a->timer, a->at); break;
    case FREE_ITSELF: free(a); break;
    }
}

static struct alarm named(char name)
{
    return (struct alarm){.timer.fire = note, .name = name};
}

static void set(struct alarm *a, int64_t at)
{
    a->timer.arg = a;
    loop_timer_set(loop, &a->timer, at);
}

static void turn(void)
{
    assert_int_equal(loop_wait(loop, 0, NULL), ERR_OK);
}

/* Turns until so many timers have fired. */
static void turn_until_fired(size_t count)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (strlen(fired) < count) {
        assert_true(clock_monotonic_ms() < until);
        assert_int_equal(loop_wait(loop, -1, NULL), ERR_OK);
    }
}

static int open_loop(void **state)
{
    (void)state;
    memset(fired, 0, sizeof fired);
    return loop_open(&loop, NULL) ? -1 : 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_close(loop);
    return 0;
}

/* ---- timers ------------------------------------------------------------------------------------- */

static void timers_fire_in_the_order_of_their_times(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b'), c = named('c'), d = named('d');
    int64_t past = clock_monotonic_ms() - 100;
    set(&c, past + 3);
    set(&a, past + 1);
    set(&d, past + 4);
    set(&b, past + 2);
    turn();
    assert_string_equal(fired, "abcd");
    turn();
    assert_string_equal(fired, "abcd"); /* each once */
}

static void a_timer_does_not_fire_before_its_time(void **state)
{
    (void)state;
    struct alarm a = named('a');
    int64_t at = clock_monotonic_ms() + 3;
    set(&a, at);
    assert_true(loop_timer_is_set(&a.timer));
    turn_until_fired(1);
    assert_true(clock_monotonic_ms() >= at);
    assert_false(loop_timer_is_set(&a.timer));
}

static void the_wait_ends_at_the_limit_that_it_is_given(void **state)
{
    (void)state;
    struct alarm late = named('l');
    set(&late, clock_monotonic_ms() + 3600 * 1000);
    assert_int_equal(loop_wait(loop, 1, NULL), ERR_OK);
    assert_string_equal(fired, "");
    loop_timer_stop(loop, &late.timer);
}

static void all_timers_of_one_time_fire_in_one_turn(void **state)
{
    (void)state;
    struct alarm alarms[20];
    int64_t at = clock_monotonic_ms() - 1;
    for (int i = 0; i < 20; i++) alarms[i] = named((char)('a' + i));
    for (int i = 0; i < 20; i++) set(&alarms[i], at);
    turn();
    assert_int_equal(strlen(fired), 20);
    for (int i = 0; i < 20; i++) assert_non_null(strchr(fired, 'a' + i));
}

static void setting_a_timer_again_moves_it(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b');
    int64_t past = clock_monotonic_ms() - 100;
    set(&a, past + 1);
    set(&b, past + 2);
    set(&a, past + 3);
    turn();
    assert_string_equal(fired, "ba");
}

static void a_stopped_timer_does_not_fire(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b'), never = named('n');
    int64_t past = clock_monotonic_ms() - 100;
    set(&a, past + 1);
    set(&b, past + 2);
    loop_timer_stop(loop, &a.timer);
    loop_timer_stop(loop, &a.timer);
    loop_timer_stop(loop, &never.timer); /* was never set */
    turn();
    assert_string_equal(fired, "b");
}

static void a_callback_may_stop_one_that_is_due_too(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b'), c = named('c');
    int64_t past = clock_monotonic_ms() - 100;
    a.then = STOP_OTHER;
    a.other = &b;
    set(&a, past + 1);
    set(&b, past + 2);
    set(&c, past + 3);
    turn();
    assert_string_equal(fired, "ac");
    assert_false(loop_timer_is_set(&b.timer));
}

static void what_a_callback_sets_for_the_past_fires_in_the_next_turn(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b');
    int64_t past = clock_monotonic_ms() - 100;
    a.then = SET_ITSELF;
    a.at = past;
    b.then = SET_OTHER;
    b.other = &a;
    b.at = past;
    set(&a, past + 1);
    set(&b, past + 2);
    turn();
    assert_string_equal(fired, "ab");
    turn();
    assert_string_equal(fired, "aba");
    loop_timer_stop(loop, &a.timer);
    turn();
    assert_string_equal(fired, "aba");
}

static void a_callback_may_move_one_that_is_due_to_a_later_time(void **state)
{
    (void)state;
    struct alarm a = named('a'), b = named('b');
    int64_t now = clock_monotonic_ms();
    a.then = SET_OTHER;
    a.other = &b;
    a.at = now + 3600 * 1000;
    set(&a, now - 2);
    set(&b, now - 1);
    turn();
    assert_string_equal(fired, "a");
    assert_true(loop_timer_is_set(&b.timer));
    loop_timer_stop(loop, &b.timer);
}

static void a_callback_may_free_the_owner_of_its_timer(void **state)
{
    (void)state;
    struct alarm *a = malloc(sizeof *a);
    assert_non_null(a);
    *a = named('a');
    a->then = FREE_ITSELF;
    set(a, clock_monotonic_ms());
    turn_until_fired(1);
    turn();
    assert_string_equal(fired, "a");
}

/* Of ten thousand timers, in the order of their times. */
struct many {
    struct loop_timer timer;
    int64_t at;
    bool stopped, fired;
};

static int64_t newest;
static size_t fired_count;

static void note_many(void *arg)
{
    struct many *m = arg;
    assert_false(m->stopped);
    assert_false(m->fired);
    assert_true(m->at >= newest);
    newest = m->at;
    m->fired = true;
    fired_count++;
}

static void ten_thousand_timers_keep_their_order(void **state)
{
    (void)state;
    struct many *all = calloc(MANY, sizeof *all);
    assert_non_null(all);
    int64_t past = clock_monotonic_ms() - 10 * MANY;
    unsigned random = 1;
    for (size_t i = 0; i < MANY; i++) {
        random = random * 1103515245u + 12345u;
        all[i].at = past + (int64_t)(random >> 16) % MANY;
        all[i].timer = (struct loop_timer){.fire = note_many, .arg = &all[i]};
        loop_timer_set(loop, &all[i].timer, all[i].at);
    }
    size_t stopped = 0;
    for (size_t i = 0; i < MANY; i += 3, stopped++) {
        all[i].stopped = true;
        loop_timer_stop(loop, &all[i].timer);
    }
    for (size_t i = 1; i < MANY; i += 3) {
        all[i].at = past + (int64_t)(i * 7) % MANY;
        loop_timer_set(loop, &all[i].timer, all[i].at);
    }
    newest = 0;
    fired_count = 0;
    turn();
    assert_int_equal(fired_count, MANY - stopped);
    free(all);
}

/* ---- descriptors beside timers ------------------------------------------------------------------- */

static void read_one(void *arg, int events)
{
    char c;
    assert_true(events & LOOP_IN);
    assert_int_equal(read(*(int *)arg, &c, 1), 1);
    fired[strlen(fired)] = c;
}

/* A pipe whose read end the loop watches. */
struct watched_pipe {
    int ends[2];
    struct loop_fd fd;
};

static void watch_pipe(struct watched_pipe *p)
{
    assert_int_equal(pipe(p->ends), 0);
    p->fd = (struct loop_fd){
        .fd = p->ends[0], .events = LOOP_IN, .ready = read_one, .arg = &p->ends[0]};
    assert_int_equal(loop_add(loop, &p->fd, NULL), ERR_OK);
}

static void close_pipe(struct watched_pipe *p)
{
    loop_del(loop, &p->fd);
    close(p->ends[0]);
    close(p->ends[1]);
}

static void descriptors_come_before_timers(void **state)
{
    (void)state;
    struct watched_pipe p;
    struct alarm a = named('a');
    watch_pipe(&p);
    assert_int_equal(write(p.ends[1], "d", 1), 1);
    set(&a, clock_monotonic_ms() - 1);
    turn();
    assert_string_equal(fired, "da");
    close_pipe(&p);
}

static void it_can_be_asked_whether_something_waits(void **state)
{
    (void)state;
    struct watched_pipe p;
    struct alarm a = named('a');
    watch_pipe(&p);
    set(&a, clock_monotonic_ms() + 1000 * DEADLINE_MS);
    assert_false(loop_is_due(loop));
    assert_int_equal(write(p.ends[1], "d", 1), 1);
    assert_true(loop_is_due(loop));
    turn();
    assert_false(loop_is_due(loop));
    set(&a, clock_monotonic_ms());
    assert_true(loop_is_due(loop));
    assert_string_equal(fired, "d"); /* asking calls nobody back */
    loop_timer_stop(loop, &a.timer);
    close_pipe(&p);
}

/* ---- children ----------------------------------------------------------------------------------- */

struct watched {
    struct loop_child child;
    int status, count;
};

static void ended(void *arg, int status)
{
    struct watched *w = arg;
    w->status = status;
    w->count++;
}

static struct watched watched(pid_t pid)
{
    return (struct watched){.child = {.pid = pid, .ended = ended}};
}

static void watch(struct watched *w)
{
    w->child.arg = w;
    assert_int_equal(loop_child_add(loop, &w->child, NULL), ERR_OK);
}

static void turn_until_ended(const struct watched *w)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (!w->count) {
        assert_true(clock_monotonic_ms() < until);
        assert_int_equal(loop_wait(loop, 1000, NULL), ERR_OK);
    }
}

/* A child that ends with that status as soon as it is told to through *tell, or at once (NULL). */
static pid_t start(int status, int *tell)
{
    int ends[2] = {-1, -1};
    if (tell) assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        char c;
        close(ends[1]);
        if (tell && read(ends[0], &c, 1) < 0) _exit(99);
        _exit(status);
    }
    close(ends[0]);
    if (tell) *tell = ends[1];
    return pid;
}

static void the_end_of_a_child_is_told_once_with_its_status(void **state)
{
    (void)state;
    int tell;
    struct watched w = watched(start(7, &tell));
    watch(&w);
    turn();
    assert_int_equal(w.count, 0);
    close(tell);
    turn_until_ended(&w);
    assert_true(WIFEXITED(w.status));
    assert_int_equal(WEXITSTATUS(w.status), 7);
    assert_int_equal(waitpid(w.child.pid, NULL, WNOHANG), -1); /* it is reaped */
    assert_int_equal(errno, ECHILD);
    turn();
    assert_int_equal(w.count, 1);
    loop_child_del(loop, &w.child);
}

static void a_child_that_has_ended_already_is_told_too(void **state)
{
    (void)state;
    pid_t pid = start(3, NULL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    struct watched w = watched(pid);
    watch(&w);
    assert_int_equal(w.count, 0); /* not inside the call */
    turn_until_ended(&w);
    assert_int_equal(WEXITSTATUS(w.status), 3);
}

static void a_child_that_a_signal_ended_says_which(void **state)
{
    (void)state;
    int tell;
    struct watched w = watched(start(0, &tell));
    watch(&w);
    kill(w.child.pid, SIGKILL);
    turn_until_ended(&w);
    assert_true(WIFSIGNALED(w.status));
    assert_int_equal(WTERMSIG(w.status), SIGKILL);
    close(tell);
}

static void a_child_that_is_watched_no_longer_is_its_owners_to_reap(void **state)
{
    (void)state;
    struct watched w = watched(start(0, NULL)), never = {0};
    watch(&w);
    loop_child_del(loop, &w.child);
    loop_child_del(loop, &w.child);
    loop_child_del(loop, &never.child);
    int status;
    assert_int_equal(waitpid(w.child.pid, &status, 0), w.child.pid);
    turn();
    assert_int_equal(w.count, 0);
}

static void a_child_that_its_owner_reaps_is_still_there_when_it_is_told(void **state)
{
    (void)state;
    struct watched w = watched(start(9, NULL)), killed;
    int tell;
    killed = watched(start(0, &tell));
    w.child.owner_reaps = killed.child.owner_reaps = true;
    watch(&w);
    watch(&killed);
    kill(killed.child.pid, SIGKILL);
    turn_until_ended(&w);
    turn_until_ended(&killed);
    close(tell);
    int status;
    assert_int_equal(waitpid(w.child.pid, &status, WNOHANG), w.child.pid);
    assert_int_equal(status, w.status);
    assert_int_equal(WEXITSTATUS(status), 9);
    assert_int_equal(waitpid(killed.child.pid, &status, WNOHANG), killed.child.pid);
    assert_int_equal(WTERMSIG(status), WTERMSIG(killed.status));
    turn();
    assert_int_equal(w.count, 1);
}

static void what_is_no_process_cannot_be_watched(void **state)
{
    (void)state;
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (self < 0) skip(); /* a system, or valgrind, that has no such call watches by looking */
    close(self);
    struct watched w = watched(start(0, NULL));
    struct error e = {0};
    assert_int_equal(waitpid(w.child.pid, NULL, 0), w.child.pid);
    assert_int_equal(loop_child_add(loop, &w.child, &e), ERR_IO);
    assert_non_null(strstr(e.text, "pidfd_open"));
}

/* From here on the system has no pidfd_open for this process and its children. */
static void forbid_pidfd(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(77);
}

/* In a process of its own, since a filter stays. */
static void a_system_without_pidfd_is_made_up_for_by_looking(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        struct watched w = {.child.ended = ended};
        forbid_pidfd();
        w.child.arg = &w;
        w.child.pid = start(5, NULL);
        int64_t until = clock_monotonic_ms() + DEADLINE_MS;
        if (loop_child_add(loop, &w.child, NULL) || w.count) _exit(1);
        while (!w.count && clock_monotonic_ms() < until) loop_wait(loop, -1, NULL);
        _exit(w.count == 1 && WIFEXITED(w.status) ? WEXITSTATUS(w.status) : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_the_order_of_their_times),
        TEST(a_timer_does_not_fire_before_its_time),
        TEST(the_wait_ends_at_the_limit_that_it_is_given),
        TEST(all_timers_of_one_time_fire_in_one_turn),
        TEST(setting_a_timer_again_moves_it),
        TEST(a_stopped_timer_does_not_fire),
        TEST(a_callback_may_stop_one_that_is_due_too),
        TEST(what_a_callback_sets_for_the_past_fires_in_the_next_turn),
        TEST(a_callback_may_move_one_that_is_due_to_a_later_time),
        TEST(a_callback_may_free_the_owner_of_its_timer),
        TEST(ten_thousand_timers_keep_their_order),
        TEST(descriptors_come_before_timers),
        TEST(it_can_be_asked_whether_something_waits),
        TEST(the_end_of_a_child_is_told_once_with_its_status),
        TEST(a_child_that_has_ended_already_is_told_too),
        TEST(a_child_that_a_signal_ended_says_which),
        TEST(a_child_that_is_watched_no_longer_is_its_owners_to_reap),
        TEST(a_child_that_its_owner_reaps_is_still_there_when_it_is_told),
        TEST(what_is_no_process_cannot_be_watched),
        TEST(a_system_without_pidfd_is_made_up_for_by_looking),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
