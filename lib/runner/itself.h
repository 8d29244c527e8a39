/* This program again, in a process of its own, for what takes longer than a runner may be away. It is known
 * by its argv[0] (main.c), finds its order on descriptor 0 and leaves its report on descriptor 1: strings with
 * a NUL behind each, in files that are in memory alone. */
#ifndef LEAT_RUNNER_ITSELF_H
#define LEAT_RUNNER_ITSELF_H

#include "base/buf.h"
#include "base/error.h"
#include "runner/forkserver.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* Starts the process. *report, unless NULL: a descriptor of its report, the caller's. Errors as
 * forkserver_take. */
enum err itself_start(struct child *out, int *report, struct forkserver *forks, const char *name,
                      const struct buf *order, rlim_t nofile, struct error *e);

/* Appends a string. */
void itself_put_text(struct buf *out, const char *text);
void itself_put_number(struct buf *out, int64_t number);

/* The next string of what itself_read gave, borrowed from it; "" and 0 behind the last. */
const char *itself_next_text(const struct buf *in, size_t *at);
int64_t itself_next_number(const struct buf *in, size_t *at);

/* All that is in a file, with a NUL behind it; `max` bytes at most, or a little more. */
void itself_read(struct buf *out, int fd, size_t max);

/* ERR_IO: errno. */
enum err itself_write(int fd, const struct buf *bytes);

#endif
