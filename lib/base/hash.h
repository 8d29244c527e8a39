/* FNV-1a, 64 bits: spreads keys over a table. Whoever chooses the keys can make them collide, so a table that uses
 * it is right, and only slower or less fair, when they do. */
#ifndef LEAT_BASE_HASH_H
#define LEAT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(14695981039346656037)

/* The hash of what `h` is of and these bytes behind it. */
uint64_t hash_bytes(uint64_t h, const void *bytes, size_t len);

/* The same with a text; NULL is an empty one. */
uint64_t hash_text(uint64_t h, const char *text);

#endif
