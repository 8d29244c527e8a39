#include "runner/child.h"

#include "runner/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static enum err fork_one(struct child *out, struct forkserver *forks, const struct child_plan *plan,
                         struct error *e)
{
    int control[2];
    pid_t pid = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control))
        return error_errno(e, ERR_IO, "socketpair");
    enum err rc = forkserver_fork(forks, plan, control[1], &pid, e);
    close(control[1]);
    if (rc) {
        close(control[0]);
        return rc;
    }
    setpgid(pid, pid); /* the child does so too: whoever comes first */
    *out = (struct child){.id = process_name(pid), .control = control[0]};
    if (out->id.start) return ERR_OK;
    /* Whose name is not known could not be told from others once we are gone. */
    close(out->control); /* it ends */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    *out = CHILD_NONE;
    return error_set(e, ERR_IO, "cannot look at process %lld", (long long)pid);
}

enum err child_fork(struct child *out, struct forkserver *forks, const struct child_plan *plan,
                    struct error *e)
{
    enum err rc = fork_one(out, forks, plan, e);
    if (rc == ERR_STATE) rc = fork_one(out, forks, plan, e);
    return rc == ERR_STATE ? error_set(e, ERR_IO, "fork: the fork server is gone") : rc;
}

bool child_go(struct child *c)
{
    /* One that is dead already will be reaped. */
    return send(c->control, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EPIPE;
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
