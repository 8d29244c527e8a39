/* A growing run of bytes, and the allocation policy of the whole program.
 *
 * Out of memory ends the process with EX_OSERR: all that was acknowledged is on disk, and whoever
 * supervises the program starts it again. What comes from outside (bodies, lines, results) is
 * bounded before it is stored, so that this is about the machine, never about one request. */
#ifndef LEAT_BASE_BUF_H
#define LEAT_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed struct is an empty buffer. `data` is NUL-terminated once anything was added (the NUL is
 * not counted), and NULL before. */
struct buf {
    char *data;
    size_t len;
    size_t cap;
};

void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* empty, memory kept */

/* Room for `more` bytes behind `len`; returns where they start. The caller adds to `len`. */
char *buf_reserve(struct buf *b, size_t more);

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, int64_t value);
void buf_fmt(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first `n` bytes (at most all). */
void buf_drop(struct buf *b, size_t n);

/* The text of an empty or filled buffer, never NULL. Borrowed. */
const char *buf_text(const struct buf *b);

/* Ends the process: for those who find that a library has got none. */
_Noreturn void mem_exhausted(void);

/* Allocation that does not return on failure. mem_dup and mem_str copy; NULL stays NULL. */
void *mem_alloc(size_t size); /* zeroed */
void *mem_grow(void *old, size_t count, size_t size);
void *mem_dup(const void *bytes, size_t len); /* a NUL is added behind */
char *mem_str(const char *text);

#endif
