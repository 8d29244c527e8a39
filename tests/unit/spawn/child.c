#include "spawn/forkserver.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOKS = 6000 }; /* at what must come, 10 ms apart: a machine may be slow */

static struct loop *loop;
static struct forkserver *forks;

/* A shell script as a job: its standard output comes back in `out`. */
struct job {
    const char *file, *folder;
    struct exec_limits limits;
    int out;
};

static struct job shell(void)
{
    return (struct job){.file = "/bin/sh", .folder = "/", .limits.nofile = 256, .out = -1};
}

static struct child waiting(void)
{
    struct child c = CHILD_NONE;
    struct error e = {0};
    if (forkserver_take(forks, &c, &e)) fail_msg("%s", e.text);
    return c;
}

static struct exec_plan plan_of(const struct job *j, char *const *env, int in, int out, int rest)
{
    static char *const argv[] = {(char *)"j", NULL};
    return (struct exec_plan){
        .file = j->file,
        .argv = argv,
        .env = env,
        .folder = j->folder,
        .limits = j->limits,
        .descriptors = {in, out, rest, rest},
    };
}

/* Starts it; the script is its standard input. */
static struct child started(struct job *j, const char *script)
{
    int in[2], out[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], script, strlen(script)), strlen(script));
    close(in[1]);
    struct child c = waiting();
    struct error e = {0};
    char *const env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"GREETING=hello", NULL};
    const struct exec_plan plan = plan_of(j, env, in[0], out[1], null);
    if (child_go(&c, &plan, &e)) fail_msg("%s", e.text);
    close(in[0]);
    close(out[1]);
    close(null);
    j->out = out[0];
    return c;
}

/* Waits for its end; what it wrote is `out`'s. */
static struct child_end ended(struct job *j, struct child *c, struct buf *out)
{
    struct child_end end = {0};
    for (ssize_t n = 1; n > 0; out->len += n > 0 ? (size_t)n : 0)
        n = read(j->out, buf_reserve(out, 4096), 4096);
    buf_add(out, "", 0);
    close(j->out);
    for (int i = 0; !child_reap(c, &end); i++) {
        if (i == LOOKS) fail_msg("it does not end");
        poll(NULL, 0, 10);
    }
    assert_int_equal(c->id.pid, 0);
    return end;
}

static struct child_end run(struct job *j, const char *script, struct buf *out)
{
    struct child c = started(j, script);
    return ended(j, &c, out);
}

static void assert_says(const char *script, const char *expected)
{
    struct job j = shell();
    struct buf out = {0};
    struct child_end end = run(&j, script, &out);
    if (end.no_exec) fail_msg("%s", end.error.text);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void one_that_waits_lives_until_it_is_dropped(void **state)
{
    (void)state;
    struct child c = waiting();
    pid_t pid = (pid_t)c.id.pid;
    assert_int_equal(getpgid(pid), pid);
    assert_true(c.id.start > 0);
    assert_false(child_ended(&c));
    child_drop(&c);
    assert_int_equal(c.id.pid, 0);
    assert_int_equal(kill(pid, 0), -1);
}

static void one_that_was_killed_before_it_may_go_ends_by_that(void **state)
{
    (void)state;
    struct job j = shell();
    struct child c = waiting();
    child_signal(&c, SIGKILL);
    while (!child_ended(&c)) poll(NULL, 0, 1);
    struct error e = {0};
    char *const env[] = {NULL};
    const struct exec_plan plan = plan_of(&j, env, 0, 1, 2);
    assert_int_equal(child_go(&c, &plan, &e), ERR_OK);
    struct child_end end = {0};
    assert_true(child_reap(&c, &end));
    assert_true(end.signalled);
    assert_int_equal(end.number, SIGKILL);
    assert_false(end.no_exec);
}

/* Turns the loop until so many are ready. */
static void assert_ready(size_t count)
{
    struct error e = {0};
    for (int i = 0; i < LOOKS && forkserver_ready(forks) != count; i++)
        assert_int_equal(loop_wait(loop, 10, &e), ERR_OK);
    assert_int_equal(forkserver_ready(forks), count);
}

static void children_are_made_ahead(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(forkserver_want(forks, 3, &e), ERR_OK);
    assert_int_equal(forkserver_want(forks, 3, &e), ERR_OK);
    assert_ready(3);
    struct child c = waiting(), other = waiting();
    assert_int_equal(forkserver_ready(forks), 1);
    assert_int_not_equal(c.id.pid, other.id.pid);
    forkserver_give(forks, &other);
    assert_int_equal(forkserver_ready(forks), 2);
    child_drop(&c);
    assert_int_equal(forkserver_want(forks, 1000, &e), ERR_OK);
    assert_ready(FORKSERVER_READY_MAX);
    assert_int_equal(forkserver_want(forks, 0, &e), ERR_OK);
    assert_int_equal(forkserver_ready(forks), 0);
}

static void one_made_ahead_that_was_killed_is_not_taken(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(forkserver_want(forks, 1, &e), ERR_OK);
    assert_ready(1);
    struct child c = waiting();
    pid_t pid = (pid_t)c.id.pid;
    forkserver_give(forks, &c);
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_says("echo another", "another\n");
    assert_int_equal(kill(pid, 0), -1);
}

static void the_exit_status_is_told(void **state)
{
    (void)state;
    struct job j = shell();
    struct buf out = {0};
    struct child_end end = run(&j, "exit 42", &out);
    assert_false(end.signalled);
    assert_int_equal(end.number, 42);
    buf_free(&out);
}

static void the_signal_is_told(void **state)
{
    (void)state;
    struct job j = shell();
    struct buf out = {0};
    struct child_end end = run(&j, "kill -SEGV $$", &out);
    assert_true(end.signalled);
    assert_int_equal(end.number, SIGSEGV);
    buf_free(&out);
}

static void a_program_that_is_not_there_is_reported_as_that(void **state)
{
    (void)state;
    struct job j = shell();
    j.file = "/nowhere/job";
    struct buf out = {0};
    struct child_end end = run(&j, "", &out);
    assert_true(end.no_exec);
    assert_non_null(strstr(end.error.text, "cannot execute"));
    assert_non_null(strstr(end.error.text, strerror(ENOENT)));
    buf_free(&out);
}

static void a_folder_that_is_not_there_is_reported_as_that(void **state)
{
    (void)state;
    struct job j = shell();
    j.folder = "/nowhere";
    struct buf out = {0};
    struct child_end end = run(&j, "", &out);
    assert_true(end.no_exec);
    assert_non_null(strstr(end.error.text, "working folder"));
    buf_free(&out);
}

static void it_has_the_planned_environment_and_no_other(void **state)
{
    (void)state;
    setenv("SECRET_OF_THE_RUNNER", "x", 1);
    assert_says("cat /proc/$$/environ | tr '\\0' '\\n'", "PATH=/usr/bin:/bin\nGREETING=hello\n");
}

static void it_has_four_descriptors_and_no_other(void **state)
{
    (void)state;
    int leak = dup(0); /* without CLOEXEC */
    assert_says("ls /proc/$$/fd", "0\n1\n2\n3\n");
    close(leak);
}

static void it_leads_its_own_group(void **state)
{
    (void)state;
    assert_says("set -- $(sed 's/.*) //' /proc/$$/stat); [ $3 = $$ ] && echo leader", "leader\n");
}

static void it_begins_with_no_signal_blocked_or_ignored(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    /* glibc keeps 32 and 33 to itself; who was started by its posix_spawn, such as make's children,
     * has them ignored for good. */
    assert_says("grep -E '^Sig(Blk|Ign):' /proc/$$/status | tr -d '\\t' | "
                "sed 's/^SigIgn:0000000180000000/SigIgn:0000000000000000/'",
                "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

static void it_gets_no_new_privileges(void **state)
{
    (void)state;
    assert_says("grep NoNewPrivs /proc/$$/status | tr -d '\\t'", "NoNewPrivs:1\n");
}

static void the_limits_of_the_plan_count(void **state)
{
    (void)state;
    struct job j = shell();
    j.limits.memory_bytes = 512 << 20;
    j.limits.cpu_ms = 6200; /* the system counts whole seconds */
    j.limits.file_bytes = 2 << 20;
    j.limits.nice = 3;
    struct buf out = {0};
    run(&j, "ulimit -v; ulimit -t; ulimit -f; nice", &out);
    assert_string_equal(out.data, "524288\n7\n4096\n3\n");
    buf_free(&out);
}

static void what_it_leaves_of_its_group_is_killed(void **state)
{
    (void)state;
    struct job j = shell();
    struct buf out = {0};
    struct child c = started(&j, "sleep 1000 >/dev/null & echo $!");
    ended(&j, &c, &out);
    pid_t left = (pid_t)strtol(out.data, NULL, 10);
    assert_true(left > 1);
    int tries = 0;
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)left);
    /* Gone, or a zombie of whoever has it now. */
    for (FILE *f; (f = fopen(path, "r")); poll(NULL, 0, 10)) {
        bool read = fgets(line, sizeof line, f) != NULL;
        fclose(f);
        if (!read || strstr(line, ") Z ")) break;
        if (tries++ == LOOKS) fail_msg("it still runs: %s", line);
    }
    buf_free(&out);
}

static void its_parent_is_this_process(void **state)
{
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    assert_says("echo $PPID", expected);
}

/* The pid of the fork server; 0: it has not said its name yet. */
static pid_t find_server(void)
{
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    for (char *at = text; *at && *at != '\n'; at++) {
        char name[32] = "";
        pid_t pid = (pid_t)strtol(at, &at, 10);
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        if ((f = fopen(path, "r"))) {
            const char *read = fgets(name, sizeof name, f);
            fclose(f);
            siginfo_t info = {0};
            waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
            if (read && !strcmp(name, "leatd-fork\n") && !info.si_pid) return pid;
        }
    }
    return 0;
}

static void kill_server(void)
{
    pid_t server = 0;
    for (int i = 0; i < LOOKS && !(server = find_server()); i++) poll(NULL, 0, 10);
    assert_true(server > 1);
    kill(server, SIGKILL);
}

static void a_fork_server_that_was_killed_is_replaced(void **state)
{
    (void)state;
    kill_server();
    assert_says("echo again", "again\n");
}

static void one_that_is_killed_while_children_are_made_is_replaced(void **state)
{
    (void)state;
    struct error e = {0};
    for (int i = 0; i < 20; i++) {
        /* none is there where the last round ended with a child that was made before its death */
        pid_t server = find_server();
        if (server) kill(server, SIGKILL);
        assert_int_equal(forkserver_want(forks, 4, &e), ERR_OK);
        server = find_server(); /* the next one, if the first was seen to be gone */
        if (server) kill(server, SIGKILL);
        struct child c = waiting();
        assert_false(child_ended(&c));
        child_drop(&c);
        assert_int_equal(forkserver_want(forks, 0, &e), ERR_OK);
        assert_says("echo again", "again\n");
    }
}

static void an_environment_that_is_too_large_is_refused(void **state)
{
    (void)state;
    struct job j = shell();
    struct child c = waiting();
    struct error e = {0};
    char *large = malloc(70000);
    memset(large, 'x', 70000);
    large[69999] = '\0';
    char *const env[] = {large, NULL};
    const struct exec_plan plan = plan_of(&j, env, 0, 1, 2);
    assert_int_equal(child_go(&c, &plan, &e), ERR_INVALID);
    assert_false(child_ended(&c));
    child_drop(&c);
    free(large);
}

static int start_forks(void **state)
{
    (void)state;
    struct error e = {0};
    return loop_open(&loop, &e) || forkserver_start(&forks, loop, &e) ? -1 : 0;
}

static int stop_forks(void **state)
{
    (void)state;
    forkserver_stop(forks);
    loop_close(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_waits_lives_until_it_is_dropped),
        cmocka_unit_test(one_that_was_killed_before_it_may_go_ends_by_that),
        cmocka_unit_test(children_are_made_ahead),
        cmocka_unit_test(one_made_ahead_that_was_killed_is_not_taken),
        cmocka_unit_test(the_exit_status_is_told),
        cmocka_unit_test(the_signal_is_told),
        cmocka_unit_test(a_program_that_is_not_there_is_reported_as_that),
        cmocka_unit_test(a_folder_that_is_not_there_is_reported_as_that),
        cmocka_unit_test(it_has_the_planned_environment_and_no_other),
        cmocka_unit_test(it_has_four_descriptors_and_no_other),
        cmocka_unit_test(it_leads_its_own_group),
        cmocka_unit_test(it_begins_with_no_signal_blocked_or_ignored),
        cmocka_unit_test(it_gets_no_new_privileges),
        cmocka_unit_test(the_limits_of_the_plan_count),
        cmocka_unit_test(what_it_leaves_of_its_group_is_killed),
        cmocka_unit_test(its_parent_is_this_process),
        cmocka_unit_test(a_fork_server_that_was_killed_is_replaced),
        cmocka_unit_test(one_that_is_killed_while_children_are_made_is_replaced),
        cmocka_unit_test(an_environment_that_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, start_forks, stop_forks);
}
