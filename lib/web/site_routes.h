/* Paths of a site's own, the rows of [routes]: each stands for a request of the table of routes. A request that
 * fits a row becomes that request before its route is looked for, and everything after that is the target's. */
#ifndef LEAT_WEB_SITE_ROUTES_H
#define LEAT_WEB_SITE_ROUTES_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/error.h"
#include "web/request.h"
#include "web/route.h"

#include <stddef.h>

struct site_routes;

/* Reads the rows of `conf` for this table. ERR_INVALID names file and line: a row that is none, one that names
 * no route or whose path is one of the table's, a path that comes twice with its method, a name that is not
 * bound or bound twice. The caller frees with site_routes_close. */
enum err site_routes_open(struct site_routes **out, const struct conf *conf,
                          const struct route *table, size_t count, struct error *e);
void site_routes_close(struct site_routes *s);

/* Makes a request what the row that fits stands for (request_become). Of several rows that fit its path and
 * method: the one with the most literal segments (and literal values of the query), then the first. What the row
 * does not name of the query goes along, except for what the target says itself; a parameter that the row names
 * and the request lacks is left out of the target's query. *methods: what the path is known by where no row is
 * of the request's method, else 0. ERR_INVALID: a parameter is missing that a segment of the target needs. */
enum err site_routes_apply(const struct site_routes *s, struct request *request, unsigned *methods,
                           struct error *e);

/* Appends the paths that a web server has to pass besides those below the prefix: a line each, as a Perl
 * compatible regular expression of the decoded path, of letters, digits and -_/\.+?^$ alone. */
void site_routes_paths(const struct site_routes *s, struct buf *out);

#endif
