#include "base/id.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum { ID_BYTES = 16 };

/* Writes the id of a moment and these random bytes, some of which it changes. */
static void write_id(char out[ID_SIZE], int64_t now_ms, unsigned char b[ID_BYTES])
{
    uint64_t ms = (uint64_t)now_ms;
    for (int i = 0; i < 6; i++) b[i] = (unsigned char)(ms >> (40 - 8 * i));
    b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));

    static const char hex[] = "0123456789abcdef";
    char *p = out;
    for (int i = 0; i < ID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}

void id_new(char out[ID_SIZE], int64_t now_ms)
{
    id_new_many((char(*)[ID_SIZE])out, 1, now_ms);
}

void id_new_many(char (*out)[ID_SIZE], size_t count, int64_t now_ms)
{
    enum { AT_ONCE = 64 };
    unsigned char random[AT_ONCE][ID_BYTES];
    for (size_t from = 0; from < count; from += AT_ONCE) {
        size_t n = count - from < AT_ONCE ? count - from : AT_ONCE;
        randombytes_buf(random, n * ID_BYTES);
        for (size_t i = 0; i < n; i++) write_id(out[from + i], now_ms, random[i]);
    }
}

bool id_valid(const char *text)
{
    size_t i = 0;
    for (; text[i]; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdef", text[i])) return false;
    }
    return i == ID_SIZE - 1;
}

void id_hex(char *out, size_t digits)
{
    for (size_t i = 0; i < digits; i++) out[i] = "0123456789abcdef"[randombytes_uniform(16)];
    out[digits] = '\0';
}

uint32_t id_random(uint32_t bound)
{
    return randombytes_uniform(bound);
}

void id_boot(char out[ID_SIZE])
{
    out[0] = '\0';
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, out, ID_SIZE - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
}
