/* The write lock: one writer at a time, in the order in which the kernel queues them. */
#ifndef LEAT_STORE_WRITE_LOCK_H
#define LEAT_STORE_WRITE_LOCK_H

#include "base/error.h"

#include <stdint.h>

/* Locks the open file `fd` exclusively, waiting at most `wait_ms`. ERR_BUSY, ERR_IO. The lock belongs
 * to the open file (flock(2)): it ends with write_lock_release or with the process. */
enum err write_lock_take(int fd, int64_t wait_ms, struct error *e);
void write_lock_release(int fd);

#endif
