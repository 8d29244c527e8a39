#include "runner/reload.h"

#include "base/buf.h"
#include "base/log.h"

static const enum conf_key taken[] = {
    CONF_RUNNER_WORKERS,
    CONF_RUNNER_LEASE_SECONDS,
    CONF_RUNNER_DRAIN_SECONDS,
    CONF_RUNNER_PROGRESS_PER_SECOND,
    CONF_RUNNER_RETAIN_HOURS,
    CONF_RUNNER_FILES_MAX,
    CONF_RUNNER_FILES_BYTES_MAX,
    CONF_HTTP_MAX_RESULT_BYTES,
    CONF_HTTP_INLINE_RESULT_BYTES,
    CONF_HTTP_PREFIX,
    CONF_LOG_LEVEL,
    CONF_LOG_TARGET,
};

static const enum conf_key not_taken[] = {
    CONF_DATABASE_PATH, CONF_DATABASE_BUSY_MS, CONF_LIMITS_EVENTS_PER_TASK,
    CONF_RUNNER_JOBS,   CONF_RUNNER_WORK,      CONF_RUNNER_IDLE_EXIT,
};

/* The names of those keys that differ, "" when none does; the caller frees. */
static struct buf changed(const struct conf *a, const struct conf *b, const enum conf_key *keys,
                          size_t count)
{
    struct buf out = {0};
    char name[64];
    for (size_t i = 0; i < count; i++) {
        if (conf_same(a, b, keys[i])) continue;
        conf_name(keys[i], name, sizeof name);
        buf_fmt(&out, "%s%s", out.len ? ", " : "", name);
    }
    return out;
}

void reload_tell(const struct conf *start, const struct conf *before, const struct conf *now)
{
    struct buf new = changed(before, now, taken, sizeof taken / sizeof *taken);
    struct buf later = changed(start, now, not_taken, sizeof not_taken / sizeof *not_taken);
    log_info("settings reread", " signal=SIGHUP changed=\"%s\"", buf_text(&new));
    if (later.len) log_warn("settings that need a restart", " keys=\"%s\"", later.data);
    buf_free(&new);
    buf_free(&later);
}
