#include "ops/job_types.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOK_MS = 1000, /* between two looks at each file */
    SETTLED_MS =
        100, /* a file that changed so lately may change again within the same time stamp */
    CHECK_TIMEOUT_MS = 120000,
    BUSY_LOOK_MS = 60000, /* a file that has not changed for so long is not being written */
};

/* What tells one state of a file from another. */
struct stamp {
    bool there;
    bool settled; /* false: the next look cannot rely on it */
    dev_t dev;
    ino_t ino;
    off_t size;
    mode_t mode;
    struct timespec changed, modified;
};

struct entry {
    struct job_type type; /* first, so that the one is the other */
    struct stamp file, conf;
    bool was_read;    /* its conf, or there is none */
    bool was_ready;   /* at some look, so that it is a type and no other file of the folder */
    uint64_t seen_in; /* the turn of the last look at it alone */
};

struct job_types {
    char *jobs;
    struct stamp folder;
    struct entry **entries; /* sorted by name */
    size_t count, room;
    int64_t looked_at;     /* monotonic ms */
    uint64_t turn;         /* of the program's loop; 0: it does not tell */
    struct job_type check; /* JOB_TYPE_CHECK */
};

struct job_types *job_types_open(const char *jobs_folder)
{
    struct job_types *r = mem_alloc(sizeof *r);
    r->jobs = mem_str(jobs_folder);
    jobtype_defaults(&r->check.conf, JOB_TYPE_CHECK);
    r->check.conf.timeout_ms = CHECK_TIMEOUT_MS;
    return r;
}

static void entry_free(struct entry *n)
{
    free(n->type.broken);
    free(n);
}

void job_types_close(struct job_types *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->count; i++) entry_free(r->entries[i]);
    free(r->entries);
    free(r->jobs);
    free(r);
}

/* ---- files -------------------------------------------------------------------------------------- */

static int64_t age_ms(const struct timespec *t)
{
    return clock_wall_ms() - ((int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000);
}

/* ERR_IO with errno: it cannot be told whether it is there. */
static enum err stamp_of(struct stamp *out, int folder, const char *name)
{
    struct stat st;
    *out = (struct stamp){.settled = true};
    if (fstatat(folder, name, &st, 0))
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES ? ERR_OK
                                                                                        : ERR_IO;
    *out = (struct stamp){
        .there = true,
        .settled = age_ms(&st.st_ctim) > SETTLED_MS,
        .dev = st.st_dev,
        .ino = st.st_ino,
        .size = st.st_size,
        .mode = st.st_mode,
        .changed = st.st_ctim,
        .modified = st.st_mtim,
    };
    return ERR_OK;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->settled && a->dev == b->dev && a->ino == b->ino &&
           a->size == b->size && a->mode == b->mode && same_time(&a->changed, &b->changed) &&
           same_time(&a->modified, &b->modified);
}

/* Whether somebody has the file open for writing: then no read lease is given. Only its owner and root may
 * ask; for others execve(2) finds out. */
static bool is_busy(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno == ETXTBSY;
    /* Whoever opens it for writing meanwhile waits for us and has this signal sent, which does nothing. */
    fcntl(fd, F_SETSIG, SIGURG);
    bool busy = fcntl(fd, F_SETLEASE, F_RDLCK) && errno == EAGAIN;
    if (!busy) fcntl(fd, F_SETLEASE, F_UNLCK);
    close(fd);
    return busy;
}

static enum job_file state_of(int folder, const char *name, const struct stamp *s)
{
    if (!s->there) return JOB_FILE_MISSING;
    if (!S_ISREG(s->mode) || faccessat(folder, name, X_OK, AT_EACCESS))
        return JOB_FILE_NOT_EXECUTABLE;
    return age_ms(&s->modified) < BUSY_LOOK_MS && is_busy(folder, name) ? JOB_FILE_BUSY
                                                                        : JOB_FILE_READY;
}

/* ---- entries ------------------------------------------------------------------------------------ */

/* Where the type is, or belongs. */
static size_t place_of(const struct job_types *r, const char *name, bool *found)
{
    size_t low = 0, high = r->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(r->entries[middle]->type.conf.name, name);
        if (!order) *found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find_or_add(struct job_types *r, const char *name)
{
    bool found;
    size_t i = place_of(r, name, &found);
    if (found) return r->entries[i];
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 16;
        r->entries = mem_grow(r->entries, r->room, sizeof(struct entry *));
    }
    memmove(r->entries + i + 1, r->entries + i, (r->count - i) * sizeof(struct entry *));
    r->count++;
    struct entry *n = r->entries[i] = mem_alloc(sizeof *n);
    jobtype_defaults(&n->type.conf, name);
    n->type.file = JOB_FILE_MISSING;
    return n;
}

static void remove_at(struct job_types *r, size_t i)
{
    entry_free(r->entries[i]);
    memmove(r->entries + i, r->entries + i + 1, (--r->count - i) * sizeof(struct entry *));
}

/* ERR_IO: it cannot be read; what was known stays, but one of which nothing is known is broken. */
static enum err read_conf(const struct job_types *r, struct entry *n, struct error *e)
{
    struct error why = {0};
    struct jobtype conf;
    enum err rc = jobtype_parse(&conf, r->jobs, n->type.conf.name, &why);
    if (rc == ERR_IO && !n->was_read && !n->type.broken) n->type.broken = mem_str(why.text);
    if (rc == ERR_IO) return error_set(e, rc, "%s", why.text);
    n->was_read = true;
    free(n->type.broken);
    n->type.broken = rc ? mem_str(why.text) : NULL;
    if (rc) jobtype_defaults(&conf, n->type.conf.name);
    n->type.conf = conf;
    return ERR_OK;
}

/* *there: whether the file or its conf is. One that is not executable yet is kept, because that it becomes so
 * does not change the folder. ERR_IO: the system cannot tell; what was known stays, for the next look. */
static enum err look_at(const struct job_types *r, int folder, struct entry *n, bool *there,
                        struct error *e)
{
    *there = true;
    const char *name = n->type.conf.name;
    char conf[JOBTYPE_NAME_MAX + sizeof ".conf"];
    memcpy(stpcpy(conf, name), ".conf", sizeof ".conf");
    struct stamp its_file, its_conf;
    if (stamp_of(&its_file, folder, name) || stamp_of(&its_conf, folder, conf))
        return error_errno(e, ERR_IO, "cannot look at %s/%s", r->jobs, name);
    if (!same(&n->file, &its_file) || n->type.file == JOB_FILE_BUSY)
        n->type.file = state_of(folder, name, &its_file);
    n->file = its_file;
    n->was_ready |= n->type.file == JOB_FILE_READY || n->type.file == JOB_FILE_BUSY;
    if (!same(&n->conf, &its_conf) && read_conf(r, n, e)) return ERR_IO;
    n->conf = its_conf;
    *there = its_conf.there || its_file.there;
    return ERR_OK;
}

/* The name of the type that a file belongs to. */
static bool type_of(const char *file, char name[JOBTYPE_NAME_MAX + 1])
{
    size_t len = strlen(file);
    if (len > 5 && !strcmp(file + len - 5, ".conf")) len -= 5;
    if (len > JOBTYPE_NAME_MAX) return false;
    memcpy(name, file, len);
    name[len] = '\0';
    return jobtype_name_valid(name);
}

/* Takes in what is new in the folder. */
static void list_folder(struct job_types *r, int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0) close(copy);
        r->folder.there = false; /* again at the next look */
        return;
    }
    char name[JOBTYPE_NAME_MAX + 1];
    for (const struct dirent *d; (d = readdir(dir));)
        if (type_of(d->d_name, name)) find_or_add(r, name);
    closedir(dir);
}

static enum err open_folder(int *fd, const struct job_types *r, struct error *e)
{
    *fd = open(r->jobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0) return ERR_OK;
    return error_errno(e, ERR_IO, "cannot read the jobs folder %s", r->jobs);
}

enum err job_types_refresh(struct job_types *r, struct error *e)
{
    int64_t now = clock_monotonic_ms();
    struct stamp folder;
    enum err rc = stamp_of(&folder, AT_FDCWD, r->jobs); /* else opening it says why */
    bool changed = rc || !folder.there || !same(&r->folder, &folder), there;
    if (!changed && r->looked_at && now - r->looked_at < LOOK_MS) return ERR_OK;
    int fd;
    if (open_folder(&fd, r, e)) {
        r->folder = (struct stamp){0};
        return ERR_IO;
    }
    r->folder = folder;
    r->looked_at = now;
    if (changed) list_folder(r, fd);
    rc = ERR_OK;
    for (size_t i = r->count; i--;) {
        if (look_at(r, fd, r->entries[i], &there, e)) rc = ERR_IO;
        if (!there) remove_at(r, i);
    }
    close(fd);
    if (rc) r->folder = (struct stamp){0};
    return rc;
}

void job_types_turn(struct job_types *r)
{
    r->turn++;
}

enum err job_types_refresh_one(struct job_types *r, const char *name, struct error *e)
{
    bool found, there;
    int fd;
    if (!jobtype_name_valid(name)) return ERR_OK;
    size_t at = place_of(r, name, &found);
    if (found && r->turn && r->entries[at]->seen_in == r->turn) return ERR_OK;
    if (open_folder(&fd, r, e)) return ERR_IO;
    struct entry *n = find_or_add(r, name);
    enum err rc = look_at(r, fd, n, &there, e);
    n->seen_in = rc ? 0 : r->turn;
    if (!there) remove_at(r, place_of(r, name, &found));
    close(fd);
    return rc;
}

/* ---- lookups ------------------------------------------------------------------------------------ */

/* Not every file of the folder is a type. */
static bool is_type(const struct entry *n)
{
    return n->was_ready || n->conf.there;
}

const struct job_type *job_types_get(const struct job_types *r, const char *name)
{
    bool found;
    size_t i = place_of(r, name, &found);
    if (found && is_type(r->entries[i])) return &r->entries[i]->type;
    return strcmp(name, JOB_TYPE_CHECK) ? NULL : &r->check;
}

bool job_types_built_in(const struct job_types *r, const char *name)
{
    return job_types_get(r, name) == &r->check;
}

enum err job_types_find(const struct job_types *r, const char *name, const struct jobtype **out,
                        struct error *e)
{
    if (!jobtype_name_valid(name))
        return error_set(e, ERR_NOTFOUND, "'%.80s' is not the name of a type", name);
    const char *jobs = r->jobs;
    const struct job_type *t = job_types_get(r, name);
    if (!t || t->file == JOB_FILE_MISSING)
        return error_set(e, ERR_NOTFOUND, "no executable '%s' in %s", name, jobs);
    if (t->file == JOB_FILE_NOT_EXECUTABLE)
        return error_set(e, ERR_NOTFOUND, "'%s' in %s is not executable", name, jobs);
    if (t->broken) return error_set(e, ERR_INVALID, "%s", t->broken);
    *out = &t->conf;
    return ERR_OK;
}

bool job_types_problem(const struct job_types *r, const char *name, struct error *why)
{
    const struct jobtype *conf;
    *why = (struct error){0};
    if (job_types_find(r, name, &conf, why)) return true;
    if (job_types_get(r, name)->file != JOB_FILE_BUSY) return false;
    error_set(why, ERR_STATE, "the job file '%s' is being written", name);
    return true;
}

void job_types_hide_folder(const struct job_types *r, struct buf *out, const char *text)
{
    size_t len = strlen(r->jobs);
    for (const char *at; (at = strstr(text, r->jobs));) {
        bool inside = at[len] == '/'; /* JOBS/file, or "... in JOBS" */
        const char *end = inside || at - text < 4 || strncmp(at - 4, " in ", 4) != 0 ? at : at - 4;
        buf_add(out, text, (size_t)(end - text));
        text = at + len + inside;
    }
    buf_str(out, text);
}

const struct job_type *job_types_next(const struct job_types *r, size_t *at)
{
    while (*at < r->count) {
        const struct entry *n = r->entries[(*at)++];
        if (is_type(n)) return &n->type;
    }
    return NULL;
}
