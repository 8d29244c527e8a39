/*
 * supervise: the development server's parent. `make run` execs it; on a real site systemd does this.
 *
 * It owns what must outlive the programs: the listening sockets (a leat.fcgi or web server that is
 * killed loses no queued connection, its successor accepts it; but Apache opens its own) and the
 * pid files. Everything else is in the table of programs below.
 *
 *     supervise SERVER STATE BUILD PORT LOCK_FD PATH COPIES DATABASE
 *
 * SERVER names the rows of the table that are started. LOCK_FD is an open file that the caller has locked for as long as this STATE is in use. PATH is
 * asked for, until it is served, to know when all is ready. COPIES of leat.fcgi share its socket.
 * A program of ours that stops inside the write lock of DATABASE is killed and started again.
 * Exit status: 0 stopped by SIGTERM or SIGINT, 1 could not start, 64 usage, 78 (EX_CONFIG) when a
 * program said so before the first request was served. Linux only.
 */
#include "base/clock.h"
#include "store/lock_holder.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    NOFILE_MAX = 65536,      /* descriptors for the programs that hold a connection each */
    READY_MS = 30 * 1000,    /* from start to the first request served */
    PROBE_MS = 100,          /* between two tries */
    PROBE_ANSWER_MS = 5000,  /* what one try may take */
    SHORT_LIFE_MS = 1000,    /* who lived less is restarted ... */
    RESTART_PAUSE_MS = 500,  /* ... only after this */
    STOP_GRACEFUL_MS = 5000, /* the web server may finish its requests for this long */
    STOP_MS = 30 * 1000,     /* everybody: the runner's drain_seconds fit in */
    LOCK_LOOK_MS = 1000,     /* between two looks at who holds the write lock */
    HURRY_MS = 1000,         /* from then on another Ctrl-C ends the patience */
    PATH_BYTES_MAX = 256,    /* of PATH */
    ARGV_MAX = 8,
    COPIES_MAX = 64,
};

/* The listening sockets. */
enum listener { LISTENER_NONE, LISTENER_WEB, LISTENER_HTTP, LISTENER_COUNT };

static const char *const socket_name[LISTENER_COUNT] = {
    [LISTENER_WEB] = "leat.sock",
};

/* How a program gets its listener. */
enum handover {
    HANDOVER_STDIN, /* on descriptor 0 */
    HANDOVER_NGINX, /* on descriptor 3, as one inherited from an earlier nginx: variable NGINX */
    HANDOVER_NONE,  /* it opens one itself */
};

/* What runs, in the order of starting. In argv %S is the state folder, %B the build folder. */
static const struct program {
    const char *name;    /* of its pid file and log lines */
    const char *servers; /* runs beside these (names with blanks around them); NULL: beside any */
    const char *argv[ARGV_MAX];
    enum listener listener;
    enum handover handover;
    int copies; /* 0: as many as asked for */
    int stop_signal;
    bool many_files;
} programs[] = {
    {
        .name = "runner",
        .argv = {"%B/leatd", "--config", "%S/leat.conf"},
        .copies = 1,
        .stop_signal = SIGTERM,
    },
    {
        .name = "web", /* the others start leat.fcgi themselves */
        .servers = " nginx apache lighttpd ",
        .argv = {"%B/leat.fcgi", "--config", "%S/leat.conf"},
        .listener = LISTENER_WEB,
        .stop_signal = SIGTERM,
        .many_files = true,
    },
    {
        .name = "server",
        .servers = " nginx ",
        .argv = {"nginx", "-p", "%S/nginx", "-e", "%S/nginx.log", "-c", "%S/nginx/nginx.conf"},
        .listener = LISTENER_HTTP,
        .handover = HANDOVER_NGINX,
        .copies = 1,
        .stop_signal = SIGQUIT, /* its streams end when leat.fcgi ends them, so this is prompt */
        .many_files = true,
    },
    {
        .name = "server",
        .servers = " apache ",
        .argv = {"sh", "%S/apache/start"},
        .listener = LISTENER_HTTP,
        .handover = HANDOVER_NONE,
        .copies = 1,
        .stop_signal = SIGWINCH, /* as above */
        .many_files = true,
    },
    {
        .name = "server",
        .servers = " apache-fcgid apache-cgi ",
        .argv = {"sh", "%S/apache/start"},
        .listener = LISTENER_HTTP,
        .handover = HANDOVER_NONE,
        .copies = 1,
        .stop_signal = SIGTERM, /* it stops leat.fcgi */
        .many_files = true,
    },
    {
        .name = "server",
        .servers = " lighttpd ",
        .argv = {"lighttpd", "-D", "-f", "%S/lighttpd/lighttpd.conf"},
        .listener = LISTENER_HTTP,
        .copies = 1,
        .stop_signal = SIGINT,
        .many_files = true,
    },
};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

struct child {
    pid_t pid; /* 0: not running */
    int64_t started;
    int64_t start_at; /* when not running: restart then */
};

static struct child children[PROGRAMS][COPIES_MAX];
static int listeners[LISTENER_COUNT] = {-1, -1, -1};
static const char *server, *state, *build, *probe_path, *database;
static int port, web_copies;
static sigset_t unblocked; /* the signal mask we were started with */

static volatile sig_atomic_t got_stop, got_int, got_hup;

static bool runs_beside(const struct program *program, const char *name)
{
    char word[64];

    snprintf(word, sizeof word, " %s ", name);
    return !program->servers || strstr(program->servers, word);
}

static int copies_of(int p)
{
    if (!runs_beside(&programs[p], server)) return 0;
    return programs[p].copies ? programs[p].copies : web_copies;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "supervise: %s\n", line);
}

/* "%S/x" -> "STATE/x". The caller frees. */
static char *expand(const char *word)
{
    char *out = NULL;
    const char *root = strncmp(word, "%S", 2) == 0 ? state : NULL;

    if (strncmp(word, "%B", 2) == 0) root = build;
    if (asprintf(&out, "%s%s", root ? root : "", root ? word + 2 : word) < 0) abort();
    return out;
}

/* STATE/NAME, or an empty string when that is too long for SIZE. */
static const char *in_state(char *path, size_t size, const char *name)
{
    int n = snprintf(path, size, "%s/%s", state, name);

    if (n < 0 || (size_t)n >= size) path[0] = '\0';
    return path;
}

/* ---- listeners ------------------------------------------------------------------------------ */

static int listen_on(int fd, const struct sockaddr *address, socklen_t length, const char *what)
{
    if (fd < 0 || bind(fd, address, length) != 0 || listen(fd, BACKLOG) != 0) {
        say("%s: %s", what,
            errno == EADDRINUSE ? "in use by another program; choose another PORT"
                                : strerror(errno));
        if (fd >= 0) close(fd);
        return -1;
    }
    return fd;
}

static int open_unix(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (!*in_state(address.sun_path, sizeof address.sun_path, name)) {
        say("%s/%s: a socket's path may have %zu bytes; choose a shorter STATE", state, name,
            sizeof address.sun_path - 1);
        return -1;
    }
    /* stale: the lock says that nobody else is here */
    if (unlink(address.sun_path) != 0 && errno != ENOENT) {
        say("%s: %s", address.sun_path, strerror(errno));
        return -1;
    }
    /* non-blocking: of several leat.fcgi that see one connection, the later must not hang in accept */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    fd = listen_on(fd, (struct sockaddr *)&address, sizeof address, address.sun_path);
    if (fd >= 0 && chmod(address.sun_path, 0660) != 0) {
        say("%s: %s", address.sun_path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int open_http(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char what[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    snprintf(what, sizeof what, "127.0.0.1:%d", port);
    return listen_on(fd, (struct sockaddr *)&address, sizeof address, what);
}

/* How the program behind a listener gets it; HANDOVER_NONE also when there is no such program. */
static enum handover handover_of(enum listener listener)
{
    for (int p = 0; p < PROGRAMS; p++)
        if (programs[p].listener == listener && copies_of(p)) return programs[p].handover;
    return HANDOVER_NONE;
}

/* Opens those that are handed over. Who opens HTTP himself shall find a port that is free. */
static bool open_listeners(void)
{
    listeners[LISTENER_HTTP] = open_http();
    if (listeners[LISTENER_HTTP] < 0) return false;
    if (handover_of(LISTENER_HTTP) == HANDOVER_NONE) {
        close(listeners[LISTENER_HTTP]);
        listeners[LISTENER_HTTP] = -1;
    }
    for (enum listener d = LISTENER_NONE; d < LISTENER_COUNT; d++)
        if (socket_name[d] && handover_of(d) != HANDOVER_NONE &&
            (listeners[d] = open_unix(socket_name[d])) < 0)
            return false;
    return true;
}

/* What waits in a closed listener's queue is refused at once instead of waiting for nobody. */
static void close_listener(enum listener d)
{
    char path[sizeof((struct sockaddr_un *)0)->sun_path];

    if (listeners[d] < 0) return;
    close(listeners[d]);
    listeners[d] = -1;
    if (socket_name[d]) unlink(in_state(path, sizeof path, socket_name[d]));
}

/* ---- pid files ------------------------------------------------------------------------------- */

/* STATE/NAME.pid holds the pids of the copies that run; it is replaced whole, never half-written. */
static void write_pids(int p)
{
    char path[4096], temporary[4096], name[64];
    FILE *file;

    snprintf(name, sizeof name, "%s.pid", programs[p].name);
    in_state(path, sizeof path, name);
    snprintf(name, sizeof name, ".%s.pid", programs[p].name);
    in_state(temporary, sizeof temporary, name);
    file = fopen(temporary, "we");
    if (!file) {
        say("%s: %s", temporary, strerror(errno));
        return;
    }
    for (int c = 0; c < copies_of(p); c++)
        if (children[p][c].pid) fprintf(file, "%d\n", (int)children[p][c].pid);
    if (fclose(file) != 0 || rename(temporary, path) != 0) say("%s: %s", path, strerror(errno));
}

static void remove_pids(int p)
{
    char path[4096], name[64];

    snprintf(name, sizeof name, "%s.pid", programs[p].name);
    unlink(in_state(path, sizeof path, name));
}

/* ---- children -------------------------------------------------------------------------------- */

/* In the child. Descriptors: 0 the listener or nothing, 1 and 2 our stderr, 3 the listener of nginx. */
static _Noreturn void exec_program(const struct program *program, char **argv, pid_t parent)
{
    struct rlimit files;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    int keep = 3, listener = listeners[program->listener];

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    for (int s = 1; s < NSIG; s++) sigaction(s, &standard, NULL);
    sigprocmask(SIG_SETMASK, &unblocked, NULL);
    if (program->many_files && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        if (files.rlim_cur < NOFILE_MAX)
            files.rlim_cur = files.rlim_max < NOFILE_MAX ? files.rlim_max : NOFILE_MAX;
        setrlimit(RLIMIT_NOFILE, &files);
    }

    if (program->handover == HANDOVER_NGINX) {
        /* dup2 to the same number would leave close-on-exec set */
        if (listener == keep ? fcntl(listener, F_SETFD, 0) != 0 : dup2(listener, keep) < 0)
            goto fail;
        keep++;
        setenv("NGINX", "3;", 1);
        listener = -1;
    }
    if (listener < 0) listener = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(listener, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) goto fail;
    closefrom(keep);
    execvp(argv[0], argv);
fail:
    say("%s: %s", argv[0], strerror(errno));
    _exit(127);
}

static void start(int p, int c)
{
    const struct program *program = &programs[p];
    struct child *child = &children[p][c];
    char *argv[ARGV_MAX + 1] = {NULL};
    pid_t parent = getpid(), pid;

    for (int i = 0; i < ARGV_MAX && program->argv[i]; i++) argv[i] = expand(program->argv[i]);
    child->started = clock_monotonic_ms();
    pid = fork();
    if (pid == 0) exec_program(program, argv, parent);
    for (int i = 0; argv[i]; i++) free(argv[i]);
    if (pid < 0) {
        say("%s: fork: %s", program->name, strerror(errno));
        child->start_at = child->started + RESTART_PAUSE_MS;
        return;
    }
    /* here too: whoever of us is first, the group exists before it is signalled */
    setpgid(pid, pid);
    child->pid = pid;
    write_pids(p);
}

static void report(const struct program *program, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        say("%s: pid %d killed by signal %d (%s)", program->name, (int)pid, WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    else
        say("%s: pid %d exited with status %d", program->name, (int)pid, WEXITSTATUS(status));
}

static struct child *child_of(pid_t pid, int *p)
{
    for (*p = 0; *p < PROGRAMS; ++*p)
        for (int c = 0; c < copies_of(*p); c++)
            if (children[*p][c].pid == pid) return &children[*p][c];
    return NULL;
}

/*
 * Takes in whoever died, also what a killed program left behind and the kernel gave us (we are its
 * reaper: a job that stays a zombie would still look alive to the runner's successor). Gives the
 * exit status of the last program that failed by its own, else 0.
 */
static int reap(bool stopping)
{
    siginfo_t info = {.si_pid = 0};
    int failed = 0, status, p;

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
        pid_t pid = info.si_pid;
        struct child *child = child_of(pid, &p);
        int64_t now = clock_monotonic_ms();

        /* Still unreaped its number is not given away, so the group can be signalled safely: the
         * workers of a killed nginx would live on, with the listening socket. */
        if (child) kill(-pid, SIGKILL);
        info.si_pid = 0;
        if (waitpid(pid, &status, 0) != pid || !child) continue;
        /* of a web server it is always its configuration: its sockets are there */
        if (WIFEXITED(status) && WEXITSTATUS(status))
            failed = programs[p].listener == LISTENER_HTTP ? EX_CONFIG : WEXITSTATUS(status);
        if (!stopping || WIFSIGNALED(status) || WEXITSTATUS(status))
            report(&programs[p], pid, status);
        child->start_at = now - child->started < SHORT_LIFE_MS ? now + RESTART_PAUSE_MS : now;
        child->pid = 0;
        write_pids(p);
    }
    return failed;
}

/* Starts whose time has come; gives the milliseconds until the next, or -1. */
static int64_t start_due(void)
{
    int64_t now = clock_monotonic_ms(), next = -1;

    for (int p = 0; p < PROGRAMS; p++) {
        for (int c = 0; c < copies_of(p); c++) {
            struct child *child = &children[p][c];

            if (!child->pid && child->start_at <= now) start(p, c);
            if (!child->pid && (next < 0 || child->start_at - now < next))
                next = child->start_at > now ? child->start_at - now : 0;
        }
    }
    return next;
}

/* Sends SIG (0: each program's own stop signal) to those that hold LISTENER (LISTENER_COUNT: to all). */
static void signal_children(int sig, enum listener listener)
{
    for (int p = 0; p < PROGRAMS; p++)
        for (int c = 0; c < copies_of(p); c++)
            if (children[p][c].pid &&
                (listener == LISTENER_COUNT || listener == programs[p].listener))
                kill(sig == SIGKILL ? -children[p][c].pid : children[p][c].pid,
                     sig ? sig : programs[p].stop_signal);
}

static bool alive(enum listener listener)
{
    for (int p = 0; p < PROGRAMS; p++)
        for (int c = 0; c < copies_of(p); c++)
            if (children[p][c].pid &&
                (listener == LISTENER_COUNT || listener == programs[p].listener))
                return true;
    return false;
}

/* Ends a program of ours that has stopped inside the write lock; nobody could write until it goes on. */
static void look_at_lock(void)
{
    static struct lock_watch watch;
    static int64_t next;
    struct lock_holder holder;
    int p;

    if (clock_monotonic_ms() < next) return;
    next = clock_monotonic_ms() + LOCK_LOOK_MS;
    if (!lock_watch_overdue(&watch, database, &holder) || !child_of((pid_t)holder.pid, &p)) return;
    say("%s: pid %d has held the write lock for %d s; killing it", programs[p].name,
        (int)holder.pid, LOCK_ENDED_MS / 1000);
    kill((pid_t)holder.pid, SIGKILL); /* not reaped yet, so it is that one */
}

/* ---- the probe ------------------------------------------------------------------------------- */

/* probe_path is asked for through the web server until it answers 200 (or 401: served, though not to
 * us). Without a Host, because the settings may say which hosts there are. */
struct probe {
    int fd;                 /* -1: between two tries */
    int last;               /* status of the newest answer */
    int64_t next, deadline; /* of the next try, of this one */
    bool sent, ready;
    size_t have;
    char status[16]; /* "HTTP/1.1 200" */
};

static void probe_end(struct probe *probe)
{
    if (probe->fd >= 0) close(probe->fd);
    *probe = (struct probe){.fd = -1,
                            .last = probe->last,
                            .next = clock_monotonic_ms() + PROBE_MS,
                            .ready = probe->ready};
}

static void probe_begin(struct probe *probe)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    probe->deadline = clock_monotonic_ms() + PROBE_ANSWER_MS;
    probe->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe->fd < 0 || (connect(probe->fd, (struct sockaddr *)&address, sizeof address) != 0 &&
                          errno != EINPROGRESS))
        probe_end(probe);
}

/* Called when its socket is ready, or its time is over. */
static void probe_step(struct probe *probe)
{
    ssize_t n;
    int status;

    if (!probe->sent) {
        char request[PATH_BYTES_MAX + 64];
        int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", probe_path);

        n = send(probe->fd, request, (size_t)length, MSG_NOSIGNAL);
        if (n == length)
            probe->sent = true;
        else if (n >= 0 || errno != EAGAIN) /* an empty socket takes so few bytes whole */
            probe_end(probe);
        return;
    }
    n = recv(probe->fd, probe->status + probe->have, sizeof probe->status - 1 - probe->have, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) probe->have += (size_t)n;
    if (n > 0 && probe->have < sizeof probe->status - 1) return;
    if (sscanf(probe->status, "HTTP/%*d.%*d %d", &status) == 1) {
        probe->last = status;
        probe->ready = status == 200 || status == 401;
    }
    probe_end(probe);
}

/* ---- the life of it -------------------------------------------------------------------------- */

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    /* a hang-up from the kernel: the terminal is gone, and with it who could press Ctrl-C */
    if (sig == SIGHUP && info->si_code == SI_USER)
        got_hup = 1;
    else if (sig != SIGCHLD)
        got_stop = 1;
    if (sig == SIGINT) got_int = 1;
}

/* Signals arrive only inside ppoll, so none is missed between looking and waiting. */
static void catch_signals(void)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&block, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &block, &unblocked);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigdelset(&unblocked, signals[i]);
    signal(SIGPIPE, SIG_IGN);
}

/* Waits at most MS milliseconds (-1: for ever) for a signal or for FD (-1: none). */
static bool wait_for(int fd, short events, int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    struct pollfd p = {.fd = fd, .events = events};

    return ppoll(&p, 1, ms < 0 ? NULL : &t, &unblocked) > 0;
}

static int64_t sooner(int64_t a, int64_t b) /* -1: never */
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Keeps everything running until a signal says stop, or the start failed: gives the exit status. */
static int serve(void)
{
    struct probe probe = {.fd = -1};
    int64_t deadline = clock_monotonic_ms() + READY_MS;

    while (!got_stop) {
        int64_t next = start_due(), now = clock_monotonic_ms(), probe_ms = -1;
        int failed;

        if (!probe.ready) {
            if (now >= deadline) {
                say("no request was served within %d s (last status %d); see the logs in %s",
                    READY_MS / 1000, probe.last, state);
                return 1;
            }
            if (probe.fd < 0 && now >= probe.next) probe_begin(&probe);
            probe_ms = (probe.fd < 0 ? probe.next : probe.deadline) - now;
            if (probe_ms < 0) probe_ms = 0;
        }
        look_at_lock();
        if (wait_for(probe.fd, probe.sent ? POLLIN : POLLOUT,
                     sooner(LOCK_LOOK_MS, sooner(next, probe_ms))))
            probe_step(&probe);
        else if (probe.fd >= 0 && clock_monotonic_ms() >= probe.deadline)
            probe_end(&probe);
        if (probe.ready && deadline) {
            deadline = 0;
            printf("ready http://127.0.0.1:%d/\n", port);
            fflush(stdout);
        }
        if (got_hup) {
            got_hup = 0;
            signal_children(SIGHUP, LISTENER_NONE);
        }
        failed = reap(false);
        if (deadline && (failed == EX_CONFIG || failed == 127))
            return failed == 127 ? 1 : EX_CONFIG; /* a start that waiting will not mend */
    }
    return 0;
}

/*
 * All are told at once. leat.fcgi then ends its streams, so nginx can finish; the runner lets its
 * jobs end. A listener is closed when the last behind it has gone.
 */
static void stop(void)
{
    int64_t begin = clock_monotonic_ms();
    bool hurried = false, killed = false;

    close_listener(LISTENER_HTTP);
    signal_children(0, LISTENER_COUNT);
    while (alive(LISTENER_COUNT)) {
        int64_t now = clock_monotonic_ms() - begin;

        for (enum listener d = LISTENER_NONE; d < LISTENER_COUNT; d++)
            if (!alive(d)) close_listener(d);
        if (!hurried && now >= STOP_GRACEFUL_MS) {
            hurried = true;
            signal_children(SIGTERM, LISTENER_HTTP);
        }
        if (now < HURRY_MS) got_int = 0; /* the one that brought us here, perhaps with an echo */
        if (!killed && (now >= STOP_MS || got_int)) {
            killed = true;
            say("killing what is left");
            signal_children(SIGKILL, LISTENER_COUNT);
        }
        wait_for(-1, 0, !hurried ? STOP_GRACEFUL_MS - now : !killed ? STOP_MS - now : 1000);
        reap(true);
    }
    for (enum listener d = LISTENER_NONE; d < LISTENER_COUNT; d++) close_listener(d);
    for (int p = 0; p < PROGRAMS; p++) remove_pids(p);
}

static int number(const char *text, int least, int most)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    return *text && !*end && !errno && n >= least && n <= most ? (int)n : -1;
}

int main(int argc, char **argv)
{
    int status = 1, lock, fd;

    if (argc != 9 || argv[2][0] != '/' || argv[3][0] != '/' || argv[6][0] != '/' ||
        argv[8][0] != '/' || strlen(argv[6]) > PATH_BYTES_MAX ||
        (port = number(argv[4], 1, 65535)) < 0 || (lock = number(argv[5], 3, 1023)) < 0 ||
        (web_copies = number(argv[7], 1, COPIES_MAX)) < 0) {
        fprintf(stderr, "usage: supervise SERVER STATE BUILD PORT LOCK_FD PATH COPIES DATABASE "
                        "(absolute paths)\n");
        return EX_USAGE;
    }
    server = argv[1];
    state = argv[2];
    build = argv[3];
    probe_path = argv[6];
    database = argv[8];
    if (fcntl(lock, F_SETFD, FD_CLOEXEC) != 0) {
        say("descriptor %d: %s", lock, strerror(errno));
        return EX_USAGE;
    }
    while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd <= STDERR_FILENO)
        fcntl(fd, F_SETFD, 0); /* a standard descriptor that was closed */
    close(fd);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    catch_signals();
    if (open_listeners()) {
        status = serve();
        stop();
    }
    for (enum listener d = LISTENER_NONE; d < LISTENER_COUNT; d++) close_listener(d);
    return status;
}
