#include "spawn/exec_plan.h"

#include "base/buf.h"
#include "spawn/fdpass.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    GIVEN = 4,       /* descriptors that come with the plan */
    CONTROL = GIVEN, /* where the control socket is when the program begins */
    HIGH = 10,       /* above all of them */
    MESSAGE_MAX = 65536,
    ARGS_MAX = 8,
    ENV_MAX = 64,
};

/* A message begins with this. Its strings follow, each with its NUL: file, folder, the arguments and the
 * environment. The descriptors come beside it. */
struct message {
    struct exec_limits limits;
    struct job_user user;
    int args, entries; /* of argv and of the environment */
};

/* ---- the runner's side -------------------------------------------------------------------------- */

static void add_string(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text) + 1);
}

static enum err write_message(struct buf *out, const struct exec_plan *plan, struct error *e)
{
    struct message m;
    memset(&m, 0, sizeof m); /* its padding is sent too */
    m.limits = plan->limits;
    if (plan->user) m.user = *plan->user;
    while (plan->argv[m.args]) m.args++;
    while (plan->env[m.entries]) m.entries++;
    buf_add(out, &m, sizeof m);
    add_string(out, plan->file);
    add_string(out, plan->folder);
    for (int i = 0; i < m.args; i++) add_string(out, plan->argv[i]);
    for (int i = 0; i < m.entries; i++) add_string(out, plan->env[i]);
    if (out->len > MESSAGE_MAX || m.args > ARGS_MAX || m.entries > ENV_MAX)
        return error_set(e, ERR_INVALID, "the environment of the job is too large");
    return ERR_OK;
}

enum err exec_plan_send(int control, const struct exec_plan *plan, struct error *e)
{
    struct buf text = {0};
    enum err rc = write_message(&text, plan, e);
    ssize_t n = 0;
    if (!rc) n = fdpass_send(control, text.data, text.len, plan->descriptors, GIVEN, MSG_DONTWAIT);
    if (n < 0 && errno != EPIPE && errno != ECONNRESET)
        rc = error_errno(e, ERR_IO, "cannot tell a process what to run");
    buf_free(&text);
    return rc;
}

/* ---- the child ---------------------------------------------------------------------------------- */

static _Noreturn void refuse(int control, enum refused_step step)
{
    struct refusal r = {.step = step, .number = errno};
    ssize_t ignored = write(control, &r, sizeof r);
    (void)ignored;
    _exit(127);
}

/* Sees to it that this process does not outlive the runner. */
static void tie(pid_t runner)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner) _exit(127); /* it died before that line */
}

/* The given descriptors to 0-3 and the control socket, which lies above them, to CONTROL; nothing
 * else. */
static bool place_descriptors(const int given[GIVEN], int control)
{
    int from[GIVEN];
    for (int i = 0; i < GIVEN; i++)
        if ((from[i] = fcntl(given[i], F_DUPFD_CLOEXEC, HIGH)) < 0) return false;
    for (int i = 0; i < GIVEN; i++)
        if (dup3(from[i], i, 0) < 0) return false;
    if (dup3(control, CONTROL, O_CLOEXEC) < 0) return false;
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

static bool set_limits(const struct exec_limits *l)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || !limit(RLIMIT_NOFILE, l->nofile, files.rlim_max))
        return false;
    rlim_t memory = (rlim_t)l->memory_bytes, cpu = (rlim_t)(l->cpu_ms + 999) / 1000;
    rlim_t file = (rlim_t)l->file_bytes, processes = (rlim_t)l->processes;
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

/* Fills a NULL-terminated list with the next `count` strings of the message, and steps over them. */
static void next_strings(char **list, int count, char **at)
{
    for (int i = 0; i < count; i++, *at += strlen(*at) + 1) list[i] = *at;
    list[count] = NULL;
}

static _Noreturn void become(char *bytes, size_t len, const int given[GIVEN], int control,
                             pid_t runner)
{
    struct message m;
    char *paths[3], *argv[ARGS_MAX + 1], *env[ENV_MAX + 1], *at = bytes + sizeof m;
    memcpy(&m, bytes, sizeof m);
    /* A message of ours: whole, and every string ends within it. */
    assert(len > sizeof m && !bytes[len - 1] && m.args <= ARGS_MAX && m.entries <= ENV_MAX);
    next_strings(paths, 2, &at);
    next_strings(argv, m.args, &at);
    next_strings(env, m.entries, &at);

    int high = fcntl(control, F_DUPFD_CLOEXEC, HIGH);
    if (given[GIVEN - 1] < 0) errno = EMFILE; /* there was no room for all of them */
    if (high < 0 || given[GIVEN - 1] < 0) refuse(control, STEP_DESCRIPTORS);
    if (!place_descriptors(given, high)) refuse(high, STEP_DESCRIPTORS);
    if (!set_limits(&m.limits)) refuse(CONTROL, STEP_LIMITS);
    if (m.limits.nice && setpriority(PRIO_PROCESS, 0, m.limits.nice)) refuse(CONTROL, STEP_NICE);
    if (!set_user(&m.user)) refuse(CONTROL, STEP_USER);
    if (m.user.set) tie(runner); /* forgotten when the user changed */
    if (chdir(paths[1])) refuse(CONTROL, STEP_FOLDER);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) refuse(CONTROL, STEP_PRIVILEGES);
    execve(paths[0], argv, env);
    refuse(CONTROL, STEP_EXEC);
}

/* The plan of this process, as fdpass_receive. Short of memory it asks again for a second: nothing is wrong with the
 * job. */
static ssize_t receive(int control, char *bytes, size_t size, int given[GIVEN])
{
    enum { TRIES = 100 };
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    ssize_t n = -1;
    for (int i = 0; i < TRIES; i++) {
        n = fdpass_receive(control, bytes, size, given, GIVEN);
        if (n >= 0 || (errno != ENOBUFS && errno != ENOMEM)) break;
        nanosleep(&pause, NULL);
    }
    return n;
}

void exec_plan_wait(int control, pid_t runner)
{
    static char bytes[MESSAGE_MAX];
    tie(runner);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    int given[GIVEN];
    ssize_t n = receive(control, bytes, sizeof bytes, given);
    if (n < 0) refuse(control, STEP_DESCRIPTORS);
    if (!n) _exit(127); /* never told */
    become(bytes, (size_t)n, given, control, runner);
}
