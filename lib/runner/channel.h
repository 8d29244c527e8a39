/* The runner's end of a pipe that a job writes to. It is read a piece at a time and only while its
 * owner listens, so that a job that floods is slowed by its pipe. */
#ifndef LEAT_RUNNER_CHANNEL_H
#define LEAT_RUNNER_CHANNEL_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>

enum { CHANNEL_PIECE = 65536 }; /* bytes read at most before the others have their turn */

/* Called with what was read. Borrowed. */
typedef void channel_take(void *arg, const char *bytes, size_t len);

/* Embedded in its owner. A closed one has watch.fd -1: start from CHANNEL_CLOSED. */
struct channel {
    struct loop *loop;
    struct loop_fd watch;
    bool listening;
    size_t left; /* what channel_drain may still read */
    channel_take *take;
    void *arg;
};

#define CHANNEL_CLOSED ((struct channel){.watch.fd = -1})

/* Takes over `fd`, a non-blocking read end. Nobody listens yet. */
void channel_open(struct channel *c, struct loop *loop, int fd, channel_take *take, void *arg);

/* Reads whenever there is something, inside loop_wait, or stops doing so. The end of input closes the
 * channel. Nothing happens to a closed one. ERR_IO. */
enum err channel_listen(struct channel *c, bool listen, struct error *e);

/* The writers are gone: only what is in the pipe now counts. Stops listening. */
void channel_last(struct channel *c);

/* After channel_last: reads one piece more, or closes the channel when nothing is left. Whether it
 * is still open. */
bool channel_drain(struct channel *c);

void channel_close(struct channel *c);

#endif
