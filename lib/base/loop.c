#include "base/loop.h"

#include "base/buf.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 256 };

struct loop {
    int epoll;
    sigset_t while_waiting;
    struct epoll_event fetched[BATCH];
    int fetched_count;
    int at; /* the one whose callback runs */
};

static volatile sig_atomic_t arrived[NSIG];

static void note(int signo)
{
    arrived[signo] = 1;
}

bool loop_signal(int signo)
{
    if (!arrived[signo]) return false;
    arrived[signo] = 0;
    return true;
}

enum err loop_open(struct loop **out, struct error *e)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return error_errno(e, ERR_IO, "epoll_create1");

    struct loop *l = mem_alloc(sizeof *l);
    l->epoll = fd;
    sigset_t block;
    sigemptyset(&block);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = note};
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
        sigaddset(&block, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &block, &l->while_waiting);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigdelset(&l->while_waiting, signals[i]);
    *out = l;
    return ERR_OK;
}

void loop_close(struct loop *l)
{
    if (!l) return;
    close(l->epoll);
    free(l);
}

static uint32_t to_epoll(int events)
{
    return (events & LOOP_IN ? EPOLLIN : 0U) | (events & LOOP_OUT ? EPOLLOUT : 0U) |
           (events & LOOP_HALF ? EPOLLRDHUP : 0U);
}

enum err loop_add(struct loop *l, struct loop_fd *w, struct error *e)
{
    struct epoll_event ev = {.events = to_epoll(w->events), .data.ptr = w};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &ev))
        return error_errno(e, ERR_IO, "epoll_ctl on descriptor %d", w->fd);
    return ERR_OK;
}

void loop_want(struct loop *l, struct loop_fd *w, int events)
{
    if (w->events == events) return;
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &ev);
    w->events = events;
}

void loop_del(struct loop *l, struct loop_fd *w)
{
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = l->at + 1; i < l->fetched_count; i++)
        if (l->fetched[i].data.ptr == w) l->fetched[i].data.ptr = NULL;
}

enum err loop_wait(struct loop *l, int64_t timeout_ms, struct error *e)
{
    int timeout = timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    int n = epoll_pwait(l->epoll, l->fetched, BATCH, timeout, &l->while_waiting);
    if (n < 0) return errno == EINTR ? ERR_OK : error_errno(e, ERR_IO, "epoll_pwait");

    l->fetched_count = n;
    for (l->at = 0; l->at < l->fetched_count; l->at++) {
        struct loop_fd *w = l->fetched[l->at].data.ptr;
        if (!w) continue;
        uint32_t got = l->fetched[l->at].events;
        int events = (got & EPOLLIN ? LOOP_IN : 0) | (got & EPOLLOUT ? LOOP_OUT : 0) |
                     (got & (EPOLLHUP | EPOLLRDHUP | EPOLLERR) ? LOOP_HUP : 0);
        w->ready(w->arg, events);
    }
    l->fetched_count = 0;
    return ERR_OK;
}
