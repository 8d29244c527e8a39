#include "cli/findings.h"

#include "base/json.h"
#include "cli/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *word;
    enum colour colour;
} levels[] = {
    [FINDING_OK] = {"ok", COLOUR_GOOD},
    [FINDING_NOTE] = {"note", COLOUR_WARN},
    [FINDING_PROBLEM] = {"problem", COLOUR_BAD},
};

enum { INDENT = 24 };

/* Appends words in lines that begin at a column, of which the first has begun already. */
static void wrap(struct buf *out, const char *text, int columns)
{
    int used = INDENT;
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, " ");
        int width = text_width(p, len);
        if (used > INDENT && used + 1 + width > columns) {
            buf_fmt(out, "\n%*s", INDENT, "");
            used = INDENT;
        } else if (used > INDENT) {
            buf_char(out, ' ');
            used++;
        }
        buf_add(out, p, len);
        used += width;
        p += len;
        p += strspn(p, " ");
    }
    buf_char(out, '\n');
}

static void print(struct findings *f, enum finding_level level, const char *about, const char *text,
                  const char *mend)
{
    struct terminal t = terminal_of(f->cli, STDOUT_FILENO);
    struct buf out = {0}, word = {0}, plain = {0};
    buf_fmt(&word, "%-8s", levels[level].word);
    text_colour(&out, &t, levels[level].colour, word.data);
    buf_fmt(&out, " %-14s ", about);
    text_harmless(&plain, text, strlen(text));
    wrap(&out, buf_text(&plain), t.columns);
    if (mend) {
        buf_fmt(&out, "%*s", INDENT, "");
        buf_clear(&plain);
        buf_fmt(&plain, "-> %s", mend);
        wrap(&out, plain.data, t.columns);
    }
    cli_put(&out);
    fflush(stdout);
    buf_free(&word);
    buf_free(&plain);
}

void findings_add(struct findings *f, enum finding_level level, const char *about, const char *mend,
                  const char *format, ...)
{
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->count++;
    if (level == FINDING_PROBLEM) f->problems++;
    if (!f->json) {
        print(f, level, about, text, mend);
        return;
    }
    buf_str(&f->out, f->out.len ? ",{" : "{\"findings\":[{");
    json_key(&f->out, "level");
    json_text(&f->out, levels[level].word);
    json_key(&f->out, "about");
    json_text(&f->out, about);
    json_key(&f->out, "text");
    json_text(&f->out, text);
    json_key(&f->out, "mend");
    json_text(&f->out, mend);
    buf_char(&f->out, '}');
}

void findings_end(struct findings *f)
{
    if (f->json) {
        buf_fmt(&f->out, "%s],\"problems\":%zu}\n", f->out.len ? "" : "{\"findings\":[",
                f->problems);
        cli_put(&f->out);
    } else if (f->problems) {
        printf("%zu problem%s\n", f->problems, f->problems == 1 ? "" : "s");
    } else {
        puts("no problems");
    }
}
