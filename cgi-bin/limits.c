#include "limits.h"

#include "base/clock.h"
#include "store/rates.h"

#include <stdio.h>

enum { MINUTE_MS = 60000 };

/* Seconds until `at`, at least one. */
static int64_t seconds_until(int64_t at, int64_t now)
{
    int64_t left = (at - now + 999) / 1000;
    return left > 1 ? left : 1;
}

/* How many pending tasks an owner has and may have; both 0 where there is no limit. */
static enum err look_queued(struct site *site, const struct request *request, const char *owner,
                            int64_t *limit, int64_t *queued, struct error *e)
{
    *limit = conf_int(request->conf, CONF_LIMITS_QUEUED_PER_OWNER);
    *queued = 0;
    return *limit ? rate_queued(site->db, owner, queued, e) : ERR_OK;
}

enum err limits_queued(struct site *site, const struct request *request, const char *owner,
                       struct limit_hit *hit, struct error *e)
{
    int64_t limit, queued;
    enum err rc = look_queued(site, request, owner, &limit, &queued, e);
    if (!rc && limit && queued > limit) *hit = (struct limit_hit){"queued_per_owner", limit, 0, 1};
    return rc;
}

enum err limits_create(struct site *site, const struct request *request, int64_t now,
                       struct limit_hit *hit, struct error *e)
{
    int64_t per_minute = conf_int(request->conf, CONF_LIMITS_CREATES_PER_MINUTE);
    int64_t queued_max, queued, since = 0;
    enum err rc = look_queued(site, request, request->owner, &queued_max, &queued, e);
    if (rc) return rc;
    if (queued_max && queued >= queued_max) {
        *hit = (struct limit_hit){"queued_per_owner", queued_max, 0, 1};
        return ERR_OK;
    }
    if (per_minute) rc = rate_created(site->db, request->owner, per_minute, &since, e);
    if (!rc && per_minute && since > now - MINUTE_MS)
        *hit = (struct limit_hit){"creates_per_minute", per_minute, 60,
                                  seconds_until(since + MINUTE_MS, now)};
    return rc;
}

/* Counts one use of `name` in this minute. */
static enum err count(struct site *site, const struct request *request, const char *name,
                      enum conf_key key, struct limit_hit *hit, struct error *e)
{
    int64_t limit = conf_int(request->conf, key);
    if (!limit) return ERR_OK;
    int64_t now = clock_wall_ms(), minute = now / MINUTE_MS, used = 0;
    enum err rc = db_begin(site->db, DB_SYNC_NONE, e);
    if (rc) return rc;
    rc = rate_count(site->db, request->owner, name, minute, &used, e);
    rc = db_end(site->db, rc, e);
    if (!rc && used > limit)
        *hit = (struct limit_hit){name, limit, 60, seconds_until((minute + 1) * MINUTE_MS, now)};
    return rc;
}

enum err limits_poll(struct site *site, const struct request *request, struct limit_hit *hit,
                     struct error *e)
{
    return count(site, request, "polls_per_minute", CONF_LIMITS_POLLS_PER_MINUTE, hit, e);
}

enum err limits_stream(struct site *site, const struct request *request, struct limit_hit *hit,
                       struct error *e)
{
    return count(site, request, "stream_opens_per_minute", CONF_LIMITS_STREAM_OPENS_PER_MINUTE, hit,
                 e);
}

void limits_answer(struct request *request, const struct limit_hit *hit)
{
    char policy[128], state[128], retry[24], detail[160];
    int n = snprintf(policy, sizeof policy, "\"%s\";q=%lld", hit->name, (long long)hit->limit);
    if (hit->window_s && n > 0)
        snprintf(policy + n, sizeof policy - (size_t)n, ";w=%lld", (long long)hit->window_s);
    snprintf(state, sizeof state, "\"%s\";r=0;t=%lld", hit->name, (long long)hit->retry_s);
    snprintf(retry, sizeof retry, "%lld", (long long)hit->retry_s);
    snprintf(detail, sizeof detail, "the limit %s of %lld is reached", hit->name,
             (long long)hit->limit);
    const struct problem_header headers[] = {
        {"Retry-After", retry}, {"RateLimit-Policy", policy}, {"RateLimit", state}};
    problem_headers(request, 429, "rate_limited", headers, 3, detail);
}
