/* The daemon: claims tasks, runs them as attempts, and writes what they say. One loop, no threads. */
#ifndef LEAT_RUNNER_RUNNER_H
#define LEAT_RUNNER_RUNNER_H

#include "base/conf.h"
#include "base/error.h"
#include "runner/jobenv.h"
#include "runner/notify.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct runner_options {
    const struct conf *conf;
    struct jobenv_own own;
    bool once;            /* stop when no task is due and none runs */
    int64_t idle_exit_ms; /* stop when no task has waited or run for so long; -1: never */
    rlim_t nofile;        /* soft limit of open files that jobs get */
    struct notify_options notify;
    int presence; /* descriptor of DB.runner, locked by who started us (store/runner_lock.h); -1: none */
    /* Reads the settings again for SIGHUP; the runner frees them. NULL: cannot be. */
    enum err (*reload)(void *arg, struct conf **out, struct error *e);
    void *reload_arg;
};

struct runner;

/* Opens the database (creating or upgrading it), registers, and blocks the signals of base/loop.
 * What `options` points to must outlive it. ERR_INVALID: the settings do not do; otherwise as db_open.
 * Close with runner_close. */
enum err runner_open(struct runner **out, const struct runner_options *options, struct error *e);

/* Runs until SIGTERM or SIGINT, or as the options say. ERR_OK: everything is in order, nothing runs.
 * ERR_UNSYNCED, ERR_INTERNAL, ERR_IO, …: it cannot go on; its tasks will be found as lost. */
enum err runner_run(struct runner *r, struct error *e);

/* Kills what still runs. */
void runner_close(struct runner *r);

#endif
