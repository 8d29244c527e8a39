#include "task/status.h"

#include <assert.h>
#include <string.h>

#define BIT(status) (1U << (status))

static const struct {
    const char *name;
    bool terminal;
    unsigned to; /* the states that may follow */
} states[] = {
    [TASK_PENDING] = {"pending", false, BIT(TASK_RUNNING) | BIT(TASK_CANCELLED)},
    [TASK_RUNNING] = {"running", false,
                      BIT(TASK_COMPLETED) | BIT(TASK_FAILED) | BIT(TASK_TIMEOUT) |
                          BIT(TASK_CANCELLED) | BIT(TASK_PENDING)},
    [TASK_COMPLETED] = {"completed", true, 0},
    [TASK_FAILED] = {"failed", true, BIT(TASK_PENDING)},
    [TASK_TIMEOUT] = {"timeout", true, BIT(TASK_PENDING)},
    [TASK_CANCELLED] = {"cancelled", true, BIT(TASK_PENDING)},
};
static_assert(sizeof states / sizeof *states == TASK_STATUSES, "a row for each status");

const char *task_status_name(enum task_status status)
{
    return states[status].name;
}

bool task_status_parse(const char *name, enum task_status *out)
{
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        if (strcmp(states[s].name, name)) continue;
        *out = s;
        return true;
    }
    return false;
}

bool task_status_terminal(enum task_status status)
{
    return states[status].terminal;
}

bool task_status_allowed(enum task_status from, enum task_status to)
{
    return (states[from].to & BIT(to)) != 0;
}
