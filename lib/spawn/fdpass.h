/* Messages that bring descriptors along, over a Unix socket (SCM_RIGHTS, unix(7)). Allocates nothing: a
 * child of a fork may use it. */
#ifndef LEAT_SPAWN_FDPASS_H
#define LEAT_SPAWN_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

enum { FDPASS_MAX = 4 }; /* descriptors of a message */

/* Sends `len` bytes and `count` descriptors, which stay the caller's; `flags` as for sendmsg(2). -1: errno,
 * never EINTR or a SIGPIPE. */
ssize_t fdpass_send(int socket, const void *bytes, size_t len, const int *fds, size_t count,
                    int flags);

/* Receives a message of at most `size` bytes and its `count` descriptors, which close at exec. Those that
 * are missing are -1: the last ones, when there was no room for all. Gives the bytes, 0 at the end; -1:
 * errno, never EINTR. */
ssize_t fdpass_receive(int socket, void *bytes, size_t size, int *fds, size_t count);

#endif
