#include "task/says.h"

#include "base/json.h"
#include "task/event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 24 }; /* characters of a percentage */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum err take_percent(struct says *out, double value, struct error *e)
{
    if (!(value >= 0 && value <= 100))
        return error_set(e, ERR_INVALID, "progress is not from 0 to 100");
    out->percent = value;
    return ERR_OK;
}

/* "40", "40.5 text", "40% text". */
static enum err parse_percent(struct says *out, const char *line, size_t len, struct error *e)
{
    size_t n = 0;
    while (n < len && digit(line[n])) n++;
    if (n && n + 1 < len && line[n] == '.' && digit(line[n + 1]))
        for (n++; n < len && digit(line[n]);) n++;
    size_t after = n < len && line[n] == '%' ? n + 1 : n;
    if (!n || (after < len && !blank(line[after])))
        return error_set(e, ERR_INVALID, "neither a percentage nor a JSON object");
    if (n > NUMBER_MAX) return error_set(e, ERR_INVALID, "progress has too many digits");

    char number[NUMBER_MAX + 1];
    memcpy(number, line, n);
    number[n] = '\0';
    enum err rc = take_percent(out, strtod(number, NULL), e);
    if (rc) return rc;
    while (after < len && blank(line[after])) after++;
    if (!utf8_valid(line + after, len - after))
        return error_set(e, ERR_INVALID, "message is not UTF-8");
    if (memchr(line + after, '\0', len - after))
        return error_set(e, ERR_INVALID, "message contains a NUL");
    if (after < len) out->message = mem_dup(line + after, len - after);
    out->kind = SAYS_PROGRESS;
    return ERR_OK;
}

/* Every member that an object may have; members of different kinds do not mix, and what else it has is
 * not for us. */
static const struct member {
    const char *name;
    enum says_kind kind;
    bool absent; /* as if it were not there when it is null */
} members[] = {
    {"progress", SAYS_PROGRESS, true}, {"phase", SAYS_PROGRESS, true},
    {"message", SAYS_PROGRESS, true},  {"type", SAYS_EVENT, false},
    {"payload", SAYS_EVENT, false},    {"log", SAYS_LOG, false},
    {"level", SAYS_LOG, true},         {"checkpoint", SAYS_CHECKPOINT, false},
    {"context", SAYS_CONTEXT, false},
};

static enum err take_text(char **out, const char *name, const json_t *value, struct error *e)
{
    const char *text = json_string_value(value);
    if (!text) return error_set(e, ERR_INVALID, "%s is not a string", name);
    if (strlen(text) != json_string_length(value))
        return error_set(e, ERR_INVALID, "%s contains a NUL", name);
    *out = mem_str(text);
    return ERR_OK;
}

static enum err take_level(struct says *out, const json_t *value, struct error *e)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i], text)) return out->level = levels[i], ERR_OK;
    return error_set(e, ERR_INVALID, "level is not debug, info, warn or error");
}

/* Takes the value as it was written in `line`, so that its numbers keep their digits. */
static enum err take_value(struct says *out, const char *line, const char *name)
{
    struct json_span written = json_find_last(line, name);
    out->json = mem_dup(written.at, written.len);
    return ERR_OK;
}

static enum err take_member(struct says *out, const char *line, const char *name,
                            const json_t *value, struct error *e)
{
    if (!strcmp(name, "progress")) {
        if (!json_is_number(value)) return error_set(e, ERR_INVALID, "progress is not a number");
        return take_percent(out, json_number_value(value), e);
    }
    if (!strcmp(name, "phase")) return take_text(&out->phase, name, value, e);
    if (!strcmp(name, "message") || !strcmp(name, "log"))
        return take_text(&out->message, name, value, e);
    if (!strcmp(name, "level")) return take_level(out, value, e);
    if (strcmp(name, "type")) return take_value(out, line, name);

    enum err rc = take_text(&out->type, name, value, e);
    if (!rc && !event_type_allowed(out->type))
        rc = error_set(e, ERR_INVALID, "type '%.100s' may not be said by a job", out->type);
    return rc;
}

static enum err take_members(struct says *out, const char *line, json_t *object, struct error *e)
{
    const char *first = NULL, *unknown = NULL, *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        const struct member *m = members, *end = members + sizeof members / sizeof *members;
        while (m < end && strcmp(m->name, name)) m++;
        if (m == end) unknown = name;
        if (m == end || (m->absent && json_is_null(value))) continue;
        if (!first) out->kind = m->kind, first = m->name;
        if (m->kind != out->kind)
            return error_set(e, ERR_INVALID, "%s and %s do not go together", first, m->name);
        enum err rc = take_member(out, line, m->name, value, e);
        if (rc) return rc;
    }
    if (!first && unknown) return error_set(e, ERR_INVALID, "unknown member '%.100s'", unknown);
    if (!first) return error_set(e, ERR_INVALID, "the object says nothing");
    if (out->kind == SAYS_EVENT && !out->type)
        return error_set(e, ERR_INVALID, "payload without type");
    if (out->kind == SAYS_LOG && !out->message)
        return error_set(e, ERR_INVALID, "level without log");
    if (out->kind == SAYS_EVENT && !out->json) out->json = mem_str("{}");
    if (out->kind == SAYS_LOG && !out->level) out->level = "info";
    return ERR_OK;
}

enum err says_parse(struct says *out, const char *line, size_t len, struct error *e)
{
    *out = (struct says){.kind = SAYS_NOTHING, .percent = -1};
    while (len && blank(line[len - 1])) len--;
    while (len && blank(*line)) line++, len--;
    if (!len) return ERR_OK;

    enum err rc;
    if (*line == '{') {
        json_t *object = json_read(line, len, e);
        rc = object ? take_members(out, line, object, e) : ERR_INVALID;
        json_decref(object);
    } else {
        rc = parse_percent(out, line, len, e);
    }
    if (rc) says_free(out);
    return rc;
}

/* A copy of `len` bytes as a C string of UTF-8: whatever cannot be in one becomes U+FFFD. */
static char *clean(const char *text, size_t len)
{
    if (utf8_valid(text, len) && !memchr(text, '\0', len)) return mem_dup(text, len);
    struct buf out = {0};
    for (size_t i = 0; i < len;) {
        size_t n = 1;
        while (n < 4 && i + n < len && !utf8_valid(text + i, n)) n++;
        if (text[i] && utf8_valid(text + i, n)) {
            buf_add(&out, text + i, n);
            i += n;
        } else {
            buf_str(&out, "\xef\xbf\xbd");
            i++;
        }
    }
    return out.data;
}

void says_log_line(struct says *out, const char *line, size_t len)
{
    static const char *const levels[] = {"error", "error", "error", "error",
                                         "warn",  "info",  "info",  "debug"};
    static_assert(sizeof levels / sizeof *levels == 8, "a level for each of <0> to <7>");

    *out = (struct says){.kind = SAYS_LOG, .percent = -1, .level = "info"};
    if (len && line[len - 1] == '\r') len--;
    if (len >= 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>') {
        out->level = levels[line[1] - '0'];
        line += 3;
        len -= 3;
    }
    out->message = clean(line, len);
}

void says_free(struct says *s)
{
    free(s->phase);
    free(s->message);
    free(s->type);
    free(s->json);
    *s = (struct says){.kind = SAYS_NOTHING, .percent = -1};
}
