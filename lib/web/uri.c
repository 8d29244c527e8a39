#include "web/uri.h"

#include "base/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool uri_has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return true;
    return false;
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool uri_decode(struct buf *out, const char *text, size_t len, bool plus_is_space)
{
    size_t from = out->len;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < len ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!c) return false;
        buf_char(out, c);
    }
    return utf8_valid(out->data ? out->data + from : "", out->len - from);
}

void uri_path_free(struct uri_path *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->at[i]);
    s->count = 0;
}

enum err uri_split(struct uri_path *s, const char *path, size_t len, bool encoded, struct error *e)
{
    enum err rc = ERR_OK;
    struct buf segment = {0};
    for (size_t i = 0, n; !rc && i < len; i += n + 1) {
        for (n = 0; i + n < len && path[i + n] != '/';) n++;
        buf_clear(&segment);
        if (encoded) {
            if (!uri_decode(&segment, path + i, n, false))
                rc = error_set(e, ERR_INVALID, "the path is not percent-encoded UTF-8");
        } else {
            buf_add(&segment, path + i, n);
            if (!utf8_valid(path + i, n)) rc = error_set(e, ERR_INVALID, "the path is not UTF-8");
        }
        const char *text = buf_text(&segment);
        if (!rc && uri_has_control(text))
            rc = error_set(e, ERR_INVALID, "the path has a control character");
        if (rc || !*text || !strcmp(text, ".")) continue;
        if (!strcmp(text, ".."))
            rc = error_set(e, ERR_INVALID, "the path has a '..'");
        else if (s->count == URI_SEGMENTS_MAX)
            rc = error_set(e, ERR_INVALID, "the path is too deep");
        else
            s->at[s->count++] = mem_str(text);
    }
    buf_free(&segment);
    return rc;
}

int uri_below(char *const *segments, size_t count, const char *prefix)
{
    size_t i = 0;
    for (const char *p = prefix ? prefix : ""; *p;) {
        size_t n = strcspn(p, "/");
        if (n) {
            const char *segment = i < count ? segments[i] : NULL;
            if (!segment || strlen(segment) != n || strncmp(segment, p, n) != 0) return -1;
            i++;
        }
        p += n + (p[n] == '/');
    }
    return (int)i;
}

bool uri_parameter(const char **at, struct span *name, struct span *value)
{
    const char *p = *at;
    if (!p || !*p) return false;
    size_t len = strcspn(p, "&");
    const char *equals = memchr(p, '=', len);
    *name = (struct span){p, equals ? (size_t)(equals - p) : len};
    *value = equals ? (struct span){equals + 1, len - name->len - 1} : (struct span){p + len, 0};
    *at = p + len + (p[len] == '&');
    return true;
}
