/* Folders of attempts: ROOT/ID.ATTEMPT, in which a job works, and beside it ROOT/ID.ATTEMPT.events,
 * the pipe that it may open by name, and ROOT/ID.ATTEMPT.context, what it may know of its group. ROOT is the folder "work" beside the database; both are for
 * the runner's user alone. */
#ifndef LEAT_RUNNER_WORKDIR_H
#define LEAT_RUNNER_WORKDIR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The root for the database at `db_path`, made when missing: an absolute path, owned by the caller.
 * ERR_IO: cannot be made, or is not a folder of this user's. */
enum err workdir_root(char **out, const char *db_path, struct error *e);

/* One attempt's. Text is owned; free with workdir_free, which leaves the files alone. */
struct workdir {
    char *folder, *events, *context;
};

/* Makes both afresh; what was left there under their names is removed first. ERR_INVALID when `id`
 * cannot be a file name, ERR_IO. */
enum err workdir_make(struct workdir *out, const char *root, const char *id, int64_t attempt,
                      struct error *e);
void workdir_free(struct workdir *w);

/* Writes the context file. ERR_IO. */
enum err workdir_put_context(const struct workdir *w, const char *json, struct error *e);

/* A descriptor, open for reading, of an unlinked file in the root that `fill` writes: for what is
 * too large for a pipe. ERR_IO, or the error of `fill`. */
typedef enum err workdir_fill(void *arg, int fd, struct error *e);
enum err workdir_temporary(const struct workdir *w, workdir_fill *fill, void *arg, int *fd,
                           struct error *e);

/* Removes an attempt's folder and pipe with all in them, following no link. What cannot be removed
 * is logged and left. */
void workdir_remove(const char *root, const char *id, int64_t attempt);

/* Removes whatever `keep` does not say is of a running attempt: left by runners that were killed. */
typedef bool workdir_keep(void *arg, const char *id, int64_t attempt);
void workdir_sweep(const char *root, workdir_keep *keep, void *arg);

#endif
