#include "base/conf.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"

#include <assert.h>
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

enum type { TEXT, PATH, INT, BOOL, SECONDS, HOURS, MAP, NAME, SCOPES, ORIGINS, LEVEL, TARGET };

/* Every setting, once. Bounds of SECONDS and HOURS are in milliseconds, those of a NAME in bytes. A default
 * of NULL is "unset". The names of a MAP are those of its default; one that is not given keeps its word. */
static const struct row {
    const char *section;
    const char *key;
    enum type type;
    const char *initial;
    int64_t min, max;
} rows[] = {
    [CONF_DATABASE_PATH] = {"database", "path", TEXT, NULL, 0, 0},
    [CONF_DATABASE_BUSY_MS] = {"database", "busy_ms", INT, "5000", 0, 600000},
    [CONF_HTTP_ALLOWED_ORIGINS] = {"http", "allowed_origins", ORIGINS, NULL, 0, 0},
    [CONF_HTTP_MAX_BODY_BYTES] = {"http", "max_body_bytes", INT, "1048576", 1, 67108864},
    [CONF_HTTP_MAX_RAW_BYTES] = {"http", "max_raw_bytes", INT, "67108864", 0, 536870912},
    [CONF_HTTP_INLINE_RESULT_BYTES] = {"http", "inline_result_bytes", INT, "65536", 0, 1048576},
    [CONF_HTTP_MAX_RESULT_BYTES] = {"http", "max_result_bytes", INT, "8388608", 0, 536870912},
    [CONF_HTTP_WAIT_SECONDS_MAX] = {"http", "wait_seconds_max", SECONDS, "25", 0, 3600000},
    [CONF_HTTP_PAGE_SIZE_MAX] = {"http", "page_size_max", INT, "200", 1, 10000},
    [CONF_HTTP_IDEMPOTENCY_HOURS] = {"http", "idempotency_hours", HOURS, "24", 3600,
                                     INT64_C(8760) * HOUR_MS},
    [CONF_HTTP_PREFIX] = {"http", "prefix", PATH, "/api", 0, 0},
    [CONF_HTTP_ACCEL_REDIRECT] = {"http", "accel_redirect", TEXT, NULL, 0, 0},
    [CONF_HTTP_FILES_ACCEL] = {"http", "files_accel", PATH, NULL, 0, 0},
    [CONF_HTTP_FILES_SENDFILE] = {"http", "files_sendfile", BOOL, "no", 0, 0},
    [CONF_AUTH_ANONYMOUS] = {"auth", "anonymous", NAME, NULL, 1, CONF_NAME_MAX},
    [CONF_AUTH_ANONYMOUS_SCOPE] = {"auth", "anonymous_scope", SCOPES, "create,read,publish", 0, 0},
    [CONF_AUTH_REMOTE_USER] = {"auth", "remote_user", BOOL, "no", 0, 0},
    [CONF_AUTH_JWT_SECRET] = {"auth", "jwt_secret", TEXT, NULL, 0, 0},
    [CONF_AUTH_JWT_KEY_FILE] = {"auth", "jwt_key_file", TEXT, NULL, 0, 0},
    [CONF_AUTH_TICKET_SECONDS_MAX] = {"auth", "ticket_seconds_max", SECONDS, "3600", 1, 86400000},
    [CONF_LIMITS_CREATES_PER_MINUTE] = {"limits", "creates_per_minute", INT, "0", 0, 1000000000},
    [CONF_LIMITS_QUEUED_PER_OWNER] = {"limits", "queued_per_owner", INT, "10000", 0, 1000000000},
    [CONF_LIMITS_STREAMS_PER_OWNER] = {"limits", "streams_per_owner", INT, "100", 0, 1000000000},
    [CONF_LIMITS_STREAM_OPENS_PER_MINUTE] = {"limits", "stream_opens_per_minute", INT, "0", 0,
                                             1000000000},
    [CONF_LIMITS_POLLS_PER_MINUTE] = {"limits", "polls_per_minute", INT, "0", 0, 1000000000},
    [CONF_LIMITS_EVENTS_PER_TASK] = {"limits", "events_per_task", INT, "100000", 0, 1000000000},
    [CONF_STREAM_STREAM_SECONDS] = {"stream", "stream_seconds", SECONDS, "55", 100, 86400000},
    [CONF_STREAM_HEARTBEAT] = {"stream", "heartbeat", SECONDS, "15", 100, 3600000},
    [CONF_STREAM_RETRY_MS] = {"stream", "retry_ms", INT, "2000", 0, 3600000},
    [CONF_STREAM_MAX_STREAMS] = {"stream", "max_streams", INT, "8000", 1, 1000000},
    [CONF_DIALECT_REPO_STATUS] = {"dialect", "repo_status", MAP,
                                  "idle=ready,pending=analyzing,running=analyzing,"
                                  "completed=completed,failed=error,cancelled=error",
                                  0, 0},
    [CONF_RUNNER_JOBS] = {"runner", "jobs", TEXT, NULL, 0, 0},
    [CONF_RUNNER_WORK] = {"runner", "work", TEXT, NULL, 0, 0},
    [CONF_RUNNER_WORKERS] = {"runner", "workers", INT, NULL, 1, 4096},
    [CONF_RUNNER_LEASE_SECONDS] = {"runner", "lease_seconds", SECONDS, "30", 1000, 3600000},
    [CONF_RUNNER_DRAIN_SECONDS] = {"runner", "drain_seconds", SECONDS, "20", 0, 86400000},
    [CONF_RUNNER_PROGRESS_PER_SECOND] = {"runner", "progress_per_second", INT, "10", 1, 1000},
    [CONF_RUNNER_FILES_MAX] = {"runner", "files_max", INT, "100", 0, 10000},
    [CONF_RUNNER_FILES_BYTES_MAX] = {"runner", "files_bytes_max", INT, "268435456", 0,
                                     1099511627776},
    [CONF_RUNNER_RETAIN_HOURS] = {"runner", "retain_hours", HOURS, "24", 0, CONF_HOURS_MAX_MS},
    [CONF_RUNNER_AUTOSTART] = {"runner", "autostart", BOOL, "no", 0, 0},
    [CONF_RUNNER_IDLE_EXIT] = {"runner", "idle_exit", SECONDS, NULL, 0, 86400000},
    [CONF_LOG_LEVEL] = {"log", "level", LEVEL, "info", 0, 0},
    [CONF_LOG_TARGET] = {"log", "target", TARGET, "stderr", 0, 0},
};
static_assert(sizeof rows / sizeof *rows == CONF_KEYS, "a row for each key");

/* Where a value comes from, if not from a line of the file. */
enum { FROM_NOWHERE = 0, FROM_VARIABLE = -1 };

struct conf {
    char *file;
    char *text[CONF_KEYS]; /* as written, or NULL: unset */
    int64_t number[CONF_KEYS];
    int line[CONF_KEYS]; /* of the file, or FROM_ */
    int reading;         /* the line that is being read */
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

/* Checks the pairs of `text`, and makes the whole map of them and of `initial`; the caller frees. */
static enum err parse_map(const char *text, const char *initial, char **out, struct error *e)
{
    struct buf map = {0};
    size_t len;
    const char *at = text;
    for (struct pair p; next_pair(&at, &p);) {
        if (!p.name_len || !p.word_len)
            return error_set(e, ERR_INVALID, "'%s' is not NAME=WORD, NAME=WORD and so on", text);
        if (!conf_word(initial, p.name, p.name_len, &len)) {
            for (struct pair k; next_pair(&initial, &k);)
                buf_fmt(&map, "%s%.*s", map.len ? ", " : "", (int)k.name_len, k.name);
            error_set(e, ERR_INVALID, "'%.*s' is not one of %s", (int)p.name_len, p.name, map.data);
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
static enum err check_scopes(const char *text, struct error *e)
{
    static const char *const names[] = {"create", "read", "publish", "admin"};
    const char *item;
    for (size_t len; (item = conf_item(&text, &len));) {
        size_t i = 0;
        while (i < 4 && (strlen(names[i]) != len || strncmp(names[i], item, len) != 0)) i++;
        if (i == 4)
            return error_set(e, ERR_INVALID, "'%.*s' is not create, read, publish or admin",
                             len < 40 ? (int)len : 40, item);
    }
    return ERR_OK;
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

static enum err check_origins(const char *text, struct error *e)
{
    const char *item;
    for (size_t len; (item = conf_item(&text, &len));)
        if (!origin_valid(item, len))
            return error_set(e, ERR_INVALID, "'%.*s' is not scheme://host[:port] or *",
                             len < 200 ? (int)len : 200, item);
    return ERR_OK;
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

/* What a key is while nobody sets it; `room` is used where that is found out. "": nothing. */
static const char *initial(enum conf_key key, char room[24])
{
    if (key != CONF_RUNNER_WORKERS) return rows[key].initial ? rows[key].initial : "";
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(room, 24, "%ld", (cpus > 0 ? cpus : 1) * 2);
    return room;
}

/* Sets one key; an empty value unsets it: it is then as if nobody had set it. `line`: of the file, or
 * FROM_. */
static enum err set_value(struct conf *c, enum conf_key key, const char *value, int line,
                          struct error *e)
{
    const struct row *row = &rows[key];
    char room[24];
    if (!*value) {
        value = initial(key, room);
        line = FROM_NOWHERE;
    }
    int64_t number = 0;
    bool flag = false;
    char *made = NULL;
    enum err rc = ERR_OK;
    if (*value) {
        switch (row->type) {
        case INT: rc = conf_parse_int(value, row->min, row->max, &number, e); break;
        case SECONDS: rc = conf_parse_seconds(value, row->min, row->max, &number, e); break;
        case HOURS: rc = conf_parse_hours(value, row->min, row->max, &number, e); break;
        case BOOL:
            rc = conf_parse_bool(value, &flag, e);
            number = flag;
            break;
        case MAP: rc = parse_map(value, row->initial, &made, e); break;
        case PATH: rc = parse_path(value, &made, e); break;
        case NAME: rc = check_name(value, row->min, row->max, e); break;
        case SCOPES: rc = check_scopes(value, e); break;
        case ORIGINS: rc = check_origins(value, e); break;
        case LEVEL: rc = log_level_check(value, e); break;
        case TARGET: rc = log_target_check(value, e); break;
        case TEXT: break;
        }
    }
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

static enum err take_setting(void *arg, const char *section, const char *key, const char *value,
                             struct error *e)
{
    struct conf *c = arg;
    bool section_known = false;
    for (enum conf_key k = 0; k < CONF_KEYS; k++) {
        bool here = !strcmp(rows[k].section, section);
        section_known |= here;
        if (!here || strcmp(rows[k].key, key)) continue;
        if (set_value(c, k, value, c->reading, e)) return name_key(section, key, e);
        return ERR_OK;
    }
    if (!section_known) return error_set(e, ERR_INVALID, "unknown section [%s]", section);
    return error_set(e, ERR_INVALID, "unknown key '%s' in [%s]", key, section);
}

struct ini_reader {
    FILE *in;
    conf_take *take;
    void *arg;
    int *line;    /* the one being read */
    int bad_line; /* the first that was refused, 0: none */
    struct error error;
};

/* fgets for inih that counts lines and refuses what does not fit its buffer instead of splitting it. */
static char *next_line(char *out, int size, void *arg)
{
    struct ini_reader *r = arg;
    if (!fgets(out, size, r->in)) return NULL;
    ++*r->line;
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
    snprintf(name, VARIABLE_SIZE, "LEAT_%s_%s", rows[key].section, rows[key].key);
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
    const struct ini_reader reader = {.take = take_setting, .arg = c, .line = &c->reading};
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

enum err conf_overlay(struct conf **out, const struct conf *base, char *const *envp,
                      struct error *e)
{
    struct conf *c = NULL;
    enum err rc = ERR_OK;
    for (; !rc && envp && *envp; envp++) {
        if (strncmp(*envp, "LEAT_", 5)) continue;
        if (!c) {
            c = mem_alloc(sizeof *c);
            memcpy(c->number, base->number, sizeof c->number);
            memcpy(c->line, base->line, sizeof c->line);
            for (enum conf_key k = 0; k < CONF_KEYS; k++) c->text[k] = mem_str(base->text[k]);
            c->file = mem_str(base->file);
        }
        rc = take_variable(c, *envp, e);
    }
    if (rc) {
        conf_free(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

void conf_free(struct conf *c)
{
    if (!c) return;
    for (enum conf_key k = 0; k < CONF_KEYS; k++) free(c->text[k]);
    free(c->file);
    free(c);
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

void conf_name(enum conf_key key, char *to, size_t size)
{
    snprintf(to, size, "[%s] %s", rows[key].section, rows[key].key);
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
