/* The envelope's own documents: a task, a group, an event. Pure encoders; dialects stand on top of them. */
#ifndef LEAT_RENDER_DOCUMENT_H
#define LEAT_RENDER_DOCUMENT_H

#include "base/buf.h"
#include "task/event.h"
#include "task/group.h"
#include "task/task.h"

#include <stdint.h>

/* What a document needs besides its subject. Borrowed. */
struct task_view {
    const char *prefix; /* of links: "/api" */
    const char *epoch;  /* first half of cursors */
    int64_t now;        /* for the elapsed time of what still runs */
    const char *asker;  /* links to a group of another owner name that one; NULL: none does */
};

/* Appends the task document (SPEC, section 1) as one JSON object on one line. */
void task_document(struct buf *out, const struct task *t, const struct task_view *view);

/* Appends `{"self":…,"events":…,…}`. */
void task_links(struct buf *out, const struct task *t, const struct task_view *view);

/* Appends the path of a group, "PREFIX/groups/NAME", the name percent-encoded. */
void group_path(struct buf *out, const char *prefix, const char *name);

/* How much of a group is shown. */
enum group_part {
    GROUP_WHOLE,
    GROUP_WITHOUT_CONTEXT, /* in lists and snapshots, which never hold contexts */
};

/* Appends the group document as one JSON object on one line. */
void group_document_part(struct buf *out, const struct group *g, const struct task_view *view,
                         enum group_part part);

/* Appends the envelope (SPEC, section 3) of an event as one JSON object on one line. */
void event_envelope(struct buf *out, const struct event *ev, const char *epoch);

#endif
