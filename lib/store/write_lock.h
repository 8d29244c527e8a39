/* The write lock: one writer at a time, in the order in which the kernel queues them. */
#ifndef LEAT_STORE_WRITE_LOCK_H
#define LEAT_STORE_WRITE_LOCK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Locks the open file `fd` exclusively, waiting at most `wait_ms`. ERR_BUSY, ERR_IO. The lock belongs
 * to the open file (flock(2)): it ends with write_lock_release or with the process. */
enum err write_lock_take(int fd, int64_t wait_ms, struct error *e);
void write_lock_release(int fd);

/* As flock(2) with LOCK_EX: waits as long as it takes, or until a signal comes; its holder can tell meanwhile. 0 or
 * errno. Any thread. */
int write_lock_wait(int fd);

/* Whether anybody waits for the lock, in another open file than `fd`. It is known by a lock of the kernel's
 * (fcntl(2), F_OFD_SETLK), so that nothing is left of a process that was killed. */
bool write_lock_wanted(int fd);

#endif
