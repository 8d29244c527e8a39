#include "runner/bounds.h"

#include <stdlib.h>
#include <string.h>

static void write_json(struct bounds *b)
{
    buf_clear(&b->json);
    if (!b->count) return;
    for (size_t i = 0; i < b->count; i++) /* a type's name needs no escapes */
        buf_fmt(&b->json, "%c\"%s\":%lld", i ? ',' : '{', b->items[i].type,
                (long long)(b->items[i].tasks == BOUNDS_HELD ? 0 : b->items[i].tasks));
    buf_char(&b->json, '}');
}

void bounds_set(struct bounds *b, const char *type, int64_t tasks)
{
    size_t i = 0;
    while (i < b->count && strcmp(b->items[i].type, type)) i++;
    if (i == b->count ? !tasks : b->items[i].tasks == tasks) return;
    if (!tasks) {
        b->items[i] = b->items[--b->count];
    } else {
        if (i == b->count) {
            b->items = mem_grow(b->items, b->count + 1, sizeof *b->items);
            b->items[b->count++] = (struct bound){0};
            strncat(b->items[i].type, type, JOBTYPE_NAME_MAX);
        }
        b->items[i].tasks = tasks;
    }
    write_json(b);
}

const char *bounds_json(const struct bounds *b)
{
    return b->count ? b->json.data : NULL;
}

void bounds_free(struct bounds *b)
{
    free(b->items);
    buf_free(&b->json);
    *b = (struct bounds){0};
}
