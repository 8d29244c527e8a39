/* Dialects: the same events and tasks in the words of older front ends. Each is one row of a table.
 *
 *   envelope  the contract's own
 *   flat      {"type":"status_update","status","progress","message"} and its like; any other event is
 *             {...payload,"type"}
 *   notify    {"type":"task_update","task_id","data":{...}} and its like; other events are left out
 *   repo      the envelope with repo_id, repo.*, error_msg, and the site's words for a group's states
 *
 * An event is rendered from itself alone, so that a replay says what was said live. What it does not
 * tell follows from its type (created, waiting, started or cancelled while it waited: 0, completed: 100),
 * or is null: a task that failed may have come anywhere. Timeout and cancelled are "failed" in flat and
 * notify, whose error is the text of what went wrong. A result that is too large to be shown is null
 * beside a result_url.
 *
 * In flat each message says something: the event's own words (message, else phase; of an error its
 * text), else what the status is called. A payload that is no object is {"payload":...,"type"}; where
 * one has both a type and a payload_type, the former is kept as payload_type.
 *
 * In notify a result that is no object is the member "result", and a member of an object result that
 * data has itself (status, progress, ...) gives way.
 *
 * In-band messages: flat has "connected", with the snapshot beside its members where the stream begins
 * with one, and {...payload,"type"} for the rest; notify leaves them out, as it does all else that is no
 * state of a task; in repo they stay as they are, for they are of the stream and not of the log. A snapshot
 * is in the dialect. */
#ifndef LEAT_SSE_DIALECT_H
#define LEAT_SSE_DIALECT_H

#include "base/buf.h"
#include "task/event.h"
#include "task/group.h"
#include "task/task.h"

#include <stdbool.h>
#include <stdint.h>

enum dialect_kind { DIALECT_ENVELOPE, DIALECT_FLAT, DIALECT_NOTIFY, DIALECT_REPO, DIALECTS };

/* How a reader is spoken to. Zeroed: by the envelope. */
struct dialect {
    enum dialect_kind kind;
    const char *repo_status; /* a map of the settings, or NULL: words stay. Borrowed */
};

/* The kind of this name; DIALECTS when there is none. */
enum dialect_kind dialect_named(const char *name);
const char *dialect_name(enum dialect_kind kind);

/* Whether it has a word for events of this type. */
bool dialect_shows(const struct dialect *d, const char *type);

/* Appends an event as one JSON object on one line. Only for types that are shown. */
void dialect_event(struct buf *out, const struct dialect *d, const struct event *ev,
                   const char *epoch);

/* An in-band message, never stored. Text is borrowed. */
struct notice {
    const char *type; /* stream.connected, stream.reset, stream.end */
    int64_t ts;
    const char *task_id; /* whose stream it is, or NULL: no task's */
    const char *payload; /* one JSON object on one line */
};

/* Whether it has a word for these. */
bool dialect_shows_notices(const struct dialect *d);

/* Appends it as one JSON object on one line. Only where they are shown. */
void dialect_notice(struct buf *out, const struct dialect *d, const struct notice *n);

/* Appends the document of a task or group as one JSON object on one line. */
void dialect_task(struct buf *out, const struct dialect *d, const struct task *t,
                  const struct task_view *view);
void dialect_group(struct buf *out, const struct dialect *d, const struct group *g,
                   const char *prefix);

/* Whether a create is answered with the task and nothing around it. */
bool dialect_bare(const struct dialect *d);

#endif
