#include "spawn/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOKS = 6000 }; /* at what must come, 10 ms apart: a machine may be slow */

/* Starts `sh -c script` as the leader of a group, with LEAT_TASK_ID=`task`, and waits until it
 * has written a line. */
static pid_t start(const char *script, const char *task)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        char entry[100];
        snprintf(entry, sizeof entry, "LEAT_TASK_ID=%s", task);
        setpgid(0, 0);
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execle("/bin/sh", "sh", "-c", script, NULL, (char *[]){entry, NULL});
        _exit(127);
    }
    close(ends[1]);
    char c;
    assert_int_equal(read(ends[0], &c, 1), 1);
    close(ends[0]);
    return pid;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

/* How many processes of a group live; zombies do not. With `name`: how many of that name sleep, and so
 * have been made and started what they were made for. */
static int members_named(pid_t group, const char *name)
{
    glob_t found;
    int count = 0;
    assert_int_equal(glob("/proc/[0-9]*/stat", GLOB_NOSORT, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char text[512] = "", program[20], status;
        int parent, its;
        FILE *f = fopen(found.gl_pathv[i], "r");
        if (!f) continue;
        const char *p = fgets(text, sizeof text, f) ? strchr(text, '(') : NULL;
        if (p && sscanf(p, "(%19[^)]) %c %d %d", program, &status, &parent, &its) == 4)
            count +=
                its == group && (name ? status == 'S' && !strcmp(program, name) : status != 'Z');
        fclose(f);
    }
    globfree(&found);
    return count;
}

static int members(pid_t group)
{
    return members_named(group, NULL);
}

/* Waits until a `sleep` of the group sleeps. */
static void sleeps(pid_t group)
{
    for (int i = 0; i < LOOKS && !members_named(group, "sleep"); i++) poll(NULL, 0, 10);
    assert_int_equal(members_named(group, "sleep"), 1);
}

/* Waits until nothing is left of the group. */
static bool ends(const struct process_id *leader, const char *task)
{
    for (int i = 0; i < LOOKS; i++) {
        if (process_group_gone(leader, task)) return true;
        poll(NULL, 0, 10);
    }
    return false;
}

static void the_place_is_this_boot_and_its_pids(void **state)
{
    (void)state;
    char scope[ID_SIZE], again[ID_SIZE], boot[ID_SIZE];
    process_scope(scope);
    process_scope(again);
    id_boot(boot);
    assert_true(id_valid(scope));
    assert_string_equal(scope, again);
    assert_memory_equal(scope, boot, 24);
}

static void a_living_process_is_alive(void **state)
{
    (void)state;
    char scope[ID_SIZE];
    process_scope(scope);
    struct process_id self = process_name(getpid());
    assert_int_equal(self.pid, getpid());
    assert_true(self.start > 0);
    assert_int_equal(process_look(&self, scope, scope), PROCESS_ALIVE);
}

static void another_process_of_the_same_pid_is_not_it(void **state)
{
    (void)state;
    char scope[ID_SIZE];
    process_scope(scope);
    struct process_id self = process_name(getpid());
    self.start--;
    assert_int_equal(process_look(&self, scope, scope), PROCESS_GONE);
}

static void a_process_that_ended_is_gone(void **state)
{
    (void)state;
    char scope[ID_SIZE];
    process_scope(scope);
    pid_t pid = start("echo; exec sleep 100", "t1");
    struct process_id child = process_name(pid);
    assert_int_equal(process_look(&child, scope, scope), PROCESS_ALIVE);
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(process_look(&child, scope, scope), PROCESS_GONE); /* a zombie */
    reap(pid);
    assert_int_equal(process_look(&child, scope, scope), PROCESS_GONE);
}

static void what_ran_in_another_boot_is_gone(void **state)
{
    (void)state;
    char scope[ID_SIZE], other[ID_SIZE];
    process_scope(scope);
    memcpy(other, scope, sizeof other);
    other[0] = other[0] == '0' ? '1' : '0';
    struct process_id self = process_name(getpid());
    assert_int_equal(process_look(&self, other, scope), PROCESS_GONE);
}

static void what_runs_in_another_container_is_not_seen(void **state)
{
    (void)state;
    char scope[ID_SIZE], other[ID_SIZE];
    process_scope(scope);
    memcpy(other, scope, sizeof other);
    other[35] = other[35] == '0' ? '1' : '0';
    struct process_id self = process_name(getpid()), none = {.pid = 0};
    assert_int_equal(process_look(&self, other, scope), PROCESS_UNSEEN);
    assert_int_equal(process_look(&self, "", scope), PROCESS_UNSEEN);
    assert_int_equal(process_look(&none, scope, scope), PROCESS_UNSEEN);
}

static void a_living_group_is_killed(void **state)
{
    (void)state;
    pid_t pid = start("sleep 100 & echo; wait", "t1");
    struct process_id leader = process_name(pid);
    assert_int_equal(members(pid), 2);
    assert_false(process_group_gone(&leader, "t1"));
    reap(pid);
    assert_true(ends(&leader, "t1"));
    assert_int_equal(members(pid), 0);
}

/* The group that a leader can move into: this process', which has no number where it came from another pid
 * namespace. */
static void have_a_group(void)
{
    if (!getpgid(0)) setpgid(0, 0);
    assert_true(getpgid(0) > 0);
}

static void a_leader_that_has_left_its_group_is_killed(void **state)
{
    (void)state;
    have_a_group();
    pid_t pid =
        start("exec perl -e 'setpgrp 0, getpgrp getppid; syswrite STDOUT, 1; sleep 100'", "t1");
    struct process_id leader = process_name(pid);
    assert_int_equal(getpgid(pid), getpgid(0));
    assert_int_equal(members(pid), 0);
    assert_false(process_group_gone(&leader, "t1"));
    reap(pid);
    assert_true(ends(&leader, "t1"));
}

static void a_leader_that_has_left_others_in_its_group_is_killed(void **state)
{
    (void)state;
    have_a_group();
    pid_t pid = start(
        "sleep 100 & exec perl -e 'setpgrp 0, getpgrp getppid; syswrite STDOUT, 1; sleep 100'",
        "t1");
    struct process_id leader = process_name(pid);
    assert_int_equal(members(pid), 1);
    assert_false(process_group_gone(&leader, "t1"));
    reap(pid);
    assert_true(ends(&leader, "t1"));
    assert_int_equal(members(pid), 0);
}

static void what_a_dead_leader_left_is_killed(void **state)
{
    (void)state;
    pid_t pid = start("sleep 100 & echo", "t1");
    struct process_id leader = process_name(pid);
    reap(pid);
    assert_int_equal(members(pid), 1);
    assert_true(ends(&leader, "t1"));
    assert_int_equal(members(pid), 0);
}

static void a_group_that_is_not_the_tasks_is_left_alone(void **state)
{
    (void)state;
    pid_t pid = start("sleep 100 & echo", "another");
    sleeps(pid);
    struct process_id leader = process_name(pid);
    reap(pid);
    assert_true(process_group_gone(&leader, "t1"));
    assert_int_equal(members(pid), 1);
    kill(-pid, SIGKILL);
}

static void what_has_cleared_its_environment_is_known_by_its_session(void **state)
{
    (void)state;
    pid_t pid = start("env -i sleep 100 & echo", "t1");
    sleeps(pid);
    struct process_id leader = process_name(pid), other = leader;
    assert_int_equal(leader.session, getsid(0));
    reap(pid);
    assert_int_equal(members(pid), 1);
    other.session++;
    assert_true(process_group_gone(&other, "t1"));
    assert_int_equal(members(pid), 1);
    assert_true(ends(&leader, "t1"));
    assert_int_equal(members(pid), 0);
}

static void a_later_process_of_the_same_pid_is_left_alone(void **state)
{
    (void)state;
    pid_t pid = start("echo; exec sleep 100", "t1");
    struct process_id leader = process_name(pid);
    leader.start--;
    assert_true(process_group_gone(&leader, "t1"));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    kill(pid, SIGKILL);
    reap(pid);
}

static void nobody_has_pid_zero_or_one(void **state)
{
    (void)state;
    struct process_id none = {.pid = 0}, init = {.pid = 1, .start = 1};
    assert_true(process_group_gone(&none, "t1"));
    assert_true(process_group_gone(&init, "t1"));
}

static void only_the_very_process_is_killed(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid) {
        pause();
        _exit(0);
    }
    struct process_id it = process_name(pid), later = it, unknown = it;
    later.start--;
    unknown.start = 0;
    assert_false(process_kill(&later));
    assert_false(process_kill(&unknown));
    int status;
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_true(process_kill(&it));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(process_kill(&it));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_place_is_this_boot_and_its_pids),
        cmocka_unit_test(a_living_process_is_alive),
        cmocka_unit_test(another_process_of_the_same_pid_is_not_it),
        cmocka_unit_test(a_process_that_ended_is_gone),
        cmocka_unit_test(what_ran_in_another_boot_is_gone),
        cmocka_unit_test(what_runs_in_another_container_is_not_seen),
        cmocka_unit_test(a_living_group_is_killed),
        cmocka_unit_test(a_leader_that_has_left_its_group_is_killed),
        cmocka_unit_test(a_leader_that_has_left_others_in_its_group_is_killed),
        cmocka_unit_test(what_a_dead_leader_left_is_killed),
        cmocka_unit_test(a_group_that_is_not_the_tasks_is_left_alone),
        cmocka_unit_test(what_has_cleared_its_environment_is_known_by_its_session),
        cmocka_unit_test(a_later_process_of_the_same_pid_is_left_alone),
        cmocka_unit_test(nobody_has_pid_zero_or_one),
        cmocka_unit_test(only_the_very_process_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
