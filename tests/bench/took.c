#include "took.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void took_add(struct took *t, int64_t us)
{
    if (t->count == t->cap)
        t->us = mem_grow(t->us, t->cap = t->cap ? t->cap * 2 : 1024, sizeof *t->us);
    t->us[t->count++] = us;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double at(const struct took *t, size_t percent)
{
    return t->count ? (double)t->us[(t->count - 1) * percent / 100] / 1000 : 0;
}

void took_print(struct took *t, const char *prefix)
{
    if (t->count) qsort(t->us, t->count, sizeof *t->us, by_value);
    printf(" %sp50=%.3f %sp99=%.3f %smax=%.3f", prefix, at(t, 50), prefix, at(t, 99), prefix,
           at(t, 100));
    free(t->us);
    *t = (struct took){0};
}
