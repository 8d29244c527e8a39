/* Waiting for tasks: what they say is handed on as it comes, until all of them have ended or whoever watches leaves.
 * Waits at the bell, as the loop of leat.fcgi does. */
#ifndef LEAT_CLI_WATCHER_H
#define LEAT_CLI_WATCHER_H

#include "cli/command.h"
#include "task/event.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>

/* One of the tasks. */
struct watched {
    struct task task; /* as it was last read */
    int64_t after;    /* events up to this seq were handed on */
    bool ended;       /* nothing more is to come */
    bool gone;        /* ... because it was deleted */
};

/* Who is told. Any may be NULL. */
struct watcher_hooks {
    void (*event)(void *arg, size_t at, const struct event *ev); /* of task number `at` */
    void (*looked)(void *arg); /* all that is new was handed on; also once a second */
    void (*say)(void *arg, const char *line); /* something for the person at the keyboard */
    void *arg;
};

enum { WATCHER_TASKS_MAX = 1000 };

struct watcher {
    struct cli *cli;
    struct watcher_hooks hooks;
    struct watched *items;
    size_t count;
    bool detached;    /* whoever watched has left */
    bool cancelling;  /* ... or wants the tasks to end */
    const char *back; /* the command that comes back: "watch", "wait", "log -f" */
};

/* Adds a task, which it takes over. Events with seq > `after` are handed on. */
void watcher_add(struct watcher *w, struct task *t, int64_t after);

/* Adds the tasks that are named, of which nothing was handed on. EX_OK, or 65 after saying why. */
int watcher_add_named(struct watcher *w, int argc, char **argv);

/* Waits for all. EX_OK, or another status after saying why: what became of the tasks says watcher_status. */
int watcher_run(struct watcher *w);

/* The exit status that tells what became of them: that of the first that is not 0; 130: left. */
int watcher_status(const struct watcher *w);

/* Ends what can be done without an end; the struct's members. */
void watcher_free(struct watcher *w);

#endif
