#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

void mem_exhausted(void)
{
    static const char text[] = "level=error msg=\"out of memory\"\n";
    fputs(text, stderr);
    _exit(EX_OSERR);
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p) mem_exhausted();
    return p;
}

void *mem_grow(void *old, size_t count, size_t size)
{
    void *p = reallocarray(old, count ? count : 1, size);
    if (!p) mem_exhausted();
    return p;
}

void *mem_dup(const void *bytes, size_t len)
{
    if (!bytes) return NULL;
    char *p = mem_grow(NULL, len + 1, 1);
    memcpy(p, bytes, len);
    p[len] = '\0';
    return p;
}

char *mem_str(const char *text)
{
    return text ? mem_dup(text, strlen(text)) : NULL;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data) b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->len <= more) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap - b->len <= more) {
            if (cap > SIZE_MAX / 2) mem_exhausted();
            cap *= 2;
        }
        b->data = mem_grow(b->data, cap, 1);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    char *to = buf_reserve(b, len);
    if (len) memcpy(to, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_int(struct buf *b, int64_t value)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--at = '-';
    buf_add(b, at, (size_t)(digits + sizeof digits - at));
}

void buf_fmt(struct buf *b, const char *format, ...)
{
    enum { USUAL = 64 }; /* what is longer is formatted twice */
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *to = buf_reserve(b, USUAL);
    size_t room = b->cap - b->len;
    int n = vsnprintf(to, room, format, args);
    va_end(args);
    if (n > 0 && (size_t)n >= room)
        vsnprintf(buf_reserve(b, (size_t)n), (size_t)n + 1, format, again);
    if (n > 0) b->len += (size_t)n;
    va_end(again);
    b->data[b->len] = '\0';
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}
