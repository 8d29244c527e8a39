/* Folders of attempts: ROOT/ID.ATTEMPT, in which a job works, and beside it ROOT/ID.ATTEMPT.events, the
 * pipe that it may open by name, .context, what it may know of its group, .checkpoint, what an earlier
 * attempt saved, and .files, the folder for files that it wants to leave; .kept holds those of them that
 * are kept, until the task is completed. A folder with .aside behind its name is being removed. What begins with
 * a dot is spare.
 *
 * ROOT is the folder "work" beside the database, or one in a folder of the site's choice (a tmpfs, say);
 * .kept is always beside the database, so that it can be moved to its place. It is the runner's user's
 * alone; where jobs may be other users', they may pass through it, to what is theirs. */
#ifndef LEAT_RUNNER_WORKDIR_H
#define LEAT_RUNNER_WORKDIR_H

#include "base/error.h"
#include "spawn/user.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Absolute paths, owned; free with workroot_free. */
struct workroot {
    char *path, *kept; /* the same unless the site has chosen */
    size_t spares;     /* see workdir_spare; their names are ROOT/.spare-PID.N, N from 0 on */
};

/* The roots for the database at `db_path`, made when missing: in `folder`, or beside it (NULL). ERR_IO:
 * cannot be found or made, or is not a folder of this user's. */
enum err workroot_make(struct workroot *out, const char *folder, const char *db_path,
                       struct error *e);
void workroot_free(struct workroot *root);

/* One attempt's. Text is owned; free with workdir_free, which leaves the files alone. */
struct workdir {
    char *folder, *events, *context, *checkpoint;
    char *files, *kept;                            /* `kept` is not made here */
    struct timespec folder_changed, files_changed; /* before the job had them */
};

/* Makes the folders and the pipe, `user`'s, or takes spare ones; what was left there under these names is removed
 * first. ERR_INVALID when `id` cannot be a file name, ERR_IO. */
enum err workdir_make(struct workdir *out, struct workroot *root, const char *id, int64_t attempt,
                      const struct job_user *user, struct error *e);
void workdir_free(struct workdir *w);

/* Making and removing folders costs more than all the rest of a short job. Where the job has left its own as it found
 * them, empty and in no way changed, they and the pipe are therefore put aside for a job to come. The caller has made
 * sure that no process has them open. False: nothing was done, workdir_remove is called for. */
bool workdir_spare(struct workroot *root, const struct workdir *w);

/* Removes what was put aside. */
void workdir_drop_spares(struct workroot *root);

/* Makes the file `path`, one of the attempt's, for `user` to read. ERR_IO. */
enum err workdir_put(const char *path, const char *json, const struct job_user *user,
                     struct error *e);

/* An unlinked file beside the folder: *to, open for writing, and *from, for reading, are the caller's. For what is
 * too large for a pipe. ERR_IO. */
enum err workdir_temporary(const struct workdir *w, int *to, int *from, struct error *e);

enum workdir_parts {
    WORKDIR_REST, /* all but ... */
    WORKDIR_KEPT, /* ... the files that are kept */
    WORKDIR_ALL,
    WORKDIR_ASIDE, /* what workdir_set_aside left of all */
};

/* Removes those of an attempt's folders, pipe and files with all in them, as tree_remove does. What cannot
 * be removed is logged and left. */
void workdir_remove(const struct workroot *root, const char *id, int64_t attempt,
                    enum workdir_parts parts);

/* The same, but stops when so many entries of folders are gone. False: there are more. */
bool workdir_remove_some(const struct workroot *root, const char *id, int64_t attempt,
                         enum workdir_parts parts, size_t entries);

/* Gives the folders of these parts other names, so that an attempt may follow that has the same number. False:
 * not all of them. */
bool workdir_set_aside(const struct workroot *root, const char *id, int64_t attempt,
                       enum workdir_parts parts);

/* Removes whatever `keep` does not say is of a running attempt: left by runners that were killed. */
typedef bool workdir_keep(void *arg, const char *id, int64_t attempt);
void workdir_remove_orphans(const struct workroot *root, workdir_keep *keep, void *arg);

#endif
