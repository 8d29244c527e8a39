#include "web/cors.h"

#include "web/origin.h"
#include "web/problem.h"
#include "web/response.h"

#include <string.h>
#include <strings.h>

/* Whether the request may leave something behind. */
static bool changes(const struct request *request, const struct route *row)
{
    return !(request->method & (METHOD_GET | METHOD_HEAD | METHOD_OPTIONS)) ||
           (row && row->flags & ROUTE_CHANGES);
}

static void answer_preflight(struct request *request)
{
    struct response r;
    response_start(&r, request, 204);
    response_header(&r, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
    response_header(&r, "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Prefer, Idempotency-Key, If-Match, "
                    "If-None-Match, Last-Event-ID, X-Request-ID, Cache-Control");
    response_header(&r, "Access-Control-Max-Age", "7200");
    response_body(&r, NULL, NULL, 0);
}

bool cors_admit(struct request *request, const struct route *row)
{
    const char *origin = request_header(request, "Origin");
    const char *fetch = request_header(request, "Sec-Fetch-Site");
    enum origin is = origin_of(request);
    bool preflight = request->method == METHOD_OPTIONS && origin &&
                     request_header(request, "Access-Control-Request-Method");
    bool refused = false;
    if (is == ORIGIN_FOREIGN)
        refused = preflight || changes(request, row) || (row && route_streams(request, row));
    if (is == ORIGIN_NONE)
        refused = fetch && !strcasecmp(fetch, "cross-site") && changes(request, row);
    if (refused)
        problem(request, 403, "origin_not_allowed",
                "pages of another origin may not do this; see allowed_origins");
    else if (preflight)
        answer_preflight(request);
    return !refused && !preflight;
}
