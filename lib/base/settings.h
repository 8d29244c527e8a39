/* Every setting, once: one table with its type, unit, bounds, default and help. Parsing, the manual page
 * leat.conf(5), the README's table and what a runner says at a reload are all made from it. */
#ifndef LEAT_BASE_SETTINGS_H
#define LEAT_BASE_SETTINGS_H

#include <stdint.h>

enum conf_key {
    CONF_DATABASE_PATH,
    CONF_DATABASE_BUSY_MS,
    CONF_HTTP_ALLOWED_ORIGINS,
    CONF_HTTP_MAX_BODY_BYTES,
    CONF_HTTP_MAX_RAW_BYTES,
    CONF_HTTP_INLINE_RESULT_BYTES,
    CONF_HTTP_MAX_RESULT_BYTES,
    CONF_HTTP_WAIT_SECONDS_MAX,
    CONF_HTTP_PAGE_SIZE_MAX,
    CONF_HTTP_BULK_MAX,
    CONF_HTTP_RUN_GRACE,
    CONF_HTTP_IDEMPOTENCY_HOURS,
    CONF_HTTP_PREFIX,
    CONF_HTTP_HOSTS,
    CONF_HTTP_URL,
    CONF_HTTP_TRUSTED_PROXIES,
    CONF_HTTP_PROCESSES,
    CONF_HTTP_BODY_SECONDS,
    CONF_HTTP_FILES_ACCEL,
    CONF_HTTP_FILES_SENDFILE,
    CONF_AUTH_ANONYMOUS,
    CONF_AUTH_ANONYMOUS_SCOPE,
    CONF_AUTH_REMOTE_USER,
    CONF_AUTH_JWT_SECRET,
    CONF_AUTH_JWT_KEY_FILE,
    CONF_AUTH_JWT_AUDIENCE,
    CONF_AUTH_JWT_ISSUER,
    CONF_AUTH_TOKEN_QUERY,
    CONF_AUTH_TOKEN_COOKIE,
    CONF_AUTH_TICKET_SECONDS_MAX,
    CONF_LIMITS_CREATES_PER_MINUTE,
    CONF_LIMITS_QUEUED_PER_OWNER,
    CONF_LIMITS_DELAYED_PER_OWNER,
    CONF_LIMITS_WRITES_PER_MINUTE,
    CONF_LIMITS_BYTES_PER_OWNER,
    CONF_LIMITS_STREAMS_PER_OWNER,
    CONF_LIMITS_STREAM_OPENS_PER_MINUTE,
    CONF_LIMITS_POLLS_PER_MINUTE,
    CONF_LIMITS_EVENTS_PER_TASK,
    CONF_LIMITS_EVENT_BYTES_PER_TASK,
    CONF_STREAM_STREAM_SECONDS,
    CONF_STREAM_CGI_STREAMS,
    CONF_STREAM_HEARTBEAT,
    CONF_STREAM_RETRY_MS,
    CONF_STREAM_MAX_STREAMS,
    CONF_DIALECT_REPO_STATUS,
    CONF_RUNNER_JOBS,
    CONF_RUNNER_WORK,
    CONF_RUNNER_WORKERS,
    CONF_RUNNER_LEASE_SECONDS,
    CONF_RUNNER_DRAIN_SECONDS,
    CONF_RUNNER_PROGRESS_PER_SECOND,
    CONF_RUNNER_FILES_MAX,
    CONF_RUNNER_FILES_BYTES_MAX,
    CONF_RUNNER_RETAIN_HOURS,
    CONF_RUNNER_BROKEN_TYPE_SECONDS,
    CONF_RUNNER_AUTOSTART,
    CONF_RUNNER_IDLE_EXIT,
    CONF_LOG_LEVEL,
    CONF_LOG_TARGET,
    CONF_KEYS
};

enum { CONF_NAME_MAX = 200 }; /* bytes of the name of an owner */

/* A thousand years are as good as for ever. */
#define CONF_HOURS_MAX_MS (INT64_C(8766000) * 3600 * 1000)

enum setting_type {
    SETTING_TEXT,
    SETTING_FILE,     /* a path; one that is relative counts from the folder of leat.conf */
    SETTING_PATH,     /* of a URL: begins with / and does not end with one */
    SETTING_URL,      /* http(s)://host[:port], perhaps a path */
    SETTING_INT,      /* a whole number from min to max */
    SETTING_BOOL,     /* yes or no */
    SETTING_SECONDS,  /* with fractions; min and max are ms */
    SETTING_HOURS,    /* the same */
    SETTING_MAP,      /* NAME=WORD, NAME=WORD; its names are those of the default */
    SETTING_NAME,     /* UTF-8 of min to max bytes without control characters */
    SETTING_TOKEN,    /* of a cookie or a query parameter: RFC 9110, 5.6.2 */
    SETTING_SCOPES,   /* lists, separated by commas or blanks */
    SETTING_ORIGINS,  /* RFC 6454, or * */
    SETTING_HOSTS,    /* names or addresses, perhaps with a port */
    SETTING_NETWORKS, /* base/address.h */
    SETTING_LEVEL,    /* base/log.h */
    SETTING_TARGET,
};

/* What a running leatd does when it is told to read its settings again. */
enum setting_reload {
    RELOAD_NO_MATTER, /* it does not use this one */
    RELOAD_TAKEN,
    RELOAD_RESTART, /* it goes on with the old value until it is started anew */
};

struct setting {
    const char *section, *key;
    enum setting_type type;
    const char *initial; /* the default; NULL: unset */
    int64_t min, max;
    const char *unit; /* of a SETTING_INT: "bytes", "ms"; NULL: a count */
    enum setting_reload reload;
    const char *help; /* sentences; what is to be typed stands between backquotes */
    const char
        *as_cgi; /* the default of a program that is started for one request; NULL: `initial` */
    const char *shown; /* the default in words, where it is found out when the program starts */
};

extern const struct setting conf_settings[CONF_KEYS];

#endif
