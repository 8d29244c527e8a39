/* The handlers, by file, and the table of routes. Each is described in its file, above its function. */
#ifndef LEAT_HANDLERS_H
#define LEAT_HANDLERS_H

#include "web/route.h"

#include <stdbool.h>
#include <stddef.h>

/* The one table of routes (routes.c). */
extern const struct route site_routes[];
extern const size_t site_route_count;

/* create.c */
route_handler tasks_create, tasks_run;
bool tasks_admit(struct exchange *x);

/* tasks.c */
route_handler tasks_list, tasks_get, tasks_result, tasks_cancel, tasks_retry, tasks_delete;

/* files.c */
route_handler files_get;

/* streams.c */
route_handler follow_task, follow_task_log, follow_group, follow_owner;

/* groups.c */
route_handler groups_list, groups_get, groups_context_get, groups_context_put, groups_publish,
    groups_cancel, groups_retry;

/* tickets.c */
route_handler tickets_create;

/* openapi.c */
route_handler openapi_get;

/* metrics.c */
route_handler metrics_get, metrics_stats;

/* ops.c */
route_handler ops_health;

/* types.c */
route_handler types_list, types_pause, types_resume;

#endif
