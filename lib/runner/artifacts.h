/* What becomes of the files that a job made. A process of its own takes them over, because bringing many
 * bytes to the disk takes longer than a runner may be away: it moves what is fit to be kept out of the job's
 * folder into another (copies it, where that is on another filesystem), brings it to the disk, and reports
 * (runner/helper.h).
 *
 * The job is dead by then, but a process that left its group may live and still write into the folder. So a
 * file is judged by its open descriptor, and looked at again where it has been moved to. */
#ifndef LEAT_RUNNER_ARTIFACTS_H
#define LEAT_RUNNER_ARTIFACTS_H

#include "base/error.h"
#include "spawn/forkserver.h"
#include "store/claims.h"
#include "task/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARTIFACTS_NAME "leatd-artifacts"

enum { ARTIFACTS_TOLD_MAX = 20 }; /* files of which it is said why they are not kept */

/* Borrowed. */
struct artifacts_request {
    const char *from;         /* the job's folder of files */
    const char *to;           /* the folder to make for what is kept; absent */
    const char *task_id;      /* and the job's process: what is left of its group is waited for */
    struct process_id leader; /* .pid 0: none */
    gid_t group;              /* that may read what is kept */
    int64_t files_max, bytes_max;
};

struct artifacts_report {
    struct file_list files; /* by name; empty: there is no folder `to` */
    /* Sentences, one a file; the last counts the rest. NULL-terminated when fewer. */
    char *refused[ARTIFACTS_TOLD_MAX + 1];
    char *too_much; /* which bound was crossed, or NULL */
    char *failed;   /* why the files could not be kept, or NULL */
};

/* Whether there is anything in the job's folder. */
bool artifacts_needed(const char *from);

/* Starts the process. *report: a descriptor for artifacts_read, the caller's. Errors as forkserver_take. */
enum err artifacts_start(struct child *out, int *report, struct forkserver *forks,
                         const struct artifacts_request *request, rlim_t nofile, struct error *e);

/* Reads what the process reported before its end; one that was cut short has `failed`. Free with
 * artifacts_report_free. */
void artifacts_read(struct artifacts_report *out, int report);
void artifacts_report_free(struct artifacts_report *r);

/* The process itself: gives its exit status. */
int artifacts_main(void);

#endif
