/* leat.fcgi: every request of a site. */
#include "handlers.h"
#include "server/server.h"
#include "streams.h"

int main(int argc, char **argv)
{
    const struct server_program program = {.name = "leat.fcgi",
                                           .routes = site_routes,
                                           .route_count = site_route_count,
                                           .overloaded = stream_overloaded};
    return server_main(&program, argc, argv);
}
