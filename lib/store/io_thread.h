/* A thread that waits for the write lock and for the disk, so that a loop does not. It works on descriptors
 * of its own and never calls SQLite.
 *
 * What is asked for is done in order, and answered by an eventfd. A sync covers all that was committed before
 * io_thread_sync was called. */
#ifndef LEAT_STORE_IO_THREAD_H
#define LEAT_STORE_IO_THREAD_H

#include "base/error.h"
#include "store/db.h"

struct io_thread;

/* Starts it for an open database, which must outlive it. All signals stay blocked in it but one of its own.
 * ERR_IO. */
enum err io_thread_start(struct io_thread **out, struct db *db, struct error *e);

/* Ends it, whatever it waits for. A lock that it has got and nobody has taken is released. NULL is fine. */
void io_thread_stop(struct io_thread *t);

/* The descriptor that is readable when something was done. */
int io_thread_fd(const struct io_thread *t);

/* Asks for the write lock, for txn_try_begin; asks for the disk. At most one of each at a time. */
void io_thread_lock(struct io_thread *t);
void io_thread_sync(struct io_thread *t);

/* What was done since the last call: IO_ bits. With IO_LOCKED the lock is the caller's to release. */
enum io_done { IO_LOCKED = 1, IO_SYNCED = 2, IO_LOCK_FAILED = 4, IO_SYNC_FAILED = 8 };
unsigned io_thread_done(struct io_thread *t);

#endif
