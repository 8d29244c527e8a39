/* What the open transaction does to the status of tasks: logged, and told to who counts, once it is committed;
 * forgotten when it is not. Only where somebody watches. */
#ifndef LEAT_STORE_TRANSITIONS_H
#define LEAT_STORE_TRANSITIONS_H

#include "base/error.h"
#include "base/id.h"
#include "store/db.h"
#include "task/status.h"

#include <stdint.h>

enum { TRANSITION_REQUEST_MAX = 128, TRANSITION_TYPE_MAX = 64 };

/* A task, and the status that it leaves. */
struct transition {
    char id[ID_SIZE]; /* "": nobody watches */
    char request_id[TRANSITION_REQUEST_MAX + 1];
    char type[TRANSITION_TYPE_MAX + 1];
    enum task_status from; /* TASK_STATUSES: it is new */
    int64_t since;         /* wall-clock ms */
};

/* From now on each transition that is committed is logged (a line `task_status_change`) and given to
 * `committed`, with the new status and how long the old one lasted. One watcher a database; it takes the place
 * of txn_on_end. */
void transitions_watch(struct db *db,
                       void (*committed)(void *arg, const struct transition *t, enum task_status to,
                                         int64_t elapsed_ms),
                       void *arg);

/* Ends that, before db_close. Harmless when nobody watches. */
void transitions_unwatch(struct db *db);

/* ---- for those who change tasks ---- */

/* Names a task that the caller knows. */
struct transition transition_of(const char *id, const char *request_id, const char *type,
                                enum task_status from, int64_t since);

/* Looks at task `n` (tasks.n) before it changes. Errors of the store; none when there is no such task. */
enum err transition_look(struct db *db, int64_t n, struct transition *out, struct error *e);

/* It is `to` now. Copies *t. */
void transition_note(struct db *db, const struct transition *t, enum task_status to, int64_t now);

#endif
