#include "ops/autostart.h"

#include "base/buf.h"
#include "base/log.h"
#include "store/runner_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PRESENCE = 3, /* where leatd finds the lock */
    REPORT = 4,   /* where the child says what went wrong; closed by exec */
    HIGH = 10,    /* above all of them */
};

/* What the child needs; made before the fork, because after it nothing may be allocated. */
struct plan {
    char *program;
    char *argv[8];
    char **env;
    int presence, log; /* descriptors */
};

/* leatd, seen from the folder that holds this program: beside it, beside its folder, as installed. */
static const char *const places[] = {"leatd", "../leatd", "../sbin/leatd", "../../../sbin/leatd"};

/* The caller frees; NULL: it is in none of its places. */
static char *find_program(void)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0) return NULL;
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct buf path = {0};
        buf_fmt(&path, "%s/%s", self, places[i]);
        if (!access(path.data, X_OK)) return path.data;
        buf_free(&path);
    }
    return NULL;
}

/* Where its standard error goes. It must not be ours, which a web server may wait to see closed. With a log
 * of its own (file, syslog) only what it says before that is open comes here. */
static int open_log(const struct conf *conf)
{
    struct buf path = {0};
    buf_fmt(&path, "%s.runner.log", conf_text(conf, CONF_DATABASE_PATH));
    int fd = open(path.data, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    buf_free(&path);
    return fd;
}

static void add_variable(struct plan *p, const char *entry)
{
    size_t count = 0;
    while (p->env[count]) count++;
    p->env = mem_grow(p->env, count + 2, sizeof *p->env);
    p->env[count] = mem_str(entry);
    p->env[count + 1] = NULL;
}

/* False: there is no program. */
static bool make_plan(struct plan *p, const struct conf *conf, int presence)
{
    static char option_config[] = "--config", option_presence[] = "--presence", three[] = "3";
    static char option_idle[] = "--idle-exit", minute[] = "60";
    const char *file = conf_file(conf);
    size_t n = 0;
    *p = (struct plan){.presence = presence, .program = find_program()};
    if (!p->program) return false;
    p->argv[n++] = p->program;
    if (file) p->argv[n++] = option_config, p->argv[n++] = (char *)file;
    p->argv[n++] = option_presence, p->argv[n++] = three;
    if (!conf_text(conf, CONF_RUNNER_IDLE_EXIT)) p->argv[n++] = option_idle, p->argv[n++] = minute;
    p->env = conf_environment();
    /* That file is not looked after by anybody: it shall hold what matters. The last one counts. */
    if (!strcmp(conf_text(conf, CONF_LOG_TARGET), "stderr")) add_variable(p, "LEAT_LOG_LEVEL=warn");
    p->log = open_log(conf);
    return true;
}

static void free_plan(struct plan *p)
{
    if (p->log >= 0) close(p->log);
    conf_environment_free(p->env);
    free(p->program);
}

/* ---- in the child: nothing but system calls ---- */

static _Noreturn void report(int fd)
{
    int number = errno;
    ssize_t ignored = write(fd, &number, sizeof number);
    (void)ignored;
    _exit(127);
}

/* 0 and 1 nothing, 2 the log, 3 the lock, 4 the report; nothing else, so that whoever waits for our
 * descriptors to close waits only for us. */
static void place_descriptors(const struct plan *p, int *say)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int given[] = {null, null,
                         p->log < 0 ? null : p->log, [PRESENCE] = p->presence, [REPORT] = *say};
    int high[REPORT + 1];
    for (int i = 0; i <= REPORT; i++)
        if ((high[i] = fcntl(given[i], F_DUPFD_CLOEXEC, HIGH)) < 0) report(*say);
    for (int i = 0; i <= REPORT; i++)
        if (dup3(high[i], i, i == REPORT ? O_CLOEXEC : 0) < 0) report(*say);
    *say = REPORT;
    if (close_range(REPORT + 1, ~0U, 0) && errno == ENOSYS)
        for (int fd = REPORT + 1; fd < 1024; fd++) close(fd);
}

/* Leaves the session and is nobody's child, so that whoever stops the web server's processes does not stop
 * the runner with them. */
static _Noreturn void become(const struct plan *p, int say)
{
    struct sigaction initial = {.sa_handler = SIG_DFL};
    sigset_t none;
    setsid();
    pid_t pid = fork();
    if (pid) _exit(pid < 0 ? 1 : 0);
    place_descriptors(p, &say);
    sigemptyset(&initial.sa_mask);
    for (int signo = 1; signo < NSIG; signo++) sigaction(signo, &initial, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0007);
    execve(p->program, p->argv, p->env);
    report(say);
}

/* ---- in the parent ---- */

/* Starts it and waits until it has become leatd. ERR_IO. */
static enum err start(const struct plan *p, struct error *e)
{
    int ends[2], number = 0, status = 0;
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* a handler of ours must not run in the child */
    pid_t pid = fork();
    if (!pid) become(p, ends[1]);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    errno = saved;
    enum err rc = pid < 0 ? error_errno(e, ERR_IO, "fork") : ERR_OK;
    ssize_t n = 0;
    if (!rc) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        while ((n = read(ends[0], &number, sizeof number)) < 0 && errno == EINTR) continue;
        if (status) rc = error_set(e, ERR_IO, "fork: no second process");
    }
    if (!rc && n == (ssize_t)sizeof number) {
        errno = number;
        rc = error_errno(e, ERR_IO, "%s", p->program);
    }
    close(ends[0]);
    return rc;
}

void autostart(const struct conf *conf)
{
    struct error e = {0};
    struct plan p;
    int presence = -1;
    if (!conf_bool(conf, CONF_RUNNER_AUTOSTART)) return;
    enum err rc = runner_lock_take(conf_text(conf, CONF_DATABASE_PATH), &presence, &e);
    if (!rc && presence < 0) return; /* one is there */
    if (!rc && !make_plan(&p, conf, presence)) {
        rc = error_set(&e, ERR_NOTFOUND, "there is no leatd beside this program or in ../sbin");
    } else if (!rc) {
        rc = start(&p, &e);
        free_plan(&p);
    }
    /* Only our copy: with the lock on it leatd lives. */
    if (presence >= 0) close(presence);
    if (rc)
        log_failure(LOG_LEVEL_ERROR, "cannot start a runner", &e);
    else
        log_info("runner_autostart", "%s", "");
}
