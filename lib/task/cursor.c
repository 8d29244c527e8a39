#include "task/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cursor cursor_parse(const char *text, const char *epoch)
{
    if (!text || !*text) return (struct cursor){.kind = CURSOR_NONE};
    if (!strcmp(text, "earliest")) return (struct cursor){.kind = CURSOR_EARLIEST};
    if (!strcmp(text, "now")) return (struct cursor){.kind = CURSOR_NOW};

    const struct cursor foreign = {.kind = CURSOR_FOREIGN};
    size_t len = strlen(epoch);
    if (strncmp(text, epoch, len) || text[len] != '-') return foreign;
    const char *digits = text + len + 1;
    size_t count = strspn(digits, "0123456789");
    if (!count || digits[count] || (digits[0] == '0' && count > 1)) return foreign;
    errno = 0;
    long long seq = strtoll(digits, NULL, 10);
    if (errno) return foreign;
    return (struct cursor){.kind = CURSOR_AT, .seq = seq};
}

void cursor_write(struct buf *out, const char *epoch, int64_t seq)
{
    buf_str(out, epoch);
    buf_char(out, '-');
    buf_int(out, seq);
}

void cursor_quote(struct buf *out, const char *epoch, int64_t seq)
{
    buf_char(out, '"');
    cursor_write(out, epoch, seq);
    buf_char(out, '"');
}
