#include "cli/terminal.h"

#include "base/conf.h"
#include "task/job_protocol.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum { COLUMNS_USUAL = 80, COLUMNS_MIN = 20, COLUMNS_MAX = 1000 };

struct terminal terminal_of(const struct cli *cli, int fd)
{
    const char *term = cli->env.term, *no_color = cli->env.no_color;
    struct winsize size = {0};
    int64_t wanted = 0;
    bool tty = isatty(fd);
    if (tty) ioctl(fd, TIOCGWINSZ, &size);
    bool live = tty && term && *term && strcmp(term, "dumb") != 0;
    struct terminal t = {
        .fd = fd,
        .live = live,
        .colours = live && !(no_color && *no_color),
        .unicode = cli->unicode,
        .columns = size.ws_col ? size.ws_col : COLUMNS_USUAL,
        .rows = tty ? (size.ws_row ? size.ws_row : 24) : 0,
    };
    if (cli->env.columns && !conf_parse_int(cli->env.columns, 1, COLUMNS_MAX, &wanted, NULL))
        t.columns = (int)wanted;
    if (t.columns < COLUMNS_MIN) t.columns = COLUMNS_MIN;
    if (t.columns > COLUMNS_MAX) t.columns = COLUMNS_MAX;
    return t;
}

/* ---- characters ---- */

/* The character at `text` and how many bytes it takes (1 for what is no UTF-8, then U+FFFD). */
static size_t decode(const char *text, size_t len, wchar_t *c)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    *c = 0xfffd;
    if (!n || n > len) return 1;
    uint32_t value = n == 1 ? p[0] : p[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 1;
        value = value << 6 | (p[i] & 0x3f);
    }
    *c = (wchar_t)value;
    return n;
}

/* -1: it is not to be shown. */
static int width_of(wchar_t c)
{
    if (c < ' ' || (c >= 0x7f && c < 0xa0)) return -1;
    if (c < 0x7f) return 1;
    /* what steers the direction of text would move what stands beside it */
    if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
        (c >= 0x2066 && c <= 0x2069) || c == 0xfeff)
        return -1;
    int width = wcwidth(c);
    return width < 0 ? 1 : width; /* a locale that does not know it */
}

int text_width(const char *text, size_t len)
{
    int columns = 0;
    for (size_t at = 0; at < len;) {
        wchar_t c;
        at += decode(text + at, len - at, &c);
        int width = width_of(c);
        if (width > 0) columns += width;
    }
    return columns;
}

static const char *cut_sign(const struct terminal *t)
{
    return t->unicode ? "\xe2\x80\xa6" : "..";
}

/* The length of what selects a colour at `text`; 0: that does not. */
static size_t colour_length(const char *text)
{
    if (text[0] != '\033' || text[1] != '[') return 0;
    size_t len = 2 + strspn(text + 2, "0123456789:;<=>?");
    return text[len] == 'm' ? len + 1 : 0;
}

/* text_fit of text without any other sequence; colours take no column, and end where it is cut. */
static int fit(struct buf *out, const struct terminal *t, const char *text, int columns)
{
    int sign = t->unicode ? 1 : 2, used = 0, used_there = 0;
    size_t len = strlen(text), there = out->len; /* where it is cut, should it not fit */
    if (columns < sign) return 0;
    for (size_t at = 0; at < len;) {
        size_t colour = colour_length(text + at);
        if (colour) {
            buf_add(out, text + at, colour);
            at += colour;
            continue;
        }
        wchar_t c;
        size_t n = decode(text + at, len - at, &c);
        bool blank = c == '\n' || c == '\t' || c == '\r';
        int width = blank ? 1 : width_of(c);
        if (width >= 0 && used + width > columns) {
            out->len = there;
            buf_str(out, cut_sign(t));
            if (memchr(text, '\033', len)) buf_str(out, "\033[0m");
            return used_there + sign;
        }
        if (blank)
            buf_char(out, ' ');
        else if (width >= 0)
            buf_add(out, text + at, n);
        if (width > 0) used += width;
        at += n;
        if (used <= columns - sign) there = out->len, used_there = used;
    }
    return used;
}

int text_fit(struct buf *out, const struct terminal *t, const char *text, int columns)
{
    if (!strchr(text, '\033')) return fit(out, t, text, columns);
    struct buf plain = {0}; /* all of a sequence goes, not its first character alone */
    text_harmless(&plain, text, strlen(text));
    int used = fit(out, t, buf_text(&plain), columns);
    buf_free(&plain);
    return used;
}

int text_fit_coloured(struct buf *out, const struct terminal *t, const char *text, int columns)
{
    if (!t->colours) return text_fit(out, t, text, columns);
    struct buf kept = {0};
    text_coloured(&kept, text, strlen(text));
    int used = fit(out, t, buf_text(&kept), columns);
    buf_free(&kept);
    return used;
}

void text_harmless(struct buf *out, const char *text, size_t len)
{
    char *plain = job_plain_text(text, len);
    buf_str(out, plain);
    free(plain);
}

void text_coloured(struct buf *out, const char *text, size_t len)
{
    char *kept = job_coloured_text(text, len);
    buf_str(out, kept);
    if (strchr(kept, '\033'))
        buf_str(out, "\033[0m"); /* whatever it has switched on ends with it */
    free(kept);
}

void text_colour(struct buf *out, const struct terminal *t, enum colour colour, const char *text)
{
    static const char *const codes[] = {[COLOUR_NONE] = "",
                                        [COLOUR_GOOD] = "\033[32m",
                                        [COLOUR_BAD] = "\033[31m",
                                        [COLOUR_WARN] = "\033[33m",
                                        [COLOUR_FAINT] = "\033[2m"};
    bool coloured = t->colours && colour != COLOUR_NONE;
    if (coloured) buf_str(out, codes[colour]);
    buf_str(out, text);
    if (coloured) buf_str(out, "\033[0m");
}

/* ---- numbers ---- */

void text_clock(struct buf *out, double seconds)
{
    int64_t s = seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
    long long hours = (long long)s / 3600, minutes = s / 60 % 60, rest = s % 60;
    if (hours)
        buf_fmt(out, "%lld:%02lld:%02lld", hours, minutes, rest);
    else
        buf_fmt(out, "%lld:%02lld", minutes, rest);
}

void text_age(struct buf *out, int64_t ms)
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    int64_t s = ms > 0 ? ms / 1000 : 0;
    size_t i = 0;
    while (i < 3 && s < units[i].seconds) i++;
    buf_fmt(out, "%lld%c", (long long)(s / units[i].seconds), units[i].letter);
}

void text_time(struct buf *out, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    char stamp[32] = "-";
    if (localtime_r(&seconds, &local)) strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    buf_str(out, stamp);
}

void text_bytes(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        buf_fmt(out, "%lld B", (long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t i = 0;
    for (; value >= 1023.95 && i < 3; i++) value /= 1024;
    buf_fmt(out, "%.1f %s", value, units[i]);
}
