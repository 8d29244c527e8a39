/* How long each of many things took, and what is said of them. */
#ifndef LEAT_BENCH_TOOK_H
#define LEAT_BENCH_TOOK_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed: none. */
struct took {
    int64_t *us;
    size_t count, cap;
};

void took_add(struct took *t, int64_t us);

/* Prints " PREFIXp50=MS PREFIXp99=MS PREFIXmax=MS", and frees. */
void took_print(struct took *t, const char *prefix);

#endif
