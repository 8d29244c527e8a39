/* A request, understood: path, query, headers. */
#ifndef LEAT_WEB_REQUEST_H
#define LEAT_WEB_REQUEST_H

#include "base/address.h"
#include "base/buf.h"
#include "base/conf.h"
#include "base/error.h"
#include "task/access.h"
#include "web/fcgi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum method {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_DELETE = 16,
    METHOD_OPTIONS = 32,
    METHOD_OTHER = 64,
};

enum { REQUEST_SEGMENTS_MAX = 8, REQUEST_ID_MAX = 128, REQUEST_LISTS_MAX = 6 };

struct request {
    struct conn *conn; /* borrowed */
    enum method method;
    char *path; /* decoded, for messages; segments point into their own copies */
    /* decoded path below the prefix, NULL-terminated when fewer */
    char *segments[REQUEST_SEGMENTS_MAX];
    size_t segment_count;
    bool below_prefix; /* false: outside http.prefix; segments then hold the whole path */
    char *query;       /* raw, "" when none */
    char request_id[REQUEST_ID_MAX + 1];
    char *owner;             /* who asks; NULL until identified */
    bool anonymous;          /* nobody showed anything: the owner is auth.anonymous */
    unsigned scopes;         /* see task/access.h */
    const char *refused;     /* a credential came that proves nothing: why (static); else NULL */
    int64_t credential;      /* credentials.id of the token or ticket; 0: something else */
    int64_t expires_at;      /* of what identified the asker, wall-clock ms; INT64_MAX: never */
    enum ticket_kind ticket; /* TICKET_NONE unless a ticket identified the asker */
    bool ticket_opens;       /* whether that names what is asked for */
    const char *route;       /* pattern of the one that was found (static); NULL: none */
    int status;              /* of the answer, once one was begun; else 0 */
    int64_t line;            /* of the body, which a problem then names; 0: it is about no line */
    const struct conf *conf; /* of this request */
    struct conf *own_conf;   /* freed with the request; NULL when `conf` is the process's */
    /* list fields that came more than once, joined; NULL: as the parameter says. In request.c's order */
    char *joined[REQUEST_LISTS_MAX];
};

/* Takes the request apart. The path comes from REQUEST_URI as the client sent it (absolute-form
 * allowed, RFC 9112, 3.2), is split at '/', each segment percent-decoded (RFC 3986) once, empty
 * segments and "." dropped. ERR_INVALID: control bytes or NUL, invalid percent-encoding or UTF-8 (in
 * the query too), "..", a path too long or deep; ERR_INVALID also for a bad LEAT_ variable. The request id is
 * X-Request-ID when it is [A-Za-z0-9._-]{1,128}, else the server's REQUEST_ID, else drawn. Without a
 * REQUEST_URI, SCRIPT_NAME + PATH_INFO are taken as they are. Free with request_free, also after an error, until which it can
 * be answered (problem); `path` and `query` may be NULL then. */
enum err request_parse(struct request *r, struct conn *conn, const struct conf *conf,
                       struct error *e);
void request_free(struct request *r);

/* Makes it a request for what lies at these segments below the prefix, with this query; both are taken over.
 * `path` stays what the client asked for. */
void request_become(struct request *r, char *const *segments, size_t count, char *query);

/* The method of that name; METHOD_OTHER: none that is known. */
enum method method_parse(const char *name);

/* The name of its method: "GET"; of one that is not known "OTHER". */
const char *request_method(const struct request *r);

/* The value of a query parameter, decoded ('+' is a space), or NULL when absent. First one wins.
 * Owned by the caller. ERR_INVALID names the parameter when it is badly encoded or holds a NUL, which
 * request_parse has refused before. */
enum err request_query(const struct request *r, const char *name, char **value, struct error *e);

/* A request header by its HTTP name ("If-None-Match"), or NULL; an empty one counts as absent,
 * which is how web servers pass what they were told to pass. Of several of one name the last, but fields that
 * are lists (Accept, Prefer, If-Match, If-None-Match, X-Forwarded-For; Cookie) are joined in their order (RFC
 * 9110, 5.3). Authorization is also found where Apache leaves it after a rewrite. Borrowed. */
const char *request_header(const struct request *r, const char *name);

/* Whether the header came at all, perhaps empty. */
bool request_header_given(const struct request *r, const char *name);

/* Whether the Accept header (RFC 9110, 12.5.1) names `type` itself with q > 0; wildcards do not
 * count. */
bool request_accepts(const struct request *r, const char *type);

/* The index of the media type that the Accept header (RFC 9110, 12.5.1) weighs highest of `n` types; of equal
 * weights the one that is named over one that a wildcard allows, then the first. -1: there is no Accept, or
 * it allows none of them. Parameters of media ranges other than q are passed over. */
int request_prefers(const struct request *r, const char *const *types, size_t n);

/* Seconds of `Prefer: wait=N` (RFC 7240, 4.3) in ms, capped at http.wait_seconds_max; -1 when
 * absent or malformed (a preference that is not understood is ignored). */
int64_t request_wait_ms(const struct request *r);

/* Whether the Host header names one of http.hosts: in any case of letters, whatever the port. Without that
 * setting, or without a Host, true. */
bool request_host_allowed(const struct request *r);

/* Whether the client came by https: what the web server says (REQUEST_SCHEME, HTTPS), or the X-Forwarded-Proto
 * of a proxy that is one of http.trusted_proxies. */
bool request_tls(const struct request *r);

/* Writes the client's address: that of the connection (REMOTE_ADDR), or, where that is one of
 * http.trusted_proxies, the last in X-Forwarded-For that is not. "" when the web server says none. */
void request_address(const struct request *r, char to[ADDRESS_TEXT_SIZE]);

/* The Content-Length (RFC 9110, 8.6): *length is -1 where there is none, and INT64_MAX where it is larger than
 * any. ERR_INVALID: it is no number (400). */
enum err request_body_length(const struct request *r, int64_t *length, struct error *e);

/* Whether an If-None-Match or If-Match list (RFC 9110, 13.1; weak comparison) names `etag` or is
 * "*". NULL names none. */
bool request_etag_listed(const char *list, const char *etag);

#endif
