/* What of a request is too large for memory: a file without a name beside the database, gone with its descriptor
 * whatever becomes of the process. It lies there because that is the disk that has room for it, or says that it
 * has none. */
#ifndef LEAT_SERVER_SPOOL_H
#define LEAT_SERVER_SPOOL_H

#include "base/error.h"

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins zeroed. */
struct spool {
    bool open;
    int fd;
    int64_t bytes;
    bool hashed; /* what is added is counted into `hash`, which spool_hash ends */
    crypto_hash_sha256_state hash;
};

/* A new one, readable by nobody else (0600, close-on-exec), in the folder of the file `beside`. ERR_FULL: no room, or
 * no descriptor; ERR_IO. */
enum err spool_open(struct spool *s, const char *beside, bool hashed, struct error *e);

/* Appends. ERR_FULL: the disk is full; ERR_IO. */
enum err spool_add(struct spool *s, const void *bytes, size_t len, struct error *e);

/* Reads exactly `len` bytes from `at`. ERR_IO. */
enum err spool_read(const struct spool *s, void *to, size_t len, int64_t at, struct error *e);

/* SHA-256 of all that was added, of a hashed one; once. */
void spool_hash(struct spool *s, unsigned char out[crypto_hash_sha256_BYTES]);

/* Gives its room back. Harmless where none is open. */
void spool_close(struct spool *s);

#endif
