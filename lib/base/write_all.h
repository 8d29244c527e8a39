/* Writing all that there is, however little write(2) takes at a time. */
#ifndef LEAT_BASE_WRITE_ALL_H
#define LEAT_BASE_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>

/* Writes `len` bytes to a descriptor that blocks. False: not all of them, and errno says why (write(2); EIO where
 * nothing was taken without a reason). */
bool write_all(int fd, const void *bytes, size_t len);

#endif
