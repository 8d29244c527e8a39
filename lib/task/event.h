/* Events: one row of the log each. */
#ifndef LEAT_TASK_EVENT_H
#define LEAT_TASK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text is borrowed from the list that read the row. task is 0 and task_seq 0, task_id and group
 * NULL, where the event belongs to no task or group. */
struct event {
    int64_t seq;
    int64_t task, task_seq;
    const char *owner, *group, *task_id, *request_id;
    const char *type;
    int64_t ts;
    const char *payload; /* one JSON value on one line */
};

/* Whether this is the change of status that finishes its task. */
bool event_finishes(const struct event *ev);

/* Whether `type` may be said by a job or a publisher: dotted lower-case words, the first not one of
 * the reserved (task, group, log, file, stream), at most 100 bytes. */
bool event_type_allowed(const char *type);

/* A list of patterns, "task.*,doc.created": exact types, or a prefix ending in ".*", or "*". */
struct event_filter;

/* Parses `text` (NULL or "": no filter, *out is NULL, everything matches). False when a pattern is
 * malformed. Free with event_filter_free. */
bool event_filter_parse(struct event_filter **out, const char *text);
void event_filter_free(struct event_filter *f);
bool event_filter_match(const struct event_filter *f, const char *type); /* f may be NULL */

#endif
