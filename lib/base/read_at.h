/* Reading a part of a file, whole or not at all. */
#ifndef LEAT_BASE_READ_AT_H
#define LEAT_BASE_READ_AT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Reads exactly `len` bytes from `at`. ERR_IO: the system refused, or the file ends before; `what` it is, for the
 * text. */
enum err read_at(int fd, void *to, size_t len, int64_t at, const char *what, struct error *e);

#endif
