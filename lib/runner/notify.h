/* What a service manager wants to know: sd_notify(3), spoken without its library. Where nobody asked
 * (NOTIFY_SOCKET is not set) all of this does nothing, and nothing here ever fails a runner. */
#ifndef LEAT_RUNNER_NOTIFY_H
#define LEAT_RUNNER_NOTIFY_H

#include "base/loop.h"

/* As the environment has it; NULL: not set. */
struct notify_options {
    const char *socket;        /* NOTIFY_SOCKET: a path, or "@name" for an abstract one */
    const char *watchdog_usec; /* WATCHDOG_USEC */
    const char *watchdog_pid;  /* WATCHDOG_PID: whose life is watched; NULL: ours */
};

struct notify;

/* Copies the options. NULL when nobody asked, or its socket cannot be used (which is logged). */
struct notify *notify_open(const struct notify_options *options, struct loop *loop);
void notify_close(struct notify *n); /* all of these take NULL */

void notify_ready(struct notify *n);     /* READY=1; from then on WATCHDOG=1 while the loop turns */
void notify_reloading(struct notify *n); /* RELOADING=1: notify_ready follows */
void notify_stopping(struct notify *n);  /* STOPPING=1 */

/* STATUS=: one line for people, cut to fit. The same again is not sent again. */
void notify_status(struct notify *n, const char *text);

#endif
