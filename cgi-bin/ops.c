/* For those who look after a site. */
#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "handlers.h"
#include "server/server.h"
#include "store/claims.h"
#include "store/lock_holder.h"
#include "store/runner_lock.h"
#include "task/jobtype.h"
#include "web/problem.h"

#include <stdlib.h>
#include <string.h>

/* Whether the write lock has been held for too long: in words, with a member that says by whom. */
static bool lock_is_stuck(const struct server *site, struct buf *member, struct buf *detail)
{
    struct lock_holder h = {0};
    int64_t ms = commit_group_locked_out_ms(site->commits);
    if (lock_held(db_path(site->db), LOCK_NAMED_MS, &h))
        ms = (clock_monotonic_us() - h.since) / 1000;
    else if (ms < LOCK_NAMED_MS)
        return false;
    buf_fmt(detail, "the write lock has been held for %lld s by ", (long long)ms / 1000);
    buf_fmt(member, ",\"write_lock\":{\"seconds\":%lld", (long long)ms / 1000);
    if (h.pid) {
        buf_fmt(detail, "process %lld", (long long)h.pid);
        buf_fmt(member, ",\"pid\":%lld", (long long)h.pid);
        if (!lock_holder_is_near(&h)) buf_str(detail, " of another pid namespace");
    } else {
        buf_str(detail, "a program that does not say who it is");
        buf_str(member, ",\"pid\":null");
    }
    buf_char(member, '}');
    return true;
}

/* Clients learn the name of the file, and not where it lies. */
static void name_database(const struct server *site, struct buf *detail)
{
    const char *path = db_path(site->db), *slash = strrchr(path, '/');
    buf_clear(detail);
    buf_fmt(detail, "the database file %s is malformed: nothing is written to it",
            slash ? slash + 1 : path);
}

/* GET /health: 200 while the database answers and can be written and a runner lives, else 503, a problem that
 * says what it is. With autostart no runner needs to live while there is nothing to do. */
void ops_health(struct exchange *x)
{
    const struct server *site = x->server;
    struct error e = {0};
    bool alive = false, wanted = true;
    bool database = !runner_alive(site->db, clock_wall_ms(), &alive, &e);
    if (database && !alive && conf_bool(site->conf, CONF_RUNNER_AUTOSTART))
        database = !runner_wanted(site->db, &wanted, &e);
    struct buf found = {0}, detail = {0};
    buf_fmt(&found, ",\"database\":%s,\"runner\":%s", database ? "true" : "false",
            alive ? "true" : "false");
    bool malformed = txn_malformed(site->db);
    bool stuck = lock_is_stuck(site, &found, &detail);
    if (database && !malformed && !stuck && (alive || !wanted)) {
        struct buf body = {0};
        buf_fmt(&body, "{\"status\":\"ok\"%s}", found.data);
        answer_json(x, &body);
    } else {
        if (malformed) name_database(site, &detail);
        problem_members(&x->request, 503, "unavailable", found.data,
                        malformed   ? detail.data
                        : !database ? "the database cannot be read"
                        : stuck     ? detail.data
                                    : "no runner is alive");
    }
    buf_free(&found);
    buf_free(&detail);
}

static void type_document(struct buf *out, const struct jobtype *t, const struct conf *conf)
{
    int64_t input_max = conf_int(conf, CONF_HTTP_MAX_RAW_BYTES);
    if (t->max_input_bytes >= 0 && t->max_input_bytes < input_max) input_max = t->max_input_bytes;
    buf_str(out, "{\"type\":");
    json_text(out, t->name);
    json_key(out, "timeout");
    json_number(out, (double)t->timeout_ms / 1000);
    json_key(out, "max_attempts");
    buf_int(out, t->attempts);
    json_key(out, "max_input_bytes");
    buf_int(out, input_max);
    json_key(out, "result_type");
    json_text(out, *t->result_type ? t->result_type : NULL);
    buf_fmt(out, ",\"serialize\":%s,\"get\":%s}", t->serialize ? "\"group\"" : "null",
            t->get ? "true" : "false");
}

/* GET /types: the job types that may be created, with their limits. One whose conf is wrong is left out,
 * and logged. */
void ops_types(struct exchange *x)
{
    struct job_types *types = x->server->types;
    struct error e = {0};
    if (job_types_refresh(types, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct buf body = {0};
    buf_str(&body, "{\"types\":[");
    const struct job_type *t;
    for (size_t at = 0; (t = job_types_next(types, &at));) {
        char text[480];
        if (t->broken) {
            log_warn("a job type is left out", " error=\"%s\"",
                     log_quote(text, sizeof text, t->broken));
        } else if (t->file == JOB_FILE_READY || t->file == JOB_FILE_BUSY) {
            if (body.data[body.len - 1] != '[') buf_char(&body, ',');
            type_document(&body, &t->conf, x->request.conf);
        }
    }
    buf_str(&body, "]}");
    answer_json(x, &body);
}
