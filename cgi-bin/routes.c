/* Every route of the site, in the order of the contract. */
#include "handlers.h"

const struct route site_routes[] = {
    {METHOD_POST, "/tasks", AUTH_CREATE, ROUTE_JSON | ROUTE_RAW, TICKET_NONE, tasks_create},
    {METHOD_GET, "/tasks", AUTH_READ, 0, TICKET_NONE, tasks_list},
    {METHOD_GET, "/tasks/{id}", AUTH_READ, 0, TICKET_TASK, tasks_get},
    {METHOD_DELETE, "/tasks/{id}", AUTH_CREATE, 0, TICKET_TASK, tasks_delete},
    {METHOD_GET, "/tasks/{id}/events", AUTH_READ, ROUTE_STREAM, TICKET_TASK, follow_task},
    {METHOD_GET, "/tasks/{id}/result", AUTH_READ, 0, TICKET_TASK, tasks_result},
    {METHOD_GET, "/tasks/{id}/log", AUTH_READ, 0, TICKET_TASK, follow_task_log},
    {METHOD_GET, "/tasks/{id}/files/{name}", AUTH_READ, 0, TICKET_TASK, files_get},
    {METHOD_POST, "/tasks/{id}/cancel", AUTH_CREATE, 0, TICKET_TASK, tasks_cancel},
    {METHOD_POST, "/tasks/{id}/retry", AUTH_CREATE, 0, TICKET_TASK, tasks_retry},
    {METHOD_GET, "/groups", AUTH_READ, 0, TICKET_NONE, groups_list},
    {METHOD_GET, "/groups/{group}", AUTH_READ, 0, TICKET_GROUP, groups_get},
    {METHOD_GET, "/groups/{group}/context", AUTH_READ, 0, TICKET_GROUP, groups_context_get},
    {METHOD_PUT, "/groups/{group}/context", AUTH_PUBLISH, ROUTE_JSON, TICKET_GROUP,
     groups_context_put},
    {METHOD_GET, "/groups/{group}/events", AUTH_READ, ROUTE_STREAM, TICKET_GROUP, follow_group},
    {METHOD_POST, "/groups/{group}/events", AUTH_PUBLISH, ROUTE_JSON, TICKET_GROUP, groups_publish},
    {METHOD_POST, "/groups/{group}/cancel", AUTH_CREATE, 0, TICKET_GROUP, groups_cancel},
    {METHOD_POST, "/groups/{group}/retry", AUTH_CREATE, 0, TICKET_GROUP, groups_retry},
    {METHOD_GET, "/events", AUTH_READ, ROUTE_STREAM, TICKET_NONE, follow_owner},
    {METHOD_GET, "/run/{type}", AUTH_CREATE | AUTH_READ, ROUTE_STREAM | ROUTE_CHANGES, TICKET_RUN,
     tasks_run},
    {METHOD_GET, "/types", AUTH_CREATE, 0, TICKET_NONE, ops_types},
    {METHOD_POST, "/tickets", AUTH_READ, ROUTE_JSON, TICKET_NONE, tickets_create},
    {METHOD_GET, "/health", 0, 0, TICKET_NONE, ops_health},
    {METHOD_GET, "/metrics", AUTH_ADMIN, 0, TICKET_NONE, metrics_get},
    {METHOD_GET, "/stats", AUTH_ADMIN, 0, TICKET_NONE, metrics_stats},
    {METHOD_GET, "/openapi.json", 0, 0, TICKET_NONE, openapi_get},
};
const size_t site_route_count = sizeof site_routes / sizeof *site_routes;
