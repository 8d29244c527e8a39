/* Reading the log. Nothing here writes: triggers do. */
#ifndef LEAT_STORE_EVENTS_H
#define LEAT_STORE_EVENTS_H

#include "base/buf.h"
#include "base/error.h"
#include "store/db.h"
#include "task/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whose events. Text is borrowed. */
struct event_scope {
    enum event_scope_kind { SCOPE_TASK, SCOPE_GROUP, SCOPE_OWNER, SCOPE_ALL } kind;
    int64_t task;      /* SCOPE_TASK: tasks.n */
    const char *owner; /* SCOPE_GROUP, SCOPE_OWNER */
    const char *group; /* SCOPE_GROUP */
};

/* "task", "group", "owner" or "all". */
const char *event_scope_name(enum event_scope_kind kind);

bool event_in_scope(const struct event *ev, const struct event_scope *scope);

/* Events in order; their text lives in `text`. Reuse it for the next read; free at the end. */
struct event_list {
    struct event *items;
    size_t count, cap;
    struct buf text;
    bool more; /* the read stopped at its limit, not at the newest event */
};

void event_list_free(struct event_list *l);

/* Reads events of `scope` with seq > `after`, oldest first: at most `limit`, and no further one
 * after `max_bytes` of text. Replaces what `out` held. */
enum err events_read(struct db *db, const struct event_scope *scope, int64_t after, int64_t limit,
                     size_t max_bytes, struct event_list *out, struct error *e);

/* The task (tasks.n) of the event at `seq`; ERR_NOTFOUND when there is no such event, or it is no task's. */
enum err event_task(struct db *db, int64_t seq, int64_t *n, struct error *e);

/* The payload of the newest log.append among the last events of task `n` (tasks.n) in *payload, which the caller
 * frees; NULL: there is none. */
enum err event_last_log(struct db *db, int64_t n, char **payload, struct error *e);

/* The highest seq that was ever drawn, 0 at first. */
enum err events_newest(struct db *db, int64_t *seq, struct error *e);

/* The position before the first event that is not older than `since` (wall-clock ms), in *seq, whoever's that event
 * is; *later when there is none: it lies behind the newest. Looks at some thirty events, however many there are:
 * their times grow with their positions, but for moments between an event and its commit, which are allowed for by
 * looking at the EVENTS_STRAGGLERS before as well. */
enum { EVENTS_STRAGGLERS = 256 };
enum err events_since(struct db *db, int64_t since, int64_t *seq, bool *later, struct error *e);

/* The position before the first event of the scope that is retained: 0 when nothing was deleted;
 * owner and group cursors below it are evicted. For a task: before its first event. */
enum err events_floor(struct db *db, const struct event_scope *scope, int64_t *seq,
                      struct error *e);

#endif
