#include "spawn/forkserver.h"

#include "base/buf.h"
#include "base/log.h"
#include "spawn/exec_plan.h"
#include "spawn/fdpass.h"
#include "spawn/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HIGH = 10 }; /* above the descriptors that the server is given */

static const char SERVING[] = "leatd-fork", WAITING[] = "leatd-wait"; /* names of processes */

/* The answer to a message that has brought a control socket. */
struct forked {
    pid_t pid;  /* -1: none, ... */
    int number; /* ... because of that (errno) */
};

struct forkserver {
    struct loop *loop;
    struct loop_fd watch; /* of the socket; .fd -1: it is gone */
    pid_t pid;
    int refused; /* errno of the last that was not made; 0: told already */
    struct child ready[FORKSERVER_READY_MAX];
    size_t count;
    /* Our ends of the control sockets of those that are being made, the oldest first. */
    int asked[FORKSERVER_READY_MAX];
    size_t asked_count;
};

/* ---- the server --------------------------------------------------------------------------------- */

static void reset_signals(void)
{
    struct sigaction initial = {.sa_handler = SIG_DFL};
    sigemptyset(&initial.sa_mask);
    for (int signo = 1; signo < NSIG; signo++) sigaction(signo, &initial, NULL);
}

/* Like fork(), but the child is our parent's: nothing of libc's runs in between. */
static pid_t fork_sibling(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

static struct forked make_child(int s, int control, pid_t runner)
{
    if (control < 0) return (struct forked){-1, EMFILE};
    pid_t pid = fork_sibling();
    if (!pid) {
        close(s);
        setpgid(0, 0);
        prctl(PR_SET_NAME, WAITING);
        exec_plan_wait(control, runner);
    }
    return (struct forked){pid, errno};
}

static _Noreturn void serve(int s, pid_t runner)
{
    for (;;) {
        char byte;
        int control;
        if (fdpass_receive(s, &byte, 1, &control, 1) <= 0) _exit(0); /* the runner is gone */
        struct forked answer = make_child(s, control, runner);
        if (control >= 0) close(control);
        if (send(s, &answer, sizeof answer, MSG_NOSIGNAL) < 0) _exit(0);
    }
}

/* ---- its life ----------------------------------------------------------------------------------- */

static void hear(void *arg, int events);

/* Starts the process. */
static enum err start(struct forkserver *f, struct error *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return error_errno(e, ERR_IO, "socketpair");
    /* A handler of the runner's must not run there, and no signal ends it: its socket does. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t runner = getpid(), pid = fork();
    if (!pid) {
        reset_signals();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, SERVING);
        int s = getppid() == runner ? fcntl(ends[1], F_DUPFD_CLOEXEC, HIGH) : -1;
        if (s < 0) _exit(127);
        if (s > 3) close_range(3, (unsigned)s - 1, 0);
        close_range((unsigned)s + 1, ~0U, 0);
        serve(s, runner);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    errno = saved;
    f->pid = pid;
    f->watch = (struct loop_fd){ends[0], LOOP_IN, hear, f};
    enum err rc = pid < 0 ? error_errno(e, ERR_IO, "fork") : loop_add(f->loop, &f->watch, e);
    if (rc) {
        close(ends[0]);
        f->watch.fd = -1;
    }
    return rc;
}

/* The server is gone, or ends now that its socket is closed. Children that it may have been making end with
 * their control sockets. */
static void forget_server(struct forkserver *f)
{
    if (f->watch.fd >= 0) {
        loop_del(f->loop, &f->watch);
        close(f->watch.fd);
        f->watch.fd = -1;
    }
    while (f->asked_count) close(f->asked[--f->asked_count]);
    while (f->pid > 0 && waitpid(f->pid, NULL, 0) < 0 && errno == EINTR) continue;
    f->pid = 0;
}

enum err forkserver_start(struct forkserver **out, struct loop *loop, struct error *e)
{
    struct forkserver *f = mem_alloc(sizeof *f);
    *f = (struct forkserver){.loop = loop, .watch.fd = -1};
    enum err rc = start(f, e);
    if (!rc)
        *out = f;
    else
        forkserver_stop(f);
    return rc;
}

void forkserver_stop(struct forkserver *f)
{
    if (!f) return;
    while (f->count) child_drop(&f->ready[--f->count]);
    forget_server(f);
    free(f);
}

/* ---- asking ------------------------------------------------------------------------------------- */

/* Sends one end of a new control socket to the server. *gone: there is no server any more. */
static enum err send_control(struct forkserver *f, bool *gone, struct error *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return error_errno(e, ERR_IO, "socketpair");
    ssize_t n = fdpass_send(f->watch.fd, "", 1, &ends[1], 1, 0);
    int saved = errno;
    close(ends[1]);
    if (n >= 0) {
        f->asked[f->asked_count++] = ends[0];
        return ERR_OK;
    }
    close(ends[0]);
    errno = saved;
    *gone = errno == EPIPE || errno == ECONNRESET;
    return error_errno(e, ERR_IO, "cannot ask the fork server");
}

/* Asks for one more child; there is room for it. */
static enum err ask(struct forkserver *f, struct error *e)
{
    bool gone = f->watch.fd < 0;
    enum err rc = gone ? ERR_OK : send_control(f, &gone, e);
    if (!gone) return rc;
    log_warn("the fork server is gone, starting another", " ready=%zu", f->count);
    forget_server(f);
    rc = start(f, e);
    return rc ? rc : send_control(f, &gone, e);
}

/* The child of the oldest question. */
static void take_answer(struct forkserver *f, const struct forked *answer)
{
    int control = f->asked[0];
    f->asked_count--;
    memmove(f->asked, f->asked + 1, f->asked_count * sizeof *f->asked);
    if (answer->pid < 0) {
        f->refused = answer->number;
        close(control);
        return;
    }
    setpgid(answer->pid, answer->pid); /* the child does so too: whoever comes first */
    struct child c = {.id = process_name(answer->pid), .control = control};
    if (c.id.start) {
        f->ready[f->count++] = c;
        return;
    }
    /* Whose name is not known could not be told from others once we are gone. */
    f->refused = errno ? errno : ESRCH;
    child_drop(&c);
}

/* Receives answers, waiting for one if `wait`. */
static void receive(struct forkserver *f, bool wait)
{
    while (f->asked_count) {
        struct forked answer;
        ssize_t n = recv(f->watch.fd, &answer, sizeof answer, wait ? 0 : MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n != (ssize_t)sizeof answer) {
            forget_server(f);
            return;
        }
        take_answer(f, &answer);
        wait = false;
    }
}

static void hear(void *arg, int events)
{
    struct forkserver *f = arg;
    receive(f, false);
    if (f->watch.fd >= 0 && events & LOOP_HUP) forget_server(f);
}

/* Says once why a child was not made. */
static enum err tell_refused(struct forkserver *f, struct error *e)
{
    if (!f->refused) return ERR_OK;
    errno = f->refused;
    f->refused = 0;
    return error_errno(e, ERR_IO, "fork");
}

enum err forkserver_want(struct forkserver *f, size_t count, struct error *e)
{
    if (count > FORKSERVER_READY_MAX) count = FORKSERVER_READY_MAX;
    while (f->count > count) child_drop(&f->ready[--f->count]);
    enum err rc = tell_refused(f, e);
    while (!rc && f->count + f->asked_count < count) rc = ask(f, e);
    return rc;
}

size_t forkserver_ready(const struct forkserver *f)
{
    return f->count;
}

/* Whether the process has the name of one that is being made. */
static bool is_made(int64_t pid)
{
    char path[64], name[16];
    snprintf(path, sizeof path, "/proc/%lld/comm", (long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name);
    if (fd >= 0) close(fd);
    size_t len = n < 1 ? 0 : (size_t)n - 1;
    return len == sizeof SERVING - 1 &&
           (!memcmp(name, SERVING, len) || !memcmp(name, WAITING, len));
}

bool forkserver_has(const struct forkserver *f, int64_t pid)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->ready[i].id.pid == pid) return true;
    return pid == f->pid || (f->asked_count && is_made(pid));
}

enum err forkserver_take(struct forkserver *f, struct child *out, struct error *e)
{
    enum err rc = ERR_OK;
    /* Somebody may have killed one that waited. */
    while (f->count && child_ended(&f->ready[f->count - 1])) child_drop(&f->ready[--f->count]);
    for (int tries = 0; !rc && !f->count; tries++) {
        if (tries == 3) return error_set(e, ERR_IO, "fork: the fork server is gone");
        if (!f->asked_count) rc = ask(f, e);
        if (!rc) receive(f, true);
        if (!rc && !f->count) rc = tell_refused(f, e);
    }
    if (!rc) *out = f->ready[--f->count];
    return rc;
}

void forkserver_give(struct forkserver *f, struct child *c)
{
    if (f->count + f->asked_count < FORKSERVER_READY_MAX)
        f->ready[f->count++] = *c;
    else
        child_drop(c);
    *c = CHILD_NONE;
}
