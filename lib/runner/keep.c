#include "runner/keep.h"

#include "base/buf.h"
#include "base/json.h"
#include "runner/itself.h"
#include "runner/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
    ORDER_MAX = 16384,
    ENTRIES_SPARE = 1000, /* of the folder, beyond those that may be kept */
    GROUP_TRIES = 200,    /* looks at a dying process group ... */
    GROUP_PAUSE_MS = 10,  /* ... so long apart */
    COPY_PIECE = 1 << 20, /* bytes */
};

/* ---- orders and reports -------------------------------------------------------------------------- */

/* The first letter of a line of the report. */
enum { SAY_KEPT = 'K', SAY_REFUSED = 'R', SAY_TOO_MUCH = 'T', SAY_FAILED = 'F', SAY_END = '.' };

static void write_order(struct buf *out, const struct keep_order *o)
{
    itself_put_text(out, o->from);
    itself_put_text(out, o->to);
    itself_put_text(out, o->task_id);
    itself_put_number(out, o->leader.pid);
    itself_put_number(out, o->leader.start);
    itself_put_number(out, o->leader.session);
    itself_put_number(out, o->group);
    itself_put_number(out, o->files_max);
    itself_put_number(out, o->bytes_max);
}

static struct keep_order read_order(const struct buf *in)
{
    size_t at = 0;
    struct keep_order o = {0};
    o.from = itself_next_text(in, &at);
    o.to = itself_next_text(in, &at);
    o.task_id = itself_next_text(in, &at);
    o.leader.pid = itself_next_number(in, &at);
    o.leader.start = itself_next_number(in, &at);
    o.leader.session = itself_next_number(in, &at);
    o.group = (gid_t)itself_next_number(in, &at);
    o.files_max = itself_next_number(in, &at);
    o.bytes_max = itself_next_number(in, &at);
    return o;
}

/* ---- the runner's side --------------------------------------------------------------------------- */

bool keep_needed(const char *from)
{
    int fd = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno != ENOENT;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return true;
    }
    bool any = false;
    for (const struct dirent *d; !any && (d = readdir(dir));)
        any = strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
    closedir(dir);
    return any;
}

enum err keep_start(struct child *out, int *report, struct forkserver *forks,
                    const struct keep_order *order, rlim_t nofile, struct error *e)
{
    struct buf text = {0};
    write_order(&text, order);
    enum err rc = itself_start(out, report, forks, KEEP_NAME, &text, nofile, e);
    buf_free(&text);
    return rc;
}

void keep_read(struct keep_report *out, int report)
{
    *out = (struct keep_report){0};
    struct buf in = {0};
    bool ended = false;
    size_t refused = 0;
    itself_read(&in, report, SIZE_MAX);
    for (size_t at = 0; at < in.len;) {
        const char *line = itself_next_text(&in, &at), *text = line + (*line != '\0');
        char *name;
        switch (*line) {
        case SAY_KEPT: {
            int64_t bytes = strtoll(text, &name, 10);
            if (*name == ' ') file_list_add(&out->files, name + 1, bytes);
            break;
        }
        case SAY_REFUSED:
            if (refused <= KEEP_TOLD_MAX) out->refused[refused++] = mem_str(text);
            break;
        case SAY_TOO_MUCH:
            if (!out->too_much) out->too_much = mem_str(text);
            break;
        case SAY_FAILED:
            if (!out->failed) out->failed = mem_str(text);
            break;
        case SAY_END: ended = true; break;
        default: break;
        }
    }
    buf_free(&in);
    if (!ended && !out->failed && !out->too_much)
        out->failed = mem_str("the process that kept its files was killed");
    if (out->failed || out->too_much) file_list_free(&out->files);
}

void keep_report_free(struct keep_report *r)
{
    file_list_free(&r->files);
    for (size_t i = 0; i <= KEEP_TOLD_MAX; i++) free(r->refused[i]);
    free(r->too_much);
    free(r->failed);
    *r = (struct keep_report){0};
}

/* ---- the process --------------------------------------------------------------------------------- */

struct keeper {
    struct keep_order order;
    int from, to; /* folders */
    uid_t owner;  /* of `from`: the job */
    bool copies;  /* the folders are on different filesystems: nothing can be moved */
    char **names; /* sorted; owned */
    size_t count, cap;
    int64_t kept, bytes;
    size_t refused;
    struct buf report;
};

static void say(struct keeper *k, char what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct keeper *k, char what, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_char(&k->report, what);
    itself_put_text(&k->report, text);
}

static void refuse(struct keeper *k, const char *name, const char *why)
{
    /* What is no UTF-8 becomes so when it is quoted. */
    if (++k->refused <= KEEP_TOLD_MAX)
        say(k, SAY_REFUSED, "file \"%s\" is not kept: %s", name, why);
}

/* Not a refusal of one file, but the end of it all. */
static bool fail(struct keeper *k, const char *what, const char *name)
{
    say(k, SAY_FAILED, "cannot keep its files: %s%s%s: %s", what, *name ? " " : "", name,
        strerror(errno));
    return false;
}

/* After a call that failed: a file that cannot be had, or a system that has not what it takes, which is no
 * reason to complete without the file. */
static bool refuse_errno(struct keeper *k, const char *what, const char *name)
{
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EIO: return fail(k, what, name);
    default: refuse(k, name, errno == ENOENT ? "it is gone" : strerror(errno)); return true;
    }
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the folder. False: there is too much in it. */
static bool list(struct keeper *k)
{
    int copy = fcntl(k->from, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) return fail(k, "reading the folder", "");
    bool fits = true;
    for (const struct dirent *d; fits && (d = readdir(dir));) {
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) continue;
        fits = (int64_t)k->count < k->order.files_max + ENTRIES_SPARE;
        if (k->count == k->cap)
            k->names = mem_grow(k->names, k->cap = k->cap ? 2 * k->cap : 64, sizeof *k->names);
        k->names[k->count++] = mem_str(d->d_name);
    }
    closedir(dir);
    if (!fits)
        say(k, SAY_TOO_MUCH, "it made more than %lld files (files_max)",
            (long long)k->order.files_max);
    else if (k->count)
        qsort(k->names, k->count, sizeof *k->names, by_bytes);
    return fits;
}

/* Why what this is cannot be kept, or NULL. One of another user may be nothing that the job could read:
 * whoever may write into a folder may take away what lies there. */
static const char *unfit(const struct stat *st, uid_t owner)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFREG: break;
    case S_IFLNK: return "it is a symbolic link";
    case S_IFDIR: return "it is a folder";
    case S_IFIFO: return "it is a pipe";
    case S_IFSOCK: return "it is a socket";
    default: return "it is a device";
    }
    if (st->st_nlink != 1) return "it has another name (a hard link)";
    return st->st_uid == owner ? NULL : "it belongs to another user";
}

/* Makes it the runner's own, readable for the group; where the runner may not give it to that group, for all
 * who get through the folder of all files, which is the group's. */
static bool own(int fd, const struct stat *st, gid_t group, mode_t mode)
{
    uid_t self = geteuid();
    if (st->st_uid != self && fchown(fd, self, (gid_t)-1)) return false;
    if (st->st_gid != group && fchown(fd, (uid_t)-1, group)) {
        if (errno != EPERM) return false;
        mode |= (mode & 0070) >> 3;
    }
    return !fchmod(fd, mode);
}

static void too_large(struct keeper *k)
{
    say(k, SAY_TOO_MUCH, "its files are larger than %lld bytes in all (files_bytes_max)",
        (long long)k->order.bytes_max);
}

static void keep(struct keeper *k, const char *name, int64_t bytes)
{
    k->kept++;
    k->bytes += bytes;
    say(k, SAY_KEPT, "%lld %s", (long long)bytes, name);
}

/* Copies an open file to another filesystem. It may have grown since it was measured. */
static bool copy(struct keeper *k, const char *name, int fd)
{
    const struct keep_order *o = &k->order;
    int to = openat(k->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0) return fail(k, "making", name);
    const int64_t room = o->bytes_max - k->bytes;
    int64_t bytes = 0;
    ssize_t n = 1;
    while (n > 0 && bytes <= room)
        if ((n = sendfile(to, fd, NULL, COPY_PIECE)) > 0) bytes += n;
    struct stat st;
    bool done = false;
    if (bytes > room)
        too_large(k);
    else
        done = (!n && !fstat(to, &st) && own(to, &st, o->group, 0640) && !fsync(to)) ||
               fail(k, "copying", name);
    close(to);
    if (done) unlinkat(k->from, name, 0);
    if (done) keep(k, name, bytes);
    return done;
}

/* Moves an open file. False: the report says why, and nothing more is to be done. */
static bool take(struct keeper *k, const char *name, int fd, const struct stat *st)
{
    const struct keep_order *o = &k->order;
    struct stat moved;
    if (k->kept == o->files_max) {
        say(k, SAY_TOO_MUCH, "it made more than %lld files (files_max)", (long long)o->files_max);
        return false;
    }
    if (st->st_size > o->bytes_max - k->bytes) {
        too_large(k);
        return false;
    }
    if (k->copies) return copy(k, name, fd);
    if (!own(fd, st, o->group, 0640)) return refuse_errno(k, "taking over", name);
    if (renameat(k->from, name, k->to, name)) return refuse_errno(k, "moving", name);
    /* Its name may have been given to something else in the meantime. */
    if (fstatat(k->to, name, &moved, AT_SYMLINK_NOFOLLOW)) return fail(k, "moving", name);
    const char *why = unfit(&moved, geteuid());
    if (!why && (moved.st_dev != st->st_dev || moved.st_ino != st->st_ino))
        why = "it was exchanged while it was looked at";
    if (why) {
        refuse(k, name, why);
        return !renameat(k->to, name, k->from, name) || fail(k, "giving back", name);
    }
    if (fsync(fd)) return fail(k, "writing", name);
    if (fstat(fd, &moved)) return fail(k, "looking at", name);
    keep(k, name, moved.st_size);
    return true;
}

static bool look_at(struct keeper *k, const char *name)
{
    struct stat st;
    const char *why = file_name_refused(name);
    /* Looked at before it is opened, because opening a device may do something. */
    if (!why && fstatat(k->from, name, &st, AT_SYMLINK_NOFOLLOW))
        return refuse_errno(k, "looking at", name);
    if (!why) why = unfit(&st, k->owner);
    if (why) {
        refuse(k, name, why);
        return true;
    }
    int fd = openat(k->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool go_on = true;
    if (fd < 0 || fstat(fd, &st))
        go_on = refuse_errno(k, "opening", name);
    else if ((why = unfit(&st, k->owner)))
        refuse(k, name, why);
    else
        go_on = take(k, name, fd, &st);
    if (fd >= 0) close(fd);
    return go_on;
}

/* What was killed with the job may still be in the middle of a write. */
static void wait_for_group(const struct keep_order *o)
{
    const struct timespec pause = {.tv_nsec = GROUP_PAUSE_MS * 1000000L};
    for (int i = 0; o->leader.pid > 0 && i < GROUP_TRIES; i++) {
        if (process_group_gone(&o->leader, o->task_id)) return;
        nanosleep(&pause, NULL);
    }
}

static bool open_folders(struct keeper *k)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    k->from = open(k->order.from, how);
    if (k->from < 0 && errno == ENOENT) return true; /* it does not want to */
    struct stat st;
    if (k->from < 0 || fstat(k->from, &st)) return fail(k, "opening the folder", "");
    k->owner = st.st_uid;
    if (mkdir(k->order.to, 0700)) return fail(k, "making", k->order.to);
    struct stat there;
    k->to = open(k->order.to, how);
    if (k->to < 0 || fstat(k->to, &there)) return fail(k, "opening", k->order.to);
    k->copies = there.st_dev != st.st_dev;
    return true;
}

static bool keep_all(struct keeper *k)
{
    if (!open_folders(k)) return false;
    if (k->from < 0) return true;
    if (!list(k)) return false;
    for (size_t i = 0; i < k->count; i++)
        if (!look_at(k, k->names[i])) return false;
    if (k->refused > KEEP_TOLD_MAX)
        say(k, SAY_REFUSED, "%zu more files are not kept", k->refused - KEEP_TOLD_MAX);
    struct stat st;
    if (!k->kept) return !rmdir(k->order.to) || fail(k, "removing", k->order.to);
    return (!fstat(k->to, &st) && own(k->to, &st, k->order.group, 0750) && !fsync(k->to)) ||
           fail(k, "finishing", k->order.to);
}

int keep_main(void)
{
    struct keeper k = {.from = -1, .to = -1};
    struct buf order = {0};
    itself_read(&order, STDIN_FILENO, ORDER_MAX);
    k.order = read_order(&order);
    wait_for_group(&k.order);
    if (keep_all(&k)) say(&k, SAY_END, "%s", "");
    bool written = !itself_write(STDOUT_FILENO, &k.report);
    for (size_t i = 0; i < k.count; i++) free(k.names[i]);
    free(k.names);
    buf_free(&k.report);
    buf_free(&order);
    return written ? 0 : EX_IOERR;
}
