#include "ops/limits.h"

#include "base/buf.h"
#include "base/clock.h"
#include "store/rates.h"

#include <stdlib.h>

enum { MINUTE_MS = 60000 };

static enum err reached(struct limit_hit *out, struct limit_hit hit, struct error *e)
{
    *out = hit;
    return error_set(e, ERR_LIMIT, "the limit %s of %lld is reached", hit.name,
                     (long long)hit.limit);
}

/* Seconds until `at`, at least one. */
static int64_t seconds_until(int64_t at, int64_t now)
{
    int64_t left = (at - now + 999) / 1000;
    return left > 1 ? left : 1;
}

enum err limits_queued(struct db *db, const struct conf *conf, const char *owner, int64_t more,
                       struct limit_hit *hit, struct error *e)
{
    int64_t limit = conf_int(conf, CONF_LIMITS_QUEUED_PER_OWNER);
    struct rate_queue queue = {0};
    enum err rc = limit ? rate_queued(db, owner, &queue, e) : ERR_OK;
    if (rc || !limit || queue.pending + more <= limit) return rc;
    return reached(hit, (struct limit_hit){"queued_per_owner", limit, 0, 1}, e);
}

/* The same of those that wait for their time. */
static enum err limits_delayed(struct db *db, const struct conf *conf, const char *owner,
                               int64_t more, struct limit_hit *hit, struct error *e)
{
    int64_t limit = conf_int(conf, CONF_LIMITS_DELAYED_PER_OWNER);
    struct rate_queue queue = {0};
    enum err rc = limit ? rate_queued(db, owner, &queue, e) : ERR_OK;
    if (rc || !limit || queue.delayed + more <= limit) return rc;
    return reached(hit, (struct limit_hit){"delayed_per_owner", limit, 0, 1}, e);
}

/* Of a limit that is counted in minutes of the clock. */
static enum err spent(struct limit_hit *hit, const char *name, int64_t limit, int64_t now,
                      struct error *e)
{
    int64_t next = (now / MINUTE_MS + 1) * MINUTE_MS;
    return reached(hit, (struct limit_hit){name, limit, 60, seconds_until(next, now)}, e);
}

static const char creates[] = "creates_per_minute";

/* Whether so many may be created now, of an anonymous caller's address: no task says from where it came. */
static enum err limits_created_here(struct db *db, const struct caller *caller, int64_t more,
                                    int64_t now, struct limit_hit *hit, struct error *e)
{
    int64_t limit = conf_int(caller->conf, CONF_LIMITS_CREATES_PER_MINUTE), used = 0;
    enum err rc =
        limit ? rate_used(db, caller->account, creates, now / MINUTE_MS, &used, e) : ERR_OK;
    return rc || !limit || used + more <= limit ? rc : spent(hit, creates, limit, now, e);
}

/* Whether so many may be created now. */
static enum err limits_created(struct db *db, const struct caller *caller, int64_t more,
                               int64_t now, struct limit_hit *hit, struct error *e)
{
    if (caller->anonymous) return limits_created_here(db, caller, more, now, hit, e);
    int64_t limit = conf_int(caller->conf, CONF_LIMITS_CREATES_PER_MINUTE), since = now;
    enum err rc = ERR_OK;
    if (limit && more <= limit) /* the last of them is the one that comes next to it */
        rc = rate_created(db, caller->owner, limit - more + 1, &since, e);
    bool set_back = since > now + MINUTE_MS; /* the clock was, after that */
    if (rc || !limit || since <= now - MINUTE_MS || set_back) return rc;
    return reached(
        hit, (struct limit_hit){creates, limit, 60, seconds_until(since + MINUTE_MS, now)}, e);
}

enum err limits_note_created(struct db *db, const struct caller *caller, int64_t count, int64_t now,
                             struct error *e)
{
    int64_t used;
    bool counts = caller->anonymous && limits_counts(caller->conf, CONF_LIMITS_CREATES_PER_MINUTE);
    return counts ? rate_count(db, caller->account, creates, now / MINUTE_MS, count, &used, e)
                  : ERR_OK;
}

enum err limits_create(struct db *db, const struct caller *caller, int64_t run_at, int64_t now,
                       struct limit_hit *hit, struct error *e)
{
    const struct conf *conf = caller->conf;
    enum err rc = run_at > now ? limits_delayed(db, conf, caller->owner, 1, hit, e)
                               : limits_queued(db, conf, caller->owner, 1, hit, e);
    return rc ? rc : limits_created(db, caller, 1, now, hit, e);
}

enum err limits_batch(struct db *db, const struct caller *caller, const struct limits_batch *batch,
                      int64_t now, bool *may, struct error *e)
{
    const struct conf *conf = caller->conf;
    const char *owner = caller->owner;
    struct operation unused = {0};
    struct limit_hit hit;
    enum err rc = ERR_OK;
    if (batch->due) rc = limits_queued(db, conf, owner, batch->due, &hit, e);
    if (!rc && batch->delayed) rc = limits_delayed(db, conf, owner, batch->delayed, &hit, e);
    if (!rc) rc = limits_created(db, caller, batch->due + batch->delayed, now, &hit, e);
    if (!rc) rc = limits_bytes(db, conf, owner, batch->bytes, &unused, e);
    *may = !rc;
    return rc == ERR_LIMIT || unused.code ? ERR_OK : rc;
}

/* Counts one use in this minute. */
static enum err use(struct db *db, const char *account, const char *name, int64_t limit,
                    struct limit_hit *hit, struct error *e)
{
    int64_t now = clock_wall_ms(), used = 0;
    enum err rc = rate_count(db, account, name, now / MINUTE_MS, 1, &used, e);
    return rc || used <= limit ? rc : spent(hit, name, limit, now, e);
}

enum err limits_write(struct db *db, const struct caller *caller, struct limit_hit *hit,
                      struct error *e)
{
    int64_t limit = conf_int(caller->conf, CONF_LIMITS_WRITES_PER_MINUTE);
    return limit ? use(db, caller->account, "writes_per_minute", limit, hit, e) : ERR_OK;
}

enum err limits_bytes(struct db *db, const struct conf *conf, const char *owner, int64_t more,
                      struct operation *op, struct error *e)
{
    int64_t limit = conf_int(conf, CONF_LIMITS_BYTES_PER_OWNER), bytes = 0;
    enum err rc = limit && more > 0 ? owner_bytes(db, owner, &bytes, e) : ERR_OK;
    if (rc || !limit || more <= 0 || bytes + more <= limit) return rc;
    op->code = "owner_full";
    return error_set(e, ERR_FULL,
                     "the limit bytes_per_owner of %lld is reached: delete something first",
                     (long long)limit);
}

static enum err count(struct operation *op, struct db *db, struct error *e)
{
    struct count_use *c = (struct count_use *)op;
    return use(db, c->account, c->name, c->limit, &op->limit, e);
}

bool limits_counts(const struct conf *conf, enum conf_key key)
{
    return conf_int(conf, key) > 0;
}

void count_use_init(struct count_use *c, const struct caller *caller, enum conf_key key)
{
    *c = (struct count_use){.op = {.apply = count, .fleeting = true},
                            .account = mem_str(caller->account),
                            .name = conf_settings[key].key,
                            .limit = conf_int(caller->conf, key)};
}

void count_use_free(struct count_use *c)
{
    free((char *)c->account);
}
