/* Identifiers: unguessable ids, random words, and who this machine's boot is. */
#ifndef LEAT_BASE_ID_H
#define LEAT_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE 37 /* a UUID in text, with its NUL */

/* Writes a UUIDv7 (RFC 9562, 5.7): 48 bits of `now_ms`, 74 random bits. */
void id_new(char out[ID_SIZE], int64_t now_ms);

/* Many of one moment, for which the system is asked once for randomness. */
void id_new_many(char (*out)[ID_SIZE], size_t count, int64_t now_ms);

/* Whether `text` has the form of a UUID in lower case. */
bool id_valid(const char *text);

/* `digits` random lower-case hex digits and a NUL into `out` (digits + 1 bytes). */
void id_hex(char *out, size_t digits);

/* A random number in [0, bound); bound 0 gives 0. */
uint32_t id_random(uint32_t bound);

/* The id of this boot of the machine (Linux: /proc/sys/kernel/random/boot_id), or "" where the
 * system does not tell. */
void id_boot(char out[ID_SIZE]);

#endif
