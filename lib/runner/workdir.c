#include "runner/workdir.h"

#include "base/buf.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16 }; /* that nftw may hold at a time */

enum err workdir_root(char **out, const char *db_path, struct error *e)
{
    struct buf path = {0};
    const char *slash = strrchr(db_path, '/');
    buf_add(&path, slash ? db_path : "./", slash ? (size_t)(slash - db_path) + 1 : 2);
    char real[PATH_MAX];
    if (!realpath(path.data, real)) {
        error_errno(e, ERR_IO, "cannot find the folder of %s", db_path);
        buf_free(&path);
        return ERR_IO;
    }
    buf_clear(&path);
    buf_fmt(&path, "%s/work", real);

    struct stat st;
    enum err rc = ERR_OK;
    if (mkdir(path.data, 0700) && errno != EEXIST)
        rc = error_errno(e, ERR_IO, "cannot make %s", path.data);
    else if (lstat(path.data, &st))
        rc = error_errno(e, ERR_IO, "cannot look at %s", path.data);
    else if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        rc = error_set(e, ERR_IO, "%s is not a folder of the runner's own user", path.data);
    else if (st.st_mode & 077 && chmod(path.data, 0700))
        rc = error_errno(e, ERR_IO, "cannot make %s private", path.data);
    if (rc)
        buf_free(&path);
    else
        *out = path.data;
    return rc;
}

static bool can_be_name(const char *id)
{
    return *id && !id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789-_")];
}

/* ROOT/ID.ATTEMPT and a suffix; the caller frees. */
static char *name(const char *root, const char *id, int64_t attempt, const char *suffix)
{
    struct buf path = {0};
    buf_fmt(&path, "%s/%s.%lld%s", root, id, (long long)attempt, suffix);
    return path.data;
}

/* For nftw, contents before their folder. */
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)where;
    /* A folder that the job made unreadable: nftw reports it unread. */
    if (kind == FTW_DNR && !chmod(path, 0700)) return EAGAIN;
    return remove(path) && errno != ENOENT ? errno : 0;
}

static void remove_tree(const char *path)
{
    int failed;
    /* Again for each unreadable folder, which is readable now; a tree has only so many, but a job
     * that is not dead yet could make more. */
    for (int tries = 0; tries < 1000; tries++) {
        failed = nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        if (failed != EAGAIN && failed != ENOTEMPTY) break;
    }
    if (failed == -1 && errno == ENOENT) return;
    if (!failed) return;
    char quoted[300];
    log_warn("cannot remove what a job left", " path=\"%s\" error=\"%s\"",
             log_quote(quoted, sizeof quoted, path), strerror(failed > 0 ? failed : errno));
}

void workdir_remove(const char *root, const char *id, int64_t attempt)
{
    if (!can_be_name(id)) return;
    static const char *const beside[] = {".events", ".input", ".context"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *path = name(root, id, attempt, beside[i]);
        unlink(path);
        free(path);
    }
    char *folder = name(root, id, attempt, "");
    remove_tree(folder);
    free(folder);
}

enum err workdir_make(struct workdir *out, const char *root, const char *id, int64_t attempt,
                      struct error *e)
{
    *out = (struct workdir){0};
    if (!can_be_name(id)) return error_set(e, ERR_INVALID, "the id of the task is not a file name");
    struct workdir w = {.folder = name(root, id, attempt, ""),
                        .events = name(root, id, attempt, ".events"),
                        .context = name(root, id, attempt, ".context")};
    workdir_remove(root, id, attempt);
    enum err rc = ERR_OK;
    if (mkdir(w.folder, 0700))
        rc = error_errno(e, ERR_IO, "cannot make %s", w.folder);
    else if (mkfifo(w.events, 0600))
        rc = error_errno(e, ERR_IO, "cannot make %s", w.events);
    if (rc) {
        workdir_remove(root, id, attempt);
        workdir_free(&w);
        return rc;
    }
    *out = w;
    return ERR_OK;
}

void workdir_free(struct workdir *w)
{
    free(w->folder);
    free(w->events);
    free(w->context);
    *w = (struct workdir){0};
}

enum err workdir_put_context(const struct workdir *w, const char *json, struct error *e)
{
    int fd = open(w->context, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(e, ERR_IO, "cannot make %s", w->context);
    enum err rc = ERR_OK;
    for (size_t left = strlen(json); !rc && left;) {
        ssize_t n = write(fd, json, left);
        if (n < 0 && errno != EINTR) rc = error_errno(e, ERR_IO, "cannot write %s", w->context);
        if (n > 0) json += n, left -= (size_t)n;
    }
    close(fd);
    return rc;
}

enum err workdir_temporary(const struct workdir *w, workdir_fill *fill, void *arg, int *fd,
                           struct error *e)
{
    struct buf path = {0};
    buf_fmt(&path, "%s.input", w->folder);
    int to = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int from = to < 0 ? -1 : open(path.data, O_RDONLY | O_CLOEXEC);
    enum err rc = to < 0 || from < 0 ? error_errno(e, ERR_IO, "cannot make %s", path.data) : ERR_OK;
    if (to >= 0) unlink(path.data);
    if (!rc) rc = fill(arg, to, e);
    if (to >= 0) close(to);
    if (rc && from >= 0) close(from);
    if (!rc) *fd = from;
    buf_free(&path);
    return rc;
}

/* Reads ID and ATTEMPT out of "ID.ATTEMPT" or "ID.ATTEMPT.suffix"; the id is cut off in place. */
static bool parse(char *entry, int64_t *attempt)
{
    char *dot = strchr(entry, '.'), *end;
    if (!dot) return false;
    *dot = '\0';
    errno = 0;
    *attempt = strtoll(dot + 1, &end, 10);
    return can_be_name(entry) && end > dot + 1 && (!*end || *end == '.') && !errno;
}

void workdir_sweep(const char *root, workdir_keep *keep, void *arg)
{
    DIR *dir = opendir(root);
    if (!dir) return;
    for (const struct dirent *d; (d = readdir(dir));) {
        int64_t attempt;
        char *id = mem_str(d->d_name);
        if (parse(id, &attempt) && !keep(arg, id, attempt)) workdir_remove(root, id, attempt);
        free(id);
    }
    closedir(dir);
}
