#include "runner/child.h"

#include "runner/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 4, HIGH = 10 }; /* the child's end of the control socket; above all its targets */

/* What the child was doing when the system refused. */
enum step { STEP_DESCRIPTORS, STEP_FOLDER, STEP_LIMITS, STEP_NICE, STEP_PRIVILEGES, STEP_EXEC };

/* Sent by the child that could not become its program. */
struct refusal {
    enum step step;
    int number; /* errno */
};

static _Noreturn void refuse(enum step step)
{
    struct refusal r = {.step = step, .number = errno};
    ssize_t ignored = write(CONTROL, &r, sizeof r);
    (void)ignored;
    _exit(127);
}

static void reset_signals(void)
{
    struct sigaction initial = {.sa_handler = SIG_DFL};
    sigemptyset(&initial.sa_mask);
    for (int signo = 1; signo < NSIG; signo++) sigaction(signo, &initial, NULL);
}

/* The plan's descriptors to 0-3, the control socket to CONTROL, nothing else. */
static bool place_descriptors(const struct child_plan *plan, int control)
{
    int from[CONTROL + 1];
    for (int i = 0; i <= CONTROL; i++) {
        from[i] = fcntl(i < CONTROL ? plan->descriptors[i] : control, F_DUPFD_CLOEXEC, HIGH);
        if (from[i] < 0) return false;
    }
    for (int i = 0; i <= CONTROL; i++)
        if (dup3(from[i], i, i == CONTROL ? O_CLOEXEC : 0) < 0) return false;
    /* All of ours close at exec anyway; this is about what the runner itself inherited. */
    close_range(CONTROL + 1, ~0U, 0);
    return true;
}

/* Lowers a limit; one that is lower already stays. */
static bool limit(unsigned what, rlim_t soft, rlim_t hard)
{
    struct rlimit now;
    if (getrlimit(what, &now)) return false;
    if (now.rlim_max != RLIM_INFINITY && hard > now.rlim_max) hard = now.rlim_max;
    if (soft > hard) soft = hard;
    return !setrlimit(what, &(struct rlimit){soft, hard});
}

static bool set_limits(const struct jobtype *t, rlim_t nofile)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || !limit(RLIMIT_NOFILE, nofile, files.rlim_max))
        return false;
    rlim_t memory = (rlim_t)t->memory_bytes, cpu = (rlim_t)t->cpu_seconds;
    rlim_t file = (rlim_t)t->file_bytes, processes = (rlim_t)t->processes;
    return (!memory || limit(RLIMIT_AS, memory, memory)) &&
           (!cpu || limit(RLIMIT_CPU, cpu, cpu + 1)) && /* SIGXCPU first, SIGKILL a second later */
           (!file || limit(RLIMIT_FSIZE, file, file)) &&
           (!processes || limit(RLIMIT_NPROC, processes, processes));
}

/* In the child, with all signals blocked. */
static _Noreturn void become(const struct child_plan *plan, int control, pid_t runner)
{
    reset_signals();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner) _exit(127); /* it died before that line */
    if (!place_descriptors(plan, control)) refuse(STEP_DESCRIPTORS);
    if (chdir(plan->folder)) refuse(STEP_FOLDER);
    if (!set_limits(plan->type, plan->nofile)) refuse(STEP_LIMITS);
    if (plan->type->nice && setpriority(PRIO_PROCESS, 0, (int)plan->type->nice)) refuse(STEP_NICE);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) refuse(STEP_PRIVILEGES);

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char go;
    ssize_t n;
    while ((n = read(CONTROL, &go, 1)) < 0 && errno == EINTR) continue;
    if (n != 1) _exit(127); /* never told to go */
    execve(plan->file, (char *const[]){(char *)plan->type->name, NULL}, plan->env);
    refuse(STEP_EXEC);
}

enum err child_fork(struct child *out, const struct child_plan *plan, struct error *e)
{
    int control[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control))
        return error_errno(e, ERR_IO, "socketpair");
    /* A handler of the runner's must not run in the child. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t runner = getpid(), pid = fork();
    if (!pid) become(plan, control[1], runner);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(control[1]);
    if (pid < 0) {
        close(control[0]);
        errno = saved;
        return error_errno(e, ERR_IO, "fork");
    }
    setpgid(pid, pid); /* the child does so too: whoever comes first */
    *out = (struct child){.id = process_name(pid), .control = control[0]};
    return ERR_OK;
}

void child_go(struct child *c)
{
    /* A child that is dead already will be reaped. */
    ssize_t ignored = send(c->control, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
}

void child_signal(const struct child *c, int signo)
{
    if (c->id.pid <= 0) return;
    pid_t pid = (pid_t)c->id.pid;
    kill(-pid, signo);
    /* A leader can leave its group; until it is reaped its pid is its own. */
    if (getpgid(pid) != pid) kill(pid, signo);
}

bool child_ended(const struct child *c)
{
    siginfo_t info = {0};
    return c->id.pid > 0 && !waitid(P_PID, (id_t)c->id.pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
           info.si_pid;
}

static void read_refusal(int control, struct child_end *out)
{
    static const char *const doing[] = {
        [STEP_DESCRIPTORS] = "cannot arrange descriptors",
        [STEP_FOLDER] = "cannot enter the working folder",
        [STEP_LIMITS] = "cannot set limits",
        [STEP_NICE] = "cannot set nice",
        [STEP_PRIVILEGES] = "cannot give up new privileges",
        [STEP_EXEC] = "cannot execute",
    };
    struct refusal r;
    out->no_exec = recv(control, &r, sizeof r, MSG_DONTWAIT) == (ssize_t)sizeof r;
    if (!out->no_exec) return;
    /* The file itself was there a moment ago. */
    bool interpreter = r.step == STEP_EXEC && r.number == ENOENT;
    errno = r.number;
    error_errno(&out->error, ERR_IO, "%s%s", doing[r.step],
                interpreter ? " (is its interpreter installed?)" : "");
}

bool child_reap(struct child *c, struct child_end *out)
{
    if (!child_ended(c)) return false;
    *out = (struct child_end){0};
    child_signal(c, SIGKILL);
    read_refusal(c->control, out);
    int status = 0;
    while (waitpid((pid_t)c->id.pid, &status, 0) < 0 && errno == EINTR) continue;
    out->signalled = WIFSIGNALED(status);
    out->number = out->signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    close(c->control);
    *c = CHILD_NONE;
    return true;
}
