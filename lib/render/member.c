#include "render/member.h"

#include "task/task.h"

#include <time.h>

void member_text(struct buf *out, const char *key, const char *value)
{
    json_key(out, key);
    json_text(out, value);
}

void member_int(struct buf *out, const char *key, int64_t value)
{
    json_key(out, key);
    if (value == TASK_NONE)
        buf_str(out, "null");
    else
        buf_int(out, value);
}

void member_number(struct buf *out, const char *key, double value)
{
    json_key(out, key);
    if (value < 0)
        buf_str(out, "null");
    else
        json_number(out, value);
}

void member_bool(struct buf *out, const char *key, bool value)
{
    json_key(out, key);
    buf_str(out, value ? "true" : "false");
}

void member_iso_time(struct buf *out, const char *key, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    json_key(out, key);
    if (ms < 0 || !gmtime_r(&seconds, &tm) ||
        !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
        buf_str(out, "null");
    else
        buf_fmt(out, "\"%s.%03dZ\"", text, (int)(ms % 1000));
}

void member_json(struct buf *out, const char *key, struct json_span value)
{
    json_key(out, key);
    if (value.at)
        buf_add(out, value.at, value.len);
    else
        buf_str(out, "null");
}

void member_copy(struct buf *out, const struct json_member *m)
{
    if (out->data[out->len - 1] != '{') buf_char(out, ',');
    buf_add(out, m->name.at - 1, (size_t)(m->value.at + m->value.len - m->name.at) + 1);
}
