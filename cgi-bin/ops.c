/* For those who look after a site. */
#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "ops/type_list.h"
#include "server/server.h"
#include "store/claims.h"
#include "store/lock_holder.h"
#include "store/log_readers.h"
#include "store/runner_lock.h"
#include "web/problem.h"

#include <string.h>

enum { BROKEN_NAMED_MAX = 100 };

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

/* A log that cannot be cut takes room, and is no reason to send requests elsewhere either. */
static void name_log_readers(const struct server *site, struct buf *members)
{
    struct log_reader readers[LOG_READERS_MAX];
    size_t count = log_readers_find(site->db, readers);
    for (size_t i = 0; i < count; i++)
        buf_fmt(members, "%s{\"pid\":%lld,\"bytes\":%lld}", i ? "," : ",\"log_readers\":[",
                (long long)readers[i].pid, (long long)readers[i].bytes);
    if (count) buf_char(members, ']');
}

/* Clients learn the name of the file, and not where it lies. */
static void name_database(const struct server *site, struct buf *detail)
{
    const char *path = db_path(site->db), *slash = strrchr(path, '/');
    buf_clear(detail);
    buf_fmt(detail, "the database file %s is malformed: nothing is written to it",
            slash ? slash + 1 : path);
}

/* Types that are broken are the site's to mend, and no reason to send its requests elsewhere: they are named, at
 * most so many, and the rest goes on. */
static void name_broken_types(const struct server *site, struct buf *members)
{
    struct type_rows rows;
    struct type_list list;
    int named = 0;
    job_types_refresh(site->types, NULL); /* what is not known now stays as it was */
    type_rows_read(site->db, clock_wall_ms(), &rows, NULL);
    type_list_make(&list, site->types, &rows);
    buf_str(members, ",\"broken_types\":[");
    for (size_t i = 0; i < list.count && named < BROKEN_NAMED_MAX; i++) {
        if (!list.items[i].broken) continue;
        buf_str(members, named++ ? "," : "");
        json_text(members, list.items[i].conf.name);
    }
    buf_char(members, ']');
    type_list_free(&list);
    type_rows_free(&rows);
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
    name_broken_types(site, &found);
    name_log_readers(site, &found);
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
