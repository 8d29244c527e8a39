/* The commit group: all operations that are ready in one turn of the loop are one transaction, with a
 * savepoint each, one commit and one sync; then all are answered. Nothing here waits: where the write lock is
 * taken a thread waits for it (store/io_thread.h), and the same thread syncs.
 *
 * Invariants:
 *  1. What is told to have been done is on disk. Who watches may have seen it before, but for 3.
 *  2. An operation that fails undoes itself alone; a commit that fails is the outcome of all of its group.
 *  3. What may end a task is committed apart, and is on disk before anybody can see it.
 *  4. A large one is committed apart. One group of others that wait goes before it, and no second one.
 *  5. An operation that found no place in a transaction for database.busy_ms is ERR_BUSY, and was not
 *     done. */
#ifndef LEAT_SERVER_COMMIT_GROUP_H
#define LEAT_SERVER_COMMIT_GROUP_H

#include "base/error.h"
#include "base/loop.h"
#include "ops/operation.h"
#include "store/db.h"

#include <stdbool.h>
#include <stdint.h>

struct commit_group;
struct exchange;

/* `loop` and `db` are borrowed; `unsynced` is called once when a sync has failed and all have been told.
 * ERR_IO. */
enum err commit_group_open(struct commit_group **out, struct loop *loop, struct db *db,
                           int64_t busy_ms, void (*unsynced)(void *arg), void *arg,
                           struct error *e);

/* Frees it; nothing may be in it any more, see commit_group_empty. */
void commit_group_close(struct commit_group *g);

/* Holds the exchange, and has `op` applied in this turn or a later one. Then `done` goes on with the
 * exchange, the outcome being in *op, which must live until then; `arg` is what the caller likes. */
void commit_group_add(struct commit_group *g, struct exchange *x, struct operation *op,
                      void (*done)(struct exchange *x, void *arg), void *arg);

/* Once a turn, after all callbacks: begins, applies and commits what is ready. */
void commit_group_turn(struct commit_group *g);

/* Whether commit_group_turn has something to do at once. */
bool commit_group_ready(const struct commit_group *g);

/* Whether it has rung the bell since the last call: who listens in this process need not wait to hear it. */
bool commit_group_rang(struct commit_group *g);

bool commit_group_empty(const struct commit_group *g);

/* Whether the write lock is being waited for: nobody else of this process may try for it meanwhile. */
bool commit_group_locking(const struct commit_group *g);

/* How long the thread has been waiting for the write lock; 0: it does not. */
int64_t commit_group_locked_out_ms(const struct commit_group *g);

#endif
