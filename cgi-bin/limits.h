/* Limits of one owner. Those that count per minute or per queue look at what the database holds, so that
 * all processes of a site share them; open streams are counted by each leat-events. */
#ifndef LEAT_LIMITS_H
#define LEAT_LIMITS_H

#include "site.h"

#include <stdint.h>

/* Which limit was reached. */
struct limit_hit {
    const char *name; /* NULL: none */
    int64_t limit;
    int64_t window_s; /* 0: not by time */
    int64_t retry_s;  /* when it may be otherwise */
};

/* Whether the asker may create one more task: limits.queued_per_owner and creates_per_minute. Inside the
 * transaction that creates it. Errors of the store only. */
enum err limits_create(struct site *site, const struct request *request, int64_t now,
                       struct limit_hit *hit, struct error *e);

/* Whether `owner` has more pending tasks than limits.queued_per_owner. Inside a transaction that has just
 * added to them. Errors of the store only. */
enum err limits_queued(struct site *site, const struct request *request, const char *owner,
                       struct limit_hit *hit, struct error *e);

/* Counts one more poll or opened stream of the asker in this minute: limits.polls_per_minute and
 * stream_opens_per_minute. Writes only where such a limit is set. */
enum err limits_poll(struct site *site, const struct request *request, struct limit_hit *hit,
                     struct error *e);
enum err limits_stream(struct site *site, const struct request *request, struct limit_hit *hit,
                       struct error *e);

/* 429 with Retry-After, RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). */
void limits_answer(struct request *request, const struct limit_hit *hit);

#endif
