#include "store/files.h"

#include "base/id.h"
#include "base/log.h"
#include "gen/query.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GONE ".gone-" /* before the id of a folder that is being removed */

enum { SWEEP_FOLDERS = 200 };

/* ---- rows ---- */

static enum err write_row(struct db *db, const struct claim *c, const struct files_end *end,
                          const struct task_file *f, struct error *e)
{
    struct buf payload = {0};
    file_document(&payload, f, end->prefix, end->id);
    enum err rc = claim_event(db, c, "file.created", payload.data, end->now, NULL, e);
    buf_free(&payload);
    if (rc) return rc;
    const struct q_file_create_in in = {
        .task = c->n, .name = f->name, .bytes = f->bytes, .content_type = f->content_type};
    return q_file_create(db, &in, e);
}

/* ---- the folder ---- */

/* ROOT/`first``second`; the caller frees. */
static char *place(struct db *db, const char *first, const char *second)
{
    struct buf path = {0};
    const char *file = db_path(db), *slash = strrchr(file, '/');
    buf_add(&path, slash ? file : "./", slash ? (size_t)(slash - file) + 1 : 2);
    buf_fmt(&path, "files/%s%s", first, second);
    return path.data;
}

/* The root, open. -1 with errno. */
static int open_root(struct db *db)
{
    char *path = place(db, "", "");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return fd;
}

enum err files_make_root(struct db *db, const char *work, gid_t *group, struct error *e)
{
    char *path = place(db, "", "");
    struct stat root, from;
    enum err rc = ERR_OK;
    bool made = !mkdir(path, 0750);
    if (!made && errno != EEXIST)
        rc = error_errno(e, ERR_IO, "cannot make %s", path);
    else if (made && chmod(path, 0750)) /* whatever the umask */
        rc = error_errno(e, ERR_IO, "cannot make %s readable", path);
    else if (stat(path, &root))
        rc = error_errno(e, ERR_IO, "cannot look at %s", path);
    else if (!S_ISDIR(root.st_mode))
        rc = error_set(e, ERR_IO, "%s is not a folder", path);
    else if (stat(work, &from))
        rc = error_errno(e, ERR_IO, "cannot look at %s", work);
    else if (root.st_dev != from.st_dev)
        rc = error_set(e, ERR_IO, "%s is not on the filesystem of %s", path, work);
    else
        *group = root.st_gid;
    free(path);
    return rc;
}

/* Removes a folder of plain files in `root`. False: something is left. */
static bool remove_folder(int root, const char *name)
{
    int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return false;
    }
    for (const struct dirent *d; (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) unlinkat(fd, d->d_name, 0);
    closedir(dir);
    return !unlinkat(root, name, AT_REMOVEDIR) || errno == ENOENT;
}

void files_remove(struct db *db, const char *id)
{
    if (!id_valid(id)) return;
    int root = open_root(db);
    if (root < 0) return;
    if (!remove_folder(root, id))
        log_warn("files are left to the runner to remove", " task_id=%s error=\"%s\"", id,
                 strerror(errno));
    close(root);
}

/* A disk that is full may have room again, a system short of descriptors or memory have some. Everything else
 * stands in the way of this one task for good, and must not in that of all the others. */
static enum err not_placed(struct error *e, const char *what)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    bool little = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    return error_errno(e, full ? ERR_FULL : little ? ERR_IO : ERR_STATE, "%s", what);
}

/* Moves end->from to the task's place, and what is there out of the way. Inside the transaction. */
static enum err put_in_place(struct db *db, struct files_end *end, struct error *e)
{
    int root = open_root(db);
    if (root < 0) return not_placed(e, "cannot open the folder of files");
    enum err rc = ERR_OK;
    bool moved = !renameat(AT_FDCWD, end->from, root, end->id);
    if (!moved && (errno == ENOTEMPTY || errno == EEXIST))
        moved = remove_folder(root, end->id) && !renameat(AT_FDCWD, end->from, root, end->id);
    if (!moved)
        rc = not_placed(e, "cannot put files in their place");
    else if (fsync(root))
        rc = error_errno(e, ERR_UNSYNCED, "the folder of files cannot be synced");
    end->placed |= moved;
    close(root);
    return rc;
}

enum err files_finish(struct db *db, const struct claim *c, struct files_end *end, struct error *e)
{
    assert(txn_is_open(db));
    if (!end->list->count) return ERR_OK;
    if (!id_valid(end->id))
        return error_set(e, ERR_STATE, "the id of the task is no folder's name");
    enum err rc = ERR_OK;
    /* The first of these finds out whether the claim is still there. */
    for (size_t i = 0; !rc && i < end->list->count; i++)
        rc = write_row(db, c, end, &end->list->items[i], e);
    return rc || end->placed ? rc : put_in_place(db, end, e);
}

enum err files_open(struct db *db, const char *id, const char *name, int *fd, int64_t *bytes,
                    int64_t *modified, struct error *e)
{
    const int safe = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    *fd = -1;
    if (!id_valid(id) || file_name_refused(name))
        return error_set(e, ERR_NOTFOUND, "the task has no such file");
    char *path = place(db, id, "");
    int folder = open(path, safe | O_DIRECTORY);
    free(path);
    struct stat st = {0};
    int file = folder < 0 ? -1 : openat(folder, name, safe);
    enum err rc = ERR_OK;
    if (file < 0 && errno == ENOENT)
        rc = error_set(e, ERR_NOTFOUND, "the file is gone");
    else if (file < 0 || fstat(file, &st))
        rc = error_errno(e, ERR_IO, "cannot open a file of task %s", id);
    else if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        rc = error_set(e, ERR_IO, "what is in the place of a file of task %s is none", id);
    if (folder >= 0) close(folder);
    if (rc) {
        if (file >= 0) close(file);
        return rc;
    }
    *fd = file;
    *bytes = st.st_size;
    *modified = st.st_mtime;
    return ERR_OK;
}

enum err files_path(struct db *db, const char *id, const char *name, struct buf *out,
                    struct error *e)
{
    if (!id_valid(id) || file_name_refused(name))
        return error_set(e, ERR_NOTFOUND, "the task has no such file");
    char *path = place(db, id, "");
    char real[PATH_MAX];
    const char *found = realpath(path, real);
    free(path);
    if (!found) return error_set(e, ERR_NOTFOUND, "the file is gone");
    buf_fmt(out, "%s/%s", real, name);
    return ERR_OK;
}

/* ---- the sweep ---- */

/* Renames the folder of a task so that nobody takes it for that any more, unless it is in use after all: only
 * inside a write transaction does that not change. */
static enum err take_away(struct db *db, int root, const char *id, const char *away,
                          int64_t wait_ms, bool *taken, struct error *e)
{
    enum err rc = txn_begin_quiet(db, wait_ms, e);
    if (rc) return rc;
    bool kept = true;
    rc = q_files_kept(db, id, &kept, e);
    *taken = !rc && !kept && !renameat(root, id, root, away);
    txn_rollback(db);
    return rc;
}

static enum err sweep_one(struct db *db, struct files_sweep *s, int root, const char *name,
                          int64_t wait_ms, struct error *e)
{
    bool gone = !strncmp(name, GONE, strlen(GONE)), kept = true;
    char away[sizeof GONE + ID_SIZE] = GONE;
    const char *id = gone ? name + strlen(GONE) : name;
    if (!id_valid(id)) return ERR_OK;         /* none of ours */
    memcpy(away + strlen(GONE), id, ID_SIZE); /* with its NUL */
    if (!gone) {
        enum err rc = q_files_kept(db, id, &kept, e);
        if (!rc && !kept) rc = take_away(db, root, id, away, wait_ms, &gone, e);
        if (rc) return rc;
    }
    if (gone && remove_folder(root, away)) s->removed++;
    return ERR_OK;
}

enum err files_sweep(struct db *db, struct files_sweep *s, int64_t wait_ms, bool *more,
                     struct error *e)
{
    *more = false;
    if (!s->dir) {
        int fd = open_root(db);
        s->dir = fd < 0 ? NULL : fdopendir(fd);
        if (!s->dir && fd >= 0) close(fd);
        if (!s->dir) return ERR_OK; /* there are no files */
    }
    DIR *dir = s->dir;
    for (int i = 0; i < SWEEP_FOLDERS; i++) {
        const struct dirent *d = readdir(dir);
        if (!d) {
            files_sweep_end(s);
            return ERR_OK;
        }
        enum err rc = sweep_one(db, s, dirfd(dir), d->d_name, wait_ms, e);
        if (rc) {
            *more = true;
            return rc;
        }
    }
    *more = true;
    return ERR_OK;
}

void files_sweep_end(struct files_sweep *s)
{
    if (s->dir) closedir(s->dir);
    s->dir = NULL;
}
