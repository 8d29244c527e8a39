/* Secrets that clients hold: drawn here, shown once, and kept only as their SHA-256. */
#ifndef LEAT_BASE_SECRET_H
#define LEAT_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_PREFIX "leat_"

enum {
    SECRET_SIZE = sizeof SECRET_PREFIX + 43, /* with its NUL: 32 bytes are 43 characters */
    SECRET_HASH_BYTES = 32,
};

/* Draws a secret: "leat_" and 32 random bytes in base64url without padding (RFC 4648, 5). */
void secret_new(char out[SECRET_SIZE]);

/* Whether `text` has the form that secret_new gives. */
bool secret_valid(const char *text);

/* SHA-256 (FIPS 180-4) of `len` bytes. A drawn secret has 256 random bits, so no salt and no slow
 * hash are needed. */
void secret_hash(unsigned char out[SECRET_HASH_BYTES], const void *bytes, size_t len);

/* Whether two runs of `len` bytes are equal, in a time that does not tell where they differ. */
bool secret_equal(const void *a, const void *b, size_t len);

/* Overwrites `len` bytes, also where the compiler sees that nobody reads them again. */
void secret_wipe(void *bytes, size_t len);

#endif
