/* The handlers, by file. Each is described in its file, above its function. */
#ifndef LEAT_HANDLERS_H
#define LEAT_HANDLERS_H

#include "web/route.h"

/* create.c */
route_handler tasks_create, tasks_finish, tasks_run;

/* tasks.c */
route_handler tasks_list, tasks_get, tasks_result, tasks_cancel, tasks_retry, tasks_delete;

/* How many attempts a retried task of `type` gets: its type's, 1 when that is gone. `site`: the site. */
int64_t tasks_attempts(void *site, const char *type);

/* files.c */
route_handler files_get;

/* follow.c */
route_handler follow_task, follow_task_log, follow_group, follow_owner;

/* groups.c */
route_handler groups_list, groups_get, groups_context_get, groups_context_put, groups_publish,
    groups_cancel, groups_retry;

/* Whose group a request means: the asker's, or the one that an admin names with ?owner=. The caller frees;
 * NULL: refused, and answered. */
char *group_owner(struct request *request);

/* tickets.c */
route_handler tickets_create;

/* openapi.c */
route_handler openapi_get;

/* metrics.c */
route_handler metrics_get, metrics_stats;

/* ops.c */
route_handler ops_health, ops_types;

#endif
