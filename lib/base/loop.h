/* The event loop of the two programs that wait: descriptors, timers and child processes. Signals are
 * blocked but while it waits, so that a handler's flag is never missed between a test and the wait. */
#ifndef LEAT_BASE_LOOP_H
#define LEAT_BASE_LOOP_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

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

/* A point in time; embedded in its owner, who stops it before it is freed. Zero-initialise, set fire and
 * arg. */
struct loop_timer {
    void (*fire)(void *arg); /* called once; may set the timer again, or free its owner */
    void *arg;
    int64_t at;   /* monotonic ms; read only */
    size_t place; /* in the heap; 0: not set */
};

/* A child process, watched by a pidfd; embedded in its owner. Zero-initialise, set pid, ended and arg. */
struct loop_child {
    pid_t pid;
    void (*ended)(void *arg,
                  int status); /* called once, status as of waitpid(2); may free its owner */
    void *arg;
    bool
        owner_reaps; /* it is still to be reaped, by `ended` or later: until then the pid is its own */

    struct loop *loop; /* the rest is the loop's */
    struct loop_fd fd;
    struct loop_timer poll; /* where the system has no pidfd */
};

/* ERR_IO. Blocks SIGTERM, SIGINT and SIGHUP for the process (see loop_signal), and has SIGCHLD do nothing: children
 * are watched by loop_child_add. */
enum err loop_open(struct loop **out, struct error *e);

/* Frees the loop. Timers that are set and children that are watched are forgotten: they may be neither
 * stopped nor deleted after it. */
void loop_close(struct loop *l);

/* Watches w->fd for w->events. ERR_IO with errno. */
enum err loop_add(struct loop *l, struct loop_fd *w, struct error *e);

/* Changes what an added descriptor waits for (0: only hang-up). */
void loop_want(struct loop *l, struct loop_fd *w, int events);

/* Stops watching; must come before the descriptor is closed. Safe inside a callback, for any
 * descriptor: an event already fetched for it is dropped. */
void loop_del(struct loop *l, struct loop_fd *w);

/* Sets the timer to fire at `at_ms` (monotonic), or moves it there. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms);

/* Has the timer not fire; harmless when it is not set. Safe inside a callback, for any timer. */
void loop_timer_stop(struct loop *l, struct loop_timer *t);

bool loop_timer_is_set(const struct loop_timer *t);

/* Watches the child c->pid, which may have ended already. When it has ended it is reaped and `ended` is
 * called, inside loop_wait and never inside this call; nobody else may wait for it. Where no pidfd is to be
 * had it is looked at again and again instead. ERR_IO: there is no such process. */
enum err loop_child_add(struct loop *l, struct loop_child *c, struct error *e);

/* Stops watching: the child is left running, for its owner to reap. Harmless after `ended`, or when it
 * was never added. */
void loop_child_del(struct loop *l, struct loop_child *c);

/* One turn: waits until something is ready, a signal arrives, the earliest timer is due or `timeout_ms`
 * has passed (-1: no limit), calls back for each descriptor that is ready and then for each timer that is
 * due, the earliest first (equal times in no order). What the callback of a timer sets for now or the
 * past fires in the next turn, so that a turn ends. ERR_IO. */
enum err loop_wait(struct loop *l, int64_t timeout_ms, struct error *e);

/* Whether loop_wait would find something ready, or a timer due, at once. */
bool loop_is_due(const struct loop *l);

/* Whether `signo` (one of the three) has arrived since the last call for it. */
bool loop_signal(int signo);

#endif
