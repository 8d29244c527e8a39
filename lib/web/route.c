#include "web/route.h"

#include "base/buf.h"
#include "base/id.h"
#include "task/access.h"
#include "task/jobtype.h"
#include "web/problem.h"
#include "web/response.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT_BYTES_MAX = 200 };

/* How well one segment fits one of a pattern; 0: not at all. */
enum fit { FIT_NOT, FIT_ANY, FIT_TYPED, FIT_LITERAL };

static bool plain(const char *segment)
{
    size_t len = strlen(segment);
    if (!len || len > SEGMENT_BYTES_MAX) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)segment[i] < 0x20 || segment[i] == 0x7f) return false;
    return true;
}

static enum fit fit_segment(const char *pattern, size_t len, const char *segment)
{
    if (!segment) return *pattern == '{' ? FIT_ANY : FIT_NOT;
    if (*pattern != '{')
        return strlen(segment) == len && !strncmp(pattern, segment, len) ? FIT_LITERAL : FIT_NOT;
    if (len == 4 && !strncmp(pattern, "{id}", len)) return id_valid(segment) ? FIT_TYPED : FIT_NOT;
    if (len == 6 && !strncmp(pattern, "{type}", len))
        return jobtype_name_valid(segment) ? FIT_TYPED : FIT_NOT;
    /* whatever names no group is 422, by who looks for one */
    if (len == 7 && !strncmp(pattern, "{group}", len)) return FIT_ANY;
    return plain(segment) ? FIT_ANY : FIT_NOT;
}

/* How well a path fits a pattern: two bits a segment, the first ones weighing most, over a 1 that makes even
 * the empty path count; 0: not at all. Fills `params` (when not NULL). */
static unsigned fit_path(const char *pattern, char *const *segments, size_t count,
                         const char **params)
{
    unsigned score = 1;
    size_t i = 0, given = 0;
    for (const char *p = pattern; *p;) {
        size_t len = strcspn(p, "/");
        if (len) {
            if (i == count) return 0;
            enum fit fit = fit_segment(p, len, segments[i]);
            if (fit == FIT_NOT) return 0;
            if (*p == '{') {
                assert(given < ROUTE_PARAMS_MAX);
                if (params) params[given] = segments[i];
                given++;
            }
            score = score << 2 | (unsigned)fit;
            i++;
        }
        p += len + (p[len] == '/');
    }
    return i == count ? score : 0;
}

/* The same for a request. */
static unsigned fit_request(const char *pattern, const struct request *r, const char **params)
{
    return fit_path(pattern, r->segments, r->segment_count, params);
}

bool route_fits(const struct route *row, char *const *segments, size_t count, bool literal)
{
    char *tried[REQUEST_SEGMENTS_MAX];
    if (count > REQUEST_SEGMENTS_MAX) return false;
    /* what is not known becomes the literal segment that it would have to be */
    char *words = mem_str(row->pattern), *rest = words, *word;
    for (size_t i = 0; i < count; i++) {
        word = strtok_r(i ? NULL : words, "/", &rest);
        tried[i] = segments[i] ? segments[i] : literal && word && *word != '{' ? word : NULL;
    }
    bool fits = fit_path(row->pattern, tried, count, NULL) != 0;
    free(words);
    return fits;
}

static void list_methods(struct buf *out, unsigned methods)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    methods |= METHOD_OPTIONS;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (methods & 1U << i) buf_fmt(out, "%s%s", out->len ? ", " : "", names[i]);
}

unsigned route_methods(const struct route *row)
{
    bool head = row->methods & METHOD_GET && !(row->flags & ROUTE_CHANGES);
    return row->methods | (head ? METHOD_HEAD : 0);
}

/* "-" where a group is named stands for the name in the query, which may be one that no path can carry. */
static enum err name_group(const struct request *request, struct route_match *m, struct error *e)
{
    const char *at = strstr(m->row->pattern, "{group}");
    if (!at || strcmp(m->params[0], "-") != 0) return ERR_OK;
    enum err rc = request_query(request, "group", &m->group, e);
    if (!rc && m->group) m->params[0] = m->group;
    return rc;
}

enum err route_find(const struct route *table, size_t count, struct request *request,
                    struct route_match *out, struct error *e)
{
    static_assert(METHOD_GET == 1 && METHOD_OPTIONS == 32, "the order of list_methods");
    static_assert(2 * REQUEST_SEGMENTS_MAX < 32, "a score fits an unsigned");

    /* Rows with the same pattern are one resource: only the best pattern's methods are allowed. */
    unsigned best = 0;
    *out = (struct route_match){0};
    for (size_t i = 0; request->below_prefix && i < count; i++) {
        unsigned score = fit_request(table[i].pattern, request, NULL);
        if (score > best) best = score, out->methods = 0, request->route = table[i].pattern;
        if (score && score == best) out->methods |= route_methods(&table[i]);
    }
    for (size_t i = 0; best && !out->row && i < count; i++)
        if (route_methods(&table[i]) & request->method &&
            fit_request(table[i].pattern, request, NULL) == best)
            out->row = &table[i];
    if (out->row) fit_request(out->row->pattern, request, out->params);
    return out->row ? name_group(request, out, e) : ERR_OK;
}

void route_match_free(struct route_match *m)
{
    free(m->group);
    m->group = NULL;
}

void route_refuse(struct request *request, const struct route_match *m)
{
    if (!m->methods) {
        problem(request, 404, "not_found", "nothing is at %s", request->path);
        return;
    }
    struct buf allow = {0};
    list_methods(&allow, m->methods);
    if (request->method == METHOD_OPTIONS) {
        struct response r = {0};
        response_start(&r, request, 204);
        response_header(&r, "Allow", allow.data);
        response_body(&r, NULL, NULL, 0);
    } else {
        problem_header(request, 405, "method_not_allowed", "Allow", allow.data,
                       "this path does not know that method");
    }
    buf_free(&allow);
}

static void answer_missing_scopes(struct request *request, unsigned missing)
{
    struct buf list = {0};
    for (unsigned i = 0; scope_name(i); i++)
        if (missing & 1U << i) buf_fmt(&list, "%s'%s'", list.len ? ", " : "", scope_name(i));
    problem(request, 403, "insufficient_scope", "this needs the scope %s", buf_text(&list));
    buf_free(&list);
}

bool route_permits(struct request *request, const struct route *row)
{
    if (!row->scopes) return true;
    if (!request->owner) {
        /* RFC 6750, 3.1: the error is for those who showed something */
        bool shown = request->refused != NULL;
        problem_header(request, 401, shown ? "invalid_token" : "unauthorized", "WWW-Authenticate",
                       shown ? "Bearer error=\"invalid_token\"" : "Bearer",
                       shown ? request->refused : "this needs a credential that is known here");
        return false;
    }
    if (request->ticket && !request->ticket_opens) {
        problem(request, 403, "ticket_scope", "this ticket is for reading something else");
        return false;
    }
    unsigned missing = row->scopes & ~request->scopes;
    if (missing) answer_missing_scopes(request, missing);
    return !missing;
}

bool route_streams(const struct request *request, const struct route *row)
{
    if (row->flags & ROUTE_STREAM || request_accepts(request, "text/event-stream")) return true;
    char *follow = NULL;
    request_query(request, "follow", &follow, NULL);
    bool follows = follow && !strcmp(follow, "1");
    free(follow);
    return follows;
}
