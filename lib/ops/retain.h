/* How long finished tasks are kept, by type: what TYPE.conf says, over the site's setting. */
#ifndef LEAT_OPS_RETAIN_H
#define LEAT_OPS_RETAIN_H

#include "base/buf.h"
#include "ops/job_types.h"

#include <stdint.h>

/* Appends what struct retention calls `own`: of each type that is not kept as long as the site says, before when its
 * tasks must have ended to go at `now`. Nothing of a type whose conf is wrong goes: what it says is not known. Empty
 * where there is no such type. */
void retain_own(struct buf *out, const struct job_types *types, int64_t now);

/* The shortest of these times and the site's (0: for ever), in ms; 0: nothing goes, ever. */
int64_t retain_shortest(const struct job_types *types, int64_t site_ms);

#endif
