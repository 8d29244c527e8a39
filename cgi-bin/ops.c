/* For those who look after a site. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "handlers.h"
#include "site.h"
#include "store/claims.h"
#include "store/presence.h"
#include "task/jobtype.h"

#include <stdlib.h>

/* GET /health: 200 while the database answers and a runner lives, else 503, a problem that says which of
 * them it is too. With autostart none needs to live while there is nothing to do. */
void ops_health(struct route_match *m)
{
    struct site *site = site_of(m);
    struct error e = {0};
    bool alive = false, wanted = true;
    bool database = !runner_alive(site->db, clock_wall_ms(), &alive, &e);
    if (database && !alive && conf_bool(site->conf, CONF_RUNNER_AUTOSTART))
        database = !presence_wanted(site->db, &wanted, &e);
    struct buf found = {0};
    buf_fmt(&found, ",\"database\":%s,\"runner\":%s", database ? "true" : "false",
            alive ? "true" : "false");
    if (database && (alive || !wanted)) {
        struct buf body = {0};
        struct response r;
        buf_fmt(&body, "{\"status\":\"ok\"%s}", found.data);
        response_start(&r, m->request, 200);
        response_json(&r, &body);
        buf_free(&body);
    } else {
        problem_members(m->request, 503, "unavailable", found.data,
                        database ? "no runner is alive" : "the database cannot be read");
    }
    buf_free(&found);
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
void ops_types(struct route_match *m)
{
    struct site *site = site_of(m);
    const char *jobs = conf_text(site->conf, CONF_RUNNER_JOBS);
    struct error e = {0};
    char **names;
    size_t count;
    if (jobtype_list(&names, &count, jobs, &e)) {
        site_fail(site, m->request, &e);
        return;
    }
    struct buf body = {0};
    buf_str(&body, "{\"types\":[");
    for (size_t i = 0; i < count; i++) {
        struct jobtype t;
        if (jobtype_load(&t, jobs, names[i], &e)) {
            char text[480];
            log_warn("a job type is left out", " error=\"%s\"",
                     log_quote(text, sizeof text, e.text));
        } else {
            if (body.data[body.len - 1] != '[') buf_char(&body, ',');
            type_document(&body, &t, m->request->conf);
        }
        free(names[i]);
    }
    free(names);
    buf_str(&body, "]}");
    struct response r;
    response_start(&r, m->request, 200);
    response_json(&r, &body);
    buf_free(&body);
}
