#include "task/job_protocol.h"

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

static enum err take_percent(struct job_line *out, double value, struct error *e)
{
    if (!(value >= 0 && value <= 100))
        return error_set(e, ERR_INVALID, "progress is not from 0 to 100");
    out->percent = value;
    return ERR_OK;
}

/* "40", "40.5 text", "40% text". */
static enum err parse_percent(struct job_line *out, const char *line, size_t len, struct error *e)
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
    out->kind = JOB_LINE_PROGRESS;
    return ERR_OK;
}

/* Every member that an object may have; members of different kinds do not mix, and what else it has is
 * not for us. */
static const struct member {
    const char *name;
    enum job_line_kind kind;
    bool absent; /* as if it were not there when it is null */
} members[] = {
    {"progress", JOB_LINE_PROGRESS, true}, {"phase", JOB_LINE_PROGRESS, true},
    {"message", JOB_LINE_PROGRESS, true},  {"type", JOB_LINE_EVENT, false},
    {"payload", JOB_LINE_EVENT, false},    {"log", JOB_LINE_LOG, false},
    {"level", JOB_LINE_LOG, true},         {"checkpoint", JOB_LINE_CHECKPOINT, false},
    {"context", JOB_LINE_CONTEXT, false},
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

static enum err take_level(struct job_line *out, const json_t *value, struct error *e)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i], text)) return out->level = levels[i], ERR_OK;
    return error_set(e, ERR_INVALID, "level is not debug, info, warn or error");
}

/* Takes the value as it was written in `line`, so that its numbers keep their digits. */
static enum err take_value(struct job_line *out, const char *line, const char *name)
{
    struct json_span written = json_find_last(line, name);
    out->json = mem_dup(written.at, written.len);
    return ERR_OK;
}

static enum err take_member(struct job_line *out, const char *line, const char *name,
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

static void take_log_text(struct job_line *out, const char *text, size_t len);

static enum err take_members(struct job_line *out, const char *line, json_t *object,
                             struct error *e)
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
    if (out->kind == JOB_LINE_EVENT && !out->type)
        return error_set(e, ERR_INVALID, "payload without type");
    if (out->kind == JOB_LINE_LOG && !out->message)
        return error_set(e, ERR_INVALID, "level without log");
    if (out->kind == JOB_LINE_EVENT && !out->json) out->json = mem_str("{}");
    if (out->kind == JOB_LINE_LOG) {
        char *written = out->message;
        if (!out->level) out->level = "info";
        take_log_text(out, written, strlen(written));
        free(written);
    }
    return ERR_OK;
}

/* The UTF-16 unit that an escape "\\uXXXX" at `p` stands for; -1: it is none. */
static int unit_at(const char *p, const char *end)
{
    int unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        const char *digit =
            p[i] ? strchr("0123456789abcdef", p[i] | ('A' <= p[i] && p[i] <= 'F' ? 32 : 0)) : NULL;
        if (!digit) return -1;
        unit = unit * 16 + (int)(digit - "0123456789abcdef");
    }
    return unit;
}

/* Makes halves of surrogate pairs U+FFFD, in place: many programs write them when they cut a text, and no
 * parser takes them. Whether there were any. */
static bool mend_surrogates(char *text, size_t len)
{
    static const char replacement[] = {'f', 'f', 'f', 'd'};
    bool any = false;
    const char *end = text + len;
    for (char *p = text; (p = memchr(p, '\\', (size_t)(end - p)));) {
        int unit = unit_at(p, end);
        if (unit < 0xd800 || unit > 0xdfff) {
            p += end - p > 1 ? 2 : 1;
            continue;
        }
        int low = unit < 0xdc00 ? unit_at(p + 6, end) : -1;
        bool pair = low >= 0xdc00 && low <= 0xdfff;
        if (!pair) memcpy(p + 2, replacement, sizeof replacement);
        any |= !pair;
        p += pair ? 12 : 6;
    }
    return any;
}

static enum err read_object(struct job_line *out, const char *text, size_t len, struct error *e)
{
    json_t *object = json_read(text, len, e);
    enum err rc = object ? take_members(out, text, object, e) : ERR_INVALID;
    json_decref(object);
    return rc;
}

static enum err parse_object(struct job_line *out, const char *line, size_t len, struct error *e)
{
    if (!memmem(line, len, "\\ud", 3) && !memmem(line, len, "\\uD", 3))
        return read_object(out, line, len, e); /* no surrogate is in it */
    char *copy = mem_dup(line, len);
    out->mended = mend_surrogates(copy, len);
    enum err rc = read_object(out, copy, len, e);
    free(copy);
    return rc;
}

enum err job_line_parse(struct job_line *out, const char *line, size_t len, struct error *e)
{
    *out = (struct job_line){.kind = JOB_LINE_NOTHING, .percent = -1};
    while (len && blank(line[len - 1])) len--;
    while (len && blank(*line)) line++, len--;
    if (!len) return ERR_OK;
    enum err rc = *line == '{' ? parse_object(out, line, len, e) : parse_percent(out, line, len, e);
    if (rc) job_line_free(out);
    return rc;
}

/* Steps over blanks, and over `word` behind them. */
static bool step_over(const char **p, const char *end, const char *word)
{
    size_t len = strlen(word);
    while (*p < end && blank(**p)) ++*p;
    if ((size_t)(end - *p) < len || memcmp(*p, word, len) != 0) return false;
    *p += len;
    return true;
}

enum job_line_kind job_line_guess(const char *line, size_t len)
{
    const char *end = line + len, *p = line;
    if (!step_over(&p, end, "{")) return JOB_LINE_NOTHING;
    if (step_over(&p, end, "\"checkpoint\"")) return JOB_LINE_CHECKPOINT;
    return step_over(&p, end, "\"context\"") ? JOB_LINE_CONTEXT : JOB_LINE_NOTHING;
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

/* How long the escape sequence at `p` is (ECMA-48), which begins with ESC: "ESC [ ... letter", "ESC ] ... BEL"
 * or "... ESC \\", else two bytes and what stands between them. */
static size_t escape_len(const char *p, size_t left)
{
    size_t n = 1;
    if (left > 1 && p[1] == '[') {
        for (n = 2; n < left && (p[n] < '@' || p[n] > '~'); n++) continue;
    } else if (left > 1 && p[1] && strchr("]PX^_", p[1])) {
        for (n = 2; n < left && p[n] != '\a' && p[n] != '\033'; n++) continue;
        if (n + 1 < left && p[n] == '\033' && p[n + 1] == '\\') n++;
    } else {
        while (n < left && p[n] >= ' ' && p[n] <= '/') n++;
    }
    return n < left ? n + 1 : left;
}

/* Whether the escape sequence of `len` bytes at `p` selects colours and the like (SGR): "ESC [ 1;31 m". */
static bool selects_colour(const char *p, size_t len)
{
    size_t n = 2;
    if (len < 3 || p[1] != '[' || p[len - 1] != 'm') return false;
    while (n < len - 1 && (digit(p[n]) || p[n] == ';' || p[n] == ':')) n++;
    return n == len - 1;
}

/* Takes terminal control out of a line: escape sequences (but colours, where these are wanted), and control characters (C0
 * but tabs and line breaks, DEL, C1). No sequence reaches over the end of a line. NULs stay, for `clean`. Gives the
 * length that is left. */
static size_t without_control(char *line, size_t len, bool colours)
{
    size_t to = 0;
    for (size_t at = 0; at < len;) {
        unsigned char c = (unsigned char)line[at];
        if (c == '\033') {
            const char *stop = memchr(line + at, '\n', len - at);
            size_t n = escape_len(line + at, stop ? (size_t)(stop - line) - at : len - at);
            if (colours && selects_colour(line + at, n)) {
                memmove(line + to, line + at, n);
                to += n;
            }
            at += n;
            continue;
        }
        bool c1 = c == 0xc2 && at + 1 < len && ((unsigned char)line[at + 1] & 0xe0) == 0x80;
        if ((c >= ' ' && c != 0x7f && !c1) || c == '\t' || c == '\n' || !c) line[to++] = (char)c;
        at += c1 ? 2 : 1;
    }
    return to;
}

static char *controlled(const char *text, size_t len, bool colours)
{
    char *kept = mem_dup(text, len);
    char *out = clean(kept, without_control(kept, len, colours));
    free(kept);
    return out;
}

char *job_plain_text(const char *text, size_t len)
{
    return controlled(text, len, false);
}

char *job_coloured_text(const char *text, size_t len)
{
    return controlled(text, len, true);
}

/* A copy with its colours; NULL: it has none, or shows nothing, or is too long for an event that has both. */
static char *colours_of(const char *text, size_t len, size_t plain_len)
{
    if (!plain_len || !memmem(text, len, "\033[", 2)) return NULL;
    char *out = job_coloured_text(text, len);
    size_t escapes = 0, size = plain_len + strlen(out);
    for (const char *p = out; (p = strchr(p, '\033')); p++) escapes++;
    if (escapes && size + escapes * strlen("u001b") <= JOB_LINE_MAX) return out;
    free(out);
    return NULL;
}

/* What was said as the message of a log line, and its colours beside it. */
static void take_log_text(struct job_line *out, const char *text, size_t len)
{
    out->message = job_plain_text(text, len);
    out->ansi = colours_of(text, len, strlen(out->message));
}

void job_log_line(struct job_line *out, const char *line, size_t len)
{
    static const char *const levels[] = {"error", "error", "error", "error",
                                         "warn",  "info",  "info",  "debug"};
    static_assert(sizeof levels / sizeof *levels == 8, "a level for each of <0> to <7>");

    *out = (struct job_line){.kind = JOB_LINE_LOG, .percent = -1, .level = "info"};
    if (len >= 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>') {
        out->level = levels[line[1] - '0'];
        line += 3;
        len -= 3;
    }
    take_log_text(out, line, len);
}

void job_line_free(struct job_line *s)
{
    free(s->phase);
    free(s->message);
    free(s->ansi);
    free(s->type);
    free(s->json);
    *s = (struct job_line){.kind = JOB_LINE_NOTHING, .percent = -1};
}
