/* The event loop of the two programs that wait: descriptors and one deadline. Signals are blocked
 * but while it waits, so that a handler's flag is never missed between a test and the wait. */
#ifndef LEAT_BASE_LOOP_H
#define LEAT_BASE_LOOP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* LOOP_HALF asks that a peer which only stopped sending counts as a hang-up too: right for sockets on
 * which nothing more is to come, wrong for a CGI process's standard output. */
enum { LOOP_IN = 1, LOOP_OUT = 2, LOOP_HUP = 4, LOOP_HALF = 8 };

/* Called with what is ready: LOOP_IN, LOOP_OUT, and LOOP_HUP for a hang-up or error of the peer
 * (always reported, asked for or not). */
typedef void loop_ready(void *arg, int events);

/* One watched descriptor; embedded in its owner, who keeps it alive until loop_del. */
struct loop_fd {
    int fd;
    int events;
    loop_ready *ready;
    void *arg;
};

struct loop;

/* ERR_IO. Blocks SIGCHLD, SIGTERM, SIGINT and SIGHUP for the process; see loop_signal. */
enum err loop_open(struct loop **out, struct error *e);
void loop_close(struct loop *l);

/* Watches w->fd for w->events. ERR_IO with errno. */
enum err loop_add(struct loop *l, struct loop_fd *w, struct error *e);

/* Changes what an added descriptor waits for (0: only hang-up). */
void loop_want(struct loop *l, struct loop_fd *w, int events);

/* Stops watching; must come before the descriptor is closed. Safe inside a callback, for any
 * descriptor: an event already fetched for it is dropped. */
void loop_del(struct loop *l, struct loop_fd *w);

/* Waits until something is ready, a signal arrives or `timeout_ms` has passed (-1: no limit), and
 * calls back for each. ERR_IO. */
enum err loop_wait(struct loop *l, int64_t timeout_ms, struct error *e);

/* Whether `signo` (one of the four) has arrived since the last call for it. */
bool loop_signal(int signo);

#endif
