/* Removing what an attempt left and was set aside. A job may leave hundreds of thousands of files, and removing
 * them takes longer than a runner may be away: then a process of its own does it (runner/itself.h). */
#ifndef LEAT_RUNNER_CLEAR_H
#define LEAT_RUNNER_CLEAR_H

#include "base/error.h"
#include "runner/forkserver.h"
#include "runner/workdir.h"

#include <stdint.h>
#include <sys/resource.h>

#define CLEAR_NAME "leatd-clear"

/* Starts the process, which removes what workdir_set_aside left. Errors as forkserver_take. */
enum err clear_start(struct child *out, struct forkserver *forks, const struct workroot *root,
                     const char *id, int64_t attempt, rlim_t nofile, struct error *e);

/* The process itself: gives its exit status. */
int clear_main(void);

#endif
