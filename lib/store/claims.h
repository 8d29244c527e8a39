/* What a runner does to tasks. A claim is a lease: (runner, attempt) is written into the task, and every
 * later write of that runner names both and changes nothing when they are no longer there
 * (ERR_FENCED), so that a runner that was only asleep cannot overwrite. Functions that write must run
 * between txn_begin and txn_commit; those that end a task need TXN_SYNC_BEFORE. */
#ifndef LEAT_STORE_CLAIMS_H
#define LEAT_STORE_CLAIMS_H

#include "base/error.h"
#include "store/db.h"
#include "task/process_id.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The right to write about one running task. */
struct claim {
    int64_t n, runner, attempt;
};

/* Registers a living runner; *id is its own from now on. One that had an id keeps it; 0: a new one. */
enum err runner_register(struct db *db, const struct process_id *self, const char *boot_id,
                         int64_t now, int64_t seen_until, int64_t *id, struct error *e);

/* Says that it still lives, and moves the leases of all it runs to `lease_until`. ERR_NOTFOUND: it was
 * taken for dead so long ago that it is registered no more. */
enum err runner_renew(struct db *db, int64_t id, int64_t seen_until, int64_t lease_until,
                      struct error *e);

/* It stops: no longer counted as living. */
enum err runner_leave(struct db *db, int64_t id, int64_t now, struct error *e);

/* Whether any runner lives at `now`. */
enum err runner_alive(struct db *db, int64_t now, bool *alive, struct error *e);

/* What is to be claimed. */
struct claim_wish {
    int64_t runner, now, lease_until;
    struct process_id child; /* that waits to run it; .pid 0: none is recorded */
    /* How many tasks of a type may run at a time, on all runners together: a JSON object, or NULL. A
     * type that is not in it has no bound that is known. */
    const char *bounds;
    /* Asked, unless NULL, before a task is claimed of a type of which `running` run. False: `bounds`
     * now has a bound for it that says no. */
    bool (*may)(void *arg, const char *type, int64_t running, const char **bounds);
    void *arg;
};

/* Claims the next task: of the owner served longest ago, the highest priority, then age. *out is the task,
 * running, its attempt counted (free with task_free). ERR_NOTFOUND when none is due. Also then it may have
 * written (claims_promote): commit. */
enum err claim_next(struct db *db, const struct claim_wish *wish, struct task *out,
                    struct error *e);

/* Puts tasks whose time has come into the queue, some in each call. claim_next does it too; whoever cannot claim
 * does it now and then, so that they are seen to wait (queue_position). */
enum err claims_promote(struct db *db, int64_t now, struct error *e);

/* When the next task of a type that is below its bound is ready, or the time of one comes, whatever its type: then
 * claim_next is to be called. INT64_MAX when none waits. */
enum err claim_next_due(struct db *db, int64_t now, const char *bounds, int64_t *due,
                        struct error *e);

/* What a job says is dropped once a bound of db_limits is reached; the first that is dropped leaves a warning
 * in the task's log. Progress, files and changes of status are never dropped. */

/* The child that runs the claim now; pid 0: none was recorded yet. */
enum err claim_child(struct db *db, const struct claim *c, struct process_id *child,
                     struct error *e);

/* Progress; percent < 0 and NULL text leave the column as it is. */
enum err claim_progress(struct db *db, const struct claim *c, double percent, const char *phase,
                        const char *message, int64_t now, struct error *e);

/* Any other event of the task. `payload` is one JSON value, which the log gets on one line. *dropped (may be NULL): a
 * bound is reached, and it was not written. */
enum err claim_event(struct db *db, const struct claim *c, const char *type, const char *payload,
                     int64_t now, bool *dropped, struct error *e);

/* The same for several, in their order: the claim is looked at once. *dropped: from one on they were not written. */
struct claim_line {
    const char *type, *payload; /* borrowed */
    int64_t now;
};
enum err claim_lines(struct db *db, const struct claim *c, const struct claim_line *lines,
                     size_t count, bool *dropped, struct error *e);

/* What this attempt saves for the next one: one JSON value, instead of what was saved before. */
enum err claim_checkpoint(struct db *db, const struct claim *c, const char *json, struct error *e);

/* What an earlier attempt of task `n` saved, or NULL; the caller frees. */
enum err claim_checkpoint_get(struct db *db, int64_t n, char **json, struct error *e);

/* How an attempt ended. Text and bytes are borrowed. */
struct claim_end {
    enum task_status status;                /* a terminal one, or TASK_PENDING: again, at run_at */
    int64_t run_at;                         /* TASK_NONE: at once */
    bool attempt_unspent;                   /* back to pending without counting this attempt */
    bool lost;                              /* the runner was lost: counted apart */
    const char *error_code, *error_message; /* NULL: no error */
    bool error_retryable;
    int exit_status, signal; /* that the process ended with, if that is the error; else 0 */
    const void *result;      /* TASK_COMPLETED only; NULL: none */
    size_t result_bytes;
    const char *result_type;
    const char *result_inline; /* the JSON value for documents, or NULL */
    const char *result_url;
    /* TASK_COMPLETED only: the new context of the group, JSON; NULL: as it was. Where the version of the group's is
     * no longer the one that the job was given, that stays and this goes into the log (group.context_conflict). */
    const char *context;
    int64_t context_version;
    int64_t now;
};

enum err claim_finish(struct db *db, const struct claim *c, const struct claim_end *end,
                      struct error *e);

/* A running task, as its runner's supervisor or a rescuer needs it. */
struct running {
    struct claim claim;
    char id[ID_SIZE];
    char type[65];
    int64_t max_attempts, lost;
    struct process_id child;  /* pid 0: none was recorded */
    struct process_id runner; /* who claimed it */
    char runner_boot[ID_SIZE];
    int64_t lease_until;
};

struct running_list {
    struct running *items;
    size_t count;
};
void running_list_free(struct running_list *l);

/* What somebody asked for while a task runs. The last word counts: at most one is set. */
struct claim_asked {
    bool cancel;  /* it is to end as cancelled */
    bool restart; /* it is to wait again and run anew, however it ends (task_restart) */
};

/* For task `n`; neither where there is no such task. */
enum err claim_asked(struct db *db, int64_t n, struct claim_asked *out, struct error *e);

/* Tasks of this runner of which one of these is asked. */
enum err claims_to_stop(struct db *db, int64_t runner, struct running_list *out, struct error *e);

/* Running tasks that no runner may be living for: of other runners, whose lease ended before `now`
 * or whose runner said goodbye, or `all_others`: every one of other runners, for the caller to
 * find out who still lives. */
enum err claims_abandoned(struct db *db, int64_t runner, int64_t now, bool all_others,
                          struct running_list *out, struct error *e);

#endif
