#include "task/group.h"

#include "base/json.h"
#include "task/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void group_free(struct group *g)
{
    free(g->owner);
    free(g->name);
    free(g->context);
    *g = (struct group){0};
}

bool group_name_valid(const char *name, size_t len)
{
    static_assert(TASK_GROUP_MAX == 200, "GROUP_NAME_RULE says so");
    if (len < 1 || len > TASK_GROUP_MAX) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    return !(len <= 2 && !strncmp(name, "..", len));
}

/* `text` for one segment of a path: RFC 3986 unreserved characters stay, the rest is %XX. */
static void percent_encode(struct buf *out, const char *text)
{
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(unreserved, *text))
            buf_char(out, *text);
        else
            buf_fmt(out, "%%%02X", (unsigned char)*text);
    }
}

void group_path(struct buf *out, const char *prefix, const char *name)
{
    buf_fmt(out, "%s/groups/", prefix);
    percent_encode(out, name);
}

static void time_member(struct buf *out, const char *key, int64_t value)
{
    json_key(out, key);
    if (value == TASK_NONE)
        buf_str(out, "null");
    else
        buf_int(out, value);
}

static void link_member(struct buf *out, const char *key, const char *prefix, const struct group *g,
                        const char *tail)
{
    json_key(out, key);
    struct buf link = {0};
    group_path(&link, prefix, g->name);
    buf_str(&link, tail);
    json_quote(out, link.data, link.len);
    buf_free(&link);
}

void group_document(struct buf *out, const struct group *g, const char *prefix)
{
    int64_t total = 0;
    buf_char(out, '{');
    json_key(out, "id");
    json_text(out, g->name);
    json_key(out, "owner");
    json_text(out, g->owner);
    json_key(out, "status");
    json_text(out, g->status);
    json_key(out, "progress");
    json_number(out, g->progress);
    json_key(out, "counts");
    buf_char(out, '{');
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        json_key(out, task_status_name(s));
        buf_int(out, g->counts[s]);
        total += g->counts[s];
    }
    buf_char(out, '}');
    json_key(out, "total");
    buf_int(out, total);
    json_key(out, "context");
    buf_str(out, g->context ? g->context : "null");
    json_key(out, "version");
    buf_int(out, g->version);
    time_member(out, "created_at", g->created_at);
    time_member(out, "updated_at", g->updated_at);
    json_key(out, "links");
    buf_char(out, '{');
    link_member(out, "self", prefix, g, "");
    link_member(out, "events", prefix, g, "/events");
    link_member(out, "context", prefix, g, "/context");
    buf_str(out, "}}");
}
