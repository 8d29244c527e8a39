#include "task/event.h"

#include "base/buf.h"
#include "task/status.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_MAX = 100 };

bool event_finishes(const struct event *ev)
{
    /* The payload begins {"from":"…","to":"…": the trigger writes it so. */
    if (strcmp(ev->type, "task.status_changed")) return false;
    const char *to = strstr(ev->payload, "\"to\":\"");
    if (!to) return false;
    to += strlen("\"to\":\"");
    for (enum task_status s = 0; s < TASK_STATUSES; s++) {
        const char *name = task_status_name(s);
        size_t len = strlen(name);
        if (!strncmp(to, name, len) && to[len] == '"') return task_status_terminal(s);
    }
    return false;
}

/* Length of one word [a-z][a-z0-9_]* at `p`, or 0. */
static size_t word(const char *p)
{
    if (*p < 'a' || *p > 'z') return 0;
    return 1 + strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

bool event_type_allowed(const char *type)
{
    static const char *const reserved[] = {"task", "group", "log", "file", "stream"};
    size_t first = word(type);
    if (!first || type[first] != '.' || strlen(type) > TYPE_MAX) return false;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strlen(reserved[i]) == first && !strncmp(type, reserved[i], first)) return false;
    for (const char *p = type + first; *p;) {
        size_t n = *p == '.' ? word(p + 1) : 0;
        if (!n) return false;
        p += 1 + n;
    }
    return true;
}

struct event_filter {
    size_t count;
    struct {
        char text[TYPE_MAX + 1];
        size_t prefix; /* bytes to compare when a pattern ends in '*', else 0 */
        bool all;
    } patterns[];
};

/* "task.*": words and dots, a star only as the last word. */
static bool pattern_valid(const char *p, size_t len)
{
    if (!len || len > TYPE_MAX) return false;
    for (size_t i = 0; i < len; i++) {
        bool star = p[i] == '*';
        if (star && (i + 1 != len || (i && p[i - 1] != '.'))) return false;
        if (!star && p[i] != '.' && p[i] != '_' && !(p[i] >= 'a' && p[i] <= 'z') &&
            !(p[i] >= '0' && p[i] <= '9'))
            return false;
    }
    return true;
}

bool event_filter_parse(struct event_filter **out, const char *text)
{
    *out = NULL;
    if (!text || !*text) return true;
    size_t count = 1;
    for (const char *p = text; *p; p++) count += *p == ',';
    struct event_filter *f = mem_alloc(sizeof *f + count * sizeof f->patterns[0]);
    for (const char *p = text; f->count < count; f->count++) {
        size_t len = strcspn(p, ",");
        if (!pattern_valid(p, len)) {
            free(f);
            return false;
        }
        memcpy(f->patterns[f->count].text, p, len);
        if (p[len - 1] == '*') f->patterns[f->count].prefix = len - 1;
        f->patterns[f->count].all = len == 1 && *p == '*';
        p += len + (p[len] == ',');
    }
    *out = f;
    return true;
}

void event_filter_free(struct event_filter *f)
{
    free(f);
}

bool event_filter_match(const struct event_filter *f, const char *type)
{
    if (!f) return true;
    for (size_t i = 0; i < f->count; i++) {
        const char *text = f->patterns[i].text;
        size_t prefix = f->patterns[i].prefix;
        if (f->patterns[i].all || (prefix ? !strncmp(type, text, prefix) : !strcmp(type, text)))
            return true;
    }
    return false;
}
