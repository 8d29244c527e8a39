#include "task/jobtype.h"

#include "base/buf.h"
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKOFF_MAX_MS = 300 * 1000, DAY_MS = 24 * 3600 * 1000 };

enum type { INT, SECONDS, HOURS, MEGABYTES, BOOL, GROUP, OUTPUT, MEDIA_TYPE, USER };

/* Every key of TYPE.conf, once. Bounds of SECONDS and HOURS are in milliseconds. */
static const struct row {
    const char *key;
    enum type type;
    size_t at; /* of the member */
    int64_t min, max, initial;
} rows[] = {
    {"timeout", SECONDS, offsetof(struct jobtype, timeout_ms), 1, 30LL * DAY_MS, 600 * 1000},
    {"kill_grace", SECONDS, offsetof(struct jobtype, kill_grace_ms), 0, 3600 * 1000, 5 * 1000},
    {"attempts", INT, offsetof(struct jobtype, attempts), 1, 100, 1},
    {"backoff", SECONDS, offsetof(struct jobtype, backoff_ms), 0, BACKOFF_MAX_MS, 2 * 1000},
    {"lost_attempts", INT, offsetof(struct jobtype, lost_attempts), 1, 100, 3},
    {"max_input_bytes", INT, offsetof(struct jobtype, max_input_bytes), 0, 536870912, -1},
    {"result_type", MEDIA_TYPE, offsetof(struct jobtype, result_type), 0, 0, 0},
    {"nice", INT, offsetof(struct jobtype, nice), -20, 19, 0},
    {"memory_mb", MEGABYTES, offsetof(struct jobtype, memory_bytes), 0, 1 << 24, 0},
    {"cpu_seconds", SECONDS, offsetof(struct jobtype, cpu_ms), 0, 30LL * DAY_MS, 0},
    {"file_mb", MEGABYTES, offsetof(struct jobtype, file_bytes), 0, 1 << 24, 0},
    {"processes", INT, offsetof(struct jobtype, processes), 0, 1 << 22, 0},
    {"concurrency", INT, offsetof(struct jobtype, concurrency), 0, 1 << 20, 0},
    {"stdout", OUTPUT, offsetof(struct jobtype, stdout_log), 0, 0, 0},
    {"serialize", GROUP, offsetof(struct jobtype, serialize), 0, 0, 0},
    {"get", BOOL, offsetof(struct jobtype, get), 0, 0, 0},
    {"token", BOOL, offsetof(struct jobtype, token), 0, 0, 0},
    {"retain_hours", HOURS, offsetof(struct jobtype, retain_ms), 0, CONF_HOURS_MAX_MS, -1},
    {"user", USER, offsetof(struct jobtype, user), 0, 0, 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

bool jobtype_name_valid(const char *name)
{
    if (*name < 'a' || *name > 'z') return false;
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return !name[n] && n <= JOBTYPE_NAME_MAX;
}

static void set_number(struct jobtype *t, const struct row *row, int64_t value)
{
    memcpy((char *)t + row->at, &value, sizeof value);
}

void jobtype_defaults(struct jobtype *out, const char *name)
{
    *out = (struct jobtype){0};
    strncat(out->name, name, JOBTYPE_NAME_MAX);
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].type != USER && rows[i].type != MEDIA_TYPE)
            set_number(out, &rows[i], rows[i].initial);
}

/* It becomes a header of an answer: printable ASCII of the form a/b, parameters behind it. Empty: as
 * without the key. */
static enum err take_media_type(struct jobtype *t, const char *value, struct error *e)
{
    if (!*value) {
        t->result_type[0] = '\0';
        return ERR_OK;
    }
    size_t len = strlen(value), slash = strcspn(value, "/");
    if (len >= sizeof t->result_type)
        return error_set(e, ERR_INVALID, "longer than %zu bytes", sizeof t->result_type - 1);
    bool printable = true;
    for (const char *p = value; *p; p++) printable &= *p >= ' ' && *p <= '~';
    size_t type = strcspn(value, " ;,"), params = value[type] ? strspn(value + type, " ") : 0;
    if (!printable || !slash || slash + 1 >= type || (value[type] && value[type + params] != ';'))
        return error_set(e, ERR_INVALID, "'%s' is not a media type", value);
    memcpy(t->result_type, value, len + 1);
    return ERR_OK;
}

static enum err take_value(struct jobtype *t, const struct row *row, const char *value,
                           struct error *e)
{
    int64_t number = row->initial;
    bool yes = false;
    enum err rc = ERR_OK;
    switch (row->type) {
    case USER:
        if (strlen(value) > JOBTYPE_USER_MAX)
            return error_set(e, ERR_INVALID, "longer than %d bytes", JOBTYPE_USER_MAX);
        strcpy(t->user, value);
        return ERR_OK;
    case MEDIA_TYPE: return take_media_type(t, value, e);
    case BOOL:
        if (*value) rc = conf_parse_bool(value, &yes, e);
        number = yes;
        break;
    case OUTPUT:
        number = !strcmp(value, "log");
        if (*value && !number && strcmp(value, "result") != 0)
            rc = error_set(e, ERR_INVALID, "'%s' is not log or result", value);
        break;
    case GROUP:
        number = !strcmp(value, "group");
        if (*value && !number) rc = error_set(e, ERR_INVALID, "'%s' is not group", value);
        break;
    case INT:
    case MEGABYTES:
        if (*value) rc = conf_parse_int(value, row->min, row->max, &number, e);
        break;
    case SECONDS:
        if (*value) rc = conf_parse_seconds(value, row->min, row->max, &number, e);
        break;
    case HOURS:
        if (*value) rc = conf_parse_hours(value, row->min, row->max, &number, e);
        break;
    }
    if (!rc) set_number(t, row, *value && row->type == MEGABYTES ? number * 1048576 : number);
    return rc;
}

static enum err take_key(void *arg, const char *section, const char *key, const char *value,
                         struct error *e)
{
    if (*section) return error_set(e, ERR_INVALID, "a job's conf has no sections: [%s]", section);
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].key, key)) continue;
        struct error inner = {0};
        enum err rc = take_value(arg, &rows[i], value, &inner);
        return rc ? error_set(e, rc, "%s: %s", key, inner.text) : ERR_OK;
    }
    return error_set(e, ERR_INVALID, "unknown key '%s'", key);
}

enum err jobtype_parse(struct jobtype *out, const char *jobs, const char *name, struct error *e)
{
    jobtype_defaults(out, name);
    struct buf conf = {0};
    buf_fmt(&conf, "%s/%s.conf", jobs, name);
    enum err rc = faccessat(AT_FDCWD, conf.data, F_OK, AT_EACCESS) && errno == ENOENT
                      ? ERR_OK
                      : conf_read_ini(conf.data, take_key, out, e);
    buf_free(&conf);
    return rc;
}

int64_t jobtype_backoff(const struct jobtype *t, int64_t tries, double random)
{
    int64_t wait = t->backoff_ms;
    for (int64_t i = 1; i < tries && wait < BACKOFF_MAX_MS; i++) wait *= 2;
    if (wait > BACKOFF_MAX_MS) wait = BACKOFF_MAX_MS;
    wait += (int64_t)((double)wait * (random - 0.5) / 2);
    return wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
}
