/* The turnstile: one writer at a time, in the order in which the kernel queues them. */
#ifndef LEAT_STORE_TURNSTILE_H
#define LEAT_STORE_TURNSTILE_H

#include "base/error.h"

#include <stdint.h>

/* Locks the open file `fd` exclusively, waiting at most `wait_ms`. ERR_BUSY, ERR_IO. The lock belongs
 * to the open file (flock(2)): it ends with turnstile_leave or with the process. */
enum err turnstile_enter(int fd, int64_t wait_ms, struct error *e);
void turnstile_leave(int fd);

#endif
