/* The dialect envelope: the contract's own words. */
#include "render/dialect_row.h"

static void event(struct buf *out, const struct dialect *d, const struct event *ev,
                  const char *epoch)
{
    (void)d;
    event_envelope(out, ev, epoch);
}

void envelope_notice(struct buf *out, const struct notice *n)
{
    buf_fmt(out, "{\"type\":\"%s\",\"ts\":%lld,\"payload\":", n->type, (long long)n->ts);
    buf_str(out, n->payload);
    buf_char(out, '}');
}

static void task(struct buf *out, const struct dialect *d, const struct task *t,
                 const struct task_view *view)
{
    (void)d;
    task_document(out, t, view);
}

void envelope_group(struct buf *out, const struct dialect *d, const struct group *g,
                    const struct task_view *view, enum group_part part)
{
    (void)d;
    group_document_part(out, g, view, part);
}

void envelope_stats(struct buf *out, const char *document, const struct dialect_stats *s)
{
    (void)s;
    buf_str(out, document);
}

const struct dialect_row dialect_row_envelope = {
    .name = "envelope",
    .event = event,
    .notice = envelope_notice,
    .task = task,
    .group = envelope_group,
    .stats = envelope_stats,
    .page_key = "events",
};
