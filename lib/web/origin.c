#include "web/origin.h"

#include "base/conf.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Whether `host` (of a Host header, perhaps with a default port) is the authority of an origin. */
static bool same_host(const char *authority, const char *host, bool tls)
{
    const char *port = tls ? ":443" : ":80";
    size_t len = strlen(host), tail = strlen(port);
    if (len > tail && !strcmp(host + len - tail, port)) len -= tail;
    return strlen(authority) == len && !strncasecmp(authority, host, len);
}

/* Whether the page is of this site: scheme and host are those that were asked. No page can forge the header
 * Origin, and where a browser says itself that both are one, it knows better than we do behind proxies. */
static bool same_origin(const struct request *request, const char *origin)
{
    const char *fetch = request_header(request, "Sec-Fetch-Site");
    if (fetch && !strcasecmp(fetch, "same-origin")) return true;

    const char *host = request_header(request, "Host");
    bool tls = request_tls(request);
    const char *scheme = tls ? "https://" : "http://";
    size_t len = strlen(scheme);
    return host && !strncasecmp(origin, scheme, len) && same_host(origin + len, host, tls);
}

enum origin origin_of(const struct request *request)
{
    const char *origin = request_header(request, "Origin");
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

void origin_headers(struct buf *head, const struct request *request)
{
    if (!request->conf || !conf_text(request->conf, CONF_HTTP_ALLOWED_ORIGINS)) return;
    const char *origin = request_header(request, "Origin");
    enum origin is = origin_of(request);
    /* also where there is no Origin: the answer to others differs */
    buf_str(head, "Vary: Origin\r\n");
    if (is != ORIGIN_LISTED && is != ORIGIN_ANY) return;
    buf_fmt(head, "Access-Control-Allow-Origin: %s\r\n", is == ORIGIN_LISTED ? origin : "*");
    if (is == ORIGIN_LISTED) buf_str(head, "Access-Control-Allow-Credentials: true\r\n");
    buf_str(head, "Access-Control-Expose-Headers: Location, Content-Location, ETag, Retry-After, "
                  "RateLimit, RateLimit-Policy, X-Request-ID, Preference-Applied\r\n");
}
