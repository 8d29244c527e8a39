#include "base/pool.h"

#include <malloc.h>
#include <stdlib.h>

enum { SIZES = POOL_MAX / POOL_STEP + 1 };

/* A block that is kept says where the next one is. */
struct spare {
    struct spare *next;
};

/* Those of one size: of at least so many steps, and of less than one more. */
static struct {
    struct spare *first;
    size_t count;
} kept[SIZES];

size_t pool_round(size_t bytes)
{
    return (bytes + POOL_STEP - 1) / POOL_STEP * POOL_STEP;
}

void *pool_get(size_t bytes)
{
    size_t size = pool_round(bytes), i = size / POOL_STEP;
    if (i >= SIZES || !kept[i].first) return malloc(size);
    struct spare *s = kept[i].first;
    kept[i].first = s->next;
    kept[i].count--;
    return s;
}

void pool_put(void *block)
{
    size_t i = pool_size(block) / POOL_STEP;
    if (!i || i >= SIZES || kept[i].count == POOL_KEPT) {
        free(block);
        return;
    }
    struct spare *s = block;
    s->next = kept[i].first;
    kept[i].first = s;
    kept[i].count++;
}

size_t pool_size(void *block)
{
    return malloc_usable_size(block);
}
