#include "runner/forkserver.h"

#include "base/buf.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONTROL = 4, /* the child's end of the control socket */
    FDS = CONTROL + 1,
    HIGH = 10, /* above all of them */
    ORDER_MAX = 65536,
    ENV_MAX = 64,
};

struct forkserver {
    pid_t pid;
    int socket;
};

/* A request: this, then its strings one behind the other, each with its NUL: file, folder and the
 * environment. The five descriptors come beside it. */
struct order {
    struct jobtype type;
    struct job_user user;
    rlim_t nofile;
    int entries; /* of the environment */
};

/* The answer. */
struct forked {
    pid_t pid;  /* -1: none, ... */
    int number; /* ... because of that (errno) */
};

/* ---- the child ---------------------------------------------------------------------------------- */

static _Noreturn void refuse(int control, enum refused_step step)
{
    struct refusal r = {.step = step, .number = errno};
    ssize_t ignored = write(control, &r, sizeof r);
    (void)ignored;
    _exit(127);
}

/* fds to 0-3 and the control socket to CONTROL, nothing else. */
static bool place_descriptors(const int fds[FDS])
{
    int from[FDS];
    for (int i = 0; i < FDS; i++)
        if ((from[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH)) < 0) return false;
    for (int i = 0; i < FDS; i++)
        if (dup3(from[i], i, i == CONTROL ? O_CLOEXEC : 0) < 0) return false;
    return !close_range(CONTROL + 1, ~0U, 0) || errno == ENOSYS; /* ours close at exec anyway */
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

static bool set_user(const struct job_user *u)
{
    return !u->set || (!setgroups((size_t)u->group_count, u->groups) &&
                       !setresgid(u->gid, u->gid, u->gid) && !setresuid(u->uid, u->uid, u->uid));
}

/* In the child, with all signals at their defaults and blocked. */
static _Noreturn void become(const struct order *o, const int fds[FDS], const char *file,
                             const char *folder, char **env, pid_t runner)
{
    setpgid(0, 0);
    if (!place_descriptors(fds)) refuse(fds[CONTROL], STEP_DESCRIPTORS); /* it lies above them */
    if (!set_limits(&o->type, o->nofile)) refuse(CONTROL, STEP_LIMITS);
    if (o->type.nice && setpriority(PRIO_PROCESS, 0, (int)o->type.nice)) refuse(CONTROL, STEP_NICE);
    if (!set_user(&o->user)) refuse(CONTROL, STEP_USER);
    if (chdir(folder)) refuse(CONTROL, STEP_FOLDER);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) refuse(CONTROL, STEP_PRIVILEGES);
    prctl(PR_SET_PDEATHSIG, SIGKILL);    /* forgotten when the user changes, so not before */
    if (getppid() != runner) _exit(127); /* it died before that line */

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char go;
    ssize_t n;
    while ((n = read(CONTROL, &go, 1)) < 0 && errno == EINTR) continue;
    if (n != 1) _exit(127); /* never told to go */
    execve(file, (char *const[]){(char *)o->type.name, NULL}, env);
    refuse(CONTROL, STEP_EXEC);
}

/* ---- the server --------------------------------------------------------------------------------- */

static void reset_signals(void)
{
    struct sigaction initial = {.sa_handler = SIG_DFL};
    sigemptyset(&initial.sa_mask);
    for (int signo = 1; signo < NSIG; signo++) sigaction(signo, &initial, NULL);
}

/* The descriptors that came with a message; those that are missing are -1: the last ones, when there was no
 * room for all. */
static void take_descriptors(struct msghdr *m, int fds[FDS])
{
    for (int i = 0; i < FDS; i++) fds[i] = -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len <= CMSG_LEN(FDS * sizeof(int)))
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
}

/* Like fork(), but the child is our parent's: nothing of libc's runs in between. */
static pid_t fork_sibling(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

static struct forked carry_out(const char *bytes, size_t len, const int fds[FDS], pid_t runner)
{
    struct order o;
    char *env[ENV_MAX + 1] = {0};
    memcpy(&o, bytes, sizeof o);
    /* A message of ours: whole, and every string ends within it. */
    assert(len > sizeof o && !bytes[len - 1] && o.entries <= ENV_MAX);
    const char *file = bytes + sizeof o, *folder = file + strlen(file) + 1;
    char *at = (char *)folder + strlen(folder) + 1;
    for (int i = 0; i < o.entries; i++, at += strlen(at) + 1) env[i] = at;

    if (fds[CONTROL] < 0) return (struct forked){-1, EMFILE};
    pid_t pid = fork_sibling();
    if (!pid) become(&o, fds, file, folder, env, runner);
    return (struct forked){pid, errno};
}

static _Noreturn void serve(int s, pid_t runner)
{
    static char bytes[ORDER_MAX];
    for (;;) {
        union {
            struct cmsghdr head;
            char room[CMSG_SPACE(FDS * sizeof(int))];
        } beside;
        struct iovec part = {bytes, sizeof bytes};
        struct msghdr m = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &beside,
                           .msg_controllen = sizeof beside};
        ssize_t n = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) _exit(0); /* the runner is gone */
        int fds[FDS];
        take_descriptors(&m, fds);
        struct forked answer = carry_out(bytes, (size_t)n, fds, runner);
        for (int i = 0; i < FDS; i++)
            if (fds[i] >= 0) close(fds[i]);
        if (send(s, &answer, sizeof answer, MSG_NOSIGNAL) < 0) _exit(0);
    }
}

/* ---- the runner's side -------------------------------------------------------------------------- */

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
        prctl(PR_SET_NAME, "leatd-fork");
        int s = getppid() == runner ? fcntl(ends[1], F_DUPFD_CLOEXEC, HIGH) : -1;
        if (s < 0) _exit(127);
        if (s > 3) close_range(3, (unsigned)s - 1, 0);
        close_range((unsigned)s + 1, ~0U, 0);
        serve(s, runner);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = saved;
        return error_errno(e, ERR_IO, "fork");
    }
    *f = (struct forkserver){.pid = pid, .socket = ends[0]};
    return ERR_OK;
}

enum err forkserver_start(struct forkserver **out, struct error *e)
{
    struct forkserver f;
    enum err rc = start(&f, e);
    if (!rc) *out = mem_dup(&f, sizeof f);
    return rc;
}

/* Its socket is closed, or it is gone. */
static void bury(struct forkserver *f)
{
    if (f->socket >= 0) close(f->socket);
    f->socket = -1;
    while (f->pid > 0 && waitpid(f->pid, NULL, 0) < 0 && errno == EINTR) continue;
    f->pid = 0;
}

void forkserver_stop(struct forkserver *f)
{
    if (!f) return;
    bury(f);
    free(f);
}

static enum err write_order(struct buf *out, const struct child_plan *plan, struct error *e)
{
    struct order o;
    memset(&o, 0, sizeof o); /* its padding is sent too */
    o.type = *plan->type;
    if (plan->user) o.user = *plan->user;
    o.nofile = plan->nofile;
    while (plan->env[o.entries]) o.entries++;
    buf_add(out, &o, sizeof o);
    buf_add(out, plan->file, strlen(plan->file) + 1);
    buf_add(out, plan->folder, strlen(plan->folder) + 1);
    for (int i = 0; i < o.entries; i++) buf_add(out, plan->env[i], strlen(plan->env[i]) + 1);
    if (out->len > ORDER_MAX || o.entries > ENV_MAX)
        return error_set(e, ERR_INVALID, "the environment of the job is too large");
    return ERR_OK;
}

/* One question and its answer. ASKED_NOT: the fork server is gone, or takes nothing. ASKED_LOST: it is gone
 * with the answer, and there may be a child. */
enum asked { ASKED, ASKED_NOT, ASKED_LOST };
static enum asked ask(const struct forkserver *f, struct buf *order, const int fds[FDS],
                      struct forked *answer)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(FDS * sizeof(int))];
    } beside = {.room = {0}};
    struct iovec part = {order->data, order->len};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &beside, .msg_controllen = sizeof beside};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(FDS * sizeof(int));
    memcpy(CMSG_DATA(c), fds, FDS * sizeof(int));
    ssize_t n;
    while ((n = sendmsg(f->socket, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR) continue;
    if (n < 0) return ASKED_NOT;
    while ((n = recv(f->socket, answer, sizeof *answer, 0)) < 0 && errno == EINTR) continue;
    return n == (ssize_t)sizeof *answer ? ASKED : ASKED_LOST;
}

enum err forkserver_fork(struct forkserver *f, const struct child_plan *plan, int control,
                         pid_t *pid, struct error *e)
{
    struct buf order = {0};
    const int fds[FDS] = {plan->descriptors[0], plan->descriptors[1], plan->descriptors[2],
                          plan->descriptors[3], control};
    struct forked answer = {-1, EPIPE};
    enum err rc = write_order(&order, plan, e);
    enum asked asked = rc || f->socket < 0 ? ASKED_NOT : ask(f, &order, fds, &answer);
    if (!rc && asked == ASKED_NOT) {
        log_warn("the fork server is gone, starting another", " pid=%lld", (long long)f->pid);
        bury(f);
        rc = start(f, e);
        if (!rc) asked = ask(f, &order, fds, &answer);
    }
    if (!rc && asked != ASKED) {
        answer = (struct forked){-1, EPIPE};
        bury(f);
    }
    buf_free(&order);
    if (asked == ASKED_LOST) return error_set(e, ERR_STATE, "the fork server is gone");
    if (rc) return rc;
    errno = answer.number;
    if (answer.pid < 0) return error_errno(e, ERR_IO, "fork");
    *pid = answer.pid;
    return ERR_OK;
}
