/* A task as its readers see it. */
#ifndef LEAT_TASK_TASK_H
#define LEAT_TASK_TASK_H

#include "base/buf.h"
#include "base/id.h"
#include "task/cursor.h"
#include "task/file.h"
#include "task/status.h"

#include <stdbool.h>
#include <stdint.h>

#define TASK_NONE INT64_MIN /* an absent time or number: null in documents */

enum {
    TASK_OWNER_MAX = 200,
    TASK_GROUP_MAX = 200,
    TASK_PRIORITY_MAX = 100,
    TASK_STATE_MAX = 1 << 20, /* bytes of the context of a group, and of a checkpoint */
};

/* All text is owned by the struct; absent text is NULL, absent times TASK_NONE. Times are
 * milliseconds since the Unix epoch. */
struct task {
    int64_t n; /* commit order; not shown */
    char id[ID_SIZE];
    char *owner, *type, *group, *request_id;
    enum task_status status;
    int64_t priority;
    double progress;
    char *phase, *message;
    int64_t attempt, max_attempts;
    int64_t tries; /* attempts since it was last asked for, without those that lost their runner */
    int64_t timeout_ms;
    int64_t run_at, created_at, started_at, completed_at, updated_at;
    bool cancel_requested;
    char *error_code, *error_message; /* the message is the job's own words */
    bool error_retryable;
    int64_t exit_status,
        signal; /* of an error that is one of these; TASK_NONE (or 0) when it is not */
    int64_t queue_position;
    int64_t event_count, cursor; /* cursor: seq of its newest event */
    char *result;                /* one JSON value on one line */
    char *result_type;
    int64_t result_bytes;
    struct file_list files; /* that its job made */
};

void task_free(struct task *t); /* the members, not `t` itself */

/* Seconds that the attempt has taken so far or in all; -1 while it waits for one. */
double task_elapsed_seconds(const struct task *t, int64_t now);

#endif
