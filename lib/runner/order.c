#include "runner/order.h"

#include "base/buf.h"
#include "runner/passing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GIVEN = 4,       /* descriptors that come with the order */
    CONTROL = GIVEN, /* where the control socket is when the program begins */
    HIGH = 10,       /* above all of them */
    ORDER_MAX = 65536,
    ENV_MAX = 64,
};

/* An order is this, then its strings one behind the other, each with its NUL: file, folder and the
 * environment. The descriptors come beside it. */
struct order {
    struct jobtype type;
    struct job_user user;
    rlim_t nofile;
    int entries; /* of the environment */
};

/* ---- the runner's side -------------------------------------------------------------------------- */

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

enum err order_send(int control, const struct child_plan *plan, struct error *e)
{
    struct buf order = {0};
    enum err rc = write_order(&order, plan, e);
    ssize_t n = 0;
    if (!rc)
        n = passing_send(control, order.data, order.len, plan->descriptors, GIVEN, MSG_DONTWAIT);
    if (n < 0 && errno != EPIPE && errno != ECONNRESET)
        rc = error_errno(e, ERR_IO, "cannot tell a process what to run");
    buf_free(&order);
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

/* The descriptors of the order to 0-3 and the control socket, which lies above them, to CONTROL; nothing
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

static bool set_limits(const struct jobtype *t, rlim_t nofile)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || !limit(RLIMIT_NOFILE, nofile, files.rlim_max))
        return false;
    rlim_t memory = (rlim_t)t->memory_bytes, cpu = (rlim_t)(t->cpu_ms + 999) / 1000;
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

static _Noreturn void become(const char *bytes, size_t len, const int given[GIVEN], int control,
                             pid_t runner)
{
    struct order o;
    char *env[ENV_MAX + 1] = {0};
    memcpy(&o, bytes, sizeof o);
    /* A message of ours: whole, and every string ends within it. */
    assert(len > sizeof o && !bytes[len - 1] && o.entries <= ENV_MAX);
    const char *file = bytes + sizeof o, *folder = file + strlen(file) + 1;
    char *at = (char *)folder + strlen(folder) + 1;
    for (int i = 0; i < o.entries; i++, at += strlen(at) + 1) env[i] = at;

    int high = fcntl(control, F_DUPFD_CLOEXEC, HIGH);
    if (given[GIVEN - 1] < 0) errno = EMFILE; /* there was no room for all of them */
    if (high < 0 || given[GIVEN - 1] < 0) refuse(control, STEP_DESCRIPTORS);
    if (!place_descriptors(given, high)) refuse(high, STEP_DESCRIPTORS);
    if (!set_limits(&o.type, o.nofile)) refuse(CONTROL, STEP_LIMITS);
    if (o.type.nice && setpriority(PRIO_PROCESS, 0, (int)o.type.nice)) refuse(CONTROL, STEP_NICE);
    if (!set_user(&o.user)) refuse(CONTROL, STEP_USER);
    if (o.user.set) tie(runner); /* forgotten when the user changed */
    if (chdir(folder)) refuse(CONTROL, STEP_FOLDER);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) refuse(CONTROL, STEP_PRIVILEGES);
    execve(file, (char *const[]){o.type.name, NULL}, env);
    refuse(CONTROL, STEP_EXEC);
}

void order_wait(int control, pid_t runner)
{
    static char bytes[ORDER_MAX];
    tie(runner);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    int given[GIVEN];
    ssize_t n = passing_receive(control, bytes, sizeof bytes, given, GIVEN);
    if (n <= 0) _exit(127); /* never told */
    become(bytes, (size_t)n, given, control, runner);
}
