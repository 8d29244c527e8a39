/* One dialect: what lib/render/dialect.c calls for it. Only the dialects' own files need this. */
#ifndef LEAT_RENDER_DIALECT_ROW_H
#define LEAT_RENDER_DIALECT_ROW_H

#include "render/dialect.h"

struct dialect_row {
    const char *name;

    /* NULL: all are shown */
    bool (*shows_type)(const char *type);
    bool (*shows_event)(const struct dialect *d, const struct event *ev);
    bool (*shows_notice)(const struct notice *n);

    void (*event)(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch);
    void (*notice)(struct buf *out, const struct notice *n);
    void (*task)(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view);
    void (*group)(struct buf *out, const struct dialect *d, const struct group *g,
                  const struct task_view *view, enum group_part part);
    void (*stats)(struct buf *out, const char *document, const struct dialect_stats *s);

    const char *page_key;    /* what a page calls its events */
    const char *group_types; /* first word of the group.* types, or NULL: "group." */
    bool bare;               /* dialect_bare */
    bool beside;             /* dialect_beside */
    bool skips;              /* dialect_skips */
};

extern const struct dialect_row dialect_row_envelope, dialect_row_flat, dialect_row_notify,
    dialect_row_repo;

/* Those of the envelope, which dialects share that have no words of their own. */
void envelope_notice(struct buf *out, const struct notice *n);
void envelope_group(struct buf *out, const struct dialect *d, const struct group *g,
                    const struct task_view *view, enum group_part part);
void envelope_stats(struct buf *out, const char *document, const struct dialect_stats *s);

#endif
