/* Other people's pages: which of them may use this site (Fetch, 3.2), and which requests a browser may not
 * carry here for them.
 *
 * The site's own pages always may. http.allowed_origins names others; `*` stands for all, without
 * cookies. What changes something or starts a stream is refused from anywhere else, before it does. */
#ifndef LEAT_WEB_CORS_H
#define LEAT_WEB_CORS_H

#include "web/request.h"
#include "web/route.h"

#include <stdbool.h>

/* Whether the request may go on to `row` (NULL: it has found none). False: answered, with 204 to a preflight or with 403
 * origin_not_allowed. */
bool cors_admit(struct request *request, const struct route *row);

#endif
