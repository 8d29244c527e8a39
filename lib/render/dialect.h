/* Dialects: the same events, documents and lists in the words of older front ends. Pure. Each is one row of a table
 * (render/dialect_row.h), and a file of its own.
 *
 *   envelope  the contract's own
 *   flat      {"type":"status_update","status","progress","message"} and its like; any other event is
 *             {...payload,"type"}
 *   notify    {"id","timestamp","type":"task_update","task_id","data":{...}} and its like; other events are left out
 *   repo      the envelope with repo_id, repo.*, error_msg, and the site's words for the status of a group
 *
 * What a handler does, for whatever `?dialect=` names:
 *
 *   a document       dialect_task, dialect_group; also as the answer to create, cancel and retry (dialect_bare), and
 *                    as the snapshot of a stream
 *   a list           dialect_task_list, dialect_group_list; where dialect_skips says so, `skip` and `limit` are
 *                    understood besides page tokens
 *   a page of JSON   dialect_page_begin, then dialect_page_event for each event for which dialect_shows_event is true,
 *                    then dialect_page_end
 *   a stream         frame_event and frame_notice (render/frame.h), which ask themselves what is shown
 *   `types=`         dialect_types before event_filter_parse: the filter is matched against the types of the log
 *   /stats           dialect_stats
 *
 * An event is rendered from itself alone, so that a replay says what was said live. What it does not tell follows
 * from its type (created, waiting, started or cancelled while it waited: progress 0, completed: 100), or is null: a
 * task that failed may have come anywhere. Timeout and cancelled are "failed" in flat and notify. An error in words is
 * its message, which is what the job said, or else its code. A result that is too large to be shown is null beside a
 * result_url.
 *
 * In flat each message says something: the event's own words (of an error its text; else message, else phase), or
 * else what the status is called. A payload that is no object is {"payload":...,"type"}; where one has both a type and
 * a payload_type, the former is kept as payload_type.
 *
 * In notify a result that is no object is the member "result", and a member of an object result gives way to one that
 * stands there already (status, progress, ...).
 *
 * In repo the word for a status comes from the map [dialect] repo_status: that of "STATUS/TYPE", where all tasks of the
 * group that are in this status are of one type, else that of "STATUS". An event says the types itself: payload.type
 * belongs to payload.to, payload.from_type to payload.from; a document has struct group's type.
 *
 * In-band messages: flat has "connected", with the snapshot beside its members where the stream begins with one, and
 * {...payload,"type"} for the rest; notify has "sync_required" for a reset and leaves the rest out; in repo they stay
 * as they are, for they are of the stream and not of the log. A snapshot is in the dialect. */
#ifndef LEAT_RENDER_DIALECT_H
#define LEAT_RENDER_DIALECT_H

#include "base/buf.h"
#include "render/document.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dialect_kind { DIALECT_ENVELOPE, DIALECT_FLAT, DIALECT_NOTIFY, DIALECT_REPO, DIALECTS };

/* How a reader is spoken to. Zeroed: by the envelope. */
struct dialect {
    enum dialect_kind kind;
    const char *repo_status; /* a map of the settings, or NULL: words stay. Borrowed */
};

/* ---- which one ---- */

/* The kind of this name; DIALECTS when there is none. */
enum dialect_kind dialect_named(const char *name);
const char *dialect_name(enum dialect_kind kind);

/* Whether a create is answered with the task and nothing around it. */
bool dialect_bare(const struct dialect *d);

/* Whether a create is answered with the members of the task, and what the envelope has around it beside them. */
bool dialect_beside(const struct dialect *d);

/* Whether its lists of tasks understand `skip` and `limit` besides page tokens. */
bool dialect_skips(const struct dialect *d);

/* ---- events ---- */

/* Whether it has a word for events of this type: false says that none of them is ever shown. */
bool dialect_shows(const struct dialect *d, const char *type);

/* Whether it shows this event. In repo a group's change of status whose word stays the same is no event. */
bool dialect_shows_event(const struct dialect *d, const struct event *ev);

/* Appends an event as one JSON object on one line. Only where dialect_shows_event is true. */
void dialect_event(struct buf *out, const struct dialect *d, const struct event *ev,
                   const char *epoch);

/* An in-band message, never stored. Text is borrowed. */
struct notice {
    const char *type; /* stream.connected, stream.reset, stream.end */
    int64_t ts;
    const char *task_id; /* whose stream it is, or NULL: no task's */
    const char *payload; /* one JSON object on one line */
    const char *id;      /* its position, or NULL; frame_notice sets it */
};

/* Whether it has a word for this one. */
bool dialect_shows_notice(const struct dialect *d, const struct notice *n);

/* Appends it as one JSON object on one line. Only where it is shown. */
void dialect_notice(struct buf *out, const struct dialect *d, const struct notice *n);

/* Appends a filter of types (the text of `types=`; NULL or "": nothing), which may be in the words of the dialect, in
 * those of the log, for event_filter_parse: in repo "repo.*" is "group.*,repo.*", because an application may say
 * repo.* too. Malformed patterns stay malformed. What is appended has up to twice as many patterns as `types`: whoever
 * counts them counts before. */
void dialect_types(struct buf *out, const struct dialect *d, const char *types);

/* A page of events: {"events":[...],"cursor","more"}, in notify {"messages":[...],"cursor","more"}. `out` begins with
 * the page. `cursor` is the position from which the next page goes on. */
void dialect_page_begin(struct buf *out, const struct dialect *d);
void dialect_page_event(struct buf *out, const struct dialect *d, const struct event *ev,
                        const char *epoch);
void dialect_page_end(struct buf *out, int64_t cursor, bool more, const char *epoch);

/* ---- documents ---- */

/* Appends the document of a task or group as one JSON object on one line. */
void dialect_task(struct buf *out, const struct dialect *d, const struct task *t,
                  const struct task_view *view);
void dialect_group(struct buf *out, const struct dialect *d, const struct group *g,
                   const struct task_view *view);

/* The same as of a list and of a snapshot: there is no member "context", whatever the struct holds. */
void dialect_group_state(struct buf *out, const struct dialect *d, const struct group *g,
                         const struct task_view *view);

/* Appends a page of a list: {"tasks":[...],"next_page_token":""}, or "groups". `next_page_token` is text, NULL on the
 * last page. Groups of a list have no member "context", whatever their structs hold. */
void dialect_task_list(struct buf *out, const struct dialect *d, const struct task *tasks,
                       size_t count, const char *next_page_token, const struct task_view *view);
void dialect_group_list(struct buf *out, const struct dialect *d, const struct group *groups,
                        size_t count, const char *next_page_token, const struct task_view *view);

/* What older front ends want to see first in the statistics. */
struct dialect_stats {
    int64_t tasks;          /* all that there are */
    int64_t streams;        /* open at the moment, of all processes */
    int64_t resident_bytes; /* of all processes; -1: not known */
};

/* Appends the statistics: `document` (one JSON object), in notify with total_tasks, active_connections and
 * memory_usage_mb before its members. */
void dialect_stats(struct buf *out, const struct dialect *d, const char *document,
                   const struct dialect_stats *s);

#endif
