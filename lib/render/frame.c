#include "render/frame.h"

#include "base/json.h"
#include "task/cursor.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    bool position; /* carries the last position examined, so that a filtered stream moves on */
} reasons[] = {
    [END_FINISHED] = {"finished", false}, [END_ROTATED] = {"rotated", true},
    [END_SHUTDOWN] = {"shutdown", true},  [END_EXPIRED] = {"expired", false},
    [END_REVOKED] = {"revoked", false},   [END_OVERLOADED] = {"overloaded", false},
};
static_assert(sizeof reasons / sizeof *reasons == END_REASONS, "a row for each reason");

const char *frame_end_name(enum frame_end_reason reason)
{
    return reasons[reason].name;
}

const char *frame_content_type(enum frame_form form)
{
    switch (form) {
    case FRAME_SSE: return "text/event-stream; charset=utf-8";
    case FRAME_NDJSON: return "application/x-ndjson";
    case FRAME_LOG: return "text/plain; charset=utf-8";
    }
    return NULL;
}

/* "id: CURSOR" of the frame that follows. */
static void id_line(struct buf *out, enum frame_form form, const char *epoch, int64_t seq)
{
    if (form != FRAME_SSE) return;
    buf_str(out, "id: ");
    cursor_write(out, epoch, seq);
    buf_char(out, '\n');
}

/* JSON on one line needs no further care: it contains no line break. */
static void open_data(struct buf *out, enum frame_form form)
{
    if (form == FRAME_SSE) buf_str(out, "data: ");
}

static void close_data(struct buf *out, enum frame_form form)
{
    buf_str(out, form == FRAME_SSE ? "\n\n" : "\n");
}

static void log_text(struct buf *out, const struct event *ev)
{
    if (strcmp(ev->type, "log.append")) return;
    json_t *payload = json_read(ev->payload, strlen(ev->payload), NULL);
    const json_t *message = json_object_get(payload, "message");
    if (json_is_string(message)) {
        buf_add(out, json_string_value(message), json_string_length(message));
        buf_char(out, '\n');
    }
    json_decref(payload);
}

void frame_event(struct buf *out, enum frame_form form, const struct dialect *d,
                 const struct event *ev, const char *epoch)
{
    if (form == FRAME_LOG) {
        log_text(out, ev);
        return;
    }
    if (!dialect_shows_event(d, ev)) return;
    id_line(out, form, epoch, ev->seq);
    open_data(out, form);
    dialect_event(out, d, ev, epoch);
    close_data(out, form);
}

void frame_notice(struct buf *out, enum frame_form form, const struct dialect *d,
                  const struct notice *n, int64_t id, const char *epoch)
{
    if (form == FRAME_LOG) return;
    bool shown = dialect_shows_notice(d, n);
    if (id >= 0) id_line(out, form, epoch, id);
    /* A block without data dispatches nothing, but its id counts (WHATWG HTML, 9.2.6). */
    if (!shown && id >= 0 && form == FRAME_SSE) buf_char(out, '\n');
    if (!shown) return;
    struct buf position = {0};
    struct notice placed = *n;
    if (id >= 0) cursor_write(&position, epoch, id);
    placed.id = position.data;
    open_data(out, form);
    dialect_notice(out, d, &placed);
    close_data(out, form);
    buf_free(&position);
}

void frame_retry(struct buf *out, enum frame_form form, int64_t ms)
{
    if (form == FRAME_SSE) buf_fmt(out, "retry: %lld\n\n", (long long)ms);
}

bool frame_beats(enum frame_form form)
{
    return form != FRAME_LOG;
}

void frame_heartbeat(struct buf *out, enum frame_form form, int64_t now)
{
    if (form == FRAME_SSE) buf_str(out, ": heartbeat\n\n");
    if (form == FRAME_NDJSON)
        buf_fmt(out, "{\"type\":\"stream.heartbeat\",\"ts\":%lld}\n", (long long)now);
}

void frame_end(struct buf *out, enum frame_form form, const struct dialect *d,
               enum frame_end_reason reason, int64_t now, int64_t retry_ms, int64_t position,
               const char *epoch)
{
    if (form == FRAME_LOG) {
        if (!reasons[reason].position) return;
        buf_fmt(out, "# %s; it goes on with ?follow=1&last_event_id=", reasons[reason].name);
        cursor_write(out, epoch, position);
        buf_char(out, '\n');
        return;
    }
    struct buf payload = {0};
    buf_fmt(&payload, "{\"reason\":\"%s\",\"retry_ms\":%lld", reasons[reason].name,
            (long long)retry_ms);
    if (reasons[reason].position && form == FRAME_NDJSON) {
        json_key(&payload, "cursor");
        cursor_quote(&payload, epoch, position);
    }
    buf_char(&payload, '}');
    frame_notice(out, form, d,
                 &(struct notice){.type = "stream.end", .ts = now, .payload = payload.data},
                 reasons[reason].position ? position : -1, epoch);
    buf_free(&payload);
}
