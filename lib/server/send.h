/* Answers that are large: they are read a piece at a time, as the client takes them, so that neither memory holds
 * them nor the loop waits for anybody. */
#ifndef LEAT_SERVER_SEND_H
#define LEAT_SERVER_SEND_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct exchange;

/* Where the bytes come from. */
struct send_source {
    int64_t bytes; /* all of them */
    /* Reads the `len` bytes at `at`, which go up from 0. An error breaks the answer off, so that the client sees that
     * something is missing. */
    enum err (*read)(void *arg, void *to, size_t len, int64_t at, struct error *e);
    void (*drop)(void *arg); /* frees `arg`, whatever came of it */
    void *arg;
};

/* Sends them as the body, whose head was given to response_length, and holds the exchange meanwhile. A client that
 * takes nothing for 10 s is given up. */
void send_body(struct exchange *x, const struct send_source *from);

#endif
