#include "render/dialect.h"

#include "base/json.h"
#include "render/dialect_row.h"
#include "task/cursor.h"

#include <assert.h>
#include <string.h>

static const struct dialect_row *const rows[] = {
    [DIALECT_ENVELOPE] = &dialect_row_envelope,
    [DIALECT_FLAT] = &dialect_row_flat,
    [DIALECT_NOTIFY] = &dialect_row_notify,
    [DIALECT_REPO] = &dialect_row_repo,
};
static_assert(sizeof rows / sizeof *rows == DIALECTS, "a row for each dialect");

/* ---- which one ---- */

enum dialect_kind dialect_named(const char *name)
{
    enum dialect_kind kind = DIALECT_ENVELOPE;
    while (kind < DIALECTS && strcmp(rows[kind]->name, name)) kind++;
    return kind;
}

const char *dialect_name(enum dialect_kind kind)
{
    return rows[kind]->name;
}

bool dialect_bare(const struct dialect *d)
{
    return rows[d->kind]->bare;
}

bool dialect_beside(const struct dialect *d)
{
    return rows[d->kind]->beside;
}

bool dialect_skips(const struct dialect *d)
{
    return rows[d->kind]->skips;
}

/* ---- events ---- */

bool dialect_shows(const struct dialect *d, const char *type)
{
    return !rows[d->kind]->shows_type || rows[d->kind]->shows_type(type);
}

bool dialect_shows_event(const struct dialect *d, const struct event *ev)
{
    return dialect_shows(d, ev->type) &&
           (!rows[d->kind]->shows_event || rows[d->kind]->shows_event(d, ev));
}

void dialect_event(struct buf *out, const struct dialect *d, const struct event *ev,
                   const char *epoch)
{
    rows[d->kind]->event(out, d, ev, epoch);
}

bool dialect_shows_notice(const struct dialect *d, const struct notice *n)
{
    return !rows[d->kind]->shows_notice || rows[d->kind]->shows_notice(n);
}

void dialect_notice(struct buf *out, const struct dialect *d, const struct notice *n)
{
    rows[d->kind]->notice(out, n);
}

void dialect_types(struct buf *out, const struct dialect *d, const char *types)
{
    const char *own = rows[d->kind]->group_types;
    size_t own_len = own ? strlen(own) : 0;
    for (const char *p = types; p && *p;) {
        size_t len = strcspn(p, ",");
        if (own && !strncmp(p, own, own_len))
            buf_fmt(out, "group.%.*s,", (int)(len - own_len), p + own_len);
        buf_add(out, p, len + (p[len] == ','));
        p += len + (p[len] == ',');
    }
}

void dialect_page_begin(struct buf *out, const struct dialect *d)
{
    buf_fmt(out, "{\"%s\":[", rows[d->kind]->page_key);
}

void dialect_page_event(struct buf *out, const struct dialect *d, const struct event *ev,
                        const char *epoch)
{
    if (out->data[out->len - 1] != '[') buf_char(out, ',');
    dialect_event(out, d, ev, epoch);
}

void dialect_page_end(struct buf *out, int64_t cursor, bool more, const char *epoch)
{
    buf_str(out, "],\"cursor\":");
    cursor_quote(out, epoch, cursor);
    buf_fmt(out, ",\"more\":%s}", more ? "true" : "false");
}

/* ---- documents ---- */

void dialect_task(struct buf *out, const struct dialect *d, const struct task *t,
                  const struct task_view *view)
{
    rows[d->kind]->task(out, d, t, view);
}

void dialect_group(struct buf *out, const struct dialect *d, const struct group *g,
                   const struct task_view *view)
{
    rows[d->kind]->group(out, d, g, view, GROUP_WHOLE);
}

void dialect_group_state(struct buf *out, const struct dialect *d, const struct group *g,
                         const struct task_view *view)
{
    rows[d->kind]->group(out, d, g, view, GROUP_WITHOUT_CONTEXT);
}

/* The end of a list. */
static void close_list(struct buf *out, const char *next_page_token)
{
    buf_str(out, "],\"next_page_token\":");
    json_text(out, next_page_token ? next_page_token : "");
    buf_char(out, '}');
}

void dialect_task_list(struct buf *out, const struct dialect *d, const struct task *tasks,
                       size_t count, const char *next_page_token, const struct task_view *view)
{
    buf_str(out, "{\"tasks\":[");
    for (size_t i = 0; i < count; i++) {
        if (i) buf_char(out, ',');
        dialect_task(out, d, &tasks[i], view);
    }
    close_list(out, next_page_token);
}

void dialect_group_list(struct buf *out, const struct dialect *d, const struct group *groups,
                        size_t count, const char *next_page_token, const struct task_view *view)
{
    buf_str(out, "{\"groups\":[");
    for (size_t i = 0; i < count; i++) {
        if (i) buf_char(out, ',');
        dialect_group_state(out, d, &groups[i], view);
    }
    close_list(out, next_page_token);
}

void dialect_stats(struct buf *out, const struct dialect *d, const char *document,
                   const struct dialect_stats *s)
{
    rows[d->kind]->stats(out, document, s);
}
