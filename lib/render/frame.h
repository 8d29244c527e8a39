/* Frames of a stream: Server-Sent Events (WHATWG HTML, 9.2), newline-delimited JSON, or plain log text.
 * Pure encoders. */
#ifndef LEAT_RENDER_FRAME_H
#define LEAT_RENDER_FRAME_H

#include "base/buf.h"
#include "render/dialect.h"
#include "task/event.h"

#include <stdbool.h>
#include <stdint.h>

enum frame_form { FRAME_SSE, FRAME_NDJSON, FRAME_LOG };

/* The content type of a stream of this form. */
const char *frame_content_type(enum frame_form form);

/* One event of the log; nothing of one that the dialect leaves out. FRAME_LOG shows the message of a
 * log.append and nothing of others. */
void frame_event(struct buf *out, enum frame_form form, const struct dialect *d,
                 const struct event *ev, const char *epoch);

/* An in-band message, never stored. `id` >= 0 gives the frame that position, which a client of a dialect
 * without such messages is told all the same. Nothing in FRAME_LOG. */
void frame_notice(struct buf *out, enum frame_form form, const struct dialect *d,
                  const struct notice *n, int64_t id, const char *epoch);

/* How long a client shall wait before it comes back. SSE only. */
void frame_retry(struct buf *out, enum frame_form form, int64_t ms);

/* A sign of life: a comment; {"type":"stream.heartbeat","ts"} on a line, in every dialect alike; nothing in a
 * log. It has no position. */
void frame_heartbeat(struct buf *out, enum frame_form form, int64_t now);

/* Whether there is such a sign in this form. */
bool frame_beats(enum frame_form form);

enum frame_end_reason {
    END_FINISHED,
    END_ROTATED,
    END_SHUTDOWN,
    END_EXPIRED,
    END_REVOKED,
    END_OVERLOADED,
    END_REASONS
};

/* The word for it. */
const char *frame_end_name(enum frame_end_reason reason);

/* The last frame: stream.end {reason, retry_ms}. Rotated and shutdown carry `position` as their id. A log
 * that is cut, not finished, says in a line beginning with '#' where it goes on. */
void frame_end(struct buf *out, enum frame_form form, const struct dialect *d,
               enum frame_end_reason reason, int64_t now, int64_t retry_ms, int64_t position,
               const char *epoch);

#endif
