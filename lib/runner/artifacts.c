#include "runner/artifacts.h"

#include "base/buf.h"
#include "runner/helper.h"
#include "spawn/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
    REQUEST_MAX = 16384,
    ENTRIES_SPARE = 1000, /* of the folder, beyond those that may be kept */
    GROUP_TRIES = 200,    /* looks at a dying process group ... */
    GROUP_PAUSE_MS = 10,  /* ... so long apart */
    COPY_PIECE = 1 << 20, /* bytes */
};

/* ---- requests and reports -------------------------------------------------------------------------- */

/* The first letter of a line of the report. */
enum { SAY_KEPT = 'K', SAY_REFUSED = 'R', SAY_TOO_MUCH = 'T', SAY_FAILED = 'F', SAY_END = '.' };

static void write_request(struct buf *out, const struct artifacts_request *o)
{
    helper_put_text(out, o->from);
    helper_put_text(out, o->to);
    helper_put_text(out, o->task_id);
    helper_put_number(out, o->leader.pid);
    helper_put_number(out, o->leader.start);
    helper_put_number(out, o->leader.session);
    helper_put_number(out, o->group);
    helper_put_number(out, o->files_max);
    helper_put_number(out, o->bytes_max);
}

static struct artifacts_request read_request(const struct buf *in)
{
    size_t at = 0;
    struct artifacts_request o = {0};
    o.from = helper_next_text(in, &at);
    o.to = helper_next_text(in, &at);
    o.task_id = helper_next_text(in, &at);
    o.leader.pid = helper_next_number(in, &at);
    o.leader.start = helper_next_number(in, &at);
    o.leader.session = helper_next_number(in, &at);
    o.group = (gid_t)helper_next_number(in, &at);
    o.files_max = helper_next_number(in, &at);
    o.bytes_max = helper_next_number(in, &at);
    return o;
}

/* ---- the runner's side --------------------------------------------------------------------------- */

bool artifacts_needed(const char *from)
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

enum err artifacts_start(struct child *out, int *report, struct forkserver *forks,
                         const struct artifacts_request *request, rlim_t nofile, struct error *e)
{
    struct buf text = {0};
    write_request(&text, request);
    enum err rc = helper_start(out, report, forks, ARTIFACTS_NAME, &text, nofile, e);
    buf_free(&text);
    return rc;
}

void artifacts_read(struct artifacts_report *out, int report)
{
    *out = (struct artifacts_report){0};
    struct buf in = {0};
    bool ended = false;
    size_t refused = 0;
    helper_read(&in, report, SIZE_MAX);
    for (size_t at = 0; at < in.len;) {
        const char *line = helper_next_text(&in, &at), *text = line + (*line != '\0');
        char *name;
        switch (*line) {
        case SAY_KEPT: {
            int64_t bytes = strtoll(text, &name, 10);
            if (*name == ' ') file_list_add(&out->files, name + 1, bytes);
            break;
        }
        case SAY_REFUSED:
            if (refused <= ARTIFACTS_TOLD_MAX) out->refused[refused++] = mem_str(text);
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

void artifacts_report_free(struct artifacts_report *r)
{
    file_list_free(&r->files);
    for (size_t i = 0; i <= ARTIFACTS_TOLD_MAX; i++) free(r->refused[i]);
    free(r->too_much);
    free(r->failed);
    *r = (struct artifacts_report){0};
}

/* ---- the process --------------------------------------------------------------------------------- */

struct keeper {
    struct artifacts_request request;
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
    helper_put_text(&k->report, text);
}

static void refuse(struct keeper *k, const char *name, const char *why)
{
    /* What is no UTF-8 becomes so when it is quoted. */
    if (++k->refused <= ARTIFACTS_TOLD_MAX)
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
        fits = (int64_t)k->count < k->request.files_max + ENTRIES_SPARE;
        if (k->count == k->cap)
            k->names = mem_grow(k->names, k->cap = k->cap ? 2 * k->cap : 64, sizeof *k->names);
        k->names[k->count++] = mem_str(d->d_name);
    }
    closedir(dir);
    if (!fits)
        say(k, SAY_TOO_MUCH, "it made more than %lld files (files_max)",
            (long long)k->request.files_max);
    else if (k->count)
        qsort(k->names, k->count, sizeof *k->names, by_bytes);
    return fits;
}

/* Whether the job can have read a file of another user, which it may merely have moved here: whoever may write
 * into a folder may take away what lies there. If this process runs as the job does, opening it has told. */
static bool may_read(const struct stat *st, uid_t owner)
{
    return st->st_mode & S_IROTH || geteuid() == owner;
}

/* Why what this is cannot be kept, or NULL. A file of another user, of a container or of sudo, is copied. */
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
    if (st->st_uid == owner || may_read(st, owner)) return NULL;
    return "it belongs to another user, and not everybody may read it";
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
        (long long)k->request.bytes_max);
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
    const struct artifacts_request *o = &k->request;
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
    const struct artifacts_request *o = &k->request;
    struct stat moved;
    if (k->kept == o->files_max) {
        say(k, SAY_TOO_MUCH, "it made more than %lld files (files_max)", (long long)o->files_max);
        return false;
    }
    if (st->st_size > o->bytes_max - k->bytes) {
        too_large(k);
        return false;
    }
    if (k->copies || st->st_uid != k->owner) return copy(k, name, fd);
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
static void wait_for_group(const struct artifacts_request *o)
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
    k->from = open(k->request.from, how);
    if (k->from < 0 && errno == ENOENT)
        return true; /* the job removed it: there is nothing to keep */
    struct stat st;
    if (k->from < 0 || fstat(k->from, &st)) return fail(k, "opening the folder", "");
    k->owner = st.st_uid;
    if (mkdir(k->request.to, 0700)) return fail(k, "making", k->request.to);
    struct stat there;
    k->to = open(k->request.to, how);
    if (k->to < 0 || fstat(k->to, &there)) return fail(k, "opening", k->request.to);
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
    if (k->refused > ARTIFACTS_TOLD_MAX)
        say(k, SAY_REFUSED, "%zu more files are not kept", k->refused - ARTIFACTS_TOLD_MAX);
    struct stat st;
    if (!k->kept) return !rmdir(k->request.to) || fail(k, "removing", k->request.to);
    return (!fstat(k->to, &st) && own(k->to, &st, k->request.group, 0750) && !fsync(k->to)) ||
           fail(k, "finishing", k->request.to);
}

int artifacts_main(void)
{
    struct keeper k = {.from = -1, .to = -1};
    struct buf request = {0};
    helper_read(&request, STDIN_FILENO, REQUEST_MAX);
    k.request = read_request(&request);
    wait_for_group(&k.request);
    if (keep_all(&k)) say(&k, SAY_END, "%s", "");
    bool written = !helper_write(STDOUT_FILENO, &k.report);
    for (size_t i = 0; i < k.count; i++) free(k.names[i]);
    free(k.names);
    buf_free(&k.report);
    buf_free(&request);
    return written ? 0 : EX_IOERR;
}
