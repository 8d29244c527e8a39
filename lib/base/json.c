#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The deepest nesting of brackets outside strings. Runs before the parser, so that depth costs no
 * stack. */
static int nesting(const char *text, size_t len)
{
    int depth = 0, deepest = 0;
    bool string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

/* How many of `len` bytes are decimal digits. */
static size_t digits(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] >= '0' && text[n] <= '9') n++;
    return n;
}

/* Length of the number that begins at `text` (RFC 8259, 6), or 0. */
static size_t number_length(const char *text, size_t len)
{
    size_t sign = len && *text == '-', whole = digits(text + sign, len - sign);
    if (!whole) return 0;
    size_t n = sign + (text[sign] == '0' ? 1 : whole), more;
    if (n < len && text[n] == '.' && (more = digits(text + n + 1, len - n - 1))) n += 1 + more;
    if (n < len && (text[n] == 'e' || text[n] == 'E')) {
        size_t at = n + 1;
        if (at < len && (text[at] == '+' || text[at] == '-')) at++;
        if ((more = digits(text + at, len - at))) n = at + more;
    }
    return n;
}

/* Writes in place of each number that the parser has no type for one that it has: the largest of its sign
 * that a double holds, and blanks, so that everything keeps its place. Such a number has at least the five
 * characters of that one. */
static void tame_numbers(char *text, size_t len)
{
    static const char largest[] = "-1e308";
    bool string = false;
    for (size_t i = 0, n; i < len; i += n) {
        n = 1;
        if (string && text[i] == '\\')
            n = 2;
        else if (text[i] == '"')
            string = !string;
        else if (!string && number_length(text + i, len - i))
            n = number_length(text + i, len - i);
        if (n < 5 || string) continue;
        json_t *value = json_loadb(text + i, n, JSON_DECODE_ANY, NULL);
        if (!value) {
            size_t skip = text[i] == '-' ? 0 : 1;
            memset(text + i, ' ', n);
            memcpy(text + i, largest + skip, sizeof largest - 1 - skip);
        }
        json_decref(value);
    }
}

/* Out of memory is no fault of the text. */
static void *take_memory(size_t size)
{
    void *p = malloc(size);
    if (!p) mem_exhausted();
    return p;
}

json_t *json_read(const char *text, size_t len, struct error *e)
{
    json_set_alloc_funcs(take_memory, free);
    if (nesting(text, len) > JSON_DEPTH) {
        error_set(e, ERR_INVALID, "JSON is nested deeper than %d levels", JSON_DEPTH);
        return NULL;
    }
    if (len && memchr(text, '\0', len)) { /* jansson takes one behind a number for its end */
        error_set(e, ERR_INVALID, "invalid JSON: a NUL byte");
        return NULL;
    }
    json_error_t at;
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
    if (!value && json_error_code(&at) == json_error_numeric_overflow) {
        char *copy = mem_dup(text, len);
        tame_numbers(copy, len);
        value = json_loadb(copy, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
        free(copy);
    }
    if (!value)
        error_set(e, ERR_INVALID, "invalid JSON at line %d, column %d: %s", at.line, at.column,
                  at.text);
    return value;
}

bool json_valid(const char *text, size_t len)
{
    json_t *value = json_read(text, len, NULL);
    json_decref(value);
    return value != NULL;
}

size_t utf8_length(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    if (!left) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
    return n;
}

bool utf8_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length(text + i, len - i);
        if (!n) return false;
        i += n;
    }
    return true;
}

size_t utf8_cut(const char *text, size_t len)
{
    size_t back = 0;
    while (back < 3 && back < len && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80) back++;
    if (back == len) return len;
    unsigned char lead = (unsigned char)text[len - 1 - back];
    size_t want = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return lead >= 0xc0 && want > back + 1 ? len - 1 - back : len;
}

void json_quote(struct buf *out, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    buf_char(out, '"');
    for (size_t i = 0, run = 0; i <= len; i++) {
        /* `run` plain bytes ending before i are waiting to be copied. */
        size_t n = i < len ? utf8_length(text + i, len - i) : 0;
        if (n > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
            run += n;
            i += n - 1;
            continue;
        }
        buf_add(out, text + i - run, run);
        run = 0;
        if (i == len) break;
        switch (n ? p[i] : 0x100) {
        case '"': buf_str(out, "\\\""); break;
        case '\\': buf_str(out, "\\\\"); break;
        case '\n': buf_str(out, "\\n"); break;
        case '\r': buf_str(out, "\\r"); break;
        case '\t': buf_str(out, "\\t"); break;
        case 0x100: buf_str(out, "\xef\xbf\xbd"); break;
        default: buf_fmt(out, "\\u%04x", p[i]);
        }
    }
    buf_char(out, '"');
}

void json_text(struct buf *out, const char *text)
{
    if (text)
        json_quote(out, text, strlen(text));
    else
        buf_str(out, "null");
}

void json_number(struct buf *out, double value)
{
    if (!isfinite(value)) value = 0;
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        buf_int(out, (int64_t)value);
        return;
    }
    char digits[340];
    int n = snprintf(digits, sizeof digits, "%.3f", value);
    while (n > 0 && digits[n - 1] == '0') n--;
    if (n > 0 && digits[n - 1] == '.') n--;
    if (n == 2 && digits[0] == '-' && digits[1] == '0') digits[0] = '0', n = 1;
    buf_add(out, digits, (size_t)n);
}

struct json_span json_find_last(const char *object, const char *name)
{
    struct json_span found = {0};
    for (struct json_member m; json_next(&object, &m);)
        if (json_named(&m, name)) found = m.value;
    return found;
}

void json_key(struct buf *out, const char *key)
{
    char last = out->len ? out->data[out->len - 1] : '{';
    if (last != '{' && last != '[') buf_char(out, ',');
    buf_char(out, '"');
    buf_str(out, key);
    buf_str(out, "\":");
}

static const char *after_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* Behind the string that begins at `p`, or NULL: it has no end. */
static const char *after_string(const char *p)
{
    for (p++; *(p += strcspn(p, "\"\\")); p++) {
        if (*p == '"') return p + 1;
        if (!*++p) break;
    }
    return NULL;
}

/* Behind the value that begins at `p`, or NULL. */
static const char *after_value(const char *p)
{
    if (*p == '"') return after_string(p);
    if (*p != '{' && *p != '[') return p + strcspn(p, ",}] \t\r\n");
    size_t depth = 0;
    do {
        p += strcspn(p, "\"{}[]");
        switch (*p) {
        case '\0': return NULL;
        case '"':
            if (!(p = after_string(p))) return NULL;
            continue;
        case '{':
        case '[': depth++; break;
        default: depth--;
        }
        p++;
    } while (depth);
    return p;
}

bool json_next(const char **at, struct json_member *out)
{
    const char *p = after_blanks(*at);
    if (*p != '{' && *p != ',') return false;
    const char *name = after_blanks(p + 1);
    const char *end = *name == '"' ? after_string(name) : NULL;
    if (!end) return false;
    p = after_blanks(end);
    if (*p != ':') return false;
    const char *value = after_blanks(p + 1);
    if (!(p = after_value(value))) return false;
    *out = (struct json_member){{name + 1, (size_t)(end - name) - 2}, {value, (size_t)(p - value)}};
    *at = p;
    return true;
}

bool json_named(const struct json_member *m, const char *name)
{
    if (!memchr(m->name.at, '\\', m->name.len))
        return m->name.len == strlen(name) && !memcmp(m->name.at, name, m->name.len);
    json_t *text = json_read(m->name.at - 1, m->name.len + 2, NULL);
    bool same = json_string_length(text) == strlen(name) && !strcmp(json_string_value(text), name);
    json_decref(text);
    return same;
}

struct json_span json_find(const char *object, const char *name)
{
    for (struct json_member m; json_next(&object, &m);)
        if (json_named(&m, name)) return m.value;
    return (struct json_span){0};
}

void json_squeeze(struct buf *out, const char *text)
{
    for (const char *p = text; *p;) {
        const char *end = *p == '"' ? after_string(p) : p + strcspn(p, "\" \t\r\n");
        if (!end) end = p + strlen(p);
        buf_add(out, p, (size_t)(end - p));
        p = after_blanks(end);
    }
}
