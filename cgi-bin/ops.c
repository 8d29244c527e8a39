/* For those who look after a site. */
#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "site.h"
#include "store/claims.h"

/* GET /health: 200 while the database answers and a runner lives, else 503. */
void ops_health(struct route_match *m)
{
    struct error e = {0};
    bool alive = false;
    bool database = !runner_alive(site_of(m)->db, clock_wall_ms(), &alive, &e);
    struct buf body = {0};
    buf_fmt(&body, "{\"status\":\"%s\",\"database\":%s,\"runner\":%s}",
            database && alive ? "ok" : "unavailable", database ? "true" : "false",
            alive ? "true" : "false");
    struct response r;
    response_start(&r, m->request, database && alive ? 200 : 503);
    if (!database || !alive) response_header(&r, "Retry-After", "1");
    response_json(&r, &body);
    buf_free(&body);
}
