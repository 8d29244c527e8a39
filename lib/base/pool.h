/* Small blocks of memory, kept when they are freed for whoever asks next: for a library that takes and frees them by
 * the hundred in every request, where malloc(3) keeps seven of a size and merges the rest. For one thread.
 *
 * Blocks are of malloc(3). Kept are at most POOL_KEPT of each size: 6 MiB if there were as many of all. */
#ifndef LEAT_BASE_POOL_H
#define LEAT_BASE_POOL_H

#include <stddef.h>

enum { POOL_STEP = 32, POOL_MAX = 2048, POOL_KEPT = 96 }; /* sizes are multiples of POOL_STEP */

/* A block of at least so many bytes, aligned as malloc(3) does; NULL: there is no memory. */
void *pool_get(size_t bytes);

/* Gives it back: one of pool_get, or of malloc(3). NULL is fine. */
void pool_put(void *block);

/* How many bytes one has; 0 for NULL. */
size_t pool_size(void *block);

/* How many bytes pool_get would take for so many. */
size_t pool_round(size_t bytes);

#endif
