#include "spawn/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum err child_go(const struct child *c, const struct exec_plan *plan, struct error *e)
{
    return exec_plan_send(c->control, plan, e);
}

void child_drop(struct child *c)
{
    close(c->control);
    child_signal(c, SIGKILL);
    while (waitpid((pid_t)c->id.pid, NULL, 0) < 0 && errno == EINTR) continue;
    *c = CHILD_NONE;
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
        [STEP_USER] = "cannot become the user",
        [STEP_PRIVILEGES] = "cannot give up new privileges",
        [STEP_EXEC] = "cannot execute",
    };
    struct refusal r;
    ssize_t n = recv(control, &r, sizeof r, MSG_DONTWAIT);
    /* That it left something unread is told before what it said (unix(7)). */
    if (n < 0 && errno == ECONNRESET) n = recv(control, &r, sizeof r, MSG_DONTWAIT);
    out->no_exec = n == (ssize_t)sizeof r;
    if (!out->no_exec) return;
    if (r.step == STEP_EXEC) out->exec_errno = r.number;
    /* The file itself was there a moment ago. */
    bool interpreter = out->exec_errno == ENOENT;
    errno = r.number;
    error_errno(&out->error, ERR_IO, "%s%s", doing[r.step],
                interpreter ? " (is its interpreter installed?)" : "");
}

bool child_reap(struct child *c, struct child_end *out)
{
    *out = (struct child_end){0};
    if (!child_ended(c)) return false;
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
