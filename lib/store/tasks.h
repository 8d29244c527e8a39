/* Tasks in the database. Functions that write must run between txn_begin and txn_commit; the caller
 * chooses how durable. All times are wall-clock milliseconds given by the caller. Common errors:
 * ERR_BUSY, ERR_FULL, ERR_IO, ERR_INTERNAL. */
#ifndef LEAT_STORE_TASKS_H
#define LEAT_STORE_TASKS_H

#include "base/buf.h"
#include "base/error.h"
#include "store/db.h"
#include "task/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A task to be. Text and bytes are borrowed. */
struct task_new {
    const char *id, *owner, *type;
    const char *group; /* or NULL */
    const char *request_id;
    const char *unique; /* or NULL */
    int64_t priority;
    int64_t max_attempts;
    int64_t timeout_ms; /* TASK_NONE: the type's */
    int64_t run_at;     /* TASK_NONE: at once */
    bool serialize;     /* one such task of its group at a time */
    const char *content_type;
    const void *input; /* NULL: none, or it is an upload */
    size_t input_bytes;
    int64_t upload; /* that holds the input, complete (store/inputs.h); 0: none does */
    int64_t now;
};

/* Writes it, pending. *n gets its number. */
enum err task_create(struct db *db, const struct task_new *t, int64_t *n, struct error *e);

/* Writes several (at least one) of one owner, request and moment, none of which has `unique` or an upload, at a quarter
 * of the cost. Their numbers follow one another, from *first. */
enum err task_create_batch(struct db *db, const struct task_new *all, size_t count, int64_t *first,
                           struct error *e);

/* Reads one into *out (free with task_free). `owner` NULL: whoever's. ERR_NOTFOUND when there is none
 * or it is another owner's. */
enum err task_get(struct db *db, const char *id, const char *owner, struct task *out,
                  struct error *e);
enum err task_get_n(struct db *db, int64_t n, struct task *out, struct error *e);

/* The number of the unfinished task of this owner, type and `unique` in *n; 0 when there is none. */
enum err task_find_unique(struct db *db, const char *owner, const char *type, const char *unique,
                          int64_t *n, struct error *e);

/* The status of a task and the seq of its newest event. ERR_NOTFOUND. */
enum err task_state(struct db *db, int64_t n, enum task_status *status, int64_t *newest,
                    struct error *e);

/* A page of tasks, newest first. NULL or TASK_STATUSES: no such condition. */
struct task_query {
    const char *owner;
    const char *type, *group;
    enum task_status status;
    int64_t before; /* only n below this; INT64_MAX for the first page */
    int64_t limit;
    int64_t skip; /* so many of the newest are left out: as dear as reading them */
};

struct task_list {
    struct task *items;
    size_t count;
    bool more;
};

enum err task_list_read(struct db *db, const struct task_query *q, struct task_list *out,
                        struct error *e);
void task_list_free(struct task_list *l);

/* The unfinished tasks of an owner (NULL: of everyone), newest first, at most `limit`. */
enum err task_list_unfinished(struct db *db, const char *owner, int64_t limit,
                              struct task_list *out, struct error *e);

/* Cancels a pending task, or asks the runner of a running one to stop it. ERR_NOTFOUND; ERR_STATE when it
 * is finished. Needs TXN_SYNC_BEFORE, because a pending task is finished by this. */
enum err task_cancel(struct db *db, const char *id, const char *owner, int64_t now,
                     struct error *e);

/* The same for one whose status the caller has read in this transaction. */
enum err task_cancel_n(struct db *db, int64_t n, enum task_status status, int64_t now,
                       struct error *e);

/* Makes a failed, timed-out or cancelled task pending again, with `attempts` further attempts.
 * ERR_STATE when it is in another state. */
enum err task_retry(struct db *db, int64_t n, int64_t attempts, int64_t now, struct error *e);

/* Has the task `n`, which is in `status`, run anew with `attempts`, as if it never had: without the result, files
 * and checkpoint of its earlier run. A running one goes on, is to be stopped by its runner (claims_to_stop), and
 * waits again once it has. ERR_STATE: it waits already. */
enum err task_restart(struct db *db, int64_t n, enum task_status status, int64_t attempts,
                      int64_t now, struct error *e);

/* Deletes a finished task with its events. ERR_NOTFOUND, ERR_STATE. */
enum err task_delete(struct db *db, const char *id, const char *owner, int64_t now,
                     struct error *e);

/* Removes the finished task `n`: what an index can find of it at once, see store/retention.h for the rest.
 * Its task.deleted is of `now`. */
enum err task_remove(struct db *db, int64_t n, int64_t now, struct error *e);
/* The same for several at once, which costs each of them less: all go, or none. */
enum err task_remove_some(struct db *db, const int64_t *ns, size_t count, int64_t now,
                          struct error *e);

/* ETag of a task: changes with its events and its cancel request (RFC 9110, 8.8.3; weak). */
void task_etag(struct buf *out, const struct task *t, const char *epoch);

#endif
