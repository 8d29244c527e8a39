#include "base/loop.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BATCH = 256,
    CHILD_POLL_MS = 20, /* between two looks at a child where the system has no pidfd */
};

struct loop {
    int epoll;
    sigset_t while_waiting;
    struct epoll_event fetched[BATCH];
    int fetched_count;
    int at; /* the one whose callback runs */

    /* A binary heap in heap[1] to heap[timers], the earliest first. Invariant: heap[t->place] == t. */
    struct loop_timer **heap;
    size_t timers, room;

    /* Those that fire in this turn, taken from the heap before the first is called back; NULL: stopped or
     * moved meanwhile. Invariant: due[SIZE_MAX - t->place] == t. */
    struct loop_timer **due;
    size_t due_count, due_room;
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
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
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
    signal(SIGCHLD,
           SIG_DFL); /* ignored, as it may have been inherited, nobody could wait for a child */
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
    free(l->heap);
    free(l->due);
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

/* ---- timers ------------------------------------------------------------------------------------- */

static void put(struct loop *l, size_t place, struct loop_timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

/* Puts `t` into the hole at `place`, or nearer to the root where those above it are later. */
static void sift_up(struct loop *l, size_t place, struct loop_timer *t)
{
    for (; place > 1 && l->heap[place / 2]->at > t->at; place /= 2)
        put(l, place, l->heap[place / 2]);
    put(l, place, t);
}

/* The same, farther from the root where those below are earlier. */
static void sift_down(struct loop *l, size_t place, struct loop_timer *t)
{
    for (size_t child; (child = place * 2) <= l->timers; place = child) {
        if (child < l->timers && l->heap[child + 1]->at < l->heap[child]->at) child++;
        if (l->heap[child]->at >= t->at) break;
        put(l, place, l->heap[child]);
    }
    put(l, place, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t place = t->place;
    if (!place) return;
    t->place = 0;
    if (SIZE_MAX - place < l->due_count) {
        l->due[SIZE_MAX - place] = NULL;
        return;
    }
    struct loop_timer *last = l->heap[l->timers--];
    if (last == t) return;
    if (place > 1 && l->heap[place / 2]->at > last->at)
        sift_up(l, place, last);
    else
        sift_down(l, place, last);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
    loop_timer_stop(l, t);
    if (l->timers + 1 >= l->room) {
        l->room = l->room ? l->room * 2 : 64;
        l->heap = mem_grow(l->heap, l->room, sizeof(struct loop_timer *));
    }
    t->at = at_ms;
    sift_up(l, ++l->timers, t);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
    return t->place != 0;
}

/* Takes what is due from the heap, so that what the callbacks set waits for the next turn. */
static void collect_due(struct loop *l)
{
    int64_t now = clock_monotonic_ms();
    while (l->timers && l->heap[1]->at <= now) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        if (l->due_count == l->due_room) {
            l->due_room = l->due_room ? l->due_room * 2 : 64;
            l->due = mem_grow(l->due, l->due_room, sizeof(struct loop_timer *));
        }
        t->place = SIZE_MAX - l->due_count;
        l->due[l->due_count++] = t;
    }
}

static void fire_due(struct loop *l)
{
    if (!l->timers) return;
    collect_due(l);
    for (size_t i = 0; i < l->due_count; i++) {
        struct loop_timer *t = l->due[i];
        if (!t) continue;
        l->due[i] = NULL;
        t->place = 0;
        t->fire(t->arg);
    }
    l->due_count = 0;
}

/* ---- children ----------------------------------------------------------------------------------- */

/* Whether the child has ended; reaps it then, unless its owner will. One that somebody else has reaped has
 * ended with status 0. */
static bool has_ended(const struct loop_child *c, int *status)
{
    siginfo_t info = {0};
    *status = 0;
    if (!c->owner_reaps) return waitpid(c->pid, status, WNOHANG) != 0;
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT)) return true;
    *status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    return info.si_pid != 0;
}

static void look(struct loop_child *c)
{
    int status;
    if (!has_ended(c, &status)) {
        if (c->fd.fd < 0) loop_timer_set(c->loop, &c->poll, clock_monotonic_ms() + CHILD_POLL_MS);
        return;
    }
    loop_child_del(c->loop, c);
    c->ended(c->arg, status);
}

static void pidfd_ready(void *arg, int events)
{
    (void)events;
    look(arg);
}

static void poll_child(void *arg)
{
    look(arg);
}

enum err loop_child_add(struct loop *l, struct loop_child *c, struct error *e)
{
    int fd = (int)syscall(SYS_pidfd_open, c->pid, 0); /* close-on-exec */
    if (fd < 0 && (errno == ESRCH || errno == EINVAL))
        return error_errno(e, ERR_IO, "pidfd_open of child %d", (int)c->pid);
    c->loop = l;
    c->fd = (struct loop_fd){.fd = fd, .events = LOOP_IN, .ready = pidfd_ready, .arg = c};
    c->poll = (struct loop_timer){.fire = poll_child, .arg = c};
    if (fd >= 0 && loop_add(l, &c->fd, NULL)) {
        close(fd);
        c->fd.fd = -1;
    }
    if (c->fd.fd < 0) loop_timer_set(l, &c->poll, clock_monotonic_ms());
    return ERR_OK;
}

void loop_child_del(struct loop *l, struct loop_child *c)
{
    if (!c->loop) return;
    c->loop = NULL;
    loop_timer_stop(l, &c->poll);
    if (c->fd.fd < 0) return;
    loop_del(l, &c->fd);
    close(c->fd.fd);
}

/* ---- the turn ----------------------------------------------------------------------------------- */

/* For epoll: how long to wait at most. */
static int wait_of(const struct loop *l, int64_t timeout_ms)
{
    if (l->timers) {
        int64_t left = l->heap[1]->at - clock_monotonic_ms();
        if (left < 0) left = 0;
        if (timeout_ms < 0 || left < timeout_ms) timeout_ms = left;
    }
    return timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
}

bool loop_is_due(const struct loop *l)
{
    struct pollfd any = {.fd = l->epoll, .events = POLLIN};
    return !wait_of(l, -1) || poll(&any, 1, 0) > 0;
}

enum err loop_wait(struct loop *l, int64_t timeout_ms, struct error *e)
{
    int n = epoll_pwait(l->epoll, l->fetched, BATCH, wait_of(l, timeout_ms), &l->while_waiting);
    if (n < 0 && errno != EINTR) return error_errno(e, ERR_IO, "epoll_pwait");

    l->fetched_count = n < 0 ? 0 : n;
    for (l->at = 0; l->at < l->fetched_count; l->at++) {
        struct loop_fd *w = l->fetched[l->at].data.ptr;
        if (!w) continue;
        uint32_t got = l->fetched[l->at].events;
        int events = (got & EPOLLIN ? LOOP_IN : 0) | (got & EPOLLOUT ? LOOP_OUT : 0) |
                     (got & (EPOLLHUP | EPOLLRDHUP | EPOLLERR) ? LOOP_HUP : 0);
        w->ready(w->arg, events);
    }
    l->fetched_count = 0;
    fire_due(l);
    return ERR_OK;
}
