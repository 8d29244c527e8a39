#include "runner/result.h"

#include "base/json.h"

#include <string.h>

struct reader {
    const char *at, *end;
};

static bool next_is(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static bool digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return r->at > from;
}

static bool number(struct reader *r)
{
    next_is(r, '-');
    if (!next_is(r, '0') && !digits(r)) return false;
    if (next_is(r, '.') && !digits(r)) return false;
    if (!next_is(r, 'e') && !next_is(r, 'E')) return true;
    if (!next_is(r, '+')) next_is(r, '-');
    return digits(r);
}

/* Four hex digits; -1 when they are not. */
static int hex4(struct reader *r)
{
    int value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end) return -1;
        char c = *r->at;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Behind "\u": a code unit, or a pair of surrogates. */
static bool escaped_unit(struct reader *r)
{
    int unit = hex4(r);
    if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000)) return false;
    if (unit < 0xd800 || unit >= 0xe000) return true;
    if (!next_is(r, '\\') || !next_is(r, 'u')) return false;
    unit = hex4(r);
    return unit >= 0xdc00 && unit < 0xe000;
}

/* Behind the opening quote. That the bytes are UTF-8 was seen before. */
static bool string(struct reader *r)
{
    while (r->at < r->end) {
        char c = *r->at++;
        if (c == '"') return true;
        if ((unsigned char)c < 0x20) return false;
        if (c != '\\') continue;
        if (r->at == r->end) return false;
        c = *r->at++;
        if (c == 'u' ? !escaped_unit(r) : !c || !strchr("\"\\/bfnrt", c)) return false;
    }
    return false;
}

static bool scalar(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    if (next_is(r, '"')) return string(r);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(r->end - r->at) < len || memcmp(r->at, words[i], len)) continue;
        r->at += len;
        return true;
    }
    return number(r);
}

/* `"name" :` of a member. */
static bool name(struct reader *r)
{
    skip_blanks(r);
    if (!next_is(r, '"') || !string(r)) return false;
    skip_blanks(r);
    return next_is(r, ':');
}

bool result_is_json(const char *text, size_t len)
{
    if (!utf8_valid(text, len)) return false;
    struct reader r = {text, text + len};
    char closing[JSON_DEPTH]; /* the brackets that are open, innermost last */
    size_t depth = 0;

    for (;;) {
        /* A value begins here. */
        skip_blanks(&r);
        bool object = next_is(&r, '{'), array = !object && next_is(&r, '[');
        if (object || array) {
            if (depth == JSON_DEPTH) return false;
            closing[depth++] = object ? '}' : ']';
            skip_blanks(&r);
            if (r.at == r.end || *r.at != closing[depth - 1]) {
                if (object && !name(&r)) return false;
                continue;
            }
        } else if (!scalar(&r)) {
            return false;
        }
        /* A value ended here. */
        for (skip_blanks(&r); depth && next_is(&r, closing[depth - 1]); skip_blanks(&r)) depth--;
        if (!depth) return r.at == r.end;
        if (!next_is(&r, ',') || (closing[depth - 1] == '}' && !name(&r))) return false;
    }
}

static bool is_text_type(const char *type)
{
    return !strncasecmp(type, "text/", 5);
}

void result_read(struct result *out, const struct buf *body, const char *type, size_t inline_max)
{
    const char *text = buf_text(body);
    size_t len = body->len;
    bool small = len <= inline_max;
    /* What documents will hold is judged by the parser that others read it with. */
    bool json = !is_text_type(type) && (small ? json_valid(text, len) : result_is_json(text, len));
    bool utf8 = json || utf8_valid(text, len);

    struct buf value = {0};
    if (small && json) {
        buf_add(&value, text, len);
    } else if (small && utf8) {
        json_quote(&value, text, len && text[len - 1] == '\n' ? len - 1 : len);
    }
    out->value = value.data;
    out->type = *type  ? type
                : json ? "application/json"
                : utf8 ? "text/plain; charset=utf-8"
                       : "application/octet-stream";
}
