#include "web/cors.h"

#include "base/conf.h"
#include "web/problem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum origin {
    ORIGIN_NONE,    /* no Origin: no script, or a GET of a page of the site */
    ORIGIN_SAME,    /* the site itself */
    ORIGIN_LISTED,  /* by name */
    ORIGIN_ANY,     /* by `*` */
    ORIGIN_FOREIGN, /* anybody else, "null" too */
};

/* Whether `host` (of a Host header, perhaps with a default port) is the authority of an origin. */
static bool same_host(const char *authority, const char *host, bool tls)
{
    const char *port = tls ? ":443" : ":80";
    size_t len = strlen(host), tail = strlen(port);
    if (len > tail && !strcmp(host + len - tail, port)) len -= tail;
    return strlen(authority) == len && !strncasecmp(authority, host, len);
}

/* Whether the first item of a list (NULL: none) is `word`. */
static bool first_is(const char *list, const char *word)
{
    size_t len = list ? strcspn(list, ", ") : 0;
    return len == strlen(word) && !strncasecmp(list, word, len);
}

/* Whether the page is of this site: scheme and host are those that were asked. The scheme is the web
 * server's, or that of a proxy before it. No page can forge either header, and where a browser says
 * itself that both are one, it knows better than we do behind proxies. */
static bool same_origin(const struct request *request, const char *origin)
{
    const char *fetch = request_header(request, "Sec-Fetch-Site");
    if (fetch && !strcasecmp(fetch, "same-origin")) return true;

    const char *host = request_header(request, "Host");
    const char *scheme = conn_param(request->conn, "REQUEST_SCHEME");
    const char *https = conn_param(request->conn, "HTTPS");
    const char *proxy = request_header(request, "X-Forwarded-Proto");
    if (!scheme || !*scheme)
        scheme = https && *https && strcasecmp(https, "off") != 0 ? "https" : "http";
    bool tls = !strncasecmp(origin, "https://", 8);
    const char *wanted = tls ? "https" : "http";
    if (!host || (!tls && strncasecmp(origin, "http://", 7) != 0)) return false;
    if (strcasecmp(scheme, wanted) != 0 && !first_is(proxy, wanted)) return false;
    return same_host(origin + strlen(wanted) + 3, host, tls);
}

static enum origin judge(const struct request *request, const char *origin)
{
    if (!origin) return ORIGIN_NONE;
    if (same_origin(request, origin)) return ORIGIN_SAME;
    const char *rest = conf_text(request->conf, CONF_HTTP_ALLOWED_ORIGINS), *item;
    enum origin is = ORIGIN_FOREIGN;
    size_t len;
    while (rest && (item = conf_item(&rest, &len))) {
        if (strlen(origin) == len && !strncasecmp(origin, item, len)) return ORIGIN_LISTED;
        if (len == 1 && *item == '*') is = ORIGIN_ANY;
    }
    return is;
}

static bool segment_is(const struct request *request, size_t i, const char *text)
{
    return i < request->segment_count && !strcmp(request->segments[i], text);
}

/* Whether the request may leave something behind. /run/{type} creates by GET. */
static bool changes(const struct request *request)
{
    return !(request->method & (METHOD_GET | METHOD_HEAD | METHOD_OPTIONS)) ||
           segment_is(request, 0, "run");
}

static bool streams(const struct request *request)
{
    char *follow = NULL;
    request_query(request, "follow", &follow, NULL);
    bool follows = follow && !strcmp(follow, "1");
    free(follow);
    return follows || request_accepts(request, "text/event-stream") ||
           (request->segment_count && segment_is(request, request->segment_count - 1, "events"));
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

bool cors_admit(struct request *request)
{
    const char *origin = request_header(request, "Origin");
    const char *fetch = request_header(request, "Sec-Fetch-Site");
    enum origin is = judge(request, origin);
    bool preflight = request->method == METHOD_OPTIONS && origin &&
                     request_header(request, "Access-Control-Request-Method");
    bool refused = false;
    if (is == ORIGIN_FOREIGN) refused = preflight || changes(request) || streams(request);
    if (is == ORIGIN_NONE) refused = fetch && !strcasecmp(fetch, "cross-site") && changes(request);
    if (refused)
        problem(request, 403, "origin_not_allowed",
                "pages of another origin may not do this; see allowed_origins");
    else if (preflight)
        answer_preflight(request);
    return !refused && !preflight;
}

void cors_headers(struct response *r)
{
    const struct request *request = r->request;
    if (!request->conf || !conf_text(request->conf, CONF_HTTP_ALLOWED_ORIGINS)) return;
    const char *origin = request_header(request, "Origin");
    enum origin is = judge(request, origin);
    /* also where there is no Origin: the answer to others differs */
    response_header(r, "Vary", "Origin");
    if (is != ORIGIN_LISTED && is != ORIGIN_ANY) return;
    response_header(r, "Access-Control-Allow-Origin", is == ORIGIN_LISTED ? origin : "*");
    if (is == ORIGIN_LISTED) response_header(r, "Access-Control-Allow-Credentials", "true");
    response_header(r, "Access-Control-Expose-Headers",
                    "Location, ETag, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID, "
                    "Preference-Applied");
}
