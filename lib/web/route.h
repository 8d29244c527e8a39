/* Routes: a row of methods, pattern and handler each; requirements are checked in one place. */
#ifndef LEAT_WEB_ROUTE_H
#define LEAT_WEB_ROUTE_H

#include "web/request.h"

#include <stddef.h>

enum { ROUTE_PARAMS_MAX = 4 };

/* What a handler gets. Parameters of the pattern in order: "/tasks/{id}/files/{name}" has two. */
struct route_match {
    struct request *request;
    const char *params[ROUTE_PARAMS_MAX]; /* borrowed from the request */
    void *site;                           /* what the program gave to route_dispatch */
};

typedef void route_handler(struct route_match *m);

struct route {
    unsigned methods;    /* METHOD_ bits; GET serves HEAD too */
    const char *pattern; /* below the prefix; "{id}" is a UUID, "{type}" a job type's name, other
                            "{name}"s any one segment */
    unsigned scopes;     /* all needed, see task/access.h; 0: open to everybody */
    route_handler *handler;
};

/* Finds the route and calls its handler. Answers itself: 404 not_found, 405 with Allow, 401 when
 * scopes are needed and nobody is identified, 403 insufficient_scope or ticket_scope, 204 with Allow to
 * OPTIONS. */
void route_dispatch(const struct route *table, size_t count, struct request *request, void *site);

#endif
