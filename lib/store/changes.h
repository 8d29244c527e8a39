/* What the open transaction does to the status of tasks: logged and counted once it is committed,
 * forgotten when it is not. Only in processes that count (figures_join). */
#ifndef LEAT_STORE_CHANGES_H
#define LEAT_STORE_CHANGES_H

#include "base/error.h"
#include "base/id.h"
#include "store/db.h"
#include "task/status.h"

#include <stdint.h>

enum { CHANGE_REQUEST_MAX = 128, CHANGE_TYPE_MAX = 64 };

/* A task, and the status that it leaves. */
struct change {
    char id[ID_SIZE]; /* "": nobody wants to know */
    char request_id[CHANGE_REQUEST_MAX + 1];
    char type[CHANGE_TYPE_MAX + 1];
    enum task_status from; /* TASK_STATUSES: it is new */
    int64_t since;         /* wall-clock ms */
};

/* Names a task that the caller knows. */
struct change change_of(const char *id, const char *request_id, const char *type,
                        enum task_status from, int64_t since);

struct changes;

struct changes *changes_new(void);
void changes_free(struct changes *c);

/* Looks at task `n` (tasks.n) before it changes. Errors of the store; none when there is no such task. */
enum err change_look(struct db *db, int64_t n, struct change *out, struct error *e);

/* It is `to` now. Copies *c. */
void change_note(struct db *db, const struct change *c, enum task_status to, int64_t now);

/* The transaction is over: one line `task_status_change` for each change, and the figures of waiting and
 * running; nothing of one that was not committed. For db.c. */
void changes_end(struct db *db, bool committed);

#endif
