#include "base/hash.h"

#include <string.h>

uint64_t hash_bytes(uint64_t h, const void *bytes, size_t len)
{
    for (const unsigned char *c = bytes; len--; c++) h = (h ^ *c) * UINT64_C(1099511628211);
    return h;
}

uint64_t hash_text(uint64_t h, const char *text)
{
    return text ? hash_bytes(h, text, strlen(text)) : h;
}
