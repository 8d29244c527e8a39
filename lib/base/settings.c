#include "base/settings.h"

#include <assert.h>
#include <stddef.h>

#define HOUR_MS INT64_C(3600000)

const struct setting conf_settings[] = {
    [CONF_DATABASE_PATH] =
        {"database", "path", SETTING_FILE, NULL, 0, 0, NULL, RELOAD_RESTART,
         .help = "The database. Its folder has to be on a local filesystem, and every program "
                 "has to be able to write there."},
    [CONF_DATABASE_BUSY_MS] =
        {"database", "busy_ms", SETTING_INT, "5000", 0, 600000, "ms", RELOAD_RESTART,
         .help = "How long a write waits for its turn and for SQLite's own locks together; then "
                 "the answer is 503."},
    [CONF_HTTP_ALLOWED_ORIGINS] = {"http", "allowed_origins", SETTING_ORIGINS, NULL, 0, 0, NULL,
                                   RELOAD_NO_MATTER,
                                   .help = "Other origins whose pages may ask, or `*`."},
    [CONF_HTTP_MAX_BODY_BYTES] = {"http", "max_body_bytes", SETTING_INT, "1048576", 1, 67108864,
                                  "bytes", RELOAD_NO_MATTER,
                                  .help = "The longest body that is JSON."},
    [CONF_HTTP_MAX_RAW_BYTES] = {"http", "max_raw_bytes", SETTING_INT, "67108864", 0, 536870912,
                                 "bytes", RELOAD_NO_MATTER, .help = "The longest raw input."},
    [CONF_HTTP_INLINE_RESULT_BYTES] =
        {"http", "inline_result_bytes", SETTING_INT, "65536", 0, 1048576, "bytes", RELOAD_TAKEN,
         .help = "Larger results are left out of documents and events; `/result` has them."},
    [CONF_HTTP_MAX_RESULT_BYTES] = {"http", "max_result_bytes", SETTING_INT, "8388608", 0,
                                    536870912, "bytes", RELOAD_TAKEN,
                                    .help = "A larger result fails its task."},
    [CONF_HTTP_WAIT_SECONDS_MAX] = {"http", "wait_seconds_max", SETTING_SECONDS, "25", 0, 3600000,
                                    NULL, RELOAD_NO_MATTER,
                                    .help = "The longest wait of `Prefer: wait`."},
    [CONF_HTTP_PAGE_SIZE_MAX] = {"http", "page_size_max", SETTING_INT, "200", 1, 10000, NULL,
                                 RELOAD_NO_MATTER, .help = "The longest page of a list."},
    [CONF_HTTP_BULK_MAX] = {"http", "bulk_max", SETTING_INT, "1000", 1, 100000, NULL,
                            RELOAD_NO_MATTER,
                            .help = "How many tasks one NDJSON request may make."},
    [CONF_HTTP_RUN_GRACE] =
        {"http", "run_grace", SETTING_SECONDS, "60", 0, 86400000, NULL, RELOAD_NO_MATTER,
         .help = "How long after the end of a task an identical `GET /api/run/TYPE` is answered "
                 "by it instead of a new one."},
    [CONF_HTTP_IDEMPOTENCY_HOURS] = {"http", "idempotency_hours", SETTING_HOURS, "24", 3600,
                                     INT64_C(8760) * HOUR_MS, NULL, RELOAD_NO_MATTER,
                                     .help = "How long an `Idempotency-Key` is remembered."},
    [CONF_HTTP_PREFIX] = {"http", "prefix", SETTING_PATH, "/api", 0, 0, NULL, RELOAD_TAKEN,
                          .help =
                              "What all paths begin with. The web server has to pass these paths: "
                              "`nginx/leat.conf` names them in one line."},
    [CONF_HTTP_HOSTS] =
        {"http", "hosts", SETTING_HOSTS, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "The names that the site answers to, whatever the port. A request for any other "
                 "is 421; one without a Host passes. Unset: any name."},
    [CONF_HTTP_URL] = {"http", "url", SETTING_URL, NULL, 0, 0, NULL, RELOAD_TAKEN,
                       .help = "Where the site is reached from outside, without the prefix: "
                               "`https://example.org`. Jobs with `token = yes` are told."},
    [CONF_HTTP_TRUSTED_PROXIES] =
        {"http", "trusted_proxies", SETTING_NETWORKS, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "Addresses and networks (`10.0.0.0/8`) of proxies before the web server, whose "
                 "X-Forwarded-For and X-Forwarded-Proto are believed. `unix:` is whoever comes "
                 "by a local socket."},
    [CONF_HTTP_PROCESSES] =
        {"http", "processes", SETTING_INT, "2", 1, 1024, NULL, RELOAD_NO_MATTER,
         .help = "How many equal processes of leat.fcgi are started, where Leat starts them."},
    [CONF_HTTP_BODY_SECONDS] = {"http", "body_seconds", SETTING_SECONDS, "60", 100, 86400000, NULL,
                                RELOAD_NO_MATTER,
                                .help = "How long the whole body of a request may take to come."},
    [CONF_HTTP_FILES_ACCEL] =
        {"http", "files_accel", SETTING_PATH, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "The URI of an internal location of nginx for the folder of files: nginx is "
                 "told to send URI/ID/NAME (X-Accel-Redirect). `nginx/leat.conf` sets it and has "
                 "the location."},
    [CONF_HTTP_FILES_SENDFILE] =
        {"http", "files_sendfile", SETTING_BOOL, "no", 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "Name the file in X-Sendfile, an absolute path, percent-encoded: for lighttpd, "
                 "and Apache with mod_xsendfile. Without this and `files_accel`, leat.fcgi sends "
                 "files itself, without ranges."},
    [CONF_AUTH_ANONYMOUS] = {"auth", "anonymous", SETTING_NAME, NULL, 1, CONF_NAME_MAX, NULL,
                             RELOAD_NO_MATTER,
                             .help =
                                 "The owner of requests without credentials. Unset: they are 401."},
    [CONF_AUTH_ANONYMOUS_SCOPE] =
        {"auth", "anonymous_scope", SETTING_SCOPES, "create,read,publish", 0, 0, NULL,
         RELOAD_NO_MATTER, .help = "What the anonymous owner may do; `admin` brings the others."},
    [CONF_AUTH_REMOTE_USER] =
        {"auth", "remote_user", SETTING_BOOL, "no", 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "Trust REMOTE_USER of the web server. Only where that has checked the password."},
    [CONF_AUTH_JWT_SECRET] =
        {"auth", "jwt_secret", SETTING_TEXT, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "The secret of JSON Web Tokens signed with HS256, of 32 bytes or more."},
    [CONF_AUTH_JWT_KEY_FILE] =
        {"auth", "jwt_key_file", SETTING_FILE, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "A PEM file with the public key of JSON Web Tokens signed with RS256 or ES256."},
    [CONF_AUTH_JWT_AUDIENCE] = {"auth", "jwt_audience", SETTING_TEXT, NULL, 0, 0, NULL,
                                RELOAD_NO_MATTER,
                                .help = "A JSON Web Token has to have this in `aud`."},
    [CONF_AUTH_JWT_ISSUER] = {"auth", "jwt_issuer", SETTING_TEXT, NULL, 0, 0, NULL,
                              RELOAD_NO_MATTER,
                              .help = "A JSON Web Token has to have this as `iss`."},
    [CONF_AUTH_TOKEN_QUERY] =
        {"auth", "token_query", SETTING_TOKEN, NULL, 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "The name of a query parameter that is taken as a bearer token, for an "
                 "EventSource. It ends up in logs: prefer tickets."},
    [CONF_AUTH_TOKEN_COOKIE] = {"auth", "token_cookie", SETTING_TOKEN, NULL, 0, 0, NULL,
                                RELOAD_NO_MATTER,
                                .help = "The name of a cookie that is taken as a bearer token."},
    [CONF_AUTH_TICKET_SECONDS_MAX] = {"auth", "ticket_seconds_max", SETTING_SECONDS, "3600", 1,
                                      86400000, NULL, RELOAD_NO_MATTER,
                                      .help = "The longest life of a ticket."},
    [CONF_LIMITS_CREATES_PER_MINUTE] =
        {"limits", "creates_per_minute", SETTING_INT, "0", 0, 1000000000, NULL, RELOAD_NO_MATTER,
         .help = "Tasks that an owner may create in a minute; 0: no bound."},
    [CONF_LIMITS_QUEUED_PER_OWNER] = {"limits", "queued_per_owner", SETTING_INT, "10000", 0,
                                      1000000000, NULL, RELOAD_NO_MATTER,
                                      .help =
                                          "Tasks of an owner that are due and wait; 0: no bound."},
    [CONF_LIMITS_DELAYED_PER_OWNER] =
        {"limits", "delayed_per_owner", SETTING_INT, "10000", 0, 1000000000, NULL, RELOAD_NO_MATTER,
         .help = "Tasks of an owner that wait for their time; 0: no bound."},
    [CONF_LIMITS_WRITES_PER_MINUTE] =
        {"limits", "writes_per_minute", SETTING_INT, "0", 0, 1000000000, NULL, RELOAD_NO_MATTER,
         .help = "Other changes that an owner may make in a minute (publish, context, ticket, "
                 "cancel, retry, delete, pause); 0: no bound."},
    [CONF_LIMITS_BYTES_PER_OWNER] =
        {"limits", "bytes_per_owner", SETTING_INT, "0", 0, INT64_C(1125899906842624), "bytes",
         RELOAD_RESTART,
         .help = "Inputs, results, events, contexts and files of an owner together; beyond that "
                 "507, and what its jobs say is not written, with a warning. An event counts its "
                 "payload and 200 bytes. 0: no bound."},
    [CONF_LIMITS_STREAMS_PER_OWNER] =
        {"limits", "streams_per_owner", SETTING_INT, "100", 0, 1000000000, NULL, RELOAD_NO_MATTER,
         .help = "Streams, long polls and follows of an owner at a time, over all processes; 0: "
                 "no bound."},
    [CONF_LIMITS_STREAM_OPENS_PER_MINUTE] =
        {"limits", "stream_opens_per_minute", SETTING_INT, "0", 0, 1000000000, NULL,
         RELOAD_NO_MATTER, .help = "Streams that an owner may open in a minute; 0: no bound."},
    [CONF_LIMITS_POLLS_PER_MINUTE] =
        {"limits", "polls_per_minute", SETTING_INT, "0", 0, 1000000000, NULL, RELOAD_NO_MATTER,
         .help = "Requests of an owner for one task in a minute; 0: no bound."},
    [CONF_LIMITS_EVENTS_PER_TASK] =
        {"limits", "events_per_task", SETTING_INT, "100000", 0, 1000000000, NULL, RELOAD_RESTART,
         .help = "Events of one task; 0: no bound. What its job says beyond that is not written, "
                 "and a warning in its log says so; changes of its status, progress, files and "
                 "result are written always."},
    [CONF_LIMITS_EVENT_BYTES_PER_TASK] =
        {"limits", "event_bytes_per_task", SETTING_INT, "67108864", 0, INT64_C(1099511627776),
         "bytes", RELOAD_RESTART,
         .help = "The same in bytes, counted as for `bytes_per_owner`; 0: no "
                 "bound."},
    [CONF_STREAM_STREAM_SECONDS] =
        {"stream", "stream_seconds", SETTING_SECONDS, "3600", 100, 86400000, NULL, RELOAD_NO_MATTER,
         .help = "How long a stream lasts before the client has to come back for the rest.",
         .as_cgi = "55"},
    [CONF_STREAM_CGI_STREAMS] =
        {"stream", "cgi_streams", SETTING_INT, "32", 1, 100000, NULL, RELOAD_NO_MATTER,
         .help = "How many processes may hold streams where each holds one: as CGI, or with "
                 "`max_streams` 1 (mod_fcgid). Beyond half of them streams are shorter; beyond "
                 "all, a new one is put off and the oldest ends."},
    [CONF_STREAM_HEARTBEAT] = {"stream", "heartbeat", SETTING_SECONDS, "15", 100, 3600000, NULL,
                               RELOAD_NO_MATTER,
                               .help = "How often a silent stream says that it is there."},
    [CONF_STREAM_RETRY_MS] = {"stream", "retry_ms", SETTING_INT, "2000", 0, 3600000, "ms",
                              RELOAD_NO_MATTER,
                              .help = "How long a client is told to wait before it comes back."},
    [CONF_STREAM_MAX_STREAMS] = {"stream", "max_streams", SETTING_INT, "8000", 1, 1000000, NULL,
                                 RELOAD_NO_MATTER, .help = "Streams of one process."},
    [CONF_DIALECT_REPO_STATUS] =
        {"dialect", "repo_status", SETTING_MAP,
         "idle=ready, pending=analyzing, running=analyzing, "
         "completed=completed, failed=error, cancelled=error",
         0, 0, NULL, RELOAD_NO_MATTER,
         .help =
             "What `?dialect=repo` calls the states of a group; a state that is not named keeps "
             "its word. `pending/TYPE`, `running/TYPE` and `completed/TYPE` narrow a word to "
             "groups all "
             "of whose pending, running or finished tasks are of that type: "
             "`running/clone=cloning`."},
    [CONF_RUNNER_JOBS] = {"runner", "jobs", SETTING_FILE, NULL, 0, 0, NULL, RELOAD_RESTART,
                          .help = "The jobs folder."},
    [CONF_RUNNER_WORK] =
        {"runner", "work", SETTING_FILE, NULL, 0, 0, NULL, RELOAD_RESTART,
         .help = "Where jobs have their working folders, an empty one for each attempt. "
                 "A tmpfs, like `/dev/shm`, is quickest; several sites may name the "
                 "same. Unset: the folder `work` beside the database."},
    [CONF_RUNNER_WORKERS] = {"runner", "workers", SETTING_INT, NULL, 1, 4096, NULL, RELOAD_TAKEN,
                             .help = "How many tasks run at a time.",
                             .shown = "twice the number of CPUs"},
    [CONF_RUNNER_LEASE_SECONDS] =
        {"runner", "lease_seconds", SETTING_SECONDS, "30", 1000, 3600000, NULL, RELOAD_TAKEN,
         .help = "How long a runner holds a task without renewing its claim."},
    [CONF_RUNNER_DRAIN_SECONDS] = {"runner", "drain_seconds", SETTING_SECONDS, "20", 0, 86400000,
                                   NULL, RELOAD_TAKEN,
                                   .help =
                                       "How long jobs may go on when the runner is told to stop."},
    [CONF_RUNNER_PROGRESS_PER_SECOND] =
        {"runner", "progress_per_second", SETTING_INT, "10", 1, 1000, NULL, RELOAD_TAKEN,
         .help = "How often the progress of a task is written; the last report always is."},
    [CONF_RUNNER_FILES_MAX] = {"runner", "files_max", SETTING_INT, "100", 0, 10000, NULL,
                               RELOAD_TAKEN, .help = "Files of one task. More fail it."},
    [CONF_RUNNER_FILES_BYTES_MAX] = {"runner", "files_bytes_max", SETTING_INT, "268435456", 0,
                                     INT64_C(1099511627776), "bytes", RELOAD_TAKEN,
                                     .help =
                                         "Bytes of the files of one task together. More fail it."},
    [CONF_RUNNER_RETAIN_HOURS] =
        {"runner", "retain_hours", SETTING_HOURS, "24", 0, CONF_HOURS_MAX_MS, NULL, RELOAD_TAKEN,
         .help = "How long finished tasks are kept, with their events, inputs, results and "
                 "files; 0: for ever. Events of no task, and groups without tasks and context, "
                 "go by the same age."},
    [CONF_RUNNER_BROKEN_TYPE_SECONDS] =
        {"runner", "broken_type_seconds", SETTING_SECONDS, "3600", 0, INT64_C(31622400000), NULL,
         RELOAD_TAKEN,
         .help = "How long a type whose job or conf cannot be used is held back and tried again; "
                 "then its tasks fail."},
    [CONF_RUNNER_AUTOSTART] =
        {"runner", "autostart", SETTING_BOOL, "no", 0, 0, NULL, RELOAD_NO_MATTER,
         .help = "leat.fcgi starts leatd when a task waits and no runner is there: the one "
                 "beside it, in the folder above, in `../sbin`, or where `make install` puts it, "
                 "with `--idle-exit 60` unless `idle_exit` is set. Where the log goes to "
                 "`stderr` its warnings go to `DB.runner.log`, which each start begins anew."},
    [CONF_RUNNER_IDLE_EXIT] =
        {"runner", "idle_exit", SETTING_SECONDS, NULL, 0, 86400000, NULL, RELOAD_RESTART,
         .help = "leatd stops when no task has waited, not even for its time, or run for so "
                 "long."},
    [CONF_LOG_LEVEL] = {"log", "level", SETTING_LEVEL, "info", 0, 0, NULL, RELOAD_TAKEN,
                        .help = "`debug`, `info`, `warn` or `error`."},
    [CONF_LOG_TARGET] = {"log", "target", SETTING_TARGET, "stderr", 0, 0, NULL, RELOAD_TAKEN,
                         .help = "`stderr`, `syslog` or `file PATH`."},
};
static_assert(sizeof conf_settings / sizeof *conf_settings == CONF_KEYS, "a row for each key");
