#include "spawn/process.h"

#include "base/buf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BOOT_PART = 24 }; /* of a scope: the first four groups of the boot id */

/* What is used of proc(5), /proc/PID/stat. */
struct status {
    bool zombie; /* dead, but its parent has not looked */
    int64_t group, session, start;
};

void process_scope(char out[ID_SIZE])
{
    struct stat ns;
    id_boot(out);
    /* Containers share the boot but not their pids. The last group of the boot id, 48 of its 122
     * random bits, gives way to the namespace. */
    if (strlen(out) == ID_SIZE - 1 && !stat("/proc/self/ns/pid", &ns))
        snprintf(out + BOOT_PART, ID_SIZE - BOOT_PART, "%012llx",
                 (unsigned long long)ns.st_ino & 0xffffffffffffULL);
}

/* Reads at most `max` bytes of /proc/PID/NAME into `out`. */
static bool read_proc(int64_t pid, const char *name, size_t max, struct buf *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    for (ssize_t n; out->len < max;) {
        n = read(fd, buf_reserve(out, max - out->len), max - out->len);
        if (n <= 0) break;
        out->len += (size_t)n;
    }
    if (out->data) out->data[out->len] = '\0';
    close(fd);
    return out->len > 0;
}

static bool read_status(int64_t pid, struct status *out)
{
    struct buf text = {0};
    *out = (struct status){0};
    /* The second field, the name, may contain anything, also spaces and brackets. */
    const char *p = read_proc(pid, "stat", 4096, &text) ? strrchr(text.data, ')') : NULL;
    if (p && p[1] == ' ') {
        out->zombie = p[2] == 'Z' || p[2] == 'X';
        char *rest = text.data + (p + 3 - text.data);
        for (int field = 4; field <= 22 && *rest; field++) {
            long long value = strtoll(rest, &rest, 10);
            if (field == 5) out->group = value;
            if (field == 6) out->session = value;
            if (field == 22) out->start = value;
        }
    }
    buf_free(&text);
    return out->start > 0;
}

struct process_id process_name(int64_t pid)
{
    struct status st;
    if (!read_status(pid, &st)) return (struct process_id){.pid = pid};
    return (struct process_id){.pid = pid, .start = st.start, .session = st.session};
}

enum process_seen process_look(const struct process_id *p, const char *its_scope, const char *scope)
{
    if (p->pid <= 0 || strlen(its_scope) != ID_SIZE - 1 || strlen(scope) != ID_SIZE - 1)
        return PROCESS_UNSEEN;
    if (strncmp(its_scope, scope, BOOT_PART)) return PROCESS_GONE; /* with its boot */
    if (strcmp(its_scope, scope)) return PROCESS_UNSEEN;

    struct status st;
    if (!read_status(p->pid, &st))
        return kill((pid_t)p->pid, 0) && errno == ESRCH ? PROCESS_GONE : PROCESS_UNSEEN;
    if (!p->start) return PROCESS_UNSEEN;
    return st.start == p->start && !st.zombie ? PROCESS_ALIVE : PROCESS_GONE;
}

/* The descriptor is of whoever has the pid now, and it is looked at again after that. Linux before 5.3 has none;
 * there it is looked at right before. */
bool process_kill(const struct process_id *p)
{
    struct status st;
    int fd = p->pid > 1 && p->start ? pidfd_open((pid_t)p->pid, 0) : -1;
    if (fd < 0 && (p->pid <= 1 || !p->start || errno != ENOSYS)) return false;
    bool killed = false;
    if (read_status(p->pid, &st) && st.start == p->start && !st.zombie)
        killed =
            !(fd >= 0 ? pidfd_send_signal(fd, SIGKILL, NULL, 0) : kill((pid_t)p->pid, SIGKILL));
    if (fd >= 0) close(fd);
    return killed;
}

enum whose { OURS, ANOTHERS, NOT_SAID };

/* What the environment that `pid` was started with says of its task. It may say nothing: the job has
 * cleared it, or the process is just being made. */
static enum whose whose(int64_t pid, const char *task_id)
{
    static const char name[] = "LEAT_TASK_ID=";
    struct buf env = {0};
    enum whose found = NOT_SAID;
    if (read_proc(pid, "environ", 1 << 20, &env))
        for (size_t at = 0; found == NOT_SAID && at < env.len; at += strlen(env.data + at) + 1)
            if (!strncmp(env.data + at, name, sizeof name - 1))
                found = strcmp(env.data + at + sizeof name - 1, task_id) ? ANOTHERS : OURS;
    buf_free(&env);
    return found;
}

enum left { NOT_LEFT, LEFT, NOT_SEEN };

/* Whether `pid` is left over from the group of a leader that is gone. As long as one is, no other
 * process can get the pid of the leader and begin a group of the same name; if none was for a while, one
 * could: that group would be another session's, or its members would know of another task. */
static enum left left_over(int64_t pid, const struct process_id *leader, const char *task_id,
                           struct status *st)
{
    errno = 0;
    if (!read_status(pid, st))
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? NOT_SEEN : NOT_LEFT;
    if (st->zombie || st->group != leader->pid || st->session == leader->pid ||
        st->start < leader->start)
        return NOT_LEFT;
    /* A session that began outside this pid namespace reads as 0, and is a session like others. */
    if (leader->start && st->session != leader->session) return NOT_LEFT;
    enum whose says = whose(pid, task_id);
    return says == OURS || (says == NOT_SAID && leader->start) ? LEFT : NOT_LEFT;
}

/* Kills that very process: the descriptor is of whoever has the pid now, and it is looked at again
 * after that. Linux before 5.3 has none; there it is looked at right before. */
static void kill_left_over(int64_t pid, const struct process_id *leader, const char *task_id)
{
    struct status st;
    int fd = pidfd_open((pid_t)pid, 0);
    if (fd < 0 && errno != ENOSYS) return;
    if (left_over(pid, leader, task_id, &st) == LEFT) {
        if (fd >= 0)
            pidfd_send_signal(fd, SIGKILL, NULL, 0);
        else
            kill((pid_t)pid, SIGKILL);
    }
    if (fd >= 0) close(fd);
}

bool process_group_gone(const struct process_id *leader, const char *task_id)
{
    pid_t group = (pid_t)leader->pid;
    if (group <= 1) return true;
    /* A leader can leave its group. */
    if (kill(-group, 0) && errno == ESRCH) return !process_kill(leader);

    struct status st;
    if (read_status(group, &st)) {
        /* Another process has the pid: the group was empty before it could. */
        if (st.start != leader->start) return true;
        kill(-group, SIGKILL);
        if (st.group != group) process_kill(leader);
        if (!st.zombie) return false;
        /* A leader that nobody reaps keeps the group's name; the members count. */
    }

    DIR *proc = opendir("/proc");
    if (!proc) return false;
    bool gone = true;
    for (const struct dirent *d; (d = readdir(proc));) {
        int64_t pid = isdigit((unsigned char)*d->d_name) ? strtoll(d->d_name, NULL, 10) : 0;
        enum left left = pid > 1 ? left_over(pid, leader, task_id, &st) : NOT_LEFT;
        if (left == LEFT) kill_left_over(pid, leader, task_id);
        if (left != NOT_LEFT) gone = false;
    }
    closedir(proc);
    return gone;
}
