#include "store/lock_holder.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE = 96,          /* of fixed length, so that nothing is left of a longer one */
    LOOK_MAX_MS = 5000, /* between two looks of a watch */
};

static struct lock_holder self;

/* What proc(5) says of a process: its start time, 0 when there is none, and whether it is stopped. */
static int64_t started(int64_t pid, bool *stopped)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    /* The second field, the name, may contain anything, also spaces and brackets. */
    char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2]) return 0;
    *stopped = p[2] == 'T' || p[2] == 't';
    int64_t value = 0;
    p += 3;
    for (int field = 4; field <= 22; field++) value = strtoll(p, &p, 10);
    return value;
}

static uint64_t own_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

void lock_holder_init(void)
{
    bool stopped;
    pid_t pid = getpid();
    if (self.pid == pid) return;
    self = (struct lock_holder){.pid = pid, .start = started(pid, &stopped), .ns = own_namespace()};
}

void lock_holder_set(int fd, bool lengthy)
{
    char line[LINE + 1];
    int n =
        snprintf(line, sizeof line, "%" PRId64 " %" PRId64 " %" PRIu64 " %" PRId64 " %s", self.pid,
                 self.start, self.ns, clock_monotonic_us(), lengthy ? "lengthy" : "write");
    if (n < 0 || n >= LINE) return;
    memset(line + n, ' ', (size_t)(LINE - 1 - n));
    line[LINE - 1] = '\n';
    if (pwrite(fd, line, LINE, 0) < 0) errno = 0;
}

void lock_holder_clear(int fd)
{
    if (pwrite(fd, "-", 1, 0) < 0) errno = 0;
}

static void read_line(int fd, struct lock_holder *out)
{
    char line[LINE + 1], what[16];
    *out = (struct lock_holder){0};
    if (pread(fd, line, LINE, 0) != LINE || line[LINE - 1] != '\n') return;
    line[LINE] = '\0';
    struct lock_holder h;
    if (sscanf(line, "%" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNd64 " %15s", &h.pid, &h.start,
               &h.ns, &h.since, what) != 5 ||
        h.pid <= 0)
        return;
    h.lengthy = strcmp(what, "write") != 0;
    *out = h;
}

static bool same(const struct lock_holder *a, const struct lock_holder *b)
{
    return a->pid && a->pid == b->pid && a->start == b->start && a->ns == b->ns &&
           a->since == b->since;
}

/* Who holds the lock, if anybody does and says so. Takes it for a moment where it is free, which costs a writer
 * that comes just then one more try: only where a line is there that is older than `ms`. */
bool lock_held(const char *db_path, int64_t ms, struct lock_holder *out)
{
    char path[4096];
    struct lock_holder before;
    int n = snprintf(path, sizeof path, "%s.lock", db_path);
    int fd = n < 0 || n >= (int)sizeof path ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    read_line(fd, &before);
    bool held = before.pid && clock_monotonic_us() - before.since >= ms * 1000 &&
                flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    read_line(fd, out);
    close(fd); /* with the lock, where it was free */
    return held && same(&before, out);
}

bool lock_holder_is_near(const struct lock_holder *h)
{
    return h->ns && h->ns == own_namespace();
}

/* Whether it is the process that it was, and this user's. */
static bool is_ours(const struct lock_holder *h, bool *stopped)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%lld", (long long)h->pid);
    return h->pid != getpid() && h->start && started(h->pid, stopped) == h->start &&
           !stat(path, &st) && st.st_uid == geteuid();
}

bool lock_watch_overdue(struct lock_watch *w, const char *db_path, struct lock_holder *out)
{
    int64_t now = clock_monotonic_ms();
    bool stopped = false;
    if (!lock_held(db_path, 0, out)) {
        w->seen = (struct lock_holder){0};
        return false;
    }
    /* A watch that has not looked for long was stopped with the machine, as the holder was. */
    if (!same(&w->seen, out) || now - w->last > LOOK_MAX_MS) {
        w->seen = *out;
        w->from = now;
    }
    w->last = now;
    return now - w->from >= LOCK_ENDED_MS && lock_holder_is_near(out) && is_ours(out, &stopped) &&
           (!out->lengthy || stopped);
}
