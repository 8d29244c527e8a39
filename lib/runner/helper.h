/* Helpers: this program again, in a process of its own, for what takes longer than a runner may be away. main.c
 * knows a helper by its argv[0]. It finds its request on descriptor 0 and leaves its report on descriptor 1:
 * strings, each with a NUL behind it, in files that are in memory alone. */
#ifndef LEAT_RUNNER_HELPER_H
#define LEAT_RUNNER_HELPER_H

#include "base/buf.h"
#include "base/error.h"
#include "spawn/forkserver.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* Starts the process. *report, unless NULL: a descriptor of its report, the caller's. Errors as
 * forkserver_take. */
enum err helper_start(struct child *out, int *report, struct forkserver *forks, const char *name,
                      const struct buf *request, rlim_t nofile, struct error *e);

/* Appends a string. */
void helper_put_text(struct buf *out, const char *text);
void helper_put_number(struct buf *out, int64_t number);

/* The next string of what helper_read gave, borrowed from it; "" and 0 behind the last. */
const char *helper_next_text(const struct buf *in, size_t *at);
int64_t helper_next_number(const struct buf *in, size_t *at);

/* All that is in a file, with a NUL behind it; `max` bytes at most, or a little more. */
void helper_read(struct buf *out, int fd, size_t max);

/* ERR_IO: errno. */
enum err helper_write(int fd, const struct buf *bytes);

#endif
