#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

void secret_new(char out[SECRET_SIZE])
{
    enum { VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING, BYTES = 32 };
    static_assert(SECRET_SIZE ==
                      sizeof SECRET_PREFIX - 1 + sodium_base64_ENCODED_LEN(BYTES, VARIANT),
                  "a secret fills its buffer");
    unsigned char random[BYTES];
    randombytes_buf(random, sizeof random);
    memcpy(out, SECRET_PREFIX, sizeof SECRET_PREFIX);
    sodium_bin2base64(out + strlen(SECRET_PREFIX), SECRET_SIZE - strlen(SECRET_PREFIX), random,
                      sizeof random, VARIANT);
    secret_wipe(random, sizeof random);
}

bool secret_valid(const char *text)
{
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t prefix = strlen(SECRET_PREFIX);
    return !strncmp(text, SECRET_PREFIX, prefix) && strlen(text) == SECRET_SIZE - 1 &&
           strspn(text + prefix, alphabet) == SECRET_SIZE - 1 - prefix;
}

void secret_hash(unsigned char out[SECRET_HASH_BYTES], const void *bytes, size_t len)
{
    static_assert(SECRET_HASH_BYTES == crypto_hash_sha256_BYTES, "a hash is a SHA-256");
    crypto_hash_sha256(out, bytes, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    return !sodium_memcmp(a, b, len);
}

void secret_wipe(void *bytes, size_t len)
{
    sodium_memzero(bytes, len);
}
