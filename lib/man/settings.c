/* settings FORM: prints the table of settings, while Leat is built.
 *
 *   settings markdown        the rows of the README's table
 *   settings mdoc <TEMPLATE  leat.conf(5): TEMPLATE with its lines @SETTINGS@ and @RELOAD@ replaced */
#include "base/settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 78, HOUR_MS = 3600 * 1000 };

/* Text of a manual page. */
struct page {
    size_t column; /* 0: at the begin of a line */
};

static void end_line(struct page *p)
{
    if (p->column) putchar('\n');
    p->column = 0;
}

/* Adds a word; a sentence ends its line. */
static void add_word(struct page *p, const char *word, size_t len)
{
    if (p->column + 1 + len > LINE_MAX_BYTES) end_line(p);
    if (p->column)
        p->column++, putchar(' ');
    else if (*word == '.' || *word == '\'')
        fputs("\\&", stdout);
    fwrite(word, 1, len, stdout);
    p->column += len;
    if (word[len - 1] == '.') end_line(p);
}

/* Adds what is to be typed, a line of its own, with the punctuation around it; returns what follows. */
static const char *add_literal(struct page *p, const char *before, size_t len)
{
    const char *text = before + len + 1, *end = strchr(text, '`');
    if (!end) abort(); /* a test of the table says that they come in pairs */
    end_line(p);
    fputs(".Li", stdout);
    for (size_t i = 0; i < len; i++) printf(" %c", before[i]);
    bool delimiter = strchr(".,:;)]?!", end[-1]) != NULL; /* which is a part of it */
    printf(" %.*s%s", (int)(end - text), text, delimiter ? "\\&" : "");
    for (end++; *end && *end != ' '; end++) printf(" %c", *end);
    putchar('\n');
    return end;
}

static void add_text(struct page *p, const char *text)
{
    while (*(text += strspn(text, " "))) {
        size_t len = strcspn(text, " ");
        const char *tick = memchr(text, '`', len);
        if (tick) {
            text = add_literal(p, text, (size_t)(tick - text));
        } else {
            add_word(p, text, len);
            text += len;
        }
    }
}

/* How many of a setting's own units its bounds are counted in; 0: it has none. */
static double unit_size(const struct setting *s)
{
    switch (s->type) {
    case SETTING_INT: return 1;
    case SETTING_SECONDS: return 1000;
    case SETTING_HOURS: return HOUR_MS;
    default: return 0;
    }
}

static const char *unit_name(const struct setting *s)
{
    if (s->type == SETTING_SECONDS) return "seconds";
    return s->type == SETTING_HOURS ? "hours" : s->unit;
}

/* The sentence about default and bounds; "" where there is neither. */
static void describe_value(const struct setting *s, char *to, size_t size)
{
    const char *initial = s->shown ? s->shown : s->initial, *unit = unit_name(s);
    double one = unit_size(s);
    int n = 0;
    *to = '\0';
    if (initial) n = snprintf(to, size, "Default: %s", initial);
    if (initial && unit) n += snprintf(to + n, size - (size_t)n, " %s", unit);
    if (s->as_cgi) n += snprintf(to + n, size - (size_t)n, ", and %s as CGI", s->as_cgi);
    if (one > 0) {
        n += snprintf(to + n, size - (size_t)n, "%s from %.15g to %.15g", initial ? ";" : "Values",
                      (double)s->min / one, (double)s->max / one);
        if (!initial && unit) n += snprintf(to + n, size - (size_t)n, " %s", unit);
    }
    if (n) snprintf(to + n, size - (size_t)n, ".");
}

static void print_mdoc(void)
{
    struct page p = {0};
    char value[400];
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        const struct setting *s = &conf_settings[k];
        bool first = !k || strcmp(s->section, conf_settings[k - 1].section) != 0;
        bool last = k + 1 == CONF_KEYS || strcmp(s->section, conf_settings[k + 1].section) != 0;
        if (first) printf(".Ss Section %s\n.Bl -tag -width Ds\n", s->section);
        printf(".It Ic %s\n", s->key);
        add_text(&p, s->help);
        describe_value(s, value, sizeof value);
        add_text(&p, value);
        end_line(&p);
        if (last) puts(".El");
    }
}

/* A list of the keys that a reload treats in this way. */
static void print_keys(enum setting_reload how)
{
    puts(".Bl -item -compact -offset indent");
    for (enum conf_key k = 0; k < CONF_KEYS; k++)
        if (conf_settings[k].reload == how)
            printf(".It\n.Li [%s]\n.Ic %s\n", conf_settings[k].section, conf_settings[k].key);
    puts(".El");
}

static void print_reload(void)
{
    puts("When\n.Xr leatd 8\nis told to read its settings again\n.Pq SIGHUP ,\nthese count from "
         "then on:");
    print_keys(RELOAD_TAKEN);
    puts(".Pp\nThese need a restart, which its log says where they differ:");
    print_keys(RELOAD_RESTART);
}

/* A size as people say it: 65536 as "64 KiB". */
static void print_bytes(const char *text)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    long long n = strtoll(text, NULL, 10);
    size_t i = 0;
    for (; n && n % 1024 == 0 && i < 3; i++) n /= 1024;
    if (n)
        printf("%lld %s", n, units[i]);
    else
        putchar('0');
}

static void print_markdown(void)
{
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        const struct setting *s = &conf_settings[k];
        const char *initial = s->shown ? s->shown : s->initial ? s->initial : "";
        const char *unit = s->type == SETTING_SECONDS ? " s" : s->type == SETTING_HOURS ? " h" : "";
        bool first = !k || strcmp(s->section, conf_settings[k - 1].section) != 0;
        fputs("| `", stdout);
        if (first) printf("[%s] ", s->section);
        printf("%s` | ", s->key);
        if (s->unit && !strcmp(s->unit, "bytes") && s->initial)
            print_bytes(s->initial);
        else if (*initial)
            printf("%s%s%s", initial, s->unit ? " " : unit, s->unit ? s->unit : "");
        if (s->as_cgi) printf("; %s%s as CGI", s->as_cgi, unit);
        printf(" | %s |\n", s->help);
    }
}

/* Copies the template with what stands for the table replaced. False: it could not be read. */
static bool fill_template(void)
{
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "@SETTINGS@\n"))
            print_mdoc();
        else if (!strcmp(line, "@RELOAD@\n"))
            print_reload();
        else
            fputs(line, stdout);
    }
    return !ferror(stdin);
}

int main(int argc, char **argv)
{
    bool markdown = argc == 2 && !strcmp(argv[1], "markdown");
    bool mdoc = argc == 2 && !strcmp(argv[1], "mdoc");
    if (!markdown && !mdoc) {
        fputs("usage: settings markdown | mdoc <TEMPLATE\n", stderr);
        return 64;
    }
    if (markdown) print_markdown();
    bool good = markdown || fill_template();
    return good && !fflush(stdout) ? 0 : 74;
}
