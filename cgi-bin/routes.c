/* Every route of the site, in the order of the contract. */
#include "handlers.h"
#include "site.h"

const struct route site_routes[] = {
    {METHOD_POST, "/tasks", AUTH_CREATE, tasks_create},
    {METHOD_GET, "/tasks", AUTH_READ, tasks_list},
    {METHOD_GET, "/tasks/{id}", AUTH_READ, tasks_get},
    {METHOD_GET, "/tasks/{id}/events", AUTH_READ, follow_task},
    {METHOD_GET, "/tasks/{id}/result", AUTH_READ, tasks_result},
    {METHOD_GET, "/tasks/{id}/log", AUTH_READ, follow_task_log},
    {METHOD_POST, "/tasks/{id}/cancel", AUTH_CREATE, tasks_cancel},
    {METHOD_GET, "/groups/{group}", AUTH_READ, groups_get},
    {METHOD_GET, "/groups/{group}/events", AUTH_READ, follow_group},
    {METHOD_GET, "/events", AUTH_READ, follow_owner},
    {METHOD_GET, "/health", 0, ops_health},
    /* Where the web server sends a POST that waits (http.accel_redirect). */
    {METHOD_GET, "/internal/tasks/{id}", AUTH_CREATE, tasks_finish},
};
const size_t site_route_count = sizeof site_routes / sizeof *site_routes;
