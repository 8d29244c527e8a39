#include "runner/outbox.h"

#include "base/buf.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

struct said {
    char *type, *json;    /* of an event; both NULL: a report */
    struct report report; /* of progress */
    int64_t at;           /* wall-clock ms */
};

static void report_free(struct report *r)
{
    free(r->phase);
    free(r->message);
    *r = (struct report){.percent = -1};
}

void outbox_open(struct outbox *o, int64_t progress_per_second)
{
    *o = (struct outbox){
        .gate = progress_gate(progress_per_second),
        .held = {.percent = -1},
        .redraw_gate = progress_gate(progress_per_second),
    };
}

void outbox_clear(struct outbox *o)
{
    for (size_t i = 0; i < o->count; i++) {
        report_free(&o->items[i].report);
        free(o->items[i].type);
        free(o->items[i].json);
    }
    o->count = 0;
}

void outbox_free(struct outbox *o)
{
    outbox_clear(o);
    report_free(&o->held);
    free(o->redrawn);
    free(o->items);
    *o = (struct outbox){.held = {.percent = -1}};
}

static struct said *add(struct outbox *o, int64_t wall)
{
    if (o->count == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 16;
        o->items = mem_grow(o->items, o->cap, sizeof *o->items);
    }
    struct said *s = &o->items[o->count++];
    *s = (struct said){.report = {.percent = -1}, .at = wall};
    return s;
}

static void replace(char **old, char **new)
{
    if (!*new) return;
    free(*old);
    *old = *new;
    *new = NULL;
}

void outbox_progress(struct outbox *o, struct report *r, int64_t mono, int64_t wall)
{
    /* Whatever was held is older: the newest of each member counts. */
    if (r->percent >= 0) o->held.percent = r->percent;
    replace(&o->held.phase, &r->phase);
    replace(&o->held.message, &r->message);
    report_free(r);
    if (!progress_report(&o->gate, mono)) return;
    add(o, wall)->report = o->held;
    o->held = (struct report){.percent = -1};
}

static bool is_due(const struct progress_gate *gate, int64_t mono, bool now_or_never)
{
    int64_t due = progress_due(gate);
    return due != INT64_MAX && (due <= mono || now_or_never);
}

void outbox_due(struct outbox *o, int64_t mono, int64_t wall, bool now_or_never)
{
    if (is_due(&o->redraw_gate, mono, now_or_never)) outbox_settle(o, mono, wall);
    if (!is_due(&o->gate, mono, now_or_never)) return;
    progress_written(&o->gate, mono);
    add(o, wall)->report = o->held;
    o->held = (struct report){.percent = -1};
}

int64_t outbox_next(const struct outbox *o)
{
    int64_t report = progress_due(&o->gate), line = progress_due(&o->redraw_gate);
    return report < line ? report : line;
}

void outbox_event(struct outbox *o, char *type, char *json, int64_t wall)
{
    struct said *s = add(o, wall);
    s->type = type;
    s->json = json;
}

/* The payload of a log.append; `ansi` may be NULL. */
static char *log_payload(const char *level, const char *text, size_t len, const char *ansi)
{
    struct buf json = {0};
    buf_fmt(&json, "{\"level\":\"%s\",\"message\":", level);
    if (memchr(text, '\0', len)) {
        char *copy = mem_dup(text, len);
        for (size_t i = 0; i < len; i++)
            if (!copy[i]) copy[i] = '\xff'; /* never UTF-8, so quoted as U+FFFD */
        json_quote(&json, copy, len);
        free(copy);
    } else {
        json_quote(&json, text, len);
    }
    if (ansi) {
        buf_str(&json, ",\"ansi\":");
        json_text(&json, ansi);
    }
    buf_char(&json, '}');
    return json.data;
}

void outbox_log(struct outbox *o, const char *level, const char *text, size_t len, int64_t wall)
{
    outbox_event(o, mem_str("log.append"), log_payload(level, text, len, NULL), wall);
}

static char *line_payload(const struct job_line *said)
{
    return log_payload(said->level, said->message, strlen(said->message), said->ansi);
}

void outbox_line(struct outbox *o, const struct job_line *said, int64_t wall)
{
    outbox_event(o, mem_str("log.append"), line_payload(said), wall);
}

void outbox_redraw(struct outbox *o, const struct job_line *said, int64_t mono, int64_t wall)
{
    free(o->redrawn);
    o->redrawn = line_payload(said);
    if (!progress_report(&o->redraw_gate, mono)) return;
    outbox_event(o, mem_str("log.append"), o->redrawn, wall);
    o->redrawn = NULL;
}

void outbox_settle(struct outbox *o, int64_t mono, int64_t wall)
{
    if (!o->redrawn) return;
    progress_written(&o->redraw_gate, mono);
    outbox_event(o, mem_str("log.append"), o->redrawn, wall);
    o->redrawn = NULL;
}

/* Writes the events that follow each other from `at` on, at most LINES of them; *at is then what comes next. */
static enum err write_events(const struct outbox *o, size_t *at, struct db *db,
                             const struct claim *c, bool *dropped, struct error *e)
{
    enum { LINES = 64 };
    struct claim_line lines[LINES];
    size_t count = 0;
    for (; *at < o->count && count < LINES && o->items[*at].type; ++*at) {
        const struct said *s = &o->items[*at];
        lines[count++] = (struct claim_line){s->type, s->json, s->at};
    }
    /* what has reached a bound stays there until the commit */
    return *dropped ? ERR_OK : claim_lines(db, c, lines, count, dropped, e);
}

enum err outbox_write(const struct outbox *o, struct db *db, const struct claim *c, bool *dropped,
                      struct error *e)
{
    enum err rc = ERR_OK;
    *dropped = false;
    for (size_t at = 0; !rc && at < o->count;) {
        const struct said *s = &o->items[at];
        if (s->type) {
            rc = write_events(o, &at, db, c, dropped, e);
        } else {
            rc = claim_progress(db, c, s->report.percent, s->report.phase, s->report.message, s->at,
                                e);
            at++;
        }
    }
    return rc;
}
