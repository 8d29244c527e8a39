/* Processes that have left the process group of their job, so that its end did not end them (daemons, say). Whoever
 * asks is told whether there are any: they may still be at work in a folder that their job was given.
 *
 * They become children of this process when their parent ends (PR_SET_CHILD_SUBREAPER of prctl(2)), and are known by
 * not being children that it has made. */
#ifndef LEAT_SPAWN_ESCAPED_H
#define LEAT_SPAWN_ESCAPED_H

#include <stdbool.h>
#include <stdint.h>

struct escaped {
    int children; /* descriptor of the system's list of them; -1: there is none */
    bool (*ours)(void *arg, int64_t pid); /* whether the process has made that child */
    void *arg;
};

/* Call it before any child is made. */
void escaped_open(struct escaped *x, bool (*ours)(void *arg, int64_t pid), void *arg);
void escaped_close(struct escaped *x);

/* Whether there is one that lives, or that cannot be told. Takes those that have ended off the process table. */
bool escaped_any(const struct escaped *x);

#endif
