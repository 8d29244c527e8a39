/* The states of a task. The database refuses the same changes (sql/schema: tasks_transition); this
 * is the table for those who decide before they ask. */
#ifndef LEAT_TASK_STATUS_H
#define LEAT_TASK_STATUS_H

#include <stdbool.h>

enum task_status {
    TASK_PENDING,
    TASK_RUNNING,
    TASK_COMPLETED,
    TASK_FAILED,
    TASK_TIMEOUT,
    TASK_CANCELLED,
    TASK_STATUSES
};

/* The word used in documents, events and rows. */
const char *task_status_name(enum task_status status);

/* False when `name` is none of the words; *out is then unchanged. */
bool task_status_parse(const char *name, enum task_status *out);

/* Finished: nothing but an explicit retry leaves these. */
bool task_status_terminal(enum task_status status);

/* Whether the status may change so. Staying the same is not a change. */
bool task_status_allowed(enum task_status from, enum task_status to);

#endif
