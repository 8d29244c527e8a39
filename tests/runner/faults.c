/* Makes calls to the system fail, or the clock wrong, in the program that it is preloaded into and in what
 * that forks. Built and used by tests:
 *
 *     cc -shared -fPIC -o faults.so tests/runner/faults.c
 *     LD_PRELOAD=faults.so FAULT_PAGE=FILE FAULT=pwrite:17:ENOSPC leatd ...
 *
 * FAULT is KIND:WHEN:WHAT; more of them with commas between. WHEN is N, the Nth call of that kind of all
 * these processes together; N+, all from the Nth on; or a path, all while a file of that name exists. WHAT is
 * an errno by its name, or SHORT: half of what was to be written is. FAULT_PAGE is a file of 4096 bytes that
 * the processes share and the test reads and writes, as little-endian 64-bit numbers: how many calls failed;
 * what to add to the wall clock, in ms; the calls of each kind, in the order of kind_names. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum kind {
    WRITE,
    PWRITE,
    PREAD,
    SYNC,
    FSYNC,
    FORK,
    EXECVE,
    MEMORY,
    OPEN,
    MKDIR,
    PIPE,
    RENAME,
    REMOVE,
    EPOLL,
    SOCKET,
    FLOCK,
    LOCK,
    DUP,
    MAP,
    STAT,
    LIMIT,
    KINDS
};
static const char *const kind_names[KINDS] = {
    "write",  "pwrite", "pread", "sync", "fsync",  "fork",   "execve",
    "memory", "open",   "mkdir", "pipe", "rename", "remove", "epoll",
    "socket", "flock",  "lock",  "dup",  "map",    "stat",   "limit"};

static const struct {
    const char *name;
    int number;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EAGAIN", EAGAIN},   {"ENOMEM", ENOMEM},
              {"ENOENT", ENOENT}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE},   {"ENOLCK", ENOLCK},
              {"EROFS", EROFS},   {"EINTR", EINTR},   {"ENOBUFS", ENOBUFS}, {"EPERM", EPERM},
              {"EACCES", EACCES}, {"EDQUOT", EDQUOT}, {"SHORT", -1}};

struct page {
    _Atomic int64_t failed, clock_ms, calls[KINDS];
};

static struct page *page;
static struct fault {
    enum kind kind;
    int64_t from, to;
    const char *path; /* or NULL */
    int number;
} faults[8];
static int fault_count;

static void die(const char *why, const char *text)
{
    dprintf(STDERR_FILENO, "faults: %s: %s\n", why, text);
    _exit(126);
}

static void add_fault(char *text)
{
    struct fault f = {.kind = KINDS};
    char *when = strchr(text, ':'), *what = when ? strrchr(when + 1, ':') : NULL;
    if (!what || fault_count == sizeof faults / sizeof *faults) die("not KIND:WHEN:WHAT", text);
    *when++ = *what++ = '\0';
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kind_names[i], text)) f.kind = (enum kind)i;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(errors[i].name, what)) f.number = errors[i].number;
    if (f.kind == KINDS || !f.number) die("no such kind or error", text);
    if (*when == '/') {
        f.path = when;
    } else {
        f.from = atoll(when);
        f.to = strchr(when, '+') ? INT64_MAX : f.from;
    }
    faults[fault_count++] = f;
}

__attribute__((constructor)) static void begin(void)
{
    static char text[4096];
    const char *file = getenv("FAULT_PAGE"), *wanted = getenv("FAULT");
    int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    struct page *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) die("cannot map", file);
    snprintf(text, sizeof text, "%s", wanted ? wanted : "");
    for (char *at = text, *one; (one = strsep(&at, ","));)
        if (*one) add_fault(one);
    page = p;
}

/* What is to happen to this call: 0, an errno, or -1 (SHORT). */
static int look(enum kind kind)
{
    if (!page) return 0;
    int64_t n = ++page->calls[kind];
    for (int i = 0; i < fault_count; i++) {
        const struct fault *f = &faults[i];
        if (f->kind != kind || (f->path ? syscall(SYS_faccessat, AT_FDCWD, f->path, F_OK) != 0
                                        : n < f->from || n > f->to))
            continue;
        page->failed++;
        return f->number;
    }
    return 0;
}

/* Whether this call fails, with errno. */
static int fails(enum kind kind)
{
    int saved = errno, number = look(kind);
    errno = number > 0 ? number : saved;
    return number > 0;
}

/* The call as it would have been. */
#define NEXT(name) ((__typeof__(&name))find(#name))
static void *find(const char *name)
{
    void *at = dlsym(RTLD_NEXT, name);
    if (!at) die("no such function", name);
    return at;
}

#define FAILING(kind, result, failed, name, params, args)                                          \
    result name params                                                                             \
    {                                                                                              \
        static __typeof__(&name) next;                                                             \
        if (!next) next = NEXT(name);                                                              \
        return fails(kind) ? (failed) : next args;                                                 \
    }

/* ---- writing and reading -------------------------------------------------------------------------- */

static ssize_t cut(enum kind kind, size_t *len)
{
    int number = look(kind);
    if (number > 0) errno = number;
    if (number < 0 && *len > 1) *len /= 2;
    return number > 0 ? -1 : 0;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    /* What goes to the log is left alone: whether it is written is nobody's concern. */
    if (fd != STDERR_FILENO && cut(WRITE, &len)) return -1;
    return syscall(SYS_write, fd, bytes, len);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return cut(PWRITE, &len) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return cut(PWRITE, &len) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}
ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
    return fails(PREAD) ? -1 : syscall(SYS_pread64, fd, bytes, len, at);
}
int ftruncate64(int fd, off64_t len)
{
    return fails(PWRITE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}
FAILING(FSYNC, int, -1, fsync, (int fd), (fd))

/* What SQLite uses; it does not care whether that of a folder fails. */
int fdatasync(int fd)
{
    struct stat st;
    bool folder = !syscall(SYS_fstat, fd, &st) && S_ISDIR(st.st_mode);
    return !folder && fails(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- processes ------------------------------------------------------------------------------------ */

FAILING(FORK, pid_t, -1, fork, (void), ())

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    if (!next) next = (long (*)(long, ...))find("syscall");
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_clone && fails(FORK)) return -1;
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The program itself, started again by itself, goes on failing; jobs do not. Allocates nothing: this is the
 * child of a fork. */
int execve(const char *file, char *const argv[], char *const env[])
{
    static char preload[4096], which[4096], shared[4096];
    static char *own[] = {preload, which, shared, NULL};
    static __typeof__(&execve) next;
    if (!next) next = NEXT(execve);
    if (fails(EXECVE)) return -1;
    if (strcmp(file, "/proc/self/exe") || !page) return next(file, argv, env);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", getenv("LD_PRELOAD"));
    snprintf(which, sizeof which, "FAULT=%s", getenv("FAULT") ? getenv("FAULT") : "");
    snprintf(shared, sizeof shared, "FAULT_PAGE=%s", getenv("FAULT_PAGE"));
    return next(file, argv, own);
}

FAILING(LIMIT, int, -1, setrlimit, (__rlimit_resource_t what, const struct rlimit *l), (what, l))
FAILING(LIMIT, int, -1, chdir, (const char *path), (path))

/* ---- memory --------------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

void *malloc(size_t size)
{
    return fails(MEMORY) ? NULL : __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}
void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || fails(MEMORY)) return NULL;
    return __libc_realloc(old, bytes);
}
FAILING(MAP, void *, MAP_FAILED, mmap64,
        (void *at, size_t len, int how, int flags, int fd, off64_t from),
        (at, len, how, flags, fd, from))

/* ---- files ---------------------------------------------------------------------------------------- */

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}
#define OPENING(name)                                                                              \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        return fails(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);           \
    }
OPENING(open)
OPENING(open64)
int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}
FAILING(OPEN, FILE *, NULL, fopen, (const char *path, const char *how), (path, how))
FAILING(OPEN, DIR *, NULL, opendir, (const char *path), (path))
FAILING(OPEN, DIR *, NULL, fdopendir, (int fd), (fd))
FAILING(MKDIR, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
FAILING(MKDIR, int, -1, mkfifo, (const char *path, mode_t mode), (path, mode))
FAILING(RENAME, int, -1, renameat, (int from, const char *old, int to, const char *new),
        (from, old, to, new))
FAILING(REMOVE, int, -1, unlink, (const char *path), (path))
FAILING(REMOVE, int, -1, unlinkat, (int folder, const char *path, int how), (folder, path, how))
FAILING(REMOVE, int, -1, rmdir, (const char *path), (path))
FAILING(REMOVE, int, -1, remove, (const char *path), (path))
FAILING(STAT, int, -1, stat, (const char *path, struct stat *out), (path, out))
FAILING(STAT, int, -1, lstat, (const char *path, struct stat *out), (path, out))
FAILING(STAT, int, -1, fstat, (int fd, struct stat *out), (fd, out))
FAILING(STAT, int, -1, stat64, (const char *path, struct stat64 *out), (path, out))
FAILING(STAT, int, -1, fstat64, (int fd, struct stat64 *out), (fd, out))
FAILING(STAT, int, -1, fstatat, (int folder, const char *path, struct stat *out, int how),
        (folder, path, out, how))

/* ---- descriptors ---------------------------------------------------------------------------------- */

FAILING(PIPE, int, -1, pipe2, (int ends[2], int flags), (ends, flags))
FAILING(PIPE, int, -1, socketpair, (int domain, int type, int protocol, int ends[2]),
        (domain, type, protocol, ends))
FAILING(PIPE, int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
FAILING(PIPE, int, -1, inotify_init1, (int flags), (flags))
FAILING(DUP, int, -1, dup3, (int from, int to, int flags), (from, to, flags))
FAILING(FLOCK, int, -1, flock, (int fd, int how), (fd, how))
FAILING(SOCKET, ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
FAILING(SOCKET, ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
FAILING(SOCKET, ssize_t, -1, send, (int fd, const void *bytes, size_t len, int flags),
        (fd, bytes, len, flags))
FAILING(SOCKET, ssize_t, -1, recv, (int fd, void *bytes, size_t len, int flags),
        (fd, bytes, len, flags))
FAILING(EPOLL, int, -1, epoll_create1, (int flags), (flags))
FAILING(EPOLL, int, -1, inotify_add_watch, (int fd, const char *path, uint32_t mask),
        (fd, path, mask))
FAILING(EPOLL, int, -1, epoll_pwait,
        (int fd, struct epoll_event *out, int max, int timeout, const sigset_t *mask),
        (fd, out, max, timeout, mask))

/* To take one away does not fail. */
int epoll_ctl(int fd, int what, int which, struct epoll_event *event)
{
    return what == EPOLL_CTL_ADD && fails(EPOLL)
               ? -1
               : (int)syscall(SYS_epoll_ctl, fd, what, which, event);
}

static int control(int fd, int what, long arg)
{
    if (what == F_SETLK && ((struct flock *)arg)->l_type != F_UNLCK && fails(LOCK)) return -1;
    if (what == F_DUPFD_CLOEXEC && fails(DUP)) return -1;
    return (int)syscall(SYS_fcntl, fd, what, arg);
}
#define CONTROLLING(name)                                                                          \
    int name(int fd, int what, ...)                                                                \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, what);                                                                      \
        long arg = va_arg(args, long);                                                             \
        va_end(args);                                                                              \
        return control(fd, what, arg);                                                             \
    }
CONTROLLING(fcntl)
CONTROLLING(fcntl64)

/* ---- the clock ------------------------------------------------------------------------------------ */

int clock_gettime(clockid_t which, struct timespec *out)
{
    int failed = (int)syscall(SYS_clock_gettime, which, out);
    int64_t ms = page ? page->clock_ms : 0;
    if (failed || which != CLOCK_REALTIME || !ms) return failed;
    int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + ms * 1000000;
    out->tv_sec = (time_t)(ns / 1000000000);
    out->tv_nsec = (long)(ns % 1000000000);
    return 0;
}
