#include "runner/lines.h"

#include "base/json.h"

#include <string.h>

void lines_free(struct lines *l)
{
    buf_free(&l->held);
    *l = (struct lines){.max = l->max};
}

/* Forgets what was taken, and of an unfinished line what will not be shown anyway. */
static void tidy(struct lines *l)
{
    buf_drop(&l->held, l->at);
    l->at = 0;
    if (l->held.len > l->max && !memchr(l->held.data, '\n', l->held.len)) {
        l->dropped += l->held.len - l->max;
        l->held.len = l->max;
        l->held.data[l->max] = '\0';
    }
}

void lines_feed(struct lines *l, const char *bytes, size_t len)
{
    tidy(l);
    buf_add(&l->held, bytes, len);
}

/* The line of `len` bytes at l->at, cut to its bound at the boundary of a character. */
static struct line cut(struct lines *l, size_t len)
{
    struct line line = {.text = buf_text(&l->held) + l->at, .len = len, .cut = l->dropped};
    if (len > l->max || l->dropped) {
        line.len = utf8_cut(line.text, len < l->max ? len : l->max);
        line.cut += len - line.len;
    }
    l->dropped = 0;
    return line;
}

static const char *newline(const struct lines *l)
{
    size_t left = l->held.len - l->at;
    return left ? memchr(l->held.data + l->at, '\n', left) : NULL;
}

bool lines_next(struct lines *l, struct line *out)
{
    const char *end = newline(l);
    if (!end) return false;
    size_t len = (size_t)(end - (l->held.data + l->at));
    *out = cut(l, len);
    l->at += len + 1;
    return true;
}

bool lines_last(struct lines *l, struct line *out)
{
    size_t len = l->held.len - l->at;
    if (!len) return false;
    *out = cut(l, len);
    l->at += len;
    return true;
}

bool lines_waiting(const struct lines *l)
{
    return newline(l) != NULL;
}
