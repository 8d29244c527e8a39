#include "base/conf.h"

#include "base/address.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000 };

/* Where a value comes from, if not from a line of the file. */
enum { FROM_NOWHERE = 0, FROM_VARIABLE = -1 };

/* A row of [routes]: the line as it was written, without the blanks and the comment around. */
struct row {
    char *text;
    int line;
};

/* The settings of the last request that had some of its own: they are those of the next one, where its variables
 * are the same. */
struct overlay {
    struct conf *conf;    /* NULL: none yet */
    struct buf variables; /* each with its NUL */
};

struct conf {
    size_t users; /* an overlay is freed with the last one */
    struct overlay *last;
    char *file;
    char *text[CONF_KEYS]; /* as written, or NULL: unset */
    int64_t number[CONF_KEYS];
    int line[CONF_KEYS]; /* of the file, or FROM_ */
    struct row *rows;    /* of [routes], by their order */
    size_t row_count;
    int reading;             /* the line that is being read */
    struct buf reading_text; /* as it is written */
    bool cgi;
};

enum err conf_parse_int(const char *text, int64_t min, int64_t max, int64_t *out, struct error *e)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < min || value > max)
        return error_set(e, ERR_INVALID, "'%s' is not a whole number from %lld to %lld", text,
                         (long long)min, (long long)max);
    *out = value;
    return ERR_OK;
}

enum err conf_parse_bool(const char *text, bool *out, struct error *e)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (!strcasecmp(text, yes[i])) return *out = true, ERR_OK;
        if (!strcasecmp(text, no[i])) return *out = false, ERR_OK;
    }
    return error_set(e, ERR_INVALID, "'%s' is not yes or no", text);
}

static enum err parse_time(const char *text, double unit_ms, const char *units, int64_t min_ms,
                           int64_t max_ms, int64_t *out_ms, struct error *e)
{
    char *end;
    double value = strtod(text, &end);
    double ms = value * unit_ms;
    if (end == text || *end || !isfinite(value) || ms < (double)min_ms || ms > (double)max_ms)
        return error_set(e, ERR_INVALID, "'%s' is not a number of %s from %g to %g", text, units,
                         (double)min_ms / unit_ms, (double)max_ms / unit_ms);
    *out_ms = (int64_t)llround(ms);
    return ERR_OK;
}

enum err conf_parse_seconds(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out_ms,
                            struct error *e)
{
    return parse_time(text, 1000, "seconds", min_ms, max_ms, out_ms, e);
}

enum err conf_parse_hours(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out_ms,
                          struct error *e)
{
    return parse_time(text, HOUR_MS, "hours", min_ms, max_ms, out_ms, e);
}

/* One "name=word" of a map; what is missing has no length. */
struct pair {
    const char *name, *word;
    size_t name_len, word_len;
};

static size_t without_blanks(const char **text, size_t len)
{
    while (len && isspace((unsigned char)**text)) ++*text, len--;
    while (len && isspace((unsigned char)(*text)[len - 1])) len--;
    return len;
}

/* Takes the next pair, up to a comma. False: there is none. */
static bool next_pair(const char **at, struct pair *out)
{
    const char *text = *at;
    if (!text || !*text) return false;
    size_t len = strcspn(text, ",");
    const char *equals = memchr(text, '=', len);
    *out = (struct pair){.name = text, .word = text};
    out->name_len = without_blanks(&out->name, equals ? (size_t)(equals - text) : len);
    if (equals) {
        out->word = equals + 1;
        out->word_len = without_blanks(&out->word, len - (size_t)(equals + 1 - text));
    }
    *at = text + len + (text[len] == ',');
    return true;
}

const char *conf_word(const char *map, const char *name, size_t len, size_t *word_len)
{
    for (struct pair p; next_pair(&map, &p);) {
        if (p.name_len != len || memcmp(p.name, name, len)) continue;
        *word_len = p.word_len;
        return p.word;
    }
    return NULL;
}

/* Whether the name of a pair is STATUS/TYPE: of a status that can be narrowed to groups of one type. */
static bool narrows(const struct pair *p)
{
    static const char *const statuses[] = {"pending", "running", "completed"};
    const char *slash = memchr(p->name, '/', p->name_len);
    if (!slash) return false;
    size_t status = (size_t)(slash - p->name), type = p->name_len - status - 1, n = 0;
    while (n < type &&
           (islower((unsigned char)slash[1 + n]) ||
            (n && (isdigit((unsigned char)slash[1 + n]) || strchr("_-", slash[1 + n])))))
        n++;
    if (n != type || type < 1 || type > 64) return false;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (strlen(statuses[i]) == status && !memcmp(statuses[i], p->name, status)) return true;
    return false;
}

/* Checks the pairs of `text`, and makes the whole map of them and of `initial`; the caller frees. */
static enum err parse_map(const char *text, const char *initial, char **out, struct error *e)
{
    struct buf map = {0};
    size_t len;
    const char *at = text;
    for (struct pair p; next_pair(&at, &p);) {
        if (!p.name_len || !p.word_len)
            return error_set(e, ERR_INVALID, "'%s' is not NAME=WORD, NAME=WORD and so on", text);
        if (!conf_word(initial, p.name, p.name_len, &len) && !narrows(&p)) {
            for (struct pair k; next_pair(&initial, &k);)
                buf_fmt(&map, "%s%.*s", map.len ? ", " : "", (int)k.name_len, k.name);
            error_set(e, ERR_INVALID,
                      "'%.*s' is not one of %s, pending/TYPE, running/TYPE, completed/TYPE",
                      (int)p.name_len, p.name, map.data);
            buf_free(&map);
            return ERR_INVALID;
        }
        if (conf_word(text, p.name, p.name_len, &len) != p.word)
            return error_set(e, ERR_INVALID, "'%s' has %.*s twice", text, (int)p.name_len, p.name);
    }
    for (struct pair p; next_pair(&initial, &p);) {
        const char *word = conf_word(text, p.name, p.name_len, &len);
        if (!word) word = p.word, len = p.word_len;
        buf_fmt(&map, "%s%.*s=%.*s", map.len ? "," : "", (int)p.name_len, p.name, (int)len, word);
    }
    for (struct pair p; next_pair(&text, &p);)
        if (narrows(&p))
            buf_fmt(&map, ",%.*s=%.*s", (int)p.name_len, p.name, (int)p.word_len, p.word);
    *out = map.data;
    return ERR_OK;
}

/* A path that others are put behind: "/api", or "/", which is "" there. The caller frees. */
static enum err parse_path(const char *text, char **out, struct error *e)
{
    size_t len = strlen(text);
    if (*text != '/' || (len > 1 && text[len - 1] == '/'))
        return error_set(e, ERR_INVALID, "'%s' does not begin with / or ends with one", text);
    *out = mem_str(len > 1 ? text : "");
    return ERR_OK;
}

const char *conf_item(const char **rest, size_t *len)
{
    *rest += strspn(*rest, ", \t");
    const char *item = *rest;
    *len = strcspn(item, ", \t");
    *rest += *len;
    return *len ? item : NULL;
}

/* The names are those of task/access.c, whose test says so. */
static bool scope_valid(const char *item, size_t len)
{
    static const char *const names[] = {"create", "read", "publish", "admin"};
    for (size_t i = 0; i < 4; i++)
        if (strlen(names[i]) == len && !strncmp(names[i], item, len)) return true;
    return false;
}

/* What an origin looks like (RFC 6454, 6.2), or `*`. */
static bool origin_valid(const char *item, size_t len)
{
    if (len == 1 && *item == '*') return true;
    size_t scheme =
        strspn(item, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    if (!scheme || scheme + 3 >= len || strncmp(item + scheme, "://", 3) != 0) return false;
    return scheme + 3 + strcspn(item + scheme + 3, "/?#@*\\ ,\t") >= len;
}

static enum err check_name(const char *text, int64_t min, int64_t max, struct error *e)
{
    size_t len = strlen(text);
    bool fine = len >= (size_t)min && len <= (size_t)max && utf8_valid(text, len);
    for (const char *p = text; fine && *p; p++) fine = (unsigned char)*p >= 0x20 && *p != 0x7f;
    if (fine) return ERR_OK;
    return error_set(e, ERR_INVALID, "not %lld to %lld bytes of UTF-8 text", (long long)min,
                     (long long)max);
}

static bool host_valid(const char *item, size_t len)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    struct address a;
    if (address_parse(item, len, &a)) return !a.local;
    size_t name = strspn(item, letters);
    size_t port = name < len && item[name] == ':' ? 1 + strspn(item + name + 1, "0123456789") : 0;
    return name && name + port == len;
}

static bool network_valid(const char *item, size_t len)
{
    struct network n;
    return network_parse(item, len, &n);
}

/* Checks each item of a list; `expected` says what one is. */
static enum err check_list(const char *text, bool (*valid)(const char *item, size_t len),
                           const char *expected, struct error *e)
{
    const char *item;
    for (size_t len; (item = conf_item(&text, &len));)
        if (!valid(item, len))
            return error_set(e, ERR_INVALID, "'%.*s' is not %s", len < 200 ? (int)len : 200, item,
                             expected);
    return ERR_OK;
}

static enum err check_url(const char *text, struct error *e)
{
    size_t scheme = !strncasecmp(text, "https://", 8)  ? 8
                    : !strncasecmp(text, "http://", 7) ? 7
                                                       : 0;
    size_t len = strlen(text), host = scheme ? strcspn(text + scheme, "/") : 0;
    bool fine = host && host_valid(text + scheme, host) && !strpbrk(text, "?# \t\"\\<>") &&
                text[len - 1] != '/';
    if (fine) return ERR_OK;
    return error_set(e, ERR_INVALID, "'%s' is not http(s)://HOST[:PORT], without a / at its end",
                     text);
}

/* A token (RFC 9110, 5.6.2). */
static enum err check_token(const char *text, struct error *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    if (strspn(text, letters) == strlen(text)) return ERR_OK;
    return error_set(e, ERR_INVALID, "'%s' cannot be the name of a parameter or cookie", text);
}

/* What a key is while nobody sets it; `room` is used where that is found out. "": nothing. */
static const char *initial(enum conf_key key, bool cgi, char room[24])
{
    if (cgi && conf_settings[key].as_cgi) return conf_settings[key].as_cgi;
    if (key != CONF_RUNNER_WORKERS)
        return conf_settings[key].initial ? conf_settings[key].initial : "";
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(room, 24, "%ld", (cpus > 0 ? cpus : 1) * 2);
    return room;
}

/* Reads a value as its type demands. *made, for the caller, is what it is kept as where that is not the
 * text itself. */
static enum err read_value(const struct setting *s, const char *value, int64_t *number, char **made,
                           struct error *e)
{
    bool flag = false;
    enum err rc = ERR_OK;
    switch (s->type) {
    case SETTING_INT: return conf_parse_int(value, s->min, s->max, number, e);
    case SETTING_SECONDS: return conf_parse_seconds(value, s->min, s->max, number, e);
    case SETTING_HOURS: return conf_parse_hours(value, s->min, s->max, number, e);
    case SETTING_BOOL:
        rc = conf_parse_bool(value, &flag, e);
        *number = flag;
        return rc;
    case SETTING_MAP: return parse_map(value, s->initial, made, e);
    case SETTING_PATH: return parse_path(value, made, e);
    case SETTING_URL: return check_url(value, e);
    case SETTING_NAME: return check_name(value, s->min, s->max, e);
    case SETTING_TOKEN: return check_token(value, e);
    case SETTING_SCOPES: return check_list(value, scope_valid, "create, read, publish or admin", e);
    case SETTING_ORIGINS: return check_list(value, origin_valid, "scheme://host[:port] or *", e);
    case SETTING_HOSTS: return check_list(value, host_valid, "the name or address of a host", e);
    case SETTING_NETWORKS:
        return check_list(value, network_valid, "an address, a network or unix:", e);
    case SETTING_LEVEL: return log_level_check(value, e);
    case SETTING_TARGET: return log_target_check(value, e);
    case SETTING_TEXT:
    case SETTING_FILE: break;
    }
    return ERR_OK;
}

/* Sets one key; an empty value unsets it: it is then as if nobody had set it. `line`: of the file, or
 * FROM_. */
static enum err set_value(struct conf *c, enum conf_key key, const char *value, int line,
                          struct error *e)
{
    char room[24];
    if (!*value) {
        value = initial(key, c->cgi, room);
        line = FROM_NOWHERE;
    }
    int64_t number = 0;
    char *made = NULL;
    enum err rc = *value ? read_value(&conf_settings[key], value, &number, &made, e) : ERR_OK;
    if (rc) return rc;
    free(c->text[key]);
    c->text[key] = made ? made : *value ? mem_str(value) : NULL;
    c->number[key] = number;
    c->line[key] = line;
    return ERR_OK;
}

/* "[section] key: " before what the parser said. */
static enum err name_key(const char *section, const char *key, struct error *e)
{
    if (!e) return ERR_INVALID;
    struct error inner = *e;
    return error_set(e, inner.code, "[%s] %s: %s", section, key, inner.text);
}

/* Keeps the line that is being read as a row. What an INI file splits it at may stand inside of its path. */
static enum err take_row(struct conf *c, struct error *e)
{
    const char *text = buf_text(&c->reading_text);
    size_t len = 0;
    while (text[len] && !(text[len] == ';' && len && isspace((unsigned char)text[len - 1]))) len++;
    len = without_blanks(&text, len);
    if (c->row_count == CONF_ROUTES_MAX)
        return error_set(e, ERR_INVALID, "[routes]: more than %d rows", CONF_ROUTES_MAX);
    c->rows = mem_grow(c->rows, c->row_count + 1, sizeof *c->rows);
    c->rows[c->row_count++] = (struct row){.text = mem_dup(text, len), .line = c->reading};
    return ERR_OK;
}

/* A value of the file that is being read, if it is a relative path: as it is from the folder of that file; else
 * NULL. The caller frees. */
static char *from_file(const struct conf *c, const struct setting *s, const char *value)
{
    const char *path = s->type == SETTING_FILE ? value : "/", *slash = strrchr(c->file, '/');
    if (s->type == SETTING_TARGET && !strncmp(value, "file ", 5)) path = value + 5;
    if (!*path || *path == '/') return NULL;
    char *folder = slash ? mem_dup(c->file, (size_t)(slash - c->file) + 1) : mem_str(".");
    char *real = realpath(folder, NULL);
    struct buf whole = {0};
    buf_fmt(&whole, "%.*s%s/%s", (int)(path - value), value, real ? real : folder, path);
    free(folder);
    free(real);
    return whole.data;
}

static enum err take_setting(void *arg, const char *section, const char *key, const char *value,
                             struct error *e)
{
    struct conf *c = arg;
    bool section_known = false;
    if (!strcmp(section, "routes")) return take_row(c, e);
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        bool here = !strcmp(conf_settings[k].section, section);
        section_known |= here;
        if (!here || strcmp(conf_settings[k].key, key)) continue;
        char *whole = from_file(c, &conf_settings[k], value);
        enum err rc = set_value(c, k, whole ? whole : value, c->reading, e);
        free(whole);
        return rc ? name_key(section, key, e) : ERR_OK;
    }
    if (!section_known) return error_set(e, ERR_INVALID, "unknown section [%s]", section);
    return error_set(e, ERR_INVALID, "unknown key '%s' in [%s]", key, section);
}

struct ini_reader {
    FILE *in;
    conf_take *take;
    void *arg;
    int *line;        /* the one being read */
    struct buf *text; /* what is written there; NULL: nobody asks */
    int bad_line;     /* the first that was refused, 0: none */
    struct error error;
};

/* fgets for inih that counts lines and refuses what does not fit its buffer instead of splitting it. */
static char *next_line(char *out, int size, void *arg)
{
    struct ini_reader *r = arg;
    if (!fgets(out, size, r->in)) return NULL;
    ++*r->line;
    if (r->text) buf_clear(r->text), buf_str(r->text, out);
    size_t len = strlen(out);
    int c;
    if (len && out[len - 1] != '\n' && (c = fgetc(r->in)) != EOF) {
        if (!r->bad_line) {
            r->bad_line = *r->line;
            error_set(&r->error, ERR_INVALID, "the line is longer than %d bytes", size - 2);
        }
        while (c != EOF && c != '\n') c = fgetc(r->in);
    }
    return out;
}

static int take_line(void *arg, const char *section, const char *name, const char *value)
{
    struct ini_reader *r = arg;
    if (!r->bad_line && r->take(r->arg, section, name, value ? value : "", &r->error))
        r->bad_line = *r->line;
    return 1;
}

/* As conf_read_ini, with a reader that knows what to do with the lines. */
static enum err read_ini(const char *file, struct ini_reader r, struct error *e)
{
    r.in = fopen(file, "re");
    if (!r.in) return error_errno(e, ERR_IO, "cannot read %s", file);
    int syntax = ini_parse_stream(next_line, &r, take_line, &r);
    bool failed = ferror(r.in);
    fclose(r.in);
    if (failed || syntax < 0) return error_set(e, ERR_IO, "cannot read %s", file);
    if (r.bad_line && (!syntax || r.bad_line <= syntax))
        return error_set(e, ERR_INVALID, "%s:%d: %s", file, r.bad_line, r.error.text);
    if (syntax)
        return error_set(e, ERR_INVALID, "%s:%d: not a [section], a 'key = value' or a comment",
                         file, syntax);
    return ERR_OK;
}

enum err conf_read_ini(const char *file, conf_take *take, void *arg, struct error *e)
{
    int line = 0;
    return read_ini(file, (struct ini_reader){.take = take, .arg = arg, .line = &line}, e);
}

enum { VARIABLE_SIZE = 80 };

/* "LEAT_SECTION_KEY" */
static void variable_name(enum conf_key key, char name[VARIABLE_SIZE])
{
    snprintf(name, VARIABLE_SIZE, "LEAT_%s_%s", conf_settings[key].section, conf_settings[key].key);
    for (char *p = name; *p; p++) *p = (char)toupper((unsigned char)*p);
}

/* Applies LEAT_SECTION_KEY=value; other names are not ours to judge. */
static enum err take_variable(struct conf *c, const char *entry, struct error *e)
{
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        char name[VARIABLE_SIZE];
        variable_name(k, name);
        size_t len = strlen(name);
        if (strncmp(entry, name, len) != 0 || entry[len] != '=') continue;
        struct error inner = {0};
        if (!set_value(c, k, entry + len + 1, FROM_VARIABLE, &inner)) return ERR_OK;
        return error_set(e, ERR_INVALID, "%s: %s", name, inner.text);
    }
    return ERR_OK;
}

enum err conf_blame(const struct conf *c, enum conf_key key, struct error *e)
{
    char name[VARIABLE_SIZE];
    if (!e) return ERR_INVALID;
    struct error inner = *e;
    int line = c->line[key];
    if (line == FROM_VARIABLE) {
        variable_name(key, name);
        return error_set(e, inner.code, "%s: %s", name, inner.text);
    }
    conf_name(key, name, sizeof name);
    if (line == FROM_NOWHERE) return error_set(e, inner.code, "%s: %s", name, inner.text);
    return error_set(e, inner.code, "%s:%d: %s: %s", c->file, line, name, inner.text);
}

static struct conf *defaults(void)
{
    struct conf *c = mem_alloc(sizeof *c);
    c->users = 1;
    c->last = mem_alloc(sizeof *c->last);
    for (enum conf_key k = 0; k < CONF_KEYS; k++) set_value(c, k, "", FROM_NOWHERE, NULL);
    return c;
}

/* The file to read, or NULL when there is none; the caller frees. */
static char *find_file(const char *named, const char *program)
{
    if (!named) named = getenv("LEAT_CONF");
    if (named && *named) return mem_str(named);

    char real[PATH_MAX];
    if (program && realpath(program, real)) {
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(real, '/');
            if (slash) *slash = '\0';
        }
        struct buf b = {0};
        buf_fmt(&b, "%s/etc/leat.conf", real);
        if (!access(b.data, F_OK)) return b.data;
        buf_free(&b);
    }
    return access("/etc/leat/leat.conf", F_OK) ? NULL : mem_str("/etc/leat/leat.conf");
}

enum err conf_load(struct conf **out, const char *file, const char *program, struct error *e)
{
    struct conf *c = defaults();
    enum err rc = ERR_OK;
    c->file = find_file(file, program);
    const struct ini_reader reader = {
        .take = take_setting, .arg = c, .line = &c->reading, .text = &c->reading_text};
    if (c->file) rc = read_ini(c->file, reader, e);
    for (char **entry = environ; !rc && entry && *entry; entry++)
        if (!strncmp(*entry, "LEAT_", 5)) rc = take_variable(c, *entry, e);
    if (rc) {
        conf_free(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

/* A copy of `base` with each LEAT_SECTION_KEY of `envp` applied. */
static enum err make_overlay(struct conf **out, const struct conf *base, char *const *envp,
                             struct error *e)
{
    struct conf *c = mem_alloc(sizeof *c);
    enum err rc = ERR_OK;
    memcpy(c->number, base->number, sizeof c->number);
    memcpy(c->line, base->line, sizeof c->line);
    for (enum conf_key k = 0; k < CONF_KEYS; k++) c->text[k] = mem_str(base->text[k]);
    c->file = mem_str(base->file);
    c->cgi = base->cgi;
    c->users = 1;
    c->last = mem_alloc(sizeof *c->last);
    for (; !rc && *envp; envp++)
        if (!strncmp(*envp, "LEAT_", 5)) rc = take_variable(c, *envp, e);
    if (rc)
        conf_free(c);
    else
        *out = c;
    return rc;
}

static void forget_overlay(struct overlay *o)
{
    conf_free(o->conf);
    buf_free(&o->variables);
    *o = (struct overlay){0};
}

enum err conf_overlay(struct conf **out, const struct conf *base, char *const *envp,
                      struct error *e)
{
    struct buf variables = {0};
    struct overlay *last = base->last;
    enum err rc = ERR_OK;
    *out = NULL;
    for (char *const *p = envp; p && *p; p++)
        if (!strncmp(*p, "LEAT_", 5)) buf_add(&variables, *p, strlen(*p) + 1);
    if (!variables.len) return ERR_OK;
    bool same = last->conf && last->variables.len == variables.len &&
                !memcmp(last->variables.data, variables.data, variables.len);
    if (same) {
        buf_free(&variables);
    } else {
        forget_overlay(last);
        last->variables = variables;
        rc = make_overlay(&last->conf, base, envp, e);
    }
    if (rc) return rc;
    last->conf->users++;
    *out = last->conf;
    return ERR_OK;
}

void conf_free(struct conf *c)
{
    if (!c || --c->users) return;
    forget_overlay(c->last);
    free(c->last);
    for (enum conf_key k = 0; k < CONF_KEYS; k++) free(c->text[k]);
    for (size_t i = 0; i < c->row_count; i++) free(c->rows[i].text);
    free(c->rows);
    buf_free(&c->reading_text);
    free(c->file);
    free(c);
}

const char *conf_route(const struct conf *c, size_t i)
{
    return i < c->row_count ? c->rows[i].text : NULL;
}

enum err conf_blame_route(const struct conf *c, size_t i, struct error *e)
{
    if (!e) return ERR_INVALID;
    struct error inner = *e;
    return error_set(e, inner.code, "%s:%d: [routes] %s", c->file, c->rows[i].line, inner.text);
}

const char *conf_text(const struct conf *c, enum conf_key key)
{
    return c->text[key];
}

int64_t conf_int(const struct conf *c, enum conf_key key)
{
    return c->number[key];
}

bool conf_bool(const struct conf *c, enum conf_key key)
{
    return c->number[key] != 0;
}

int64_t conf_ms(const struct conf *c, enum conf_key key)
{
    return c->number[key];
}

const char *conf_file(const struct conf *c)
{
    return c->file;
}

bool conf_same(const struct conf *a, const struct conf *b, enum conf_key key)
{
    const char *left = a->text[key], *right = b->text[key];
    return left && right ? !strcmp(left, right) : left == right;
}

bool conf_is_set(const struct conf *c, enum conf_key key)
{
    return c->line[key] != FROM_NOWHERE;
}

void conf_as_cgi(struct conf *c)
{
    forget_overlay(c->last);
    c->cgi = true;
    for (enum conf_key k = 0; k < CONF_KEYS; k++)
        if (conf_settings[k].as_cgi && !conf_is_set(c, k)) set_value(c, k, "", FROM_NOWHERE, NULL);
}

void conf_name(enum conf_key key, char *to, size_t size)
{
    snprintf(to, size, "[%s] %s", conf_settings[key].section, conf_settings[key].key);
}

char **conf_environment(void)
{
    static const char *const wanted[] = {"PATH=", "LANG=", "TZ=", "HOME=", "LEAT_"};
    size_t count = 0;
    char **out = mem_alloc(sizeof *out);
    for (char **entry = environ; entry && *entry; entry++) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (strncmp(*entry, wanted[i], strlen(wanted[i])) != 0) continue;
            out = mem_grow(out, count + 2, sizeof *out);
            out[count++] = mem_str(*entry);
            break;
        }
    }
    out[count] = NULL;
    return out;
}

void conf_environment_free(char **env)
{
    for (size_t i = 0; env && env[i]; i++) free(env[i]);
    free(env);
}
