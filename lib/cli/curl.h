/* Requests by curl(1), as any client makes them: several at a time, and when each piece of an answer came. */
#ifndef LEAT_CLI_CURL_H
#define LEAT_CLI_CURL_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CURL_ARGUMENTS_MAX = 32 };

/* One request. */
struct curl {
    const char
        *arguments[CURL_ARGUMENTS_MAX]; /* besides those that all have; NULL-terminated, borrowed */
    const char *
        secret; /* a header line that no list of processes shall show (proc(5)); borrowed, or NULL */

    /* the answer */
    int status;      /* of HTTP; 0: there was none */
    int exit_status; /* of curl; -1: it could not be run */
    struct buf said; /* what curl says of an error */
    struct buf head; /* its last block of header lines */
    struct buf body;
    struct curl_piece {
        int64_t at; /* monotonic ms */
        size_t end; /* so long the body was then */
    } * pieces;
    size_t piece_count;
    int64_t begun, ended; /* monotonic ms */

    pid_t pid; /* the rest is curl.c's */
    int out, err;
    struct buf raw;
};

/* Whether there is curl(1). */
bool curl_there(void);

/* Makes all of them at the same time, to their ends. */
void curl_run(struct curl *requests, size_t count);
void curl_free(struct curl *c);

/* Appends the value of a header field of the answer. False: it has none. */
bool curl_header(const struct curl *c, const char *name, struct buf *out);

/* When byte `at` of the body came, in monotonic ms. */
int64_t curl_arrival(const struct curl *c, size_t at);

#endif
