#include "runner/lines.h"

#include "base/json.h"

#include <string.h>

static const char MARK[] = "[...]"; /* in place of what was cut out of a line's middle */
enum { MARK_LEN = sizeof MARK - 1 };

void lines_free(struct lines *l)
{
    buf_free(&l->held);
    *l = (struct lines){.max = l->max, .tail = l->tail, .returns = l->returns};
}

/* Where the line at l->at ends; NULL: not yet. */
static char *end_of(const struct lines *l)
{
    size_t left = l->held.len - l->at;
    if (!left) return NULL;
    char *from = l->held.data + l->at, *feed = memchr(from, '\n', left);
    if (feed) left = (size_t)(feed - from);
    char *back = l->returns && left ? memchr(from, '\r', left) : NULL;
    return back ? back : feed;
}

/* Forgets what was taken, and of an unfinished line what will not be shown anyway. */
static void tidy(struct lines *l)
{
    buf_drop(&l->held, l->at);
    l->at = 0;
    if (l->held.len <= l->max || end_of(l)) return;
    l->dropped += l->held.len - l->max;
    memmove(l->held.data + l->max - l->tail, l->held.data + l->held.len - l->tail, l->tail);
    l->held.len = l->max;
    l->held.data[l->max] = '\0';
}

void lines_feed(struct lines *l, const char *bytes, size_t len)
{
    tidy(l);
    buf_add(&l->held, bytes, len);
}

/* Cuts the middle out of a line that is too long, between characters. */
static void cut_middle(struct lines *l, struct line *line)
{
    char *text = l->held.data + l->at;
    size_t head = utf8_cut(text, l->max - l->tail - MARK_LEN), from = line->len - l->tail;
    while (from < line->len && ((unsigned char)text[from] & 0xc0) == 0x80) from++;
    memcpy(text + head, MARK, MARK_LEN);
    memmove(text + head + MARK_LEN, text + from, line->len - from);
    line->cut += from - head;
    line->len -= from - head - MARK_LEN;
}

/* The line of `len` bytes at l->at, cut to its bound at the boundary of a character. */
static struct line cut(struct lines *l, size_t len)
{
    struct line line = {.text = buf_text(&l->held) + l->at, .len = len, .cut = l->dropped};
    if (len > l->max || l->dropped) {
        if (l->tail) {
            cut_middle(l, &line);
        } else {
            line.len = utf8_cut(line.text, len < l->max ? len : l->max);
            line.cut += len - line.len;
        }
    }
    l->dropped = 0;
    return line;
}

bool lines_next(struct lines *l, struct line *out)
{
    char *end = end_of(l);
    bool returned = l->returned;
    if (l->at < l->held.len) l->returned = false;
    if (!end) return false;
    size_t len = (size_t)(end - (l->held.data + l->at)), left = l->held.len - l->at - len;
    if (returned && !len && *end == '\n') {
        *out = (struct line){.text = "", .end = LINE_RETURN_FEED};
        l->at++;
        return true;
    }
    bool back = *end == '\r', both = back && left > 1 && end[1] == '\n';
    *out = cut(l, len);
    out->end = back && !both ? LINE_RETURN : LINE_FEED;
    l->returned = back && left == 1;
    l->at += len + (both ? 2 : 1);
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
    return end_of(l) != NULL;
}
