/* Whose page asks (Fetch, 3.2): the site's own, one of http.allowed_origins (`*` stands for all, without
 * cookies), or anybody's. */
#ifndef LEAT_WEB_ORIGIN_H
#define LEAT_WEB_ORIGIN_H

#include "base/buf.h"
#include "web/request.h"

enum origin {
    ORIGIN_NONE,    /* no Origin: no script, or a GET of a page of the site */
    ORIGIN_SAME,    /* the site itself */
    ORIGIN_LISTED,  /* by name */
    ORIGIN_ANY,     /* by `*` */
    ORIGIN_FOREIGN, /* anybody else, "null" too */
};

enum origin origin_of(const struct request *request);

/* Appends the header lines that let the request's page read the answer. */
void origin_headers(struct buf *head, const struct request *request);

#endif
