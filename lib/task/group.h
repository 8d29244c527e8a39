/* A group as its readers see it, and its document. */
#ifndef LEAT_TASK_GROUP_H
#define LEAT_TASK_GROUP_H

#include "base/buf.h"
#include "task/status.h"

#include <stdint.h>

/* One never used is {.status = "idle"} with all else zero or absent. Text is owned but status. */
struct group {
    char *owner, *name;
    const char *status; /* idle, or the word of a task status */
    int64_t counts[TASK_STATUSES];
    double progress; /* of all its tasks, the finished counting 100 */
    char *context;   /* one JSON value on one line, or NULL */
    int64_t version;
    int64_t created_at, updated_at; /* TASK_NONE when never used */
};

void group_free(struct group *g);

/* Appends the path of a group, "PREFIX/groups/NAME", the name percent-encoded. */
void group_path(struct buf *out, const char *prefix, const char *name);

/* Appends the group document as one JSON object on one line; `prefix` is that of links. */
void group_document(struct buf *out, const struct group *g, const char *prefix);

#endif
