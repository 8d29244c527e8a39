/* The job types of a site, as far as they are known: every TYPE.conf of the jobs folder, read once and
 * again when it has changed. Lookups touch no file, so that they may stand in a request and in a
 * transaction; refreshing does, and stands outside of both. */
#ifndef LEAT_OPS_JOB_TYPES_H
#define LEAT_OPS_JOB_TYPES_H

#include "base/buf.h"
#include "base/error.h"
#include "task/jobtype.h"

#include <stdbool.h>
#include <stddef.h>

/* The executable of a type. */
enum job_file {
    JOB_FILE_READY,
    JOB_FILE_MISSING,        /* only its conf is there */
    JOB_FILE_NOT_EXECUTABLE, /* for this process; or it is no regular file */
    JOB_FILE_BUSY,           /* somebody has it open for writing; seen only by its owner and root */
};

/* One type. */
struct job_type {
    struct jobtype conf; /* the defaults where TYPE.conf is wrong */
    enum job_file file;
    char *broken; /* what is wrong with TYPE.conf, naming file and line; NULL: nothing */
};

struct job_types;

/* The type that is there without a file, unless one has its name: it is in no list. Its job is the runner's own
 * program, by this name; leat check tries a site with it. */
#define JOB_TYPE_CHECK "leat-check"

/* A registry of the folder's types, empty before the first refresh; the path is copied. Never fails. Free
 * with job_types_close (NULL is fine). */
struct job_types *job_types_open(const char *jobs_folder);
void job_types_close(struct job_types *r);

/* Takes note of what has changed. Looks at the folder itself each time (one stat), and at each file in it
 * when that has changed or a second has passed since the last look; reads only what has changed. ERR_IO:
 * the folder, or something in it, cannot be read; what was known of it stays. */
enum err job_types_refresh(struct job_types *r, struct error *e);

/* From now on, what job_types_refresh_one has looked at is taken as it was seen, until the next call. For a loop
 * whose turns are short; without a call each refresh looks. */
void job_types_turn(struct job_types *r);

/* The same for one type and now: two stats. For who is about to use it. ERR_IO as above. */
enum err job_types_refresh_one(struct job_types *r, const char *name, struct error *e);

/* The conf of the type `name`, as of the last refresh. ERR_NOTFOUND: there is no executable of that name;
 * ERR_INVALID: its TYPE.conf is wrong, the text names file and line. *out is borrowed until the next
 * refresh. */
enum err job_types_find(const struct job_types *r, const char *name, const struct jobtype **out,
                        struct error *e);

/* All that is known of `name`; NULL: there is no such type. A file that has no conf and has never been
 * executable is none. Borrowed until the next refresh. */
const struct job_type *job_types_get(const struct job_types *r, const char *name);

/* Whether `name` is JOB_TYPE_CHECK and there is no such file. */
bool job_types_built_in(const struct job_types *r, const char *name);

/* The next of all types, by name, those that cannot run now among them; NULL: no more. Begin with *at 0.
 * Borrowed until the next refresh. */
const struct job_type *job_types_next(const struct job_types *r, size_t *at);

/* Whether tasks of the type cannot be run at present, as far as its files tell: *why has the words, else it is
 * empty. */
bool job_types_problem(const struct job_types *r, const char *name, struct error *why);

/* Adds `text` without the path of the jobs folder: clients learn what is wrong, and not where it lies. */
void job_types_hide_folder(const struct job_types *r, struct buf *out, const char *text);

#endif
