/* Routes: a row of methods, pattern, requirements and handler each. Everything that a path needs is a flag of
 * its row, so that nobody else has to know what the paths mean. */
#ifndef LEAT_WEB_ROUTE_H
#define LEAT_WEB_ROUTE_H

#include "task/access.h"
#include "web/request.h"

#include <stdbool.h>
#include <stddef.h>

enum { ROUTE_PARAMS_MAX = 4 };

enum route_flag {
    ROUTE_CHANGES = 1, /* may leave something behind although it is a GET */
    ROUTE_STREAM =
        2,          /* always answers a stream; others do where Accept or ?follow=1 asks for one */
    ROUTE_JSON = 4, /* takes a JSON body, of http.max_body_bytes */
    ROUTE_RAW = 8,  /* with ?type= or as lines takes any body, of http.max_raw_bytes */
};

struct exchange; /* of lib/server: one request, from its connection to its answer */

typedef void route_handler(struct exchange *x);

struct route {
    unsigned methods; /* METHOD_ bits; GET serves HEAD too, unless it may leave something behind */
    const char
        *pattern; /* below the prefix; "{id}" is a UUID, "{type}" a job type's name, "{group}" any
                            name, "-" standing for that of ?group=; other "{name}"s any one segment */
    unsigned scopes;          /* all needed, see task/access.h; 0: open to everybody */
    unsigned flags;           /* ROUTE_ bits */
    enum ticket_kind subject; /* what the first parameter names, for tickets */
    route_handler *handler;
    /* looks at a request before its body comes; false: it has answered. NULL: nothing to look at */
    bool (*admit)(struct exchange *x);
};

/* What a request has found. Parameters of the pattern in order: "/tasks/{id}/files/{name}" has two. */
struct route_match {
    const struct route *row;              /* NULL: no such path, or not by this method */
    unsigned methods;                     /* what the path answers; 0: there is no such path */
    const char *params[ROUTE_PARAMS_MAX]; /* borrowed from the request, or `group` */
    char *group;                          /* named by the query; freed by route_match_free */
};
void route_match_free(struct route_match *m);

/* The methods that a row answers. HEAD leaves nothing behind (RFC 9110, 9.2.1), so it is none of a GET that may. */
unsigned route_methods(const struct route *row);

/* Finds the row: literal segments win over "{id}" and "{type}", these over any other. Sets request->route.
 * ERR_INVALID: a group named by the query is badly encoded. */
enum err route_find(const struct route *table, size_t count, struct request *request,
                    struct route_match *out, struct error *e);

/* Whether a path of these segments below the prefix fits a row. NULL is a segment that is not known: it fits what
 * stands in braces, and a literal segment where `literal` says so. */
bool route_fits(const struct route *row, char *const *segments, size_t count, bool literal);

/* Answers a request that has found no row: 404 not_found, 405 with Allow, 204 with Allow to OPTIONS. */
void route_refuse(struct request *request, const struct route_match *m);

/* Whether the asker may: 401 when scopes are needed and nobody is identified, 403 insufficient_scope or
 * ticket_scope. False: answered. */
bool route_permits(struct request *request, const struct route *row);

/* Whether the request asks this row for a stream: by flag, Accept or ?follow=1. */
bool route_streams(const struct request *request, const struct route *row);

#endif
