/* Every route of the site, in the order of the contract. */
#include "handlers.h"
#include "site.h"

const struct route site_routes[] = {
    {METHOD_POST, "/tasks", AUTH_CREATE, tasks_create},
    {METHOD_GET, "/tasks", AUTH_READ, tasks_list},
    {METHOD_GET, "/tasks/{id}", AUTH_READ, tasks_get},
    {METHOD_DELETE, "/tasks/{id}", AUTH_CREATE, tasks_delete},
    {METHOD_GET, "/tasks/{id}/events", AUTH_READ, follow_task},
    {METHOD_GET, "/tasks/{id}/result", AUTH_READ, tasks_result},
    {METHOD_GET, "/tasks/{id}/log", AUTH_READ, follow_task_log},
    {METHOD_GET, "/tasks/{id}/files/{name}", AUTH_READ, files_get},
    {METHOD_POST, "/tasks/{id}/cancel", AUTH_CREATE, tasks_cancel},
    {METHOD_POST, "/tasks/{id}/retry", AUTH_CREATE, tasks_retry},
    {METHOD_GET, "/groups", AUTH_READ, groups_list},
    {METHOD_GET, "/groups/{group}", AUTH_READ, groups_get},
    {METHOD_GET, "/groups/{group}/context", AUTH_READ, groups_context_get},
    {METHOD_PUT, "/groups/{group}/context", AUTH_PUBLISH, groups_context_put},
    {METHOD_GET, "/groups/{group}/events", AUTH_READ, follow_group},
    {METHOD_POST, "/groups/{group}/events", AUTH_PUBLISH, groups_publish},
    {METHOD_POST, "/groups/{group}/cancel", AUTH_CREATE, groups_cancel},
    {METHOD_POST, "/groups/{group}/retry", AUTH_CREATE, groups_retry},
    {METHOD_GET, "/events", AUTH_READ, follow_owner},
    {METHOD_GET, "/run/{type}", AUTH_CREATE | AUTH_READ, tasks_run},
    {METHOD_GET, "/types", AUTH_CREATE, ops_types},
    {METHOD_POST, "/tickets", AUTH_READ, tickets_create},
    {METHOD_GET, "/health", 0, ops_health},
    {METHOD_GET, "/metrics", AUTH_ADMIN, metrics_get},
    {METHOD_GET, "/stats", AUTH_ADMIN, metrics_stats},
    {METHOD_GET, "/openapi.json", 0, openapi_get},
    /* Where the web server sends a POST that waits (http.accel_redirect). */
    {METHOD_GET, "/internal/tasks/{id}", AUTH_CREATE, tasks_finish},
};
const size_t site_route_count = sizeof site_routes / sizeof *site_routes;
