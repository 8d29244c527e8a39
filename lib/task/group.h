/* A group as its readers see it. */
#ifndef LEAT_TASK_GROUP_H
#define LEAT_TASK_GROUP_H

#include "task/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One never used is {.status = "idle"} with all else zero or absent. Text is owned but status. */
struct group {
    char *owner, *name;
    const char *status; /* idle, or the word of a task status */
    char *type; /* of all its tasks in that state, as recorded when it began; NULL: several */
    char *
        error; /* of the newest task that failed, while the status is failed: one JSON object on one line
                    as in an event, or NULL */
    int64_t counts[TASK_STATUSES];
    double progress; /* of all its tasks, the finished counting 100 */
    char *context;   /* one JSON value on one line; NULL: never set, or not read */
    int64_t version;
    int64_t created_at, updated_at; /* TASK_NONE when never used */
};

void group_free(struct group *g);

/* Whether `len` bytes of UTF-8 may name a group: 1 to TASK_GROUP_MAX, no control characters, not "-", and no
 * segment "." or ".." between slashes. */
bool group_name_valid(const char *name, size_t len);

/* What group_name_valid wants, for messages. */
#define GROUP_NAME_RULE                                                                            \
    "not text of 1 to 200 bytes without control characters, other than '-', and without a "        \
    "segment '.' "                                                                                 \
    "or '..' between slashes"

#endif
