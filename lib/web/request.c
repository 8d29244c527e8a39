#include "web/request.h"

#include "base/id.h"
#include "web/uri.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TARGET_MAX = 32768 }; /* bytes of path and query */

/* Fields that may come in several lines which are one list (RFC 9110, 5.3; RFC 6265, 5.4 for Cookie). */
static const struct {
    const char *variable, *between;
} lists[] = {
    {"HTTP_ACCEPT", ", "},        {"HTTP_PREFER", ", "},          {"HTTP_IF_MATCH", ", "},
    {"HTTP_IF_NONE_MATCH", ", "}, {"HTTP_X_FORWARDED_FOR", ", "}, {"HTTP_COOKIE", "; "},
};
static_assert(sizeof lists / sizeof *lists == REQUEST_LISTS_MAX, "room for each list");

static const struct {
    const char *name;
    enum method method;
} methods[] = {
    {"GET", METHOD_GET}, {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
    {"PUT", METHOD_PUT}, {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS},
};

const char *request_method(const struct request *r)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (r->method == methods[i].method) return methods[i].name;
    return "OTHER";
}

enum method method_parse(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(name, methods[i].name)) return methods[i].method;
    return METHOD_OTHER;
}

static bool id_acceptable(const char *id)
{
    size_t len = id ? strlen(id) : 0;
    if (!len || len > REQUEST_ID_MAX) return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static void choose_request_id(struct request *r)
{
    const char *id = request_header(r, "X-Request-ID");
    if (!id_acceptable(id)) id = conn_param(r->conn, "REQUEST_ID");
    if (id_acceptable(id))
        memcpy(r->request_id, id, strlen(id) + 1);
    else
        id_hex(r->request_id, 32);
}

/* Moves what lies below a prefix into the request; `s` keeps the rest. */
static enum err place_segments(struct request *r, struct uri_path *s, struct error *e)
{
    int skip = uri_below(s->at, s->count, conf_text(r->conf, CONF_HTTP_PREFIX));
    r->below_prefix = skip >= 0;
    if (skip < 0) skip = 0;
    for (size_t i = (size_t)skip; i < s->count; i++) {
        if (r->segment_count == REQUEST_SEGMENTS_MAX)
            return error_set(e, ERR_INVALID, "the path is too deep");
        r->segments[r->segment_count++] = s->at[i];
        s->at[i] = NULL;
    }
    return ERR_OK;
}

/* Cuts a request target (RFC 9112, 3.2) into path and query; both borrowed. */
static enum err cut_target(const char *target, struct span *path, struct span *query,
                           struct error *e)
{
    size_t scheme = strcspn(target, ":/?");
    if (scheme && !strncmp(target + scheme, "://", 3)) {
        target += scheme + 3;
        target += strcspn(target, "/?");
    } else if (*target != '/' && *target != '?' && strcmp(target, "*") != 0) {
        return error_set(e, ERR_INVALID, "the request target is neither a path nor a URL");
    }
    if (strchr(target, '#')) return error_set(e, ERR_INVALID, "the request target has a '#'");
    size_t len = strcspn(target, "?");
    *path = (struct span){target, len};
    if (target[len]) *query = (struct span){target + len + 1, strlen(target + len + 1)};
    return ERR_OK;
}

static enum err parse_target(struct request *r, struct error *e)
{
    const char *target = conn_param(r->conn, "REQUEST_URI");
    bool encoded = target && *target;
    struct buf decoded = {0};
    if (!encoded) {
        const char *script = conn_param(r->conn, "SCRIPT_NAME");
        const char *info = conn_param(r->conn, "PATH_INFO");
        buf_fmt(&decoded, "%s%s", script ? script : "", info ? info : "");
        target = buf_text(&decoded);
    }
    struct uri_path s = {0};
    struct span path = {target, strlen(target)}, query = {NULL, 0};
    enum err rc = ERR_OK;
    if (path.len > TARGET_MAX) rc = error_set(e, ERR_INVALID, "the path is too long");
    if (!rc && uri_has_control(target))
        rc = error_set(e, ERR_INVALID, "the path has a control character");
    if (!rc && encoded) rc = cut_target(target, &path, &query, e);
    if (!rc) rc = uri_split(&s, path.p, path.len, encoded, e);

    if (!rc) {
        struct buf whole = {0};
        for (size_t i = 0; i < s.count; i++) buf_fmt(&whole, "/%s", s.at[i]);
        r->path = mem_str(s.count ? whole.data : "/");
        buf_free(&whole);
        rc = place_segments(r, &s, e);
    }
    if (!rc) {
        const char *other = encoded ? NULL : conn_param(r->conn, "QUERY_STRING");
        r->query = query.p ? mem_dup(query.p, query.len) : mem_str(other ? other : "");
    }
    uri_path_free(&s);
    buf_free(&decoded);
    return rc;
}

/* Whether every parameter is percent-encoded UTF-8, also those that nobody asks for. */
static enum err check_query(const char *query, struct error *e)
{
    enum err rc = ERR_OK;
    struct buf b = {0};
    for (struct span name, value; !rc && uri_parameter(&query, &name, &value);) {
        buf_clear(&b);
        bool named = uri_decode(&b, name.p, name.len, true);
        size_t len = b.len;
        if (!named)
            rc =
                error_set(e, ERR_INVALID, "the query has a name that is not percent-encoded UTF-8");
        else if (!uri_decode(&b, value.p, value.len, true))
            rc = error_set(e, ERR_INVALID, "query parameter '%.*s' is not percent-encoded UTF-8",
                           len < 100 ? (int)len : 100, buf_text(&b));
    }
    buf_free(&b);
    return rc;
}

/* The value of parameter "NAME=value", or NULL when it has another name. */
static const char *value_of(const char *parameter, const char *name)
{
    size_t len = strlen(name);
    return !strncmp(parameter, name, len) && parameter[len] == '=' ? parameter + len + 1 : NULL;
}

/* Joins list `i` where it came in several lines. */
static void join_list(struct request *r, size_t i)
{
    struct buf all = {0};
    const char *first = NULL;
    for (char *const *p = conn_params(r->conn); p && *p; p++) {
        const char *value = value_of(*p, lists[i].variable);
        if (!value || !*value) continue;
        if (first && !all.len) buf_str(&all, first);
        if (first) buf_fmt(&all, "%s%s", lists[i].between, value);
        first = first ? first : value;
    }
    r->joined[i] = all.data;
}

enum err request_parse(struct request *r, struct conn *conn, const struct conf *conf,
                       struct error *e)
{
    *r = (struct request){
        .conn = conn, .conf = conf, .method = METHOD_OTHER, .expires_at = INT64_MAX};
    for (size_t i = 0; i < REQUEST_LISTS_MAX; i++) join_list(r, i);
    choose_request_id(r);
    const char *method = conn_param(conn, "REQUEST_METHOD");
    if (!method)
        return error_set(e, ERR_INVALID, "no REQUEST_METHOD: a web server starts this program");
    r->method = method_parse(method);

    enum err rc = conf_overlay(&r->own_conf, conf, conn_params(conn), e);
    if (rc) return rc;
    if (r->own_conf) r->conf = r->own_conf;
    rc = parse_target(r, e);
    return rc ? rc : check_query(r->query, e);
}

void request_become(struct request *r, char *const *segments, size_t count, char *query)
{
    assert(count <= REQUEST_SEGMENTS_MAX);
    for (size_t i = 0; i < r->segment_count; i++) free(r->segments[i]);
    free(r->query);
    r->segment_count = 0;
    while (r->segment_count < count) {
        r->segments[r->segment_count] = segments[r->segment_count];
        r->segment_count++;
    }
    r->query = query;
    r->below_prefix = true;
}

void request_free(struct request *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->segment_count; i++) free(r->segments[i]);
    for (size_t i = 0; i < REQUEST_LISTS_MAX; i++) free(r->joined[i]);
    free(r->path);
    free(r->query);
    free(r->owner);
    conf_free(r->own_conf);
    *r = (struct request){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next part of `rest` up to `separator`, which is text inside double quotes, without the
 * blanks around it. False when nothing is left. */
static bool next_part(struct span *rest, char separator, struct span *part)
{
    if (!rest->p) return false;
    size_t n = 0;
    for (bool quoted = false; n < rest->len && (quoted || rest->p[n] != separator); n++) {
        if (rest->p[n] == '"')
            quoted = !quoted;
        else if (quoted && rest->p[n] == '\\' && n + 1 < rest->len)
            n++;
    }
    *part = (struct span){rest->p, n};
    *rest = n < rest->len ? (struct span){rest->p + n + 1, rest->len - n - 1} : (struct span){0};

    while (part->len && is_blank(part->p[0])) part->p++, part->len--;
    while (part->len && is_blank(part->p[part->len - 1])) part->len--;
    return true;
}

static struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static bool span_is(struct span s, const char *word)
{
    return s.len == strlen(word) && !strncasecmp(s.p, word, s.len);
}

enum err request_query(const struct request *r, const char *name, char **value, struct error *e)
{
    enum err rc = ERR_OK;
    bool found = false;
    struct buf b = {0};
    const char *at = r->query;
    *value = NULL;
    for (struct span key, text; !found && uri_parameter(&at, &key, &text);) {
        buf_clear(&b);
        found = key.len && uri_decode(&b, key.p, key.len, true) && !strcmp(buf_text(&b), name);
        if (!found) continue;
        buf_clear(&b);
        if (uri_decode(&b, text.p, text.len, true))
            *value = mem_str(buf_text(&b));
        else
            rc = error_set(e, ERR_INVALID, "query parameter '%s' is not percent-encoded UTF-8",
                           name);
    }
    buf_free(&b);
    return rc;
}

enum { HEADER_NAME_MAX = 64 }; /* of those that Leat asks for */

/* The CGI variable of a header (RFC 3875, 4.1.18). */
static void header_variable(char out[HEADER_NAME_MAX], const char *name)
{
    bool bare = !strcasecmp(name, "Content-Type") || !strcasecmp(name, "Content-Length");
    char *to = bare ? out : stpcpy(out, "HTTP_");
    assert(strlen(name) < (size_t)(HEADER_NAME_MAX - (to - out)));
    for (; *name; name++) *to++ = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    *to = '\0';
}

const char *request_header(const struct request *r, const char *name)
{
    char variable[HEADER_NAME_MAX];
    header_variable(variable, name);
    const char *value = NULL;
    for (size_t i = 0; i < REQUEST_LISTS_MAX && !value; i++)
        if (r->joined[i] && !strcmp(variable, lists[i].variable)) value = r->joined[i];
    if (!value) value = conn_param(r->conn, variable);
    if (!(value && *value) && !strcmp(variable, "HTTP_AUTHORIZATION"))
        value = conn_param(r->conn, "REDIRECT_HTTP_AUTHORIZATION");
    return value && *value ? value : NULL;
}

bool request_header_given(const struct request *r, const char *name)
{
    char variable[HEADER_NAME_MAX];
    header_variable(variable, name);
    return conn_param(r->conn, variable) || request_header(r, name);
}

/* A qvalue (RFC 9110, 12.4.2) in thousandths, without rounding up to 0; what is none is 0. */
static int parse_weight(struct span s)
{
    int weight = 0, digit = 1000;
    for (size_t i = 0; i < s.len; i++) {
        bool point = i == 1 && s.p[i] == '.';
        if (point) continue;
        if (s.p[i] < '0' || s.p[i] > '9' || (i && s.p[1] != '.')) return 0;
        weight += (s.p[i] - '0') * digit;
        digit /= 10;
    }
    return weight < 1000 ? weight : 1000;
}

/* The weight that the rest of a media range gives it: 1000 where it has no q. */
static int weight_of(struct span range)
{
    for (struct span part; next_part(&range, ';', &part);)
        if (part.len >= 2 && part.p[1] == '=' && (part.p[0] == 'q' || part.p[0] == 'Q'))
            return parse_weight((struct span){part.p + 2, part.len - 2});
    return 1000;
}

/* How exactly a media range means `type`: 3 by its name, 2 as TYPE, 1 as anything, 0 not. */
static int fits(struct span range, const char *type)
{
    if (span_is(range, type)) return 3;
    if (span_is(range, "*/*")) return 1;
    size_t top = strcspn(type, "/") + 1;
    bool whole = range.len == top + 1 && range.p[top] == '*';
    return whole && !strncasecmp(range.p, type, top) ? 2 : 0;
}

/* The weight that Accept gives `type`, and how exactly it is meant; of equally exact ranges the highest. */
static int accept_weight(const struct request *r, const char *type, int *exact)
{
    struct span list = span_of(request_header(r, "Accept")), item, range;
    int weight = 0;
    *exact = 0;
    while (next_part(&list, ',', &item)) {
        if (!next_part(&item, ';', &range)) continue;
        int fit = fits(range, type), q = weight_of(item);
        if (!fit || fit < *exact || (fit == *exact && q <= weight)) continue;
        *exact = fit;
        weight = q;
    }
    return weight;
}

bool request_accepts(const struct request *r, const char *type)
{
    int exact;
    return accept_weight(r, type, &exact) > 0 && exact == 3;
}

int request_prefers(const struct request *r, const char *const *types, size_t n)
{
    int best = -1, most = 0;
    for (size_t i = 0; i < n; i++) {
        int exact, weight = accept_weight(r, types[i], &exact);
        if (!weight || weight * 4 + exact <= most) continue;
        most = weight * 4 + exact;
        best = (int)i;
    }
    return best;
}

/* Whole seconds as milliseconds, at most `max_ms`; -1 when it is none. */
static int64_t parse_wait(struct span s, int64_t max_ms)
{
    if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"') s.p++, s.len -= 2;
    int64_t ms = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return -1;
        ms = ms * 10 + (s.p[i] - '0') * 1000;
        if (ms > max_ms) ms = max_ms;
    }
    return s.len ? ms : -1;
}

int64_t request_wait_ms(const struct request *r)
{
    struct span list = span_of(request_header(r, "Prefer")), item, part, name;
    while (next_part(&list, ',', &item)) {
        if (!next_part(&item, ';', &part) || !next_part(&part, '=', &name)) continue;
        if (!span_is(name, "wait")) continue;
        /* the first of several counts, understood or not (RFC 7240, 2) */
        if (!next_part(&part, '\0', &name)) return -1;
        return parse_wait(name, conf_ms(r->conf, CONF_HTTP_WAIT_SECONDS_MAX));
    }
    return -1;
}

/* The bytes of a host (RFC 9110, 7.2) without its port. */
static size_t host_length(const char *host, size_t len)
{
    const char *end = len && *host == '[' ? memchr(host, ']', len) : memchr(host, ':', len);
    if (!end) return len;
    return (size_t)(end - host) + (*host == '[');
}

bool request_host_allowed(const struct request *r)
{
    const char *hosts = conf_text(r->conf, CONF_HTTP_HOSTS), *item;
    const char *asked = request_header(r, "Host");
    if (!hosts || !asked) return true;
    size_t len = host_length(asked, strlen(asked));
    for (size_t n; (item = conf_item(&hosts, &n));)
        if (host_length(item, n) == len && !strncasecmp(item, asked, len)) return true;
    return false;
}

static bool is_proxy(const struct request *r, const struct address *a)
{
    const char *list = conf_text(r->conf, CONF_HTTP_TRUSTED_PROXIES), *item;
    struct network network;
    for (size_t len; list && (item = conf_item(&list, &len));)
        if (network_parse(item, len, &network) && network_holds(&network, a)) return true;
    return false;
}

/* The other end of the connection. False: the web server does not say. */
static bool read_peer(const struct request *r, struct address *out)
{
    const char *peer = conn_param(r->conn, "REMOTE_ADDR");
    return peer && address_parse(peer, strlen(peer), out);
}

bool request_tls(const struct request *r)
{
    struct address peer;
    struct span list = span_of(request_header(r, "X-Forwarded-Proto")), first;
    if (read_peer(r, &peer) && is_proxy(r, &peer) && next_part(&list, ',', &first))
        return span_is(first, "https");
    const char *scheme = conn_param(r->conn, "REQUEST_SCHEME");
    const char *https = conn_param(r->conn, "HTTPS");
    if (scheme && *scheme) return !strcasecmp(scheme, "https");
    return https && *https && strcasecmp(https, "off") != 0;
}

/* Cuts the last item off a list, without the blanks around it. False when nothing is left. */
static bool last_part(struct span *list, struct span *part)
{
    if (!list->p) return false;
    size_t at = list->len;
    while (at && list->p[at - 1] != ',') at--;
    struct span tail = {list->p + at, list->len - at};
    *list = at ? (struct span){list->p, at - 1} : (struct span){0};
    return next_part(&tail, ',', part);
}

void request_address(const struct request *r, char to[ADDRESS_TEXT_SIZE])
{
    struct address client, before;
    struct span list = span_of(request_header(r, "X-Forwarded-For")), item;
    *to = '\0';
    if (!read_peer(r, &client)) return;
    while (is_proxy(r, &client) && last_part(&list, &item)) {
        if (!item.len) continue;
        if (!address_parse(item.p, item.len, &before) || before.local) break;
        client = before;
    }
    address_format(&client, to);
}

enum err request_body_length(const struct request *r, int64_t *length, struct error *e)
{
    const char *text = request_header(r, "Content-Length");
    *length = -1;
    if (!text) return ERR_OK;
    if (strspn(text, "0123456789") != strlen(text))
        return error_set(e, ERR_INVALID, "Content-Length is not a number");
    while (*text == '0') text++;
    *length = strlen(text) > 18 ? INT64_MAX : (int64_t)strtoll(text, NULL, 10);
    return ERR_OK;
}

bool request_etag_listed(const char *list, const char *etag)
{
    struct span rest = span_of(list), item;
    if (!strncmp(etag, "W/", 2)) etag += 2;
    while (next_part(&rest, ',', &item)) {
        if (span_is(item, "*")) return true;
        if (item.len > 2 && !strncmp(item.p, "W/", 2)) item.p += 2, item.len -= 2;
        if (item.len == strlen(etag) && !strncmp(item.p, etag, item.len)) return true;
    }
    return false;
}
