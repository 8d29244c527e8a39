/* A client of the programs that measure: one connection to 127.0.0.1 and what comes on it. All connections of a program
 * are one thread, so that they take little of the machine from what is measured. What goes wrong ends the program. */
#ifndef LEAT_BENCH_HTTP_H
#define LEAT_BENCH_HTTP_H

#include "base/buf.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in its owner. Set loop, port, arg and the callbacks; zero the rest. */
struct http {
    struct loop *loop;
    int port;
    const char *headers; /* of every request, each with its CRLF; borrowed; NULL: none */
    /* The whole answer to a request has come; the next may be sent from here. */
    void (*answered)(void *arg, int status, const char *body);
    /* One frame of a stream, without the empty line behind it. The stream may be closed from here. */
    void (*frame)(void *arg, const char *text);
    void (*ended)(void *arg); /* a stream is at its end, and closed */
    void *arg;

    struct loop_fd fd;
    bool open, stream;
    int status;   /* of the answer that is coming; 0: its head is not there yet */
    int64_t left; /* bytes of its body, or of the chunk; CHUNKED below: a chunk's size comes next */
    bool chunked;
    struct buf in;   /* what came and was not looked at */
    struct buf text; /* of the body, and not used */
};

/* Sends a request; connects first where there is no connection. `body` NULL: none. */
void http_send(struct http *c, const char *method, const char *path, const char *body, size_t len);

/* Opens a stream of events on a connection of its own; last_id NULL: from where the server begins. */
void http_watch(struct http *c, const char *path, const char *last_id);

void http_close(struct http *c); /* also frees; harmless when it is closed */

/* The text of a member of a JSON object that has it once, as far as `size` has room: for ids. False: none. */
bool http_member(const char *json, const char *name, char *out, size_t size);

/* Has the loop go on until *count is `all`, or a minute is over. */
void http_wait(struct loop *loop, const size_t *count, size_t all);

_Noreturn void http_die(const char *what, const char *more);

/* As many descriptors as there may be. */
void http_raise_files(void);

#endif
