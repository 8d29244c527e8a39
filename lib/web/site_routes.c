#include "web/site_routes.h"

#include "task/file.h"
#include "web/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 32, HEAD_SHOWN = 120 };

/* One parameter of a query. */
struct field {
    char *name;
    char *text;  /* its value; NULL: what `bound` stands for */
    char *bound; /* the name in braces */
};

/* Either side of a row: a path and a query with names in them. */
struct pattern {
    char *segments[URI_SEGMENTS_MAX]; /* NULL: what `bound` stands for */
    char *bound[URI_SEGMENTS_MAX];
    size_t depth;
    struct field fields[FIELDS_MAX];
    size_t field_count;
};

struct site_route {
    enum method method;
    unsigned methods; /* METHOD_ bits that it answers: HEAD too, where its target does */
    struct pattern path, target;
};

struct site_routes {
    struct site_route *rows;
    size_t count;
    const char *prefix; /* of the settings that the rows were read from */
};

static void pattern_free(struct pattern *p)
{
    for (size_t i = 0; i < p->depth; i++) free(p->segments[i]), free(p->bound[i]);
    for (size_t i = 0; i < p->field_count; i++) {
        free(p->fields[i].name);
        free(p->fields[i].text);
        free(p->fields[i].bound);
    }
}

void site_routes_close(struct site_routes *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->count; i++)
        pattern_free(&s->rows[i].path), pattern_free(&s->rows[i].target);
    free(s->rows);
    free(s);
}

/* ---- reading a row ---- */

/* The name of "{name}"; NULL: there are no braces, or (ERR_INVALID) not just around one. The caller frees. */
static enum err parse_name(struct span text, char **name, struct error *e)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    *name = NULL;
    if (!memchr(text.p, '{', text.len) && !memchr(text.p, '}', text.len)) return ERR_OK;
    bool whole = text.len > 2 && text.p[0] == '{' && text.p[text.len - 1] == '}';
    if (!whole || strspn(text.p + 1, letters) != text.len - 2)
        return error_set(e, ERR_INVALID, "'%.*s' is not {name} and nothing else",
                         text.len < HEAD_SHOWN ? (int)text.len : HEAD_SHOWN, text.p);
    *name = mem_dup(text.p + 1, text.len - 2);
    return ERR_OK;
}

/* Adds what stands between two slashes. */
static enum err parse_segment(struct pattern *p, struct span text, struct error *e)
{
    char *name = NULL;
    struct uri_path one = {0};
    enum err rc = parse_name(text, &name, e);
    if (!rc && !name) rc = uri_split(&one, text.p, text.len, true, e);
    if (!rc && !name && !one.count) return ERR_OK;
    if (!rc && p->depth == URI_SEGMENTS_MAX) rc = error_set(e, ERR_INVALID, "the path is too deep");
    if (rc) {
        uri_path_free(&one);
        free(name);
        return rc;
    }
    p->segments[p->depth] = one.at[0];
    p->bound[p->depth++] = name;
    return ERR_OK;
}

static struct field *find_field(const struct pattern *p, const char *name)
{
    for (size_t i = 0; i < p->field_count; i++)
        if (!strcmp(p->fields[i].name, name)) return (struct field *)&p->fields[i];
    return NULL;
}

static enum err parse_field(struct pattern *p, struct span name, struct span value, struct error *e)
{
    struct buf decoded = {0}, text = {0};
    char *bound = NULL;
    enum err rc = ERR_OK;
    bool fine = name.len && uri_decode(&decoded, name.p, name.len, true);
    if (!fine)
        rc = error_set(e, ERR_INVALID, "the query has a name that is not percent-encoded UTF-8");
    if (!rc) rc = parse_name(value, &bound, e);
    if (!rc && !bound && !uri_decode(&text, value.p, value.len, true))
        rc = error_set(e, ERR_INVALID, "the query is not percent-encoded UTF-8");
    if (!rc && find_field(p, buf_text(&decoded)))
        rc = error_set(e, ERR_INVALID, "query parameter '%.100s' comes twice", buf_text(&decoded));
    if (!rc && p->field_count == FIELDS_MAX)
        rc = error_set(e, ERR_INVALID, "more than %d query parameters", FIELDS_MAX);
    if (!rc)
        p->fields[p->field_count++] =
            (struct field){.name = mem_str(buf_text(&decoded)),
                           .text = bound ? NULL : mem_str(buf_text(&text)),
                           .bound = bound};
    else
        free(bound);
    buf_free(&decoded);
    buf_free(&text);
    return rc;
}

/* Reads "/path?query". */
static enum err parse_pattern(struct pattern *p, const char *text, struct error *e)
{
    enum err rc = ERR_OK;
    if (*text != '/')
        return error_set(e, ERR_INVALID, "'%.*s' does not begin with /", HEAD_SHOWN, text);
    if (strchr(text, '#')) return error_set(e, ERR_INVALID, "'%.*s' has a #", HEAD_SHOWN, text);
    const char *query = text + strcspn(text, "?");
    for (const char *at = text; !rc && at < query;) {
        at++;
        size_t len = strcspn(at, "/?");
        rc = parse_segment(p, (struct span){at, len}, e);
        at += len;
    }
    if (*query) query++;
    for (struct span name, value; !rc && uri_parameter(&query, &name, &value);)
        if (name.len || value.len) rc = parse_field(p, name, value, e);
    return rc;
}

/* How often a pattern binds this name. */
static size_t bindings(const struct pattern *p, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < p->depth; i++) n += p->bound[i] && !strcmp(p->bound[i], name);
    for (size_t i = 0; i < p->field_count; i++)
        n += p->fields[i].bound && !strcmp(p->fields[i].bound, name);
    return n;
}

/* The name that stands at `i`, counted over the segments and then the parameters; NULL: none does. */
static const char *bound_at(const struct pattern *p, size_t i)
{
    return i < p->depth ? p->bound[i] : p->fields[i - p->depth].bound;
}

/* Each name of the path once, and each of the target in the path. */
static enum err check_names(const struct site_route *row, struct error *e)
{
    const struct pattern *path = &row->path, *target = &row->target;
    const char *name;
    for (size_t i = 0; i < path->depth + path->field_count; i++)
        if ((name = bound_at(path, i)) && bindings(path, name) > 1)
            return error_set(e, ERR_INVALID, "{%.100s} is bound twice", name);
    for (size_t i = 0; i < target->depth + target->field_count; i++)
        if ((name = bound_at(target, i)) && !bindings(path, name))
            return error_set(e, ERR_INVALID, "{%.100s} is not bound", name);
    return ERR_OK;
}

static char *cut(const char *text, size_t len)
{
    while (len && strchr(" \t", *text)) text++, len--;
    while (len && strchr(" \t", text[len - 1])) len--;
    return mem_dup(text, len);
}

/* Reads "METHOD PATH = TARGET". `head`: METHOD PATH, for messages; the caller frees. */
static enum err parse_row(struct site_route *row, const char *text, char **head, struct error *e)
{
    size_t equals = 0, len = strlen(text);
    for (size_t i = 1; !equals && i + 1 < len; i++)
        if (text[i] == '=' && strchr(" \t", text[i - 1]) && strchr(" \t", text[i + 1])) equals = i;
    *head = cut(text, equals);
    char *target = cut(text + equals + 1, equals ? len - equals - 1 : 0);
    size_t word = strcspn(*head, " \t");
    char *method = mem_dup(*head, word), *path = cut(*head + word, strlen(*head) - word);
    enum err rc = ERR_OK;
    if (!equals || !*path || strpbrk(path, " \t") || strpbrk(target, " \t"))
        rc = error_set(e, ERR_INVALID, "'%.*s' is not METHOD PATH = TARGET", HEAD_SHOWN, text);
    row->method = method_parse(method);
    if (!rc && !(row->method & (METHOD_GET | METHOD_POST | METHOD_PUT | METHOD_DELETE)))
        rc = error_set(e, ERR_INVALID, "the method is GET (with HEAD), POST, PUT or DELETE");
    if (!rc) rc = parse_pattern(&row->path, path, e);
    if (!rc) rc = parse_pattern(&row->target, target, e);
    if (!rc) rc = check_names(row, e);
    free(method);
    free(path);
    free(target);
    return rc;
}

/* ---- what a row may be ---- */

static enum err check_target(struct site_route *row, const struct route *table, size_t count,
                             struct error *e)
{
    unsigned wanted = row->method == METHOD_GET ? METHOD_GET | METHOD_HEAD : row->method;
    const struct pattern *t = &row->target;
    bool other = false;
    for (size_t i = 0; i < count; i++) {
        if (!route_fits(&table[i], t->segments, t->depth, false)) continue;
        row->methods = route_methods(&table[i]) & wanted;
        if (row->methods & row->method) return ERR_OK;
        other = true;
    }
    return error_set(e, ERR_INVALID,
                     other ? "the target does not know that method" : "the target names no route");
}

/* What lies below the prefix is the table's, unless a row says the prefix itself. */
static enum err check_path(const struct site_routes *s, const struct site_route *row,
                           const struct route *table, size_t count, struct error *e)
{
    const struct pattern *p = &row->path;
    int skip = uri_below(p->segments, p->depth, s->prefix);
    for (size_t i = 0; skip >= 0 && i < count; i++)
        if (route_fits(&table[i], p->segments + skip, p->depth - (size_t)skip, true))
            return error_set(e, ERR_INVALID, "this is a path of Leat's own, %s%s", s->prefix,
                             table[i].pattern);
    return ERR_OK;
}

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Whether all that one of them asks of a query, the other does too. */
static bool asks_no_more(const struct pattern *a, const struct pattern *b)
{
    for (size_t i = 0; i < a->field_count; i++) {
        const struct field *other = find_field(b, a->fields[i].name);
        if (a->fields[i].text && !(other && same(a->fields[i].text, other->text))) return false;
    }
    return true;
}

/* Whether the same requests fit both, whatever the names are. */
static bool same_path(const struct pattern *a, const struct pattern *b)
{
    if (a->depth != b->depth) return false;
    for (size_t i = 0; i < a->depth; i++)
        if (!same(a->segments[i], b->segments[i])) return false;
    return asks_no_more(a, b) && asks_no_more(b, a);
}

static enum err check_twice(const struct site_routes *s, const struct site_route *row,
                            struct error *e)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i].method == row->method && same_path(&s->rows[i].path, &row->path))
            return error_set(e, ERR_INVALID, "the same method and path come twice");
    return ERR_OK;
}

/* Reads and judges one row. */
static enum err add_row(struct site_routes *s, const char *text, const struct route *table,
                        size_t count, struct error *e)
{
    struct error inner = {0};
    char *head = NULL;
    s->rows = mem_grow(s->rows, s->count + 1, sizeof *s->rows);
    struct site_route *row = &s->rows[s->count];
    *row = (struct site_route){0};
    enum err rc = parse_row(row, text, &head, &inner);
    if (!rc) rc = check_target(row, table, count, &inner);
    if (!rc) rc = check_path(s, row, table, count, &inner);
    if (!rc) rc = check_twice(s, row, &inner);
    s->count++;
    if (rc) error_set(e, rc, "%.*s%s%s", HEAD_SHOWN, head, *head ? ": " : "", inner.text);
    free(head);
    return rc;
}

enum err site_routes_open(struct site_routes **out, const struct conf *conf,
                          const struct route *table, size_t count, struct error *e)
{
    struct site_routes *s = mem_alloc(sizeof *s);
    enum err rc = ERR_OK;
    const char *text;
    s->prefix = conf_text(conf, CONF_HTTP_PREFIX) ? conf_text(conf, CONF_HTTP_PREFIX) : "";
    for (size_t i = 0; !rc && (text = conf_route(conf, i)); i++) {
        rc = add_row(s, text, table, count, e);
        if (rc) conf_blame_route(conf, i, e);
    }
    if (rc) {
        site_routes_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

/* ---- a request ---- */

/* Where the segments of a request begin in a row's path: behind the prefix, where both lie below it. -1: only
 * one of them does. */
static int offset(const struct pattern *path, const struct request *request)
{
    const char *prefix = conf_text(request->conf, CONF_HTTP_PREFIX);
    int skip = uri_below(path->segments, path->depth, prefix);
    if ((skip >= 0) != request->below_prefix) return -1;
    return skip >= 0 ? skip : 0;
}

/* The parameter of the query that a row has asked for last: the next one mostly asks for the same, and reading a
 * long query for each of many rows would take its time. */
struct asked {
    const char *name;
    char *value; /* NULL: there is none */
};

static const char *ask(struct asked *last, const struct request *request, const char *name)
{
    if (last->name && !strcmp(last->name, name)) return last->value;
    free(last->value);
    *last = (struct asked){.name = name};
    request_query(request, name, &last->value, NULL);
    return last->value;
}

/* How well a request fits a path: its literal parts and one more; 0: not at all. */
static size_t fit(const struct pattern *path, const struct request *request, struct asked *last)
{
    int skip = offset(path, request);
    size_t literal = 1;
    if (skip < 0 || path->depth - (size_t)skip != request->segment_count) return 0;
    for (size_t i = (size_t)skip; i < path->depth; i++) {
        const char *text = path->segments[i];
        if (text && strcmp(text, request->segments[i - (size_t)skip]) != 0) return 0;
        literal += text != NULL;
    }
    for (size_t i = 0; i < path->field_count; i++) {
        const struct field *f = &path->fields[i];
        if (!f->text) continue;
        if (!same(ask(last, request, f->name), f->text)) return 0;
        literal++;
    }
    return literal;
}

/* What a name stands for in this request; NULL: for a parameter that it lacks. The caller frees. */
static char *value_of(const struct pattern *path, const struct request *request, const char *name)
{
    size_t skip = (size_t)offset(path, request);
    char *value = NULL;
    for (size_t i = skip; i < path->depth; i++)
        if (same(path->bound[i], name)) return mem_str(request->segments[i - skip]);
    for (size_t i = 0; i < path->field_count; i++)
        if (same(path->fields[i].bound, name))
            request_query(request, path->fields[i].name, &value, NULL);
    return value;
}

/* The query of the target, and behind it what the row does not speak of. */
static char *make_query(const struct site_route *row, const struct request *request)
{
    struct buf out = {0}, decoded = {0};
    for (size_t i = 0; i < row->target.field_count; i++) {
        const struct field *f = &row->target.fields[i];
        char *value = f->bound ? value_of(&row->path, request, f->bound) : mem_str(f->text);
        if (!value) continue;
        buf_str(&out, out.len ? "&" : "");
        file_escape(&out, f->name, false);
        buf_char(&out, '=');
        file_escape(&out, value, false);
        free(value);
    }
    const char *rest = request->query;
    for (struct span name, value; uri_parameter(&rest, &name, &value);) {
        buf_clear(&decoded);
        uri_decode(&decoded, name.p, name.len, true);
        const char *text = buf_text(&decoded);
        if (find_field(&row->path, text) || find_field(&row->target, text)) continue;
        buf_str(&out, out.len ? "&" : "");
        buf_add(&out, name.p, (size_t)(value.p + value.len - name.p));
    }
    char *query = mem_str(buf_text(&out));
    buf_free(&out);
    buf_free(&decoded);
    return query;
}

/* The parameter of the query that binds this name. */
static const char *parameter_of(const struct pattern *path, const char *name)
{
    for (size_t i = 0; i < path->field_count; i++)
        if (same(path->fields[i].bound, name)) return path->fields[i].name;
    return name;
}

static enum err become(const struct site_route *row, struct request *request, struct error *e)
{
    char *segments[URI_SEGMENTS_MAX] = {NULL};
    const struct pattern *target = &row->target;
    for (size_t i = 0; i < target->depth; i++) {
        const char *name = target->bound[i];
        segments[i] = name ? value_of(&row->path, request, name) : mem_str(target->segments[i]);
        if (segments[i]) continue;
        while (i--) free(segments[i]);
        return error_set(e, ERR_INVALID, "query parameter '%.100s' is missing",
                         parameter_of(&row->path, name));
    }
    request_become(request, segments, target->depth, make_query(row, request));
    return ERR_OK;
}

enum err site_routes_apply(const struct site_routes *s, struct request *request, unsigned *methods,
                           struct error *e)
{
    const struct site_route *best = NULL;
    struct asked last = {0};
    size_t most = 0;
    *methods = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t literal = fit(&s->rows[i].path, request, &last);
        if (literal) *methods |= s->rows[i].methods;
        if (literal > most && s->rows[i].methods & request->method)
            best = &s->rows[i], most = literal;
    }
    free(last.value);
    if (!best) return ERR_OK;
    *methods = 0;
    return become(best, request, e);
}

/* ---- for web servers ---- */

/* One segment as a regular expression. */
static void write_segment(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    buf_char(out, '/');
    if (!text) buf_str(out, ".+");
    for (; text && *text; text++)
        if (strchr(plain, *text))
            buf_char(out, *text);
        else
            buf_fmt(out, "\\x%02X", (unsigned char)*text);
}

void site_routes_paths(const struct site_routes *s, struct buf *out)
{
    struct buf line = {0};
    for (size_t i = 0; i < s->count; i++) {
        const struct pattern *p = &s->rows[i].path;
        if (uri_below(p->segments, p->depth, s->prefix) >= 0) continue;
        buf_clear(&line);
        buf_char(&line, '^');
        for (size_t n = 0; n < p->depth; n++) write_segment(&line, p->segments[n]);
        bool open = p->depth && !p->segments[p->depth - 1];
        buf_str(&line, open ? "$\n" : p->depth ? "/?$\n" : "/$\n");
        if (!strstr(buf_text(out), line.data)) buf_str(out, line.data);
    }
    buf_free(&line);
}
