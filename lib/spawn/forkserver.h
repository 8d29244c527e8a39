/* A small process that forks for a large one. Forking copies page tables, and every page that either
 * side then writes is copied too: a runner with a database open pays more for that than for all the
 * rest of a task. The fork server is forked before there is anything to copy, is asked over a socket, and
 * makes children that are the runner's own (CLONE_PARENT of clone(2)): the runner waits for them, and
 * they die with it. So no process is ever forked that has a database open.
 *
 * Children are made ahead, while the runner does other things, and wait for their plan (spawn/exec_plan.h):
 * a child's pid is known before the task that it will run is claimed. */
#ifndef LEAT_SPAWN_FORKSERVER_H
#define LEAT_SPAWN_FORKSERVER_H

#include "base/error.h"
#include "base/loop.h"
#include "spawn/child.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FORKSERVER_READY_MAX = 8 }; /* children that wait at a time */

struct forkserver;

/* Starts one; it ends when its socket closes, and with this process. Call it before there is a
 * thread, and early. `loop` (borrowed) hears of the children that were made. Stop with forkserver_stop,
 * before the loop is closed. ERR_IO. */
enum err forkserver_start(struct forkserver **out, struct loop *loop, struct error *e);
void forkserver_stop(struct forkserver *f); /* NULL is fine */

/* Has children made until `count` are ready or on their way, and ends those that are too many; does not
 * wait for them. A fork server that is gone is replaced. ERR_IO: the system refused, now or when it was
 * asked before. */
enum err forkserver_want(struct forkserver *f, size_t count, struct error *e);

/* How many are ready. */
size_t forkserver_ready(const struct forkserver *f);

/* Whether `pid` is that of the server, or of a child that waits or is being made. */
bool forkserver_has(const struct forkserver *f, int64_t pid);

/* Takes one that is ready, or else has one made and waits for it. ERR_IO: the system refused. */
enum err forkserver_take(struct forkserver *f, struct child *out, struct error *e);

/* Takes back one that was not needed; *c is CHILD_NONE. */
void forkserver_give(struct forkserver *f, struct child *c);

#endif
