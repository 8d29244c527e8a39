/* Files of tasks: their rows, and the folder "files" beside the database, in which their bytes lie as
 * ID/NAME.
 *
 * Invariants:
 *  1. A row has its bytes: they are on disk, under their name, before the transaction that writes it is
 *     committed.
 *  2. Folders change places only inside a write transaction whose task is running (and the writer's own) or
 *     has no rows; so no two programs quarrel about one. A folder without rows is of no task: the next
 *     attempt replaces it, files_sweep removes it.
 *  3. A name reaches the file system only if it is that of a row. */
#ifndef LEAT_STORE_FILES_H
#define LEAT_STORE_FILES_H

#include "base/buf.h"
#include "base/error.h"
#include "store/claims.h"
#include "store/db.h"
#include "store/file_rows.h"
#include "task/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes the folder of all files when it is missing (0750). *group, its own, may read what is in it.
 * `work`: a folder from which files will be moved there. ERR_IO: cannot be made, is no folder, or lies
 * on another filesystem than `work`. */
enum err files_make_root(struct db *db, const char *work, gid_t *group, struct error *e);

/* What a completing task leaves. Borrowed. */
struct files_end {
    const char *id;     /* of the task */
    const char *prefix; /* of the URLs in events */
    const char *from;   /* a folder with the files and nothing else, synced */
    const struct file_list *list;
    bool placed; /* set once the folder was moved, which no rollback undoes: try again with it */
    int64_t now;
};

/* Writes rows and file.created events into the open transaction, and moves the folder to its place. Before
 * claim_finish. ERR_FENCED; ERR_FULL; ERR_STATE: they cannot be put there, now or later. */
enum err files_finish(struct db *db, const struct claim *c, struct files_end *end, struct error *e);

/* Opens a file of a task, for reading; what is there now must be a regular file and no link. *bytes and
 * *modified (seconds) are those of the file. ERR_NOTFOUND, ERR_IO. */
enum err files_open(struct db *db, const char *id, const char *name, int *fd, int64_t *bytes,
                    int64_t *modified, struct error *e);

/* Appends the absolute path of a file. ERR_NOTFOUND: it is not there. */
enum err files_path(struct db *db, const char *id, const char *name, struct buf *out,
                    struct error *e);

/* Removes the folder of a task that is deleted (and committed so), or has none. What cannot be removed, for
 * want of permission, is left to files_sweep of the program that made it. */
void files_remove(struct db *db, const char *id);

/* A walk over all folders; begins zeroed. */
struct files_sweep {
    void *dir;
    size_t removed; /* so far */
};

/* Looks at some 200 folders more and removes those that belong to no task or to one without files; never
 * those of a running task. Outside transactions. *more is false when the walk is over (and `s` can begin
 * another). Waits at most `wait_ms` for its turn to write. ERR_BUSY: go on later; others as txn_begin. */
enum err files_sweep(struct db *db, struct files_sweep *s, int64_t wait_ms, bool *more,
                     struct error *e);
void files_sweep_end(struct files_sweep *s); /* breaks it off */

#endif
