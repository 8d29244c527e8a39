#include "runner/workdir.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/write_all.h"
#include "runner/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 100 * 1000 * 1000, /* of one attempt: somebody may be making more */
    SPARES_MAX = 16,
};

#define SPARE ".spare-"

/* The absolute path of the folder that `path` is in, or of `path` itself. */
static enum err find_folder(struct buf *out, const char *path, bool parent, struct error *e)
{
    struct buf name = {0};
    const char *slash = strrchr(path, '/');
    if (!parent)
        buf_str(&name, path);
    else
        buf_add(&name, slash ? path : "./", slash ? (size_t)(slash - path) + 1 : 2);
    char real[PATH_MAX];
    enum err rc = realpath(name.data, real) ? ERR_OK : ERR_IO;
    if (rc)
        error_errno(e, rc, parent ? "cannot find the folder of %s" : "[runner] work: %s", path);
    else
        buf_str(out, real);
    buf_free(&name);
    return rc;
}

/* Makes the folder if it is missing; it must be this user's own. */
static enum err make_root(const char *path, struct error *e)
{
    struct stat st;
    mode_t mode = geteuid() ? 0700 : 0711;
    if (mkdir(path, mode) && errno != EEXIST) return error_errno(e, ERR_IO, "cannot make %s", path);
    if (lstat(path, &st)) return error_errno(e, ERR_IO, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return error_set(e, ERR_IO, "%s is not a folder of the runner's own user", path);
    if ((st.st_mode & 0777) != mode && chmod(path, mode))
        return error_errno(e, ERR_IO, "cannot make %s private", path);
    return ERR_OK;
}

/* The root of that name in the folder `in`, which may serve several databases. */
static enum err root_in(char **out, const char *in, const char *db_path, struct error *e)
{
    struct buf path = {0}, db = {0};
    enum err rc = find_folder(&path, in, false, e);
    if (!rc) rc = find_folder(&db, db_path, true, e);
    if (!rc) {
        const char *slash = strrchr(db_path, '/');
        buf_fmt(&db, "/%s", slash ? slash + 1 : db_path);
        unsigned char hash[SECRET_HASH_BYTES];
        secret_hash(hash, db.data, db.len);
        buf_str(&path, "/leat-");
        for (int i = 0; i < 8; i++) buf_fmt(&path, "%02x", hash[i]);
        rc = make_root(path.data, e);
    }
    buf_free(&db);
    *out = path.data;
    return rc;
}

enum err workroot_make(struct workroot *out, const char *folder, const char *db_path,
                       struct error *e)
{
    struct buf beside = {0};
    *out = (struct workroot){0};
    enum err rc = find_folder(&beside, db_path, true, e);
    if (!rc) {
        buf_str(&beside, "/work");
        rc = make_root(beside.data, e);
    }
    out->kept = beside.data;
    if (!rc && folder)
        rc = root_in(&out->path, folder, db_path, e);
    else
        out->path = mem_str(beside.data);
    if (rc) workroot_free(out);
    return rc;
}

void workroot_free(struct workroot *root)
{
    free(root->path);
    free(root->kept);
    *root = (struct workroot){0};
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
    buf_str(&path, root);
    buf_char(&path, '/');
    buf_str(&path, id);
    buf_char(&path, '.');
    buf_int(&path, attempt);
    buf_str(&path, suffix);
    return path.data;
}

/* False: there is more of it than *entries. */
static bool remove_folder(const char *root, const char *id, int64_t attempt, const char *suffix,
                          size_t *entries)
{
    char *folder = name(root, id, attempt, suffix), quoted[300];
    enum tree_left left =
        rmdir(folder) && errno != ENOENT ? tree_remove(folder, entries) : TREE_GONE;
    if (left == TREE_STUCK)
        log_warn("cannot remove what a job left", " path=\"%s\" error=\"%s\"",
                 log_quote(quoted, sizeof quoted, folder), strerror(errno));
    free(folder);
    return left != TREE_LEFT;
}

/* The folders of an attempt. */
static const struct {
    const char *suffix, *aside;
    bool kept; /* lies where the kept files are */
} folders[] = {
    {"", ".aside", false},
    {".files", ".files.aside", false},
    {".kept", ".kept.aside", true},
};
enum { FOLDERS = sizeof folders / sizeof *folders };

static bool is_of(size_t folder, enum workdir_parts parts)
{
    return parts == WORKDIR_ALL || folders[folder].kept == (parts == WORKDIR_KEPT);
}

static void remove_files(const struct workroot *root, const char *id, int64_t attempt)
{
    static const char *const beside[] = {".events", ".input", ".context", ".checkpoint"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *path = name(root->path, id, attempt, beside[i]);
        unlink(path);
        free(path);
    }
}

bool workdir_remove_some(const struct workroot *root, const char *id, int64_t attempt,
                         enum workdir_parts parts, size_t entries)
{
    if (!can_be_name(id)) return true;
    if (parts == WORKDIR_REST || parts == WORKDIR_ALL) remove_files(root, id, attempt);
    bool aside = parts == WORKDIR_ASIDE, all = true;
    for (size_t i = 0; all && i < FOLDERS; i++)
        if (aside || is_of(i, parts))
            all = remove_folder(folders[i].kept ? root->kept : root->path, id, attempt,
                                aside ? folders[i].aside : folders[i].suffix, &entries);
    return all;
}

bool workdir_set_aside(const struct workroot *root, const char *id, int64_t attempt,
                       enum workdir_parts parts)
{
    bool all = can_be_name(id);
    for (size_t i = 0; all && i < FOLDERS; i++) {
        if (!is_of(i, parts)) continue;
        const char *in = folders[i].kept ? root->kept : root->path;
        char *from = name(in, id, attempt, folders[i].suffix);
        char *to = name(in, id, attempt, folders[i].aside);
        all = !rename(from, to) || errno == ENOENT;
        free(from);
        free(to);
    }
    return all;
}

void workdir_remove(const struct workroot *root, const char *id, int64_t attempt,
                    enum workdir_parts parts)
{
    workdir_remove_some(root, id, attempt, parts, ENTRIES_MAX);
}

static enum err give(const char *path, const struct job_user *user, struct error *e)
{
    if (!user->set || !lchown(path, user->uid, user->gid)) return ERR_OK;
    return error_errno(e, ERR_IO, "cannot give %s to its user", path);
}

/* The folders and the pipe; errno says what failed. */
static enum err make_all(const struct workdir *w, const struct job_user *user, struct error *e)
{
    if (mkdir(w->folder, 0700)) return error_errno(e, ERR_IO, "cannot make %s", w->folder);
    if (mkdir(w->files, 0700)) return error_errno(e, ERR_IO, "cannot make %s", w->files);
    if (mkfifo(w->events, 0600)) return error_errno(e, ERR_IO, "cannot make %s", w->events);
    enum err rc = give(w->folder, user, e);
    if (!rc) rc = give(w->files, user, e);
    return rc ? rc : give(w->events, user, e);
}

/* ---- spare ones ---------------------------------------------------------------------------------- */

static struct workdir names_of(const struct workroot *root, const char *id, int64_t attempt)
{
    return (struct workdir){.folder = name(root->path, id, attempt, ""),
                            .events = name(root->path, id, attempt, ".events"),
                            .context = name(root->path, id, attempt, ".context"),
                            .checkpoint = name(root->path, id, attempt, ".checkpoint"),
                            .files = name(root->path, id, attempt, ".files"),
                            .kept = name(root->kept, id, attempt, ".kept")};
}

/* The names of spare number `n` of this process. */
static struct workdir spare_names(const struct workroot *root, size_t n)
{
    char id[32];
    snprintf(id, sizeof id, SPARE "%lld", (long long)getpid());
    return names_of(root, id, (int64_t)n);
}

static bool move(const struct workdir *from, const struct workdir *to)
{
    return !rename(from->events, to->events) && !rename(from->files, to->files) &&
           !rename(from->folder, to->folder);
}

/* They are empty. */
static void remove_spare(const struct workdir *w)
{
    rmdir(w->folder);
    rmdir(w->files);
    unlink(w->events);
}

/* Gives a spare one these names. False: there is none. */
static bool take_spare(struct workroot *root, const struct workdir *w)
{
    if (!root->spares) return false;
    struct workdir spare = spare_names(root, --root->spares);
    bool moved = move(&spare, w);
    if (!moved) { /* somebody has cleaned up, or something is left under these names */
        remove_spare(&spare);
        remove_spare(w);
    }
    workdir_free(&spare);
    return moved;
}

/* When the inode was changed last. */
static void note_change(const char *path, struct timespec *at)
{
    struct stat st;
    if (!lstat(path, &st)) *at = st.st_ctim;
}

/* Whether it is what it was made as: of this type and mode, the runner's own, and without attributes. */
static bool is_as_made(const char *path, mode_t mode, struct stat *st)
{
    return !lstat(path, st) && st->st_mode == mode && st->st_uid == geteuid() &&
           llistxattr(path, NULL, 0) <= 0;
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    int entries = 0;
    while (dir && readdir(dir)) entries++;
    if (dir) closedir(dir);
    return dir && entries <= 2;
}

/* The time tells all but what happened within the same tick of the clock. */
static bool is_unchanged(const char *path, const struct timespec *since)
{
    struct stat st;
    return is_as_made(path, S_IFDIR | 0700, &st) && st.st_ctim.tv_sec == since->tv_sec &&
           st.st_ctim.tv_nsec == since->tv_nsec && is_empty(path);
}

bool workdir_spare(struct workroot *root, const struct workdir *w)
{
    struct stat st;
    if (root->spares == SPARES_MAX || !w->folder || !is_as_made(w->events, S_IFIFO | 0600, &st) ||
        !is_unchanged(w->folder, &w->folder_changed) || !is_unchanged(w->files, &w->files_changed))
        return false;
    unlink(w->context);
    unlink(w->checkpoint);
    struct workdir spare = spare_names(root, root->spares);
    bool moved = move(w, &spare);
    if (moved)
        root->spares++;
    else
        remove_spare(&spare);
    workdir_free(&spare);
    return moved;
}

void workdir_drop_spares(struct workroot *root)
{
    while (root->spares) {
        struct workdir spare = spare_names(root, --root->spares);
        remove_spare(&spare);
        workdir_free(&spare);
    }
}

/* ---- one attempt's ------------------------------------------------------------------------------- */

/* Makes all of it; errors as make_all. */
static enum err make_anew(const struct workdir *w, const struct workroot *root, const char *id,
                          int64_t attempt, const struct job_user *user, struct error *e)
{
    enum err rc = make_all(w, user, e);
    if (rc && errno == EEXIST) { /* left by a runner that was killed */
        workdir_remove(root, id, attempt, WORKDIR_ALL);
        rc = make_all(w, user, e);
    } else if (rc && errno == ENOENT) { /* somebody has cleaned up */
        rc = make_root(root->path, e);
        if (!rc) rc = make_root(root->kept, e);
        if (!rc) rc = make_all(w, user, e);
    }
    if (rc) workdir_remove(root, id, attempt, WORKDIR_ALL);
    return rc;
}

enum err workdir_make(struct workdir *out, struct workroot *root, const char *id, int64_t attempt,
                      const struct job_user *user, struct error *e)
{
    *out = (struct workdir){0};
    if (!can_be_name(id)) return error_set(e, ERR_INVALID, "the id of the task is not a file name");
    struct workdir w = names_of(root, id, attempt);
    enum err rc =
        !user->set && take_spare(root, &w) ? ERR_OK : make_anew(&w, root, id, attempt, user, e);
    if (rc) {
        workdir_free(&w);
        return rc;
    }
    note_change(w.folder, &w.folder_changed);
    note_change(w.files, &w.files_changed);
    *out = w;
    return ERR_OK;
}

void workdir_free(struct workdir *w)
{
    free(w->folder);
    free(w->events);
    free(w->context);
    free(w->checkpoint);
    free(w->files);
    free(w->kept);
    *w = (struct workdir){0};
}

enum err workdir_put(const char *path, const char *json, const struct job_user *user,
                     struct error *e)
{
    /* Of an attempt that a killed runner had begun under the same number. */
    if (unlink(path) && errno != ENOENT) return error_errno(e, ERR_IO, "cannot remove %s", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(e, ERR_IO, "cannot make %s", path);
    enum err rc = ERR_OK;
    if (!write_all(fd, json, strlen(json))) rc = error_errno(e, ERR_IO, "cannot write %s", path);
    close(fd);
    return rc ? rc : give(path, user, e);
}

enum err workdir_temporary(const struct workdir *w, int *to, int *from, struct error *e)
{
    struct buf path = {0};
    buf_fmt(&path, "%s.input", w->folder);
    *to = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    *from = *to < 0 ? -1 : open(path.data, O_RDONLY | O_CLOEXEC);
    enum err rc = *from < 0 ? error_errno(e, ERR_IO, "cannot make %s", path.data) : ERR_OK;
    if (*to >= 0) unlink(path.data);
    if (rc && *to >= 0) close(*to);
    if (rc) *to = -1;
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

/* What somebody has put aside: one who lives does without. */
static void remove_orphan(const char *folder, const char *entry)
{
    struct buf path = {0};
    buf_fmt(&path, "%s/%s", folder, entry);
    if (rmdir(path.data)) unlink(path.data);
    buf_free(&path);
}

static void sweep(const struct workroot *root, const char *folder, workdir_keep *keep, void *arg)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (const struct dirent *d; (d = readdir(dir));) {
        int64_t attempt;
        if (!strncmp(d->d_name, SPARE, sizeof SPARE - 1)) remove_orphan(folder, d->d_name);
        char *id = mem_str(d->d_name);
        if (parse(id, &attempt) && !keep(arg, id, attempt)) {
            workdir_remove(root, id, attempt, WORKDIR_ALL);
            workdir_remove(root, id, attempt, WORKDIR_ASIDE);
        }
        free(id);
    }
    closedir(dir);
}

void workdir_remove_orphans(const struct workroot *root, workdir_keep *keep, void *arg)
{
    sweep(root, root->path, keep, arg);
    if (strcmp(root->path, root->kept) != 0) sweep(root, root->kept, keep, arg);
}
