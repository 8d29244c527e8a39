/* The handlers, by file. Each is described in its file, above its function. */
#ifndef LEAT_HANDLERS_H
#define LEAT_HANDLERS_H

#include "web/route.h"

/* tasks.c */
route_handler tasks_create, tasks_finish, tasks_list, tasks_get, tasks_result, tasks_cancel;

/* follow.c */
route_handler follow_task, follow_task_log, follow_group, follow_owner;

/* groups.c */
route_handler groups_get;

/* Whose group a request means: the asker's, or the one that an admin names with ?owner=. The caller frees;
 * NULL: refused, and answered. */
char *group_owner(struct request *request);

/* ops.c */
route_handler ops_health;

#endif
