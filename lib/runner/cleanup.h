/* Removing what an attempt left and was set aside. A job may leave hundreds of thousands of files, and removing
 * them takes longer than a runner may be away: then a process of its own does it (runner/helper.h). */
#ifndef LEAT_RUNNER_CLEANUP_H
#define LEAT_RUNNER_CLEANUP_H

#include "base/error.h"
#include "runner/workdir.h"
#include "spawn/forkserver.h"

#include <stdint.h>
#include <sys/resource.h>

#define CLEANUP_NAME "leatd-cleanup"

/* Starts the process, which removes what workdir_set_aside left. Errors as forkserver_take. */
enum err cleanup_start(struct child *out, struct forkserver *forks, const struct workroot *root,
                       const char *id, int64_t attempt, rlim_t nofile, struct error *e);

/* The process itself: gives its exit status. */
int cleanup_main(void);

#endif
