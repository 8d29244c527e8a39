#include "ops/submit_fields.h"

#include "base/buf.h"
#include "task/group.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ATTEMPTS_MAX and TIMEOUT_SECONDS_MAX are above what any TYPE.conf may say. */
enum { ATTEMPTS_MAX = 1000, TIMEOUT_SECONDS_MAX = 366 * 86400, DELAY_SECONDS_MAX = 366 * 86400 };

static enum err bad_field(struct error *e, const char *field, const char *what)
{
    return error_set(e, ERR_INVALID, "%s: %s", field, what);
}

static enum err take_whole(int64_t *out, const char *field, const json_t *v, int64_t min,
                           int64_t max, struct error *e)
{
    double value = json_number_value(v); /* exact within the bounds, which lie below 2^53 */
    if (!json_is_number(v) || value < (double)min || value > (double)max ||
        value != (double)(int64_t)value)
        return error_set(e, ERR_INVALID, "%s: not a whole number from %lld to %lld", field,
                         (long long)min, (long long)max);
    *out = (int64_t)value;
    return ERR_OK;
}

static enum err take_text(char **out, const json_t *v)
{
    free(*out);
    *out = mem_str(json_string_value(v));
    return ERR_OK;
}

static enum err take_type(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return bad_field(e, name, "not a text");
    return take_text(&s->type, v);
}

static enum err take_group(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    const char *text = json_string_value(v);
    if (!text || !group_name_valid(text, json_string_length(v)))
        return bad_field(e, name, GROUP_NAME_RULE);
    return take_text(&s->group, v);
}

static enum err take_unique(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    const char *text = json_string_value(v);
    size_t len = text ? strlen(text) : 0;
    if (!len || len > SUBMIT_UNIQUE_MAX || len != json_string_length(v))
        return bad_field(e, name, "not text of 1 to 255 bytes");
    return take_text(&s->unique, v);
}

static enum err take_priority(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    return take_whole(&s->priority, name, v, -TASK_PRIORITY_MAX, TASK_PRIORITY_MAX, e);
}

/* No number is too large for these two: what the type says counts then. */
static enum err take_attempts(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    double value = json_number_value(v);
    if (!json_is_number(v) || value < 1 || fmod(value, 1) != 0)
        return bad_field(e, name, "not a whole number above 0");
    s->max_attempts = value < ATTEMPTS_MAX ? (int64_t)value : ATTEMPTS_MAX;
    return ERR_OK;
}

static enum err take_timeout(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    double seconds = json_number_value(v);
    if (!json_is_number(v) || seconds < 0.001)
        return bad_field(e, name, "not a number of seconds from 0.001 on");
    if (seconds > TIMEOUT_SECONDS_MAX) seconds = TIMEOUT_SECONDS_MAX;
    s->timeout_ms = (int64_t)(seconds * 1000 + 0.5);
    return ERR_OK;
}

static enum err take_run_at(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    return take_whole(&s->run_at, name, v, 0, (int64_t)1 << 52, e);
}

static enum err take_delay(struct submit *s, const char *name, const json_t *v, struct error *e)
{
    double seconds = json_number_value(v);
    if (!json_is_number(v) || seconds < 0 || seconds > DELAY_SECONDS_MAX)
        return error_set(e, ERR_INVALID, "%s: not a number of seconds from 0 to %d", name,
                         DELAY_SECONDS_MAX);
    s->delay_ms = (int64_t)(seconds * 1000 + 0.5);
    return ERR_OK;
}

static const struct field {
    const char *name;
    bool number;
    enum err (*take)(struct submit *s, const char *name, const json_t *v, struct error *e);
} fields[] = {
    {"type", false, take_type},      {"group", false, take_group},
    {"unique", false, take_unique},  {"priority", true, take_priority},
    {"run_at", true, take_run_at},   {"max_attempts", true, take_attempts},
    {"timeout", true, take_timeout}, {"delay", true, take_delay},
};
enum { FIELDS = sizeof fields / sizeof *fields };

const char *submit_field_name(size_t index)
{
    return index < FIELDS ? fields[index].name : NULL;
}

static const struct field *find(const char *name)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (!strcmp(fields[i].name, name)) return &fields[i];
    return NULL;
}

enum err submit_field(struct submit *s, const char *name, const json_t *value, struct error *e)
{
    const struct field *f = find(name);
    if (!f) return bad_field(e, name, "there is no such field");
    /* without a type there is no task, and null is none */
    if (json_is_null(value) && f->take != take_type) return ERR_OK;
    return f->take(s, name, value, e);
}

enum err submit_field_text(struct submit *s, const char *name, const char *text, struct error *e)
{
    const struct field *f = find(name);
    if (!f) return bad_field(e, name, "there is no such field");
    json_t *value = f->number ? json_read(text, strlen(text), NULL) : json_string(text);
    enum err rc = ERR_OK;
    if (!value || (f->number && !json_is_number(value)))
        rc = bad_field(e, name, f->number ? "not a number" : "not UTF-8");
    else
        rc = f->take(s, name, value, e);
    json_decref(value);
    return rc;
}

enum err submit_time_check(const struct submit *s, struct error *e)
{
    if (s->delay_ms == TASK_NONE || s->run_at == TASK_NONE) return ERR_OK;
    return bad_field(e, "delay", "not together with run_at");
}
