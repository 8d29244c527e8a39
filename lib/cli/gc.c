/* leat gc: what is old goes now. */
#include "base/buf.h"
#include "base/clock.h"
#include "cli/command.h"
#include "ops/job_types.h"
#include "ops/retain.h"
#include "store/claims.h"
#include "store/files.h"
#include "store/log_readers.h"
#include "store/retention.h"
#include "store/txn.h"
#include "task/task.h"

#include <stdio.h>
#include <sysexits.h>
#include <time.h>

static int gc(struct cli *cli, int argc, char **argv);

const struct command command_gc = {
    .name = "gc",
    .arguments = "[--older-than HOURS] [--dry-run] [--json]",
    .summary = "removes what is old now, as the runner does by and by",
    .help = "  --older-than HOURS  finished tasks of that age, instead of retain_hours of the "
            "settings\n"
            "                      and of their types;\n"
            "                      fractions allowed, 0: all that are finished\n"
            "  --dry-run           only counts\n"
            "  --json              says it as JSON\n"
            "\n"
            "  Tasks go with their events, inputs, results and files. Events of no task and groups "
            "without "
            "tasks\n"
            "  and context go by their own age; keys, tickets, runners and rates when they have "
            "expired;\n"
            "  uploads that became no task.\n"
            "  Unfinished tasks, contexts and tokens stay. Nobody waits meanwhile: it is done in "
            "many\n"
            "  small transactions.\n",
    .run = gc,
};

struct wish {
    const char *older_than;
    bool dry_run, json;
};

/* What the types say of how long their tasks are kept; a jobs folder that cannot be read is an error, because it may
 * hold one that says for ever. */
static enum err read_types(const struct cli *cli, int64_t now, struct buf *own, struct error *e)
{
    const char *jobs = conf_text(cli->conf, CONF_RUNNER_JOBS);
    if (!jobs) return ERR_OK;
    struct job_types *types = job_types_open(jobs);
    enum err rc = job_types_refresh(types, e);
    if (!rc) retain_own(own, types, now);
    job_types_close(types);
    return rc;
}

/* What goes, by the options, the types (*own holds what they say) and the settings. */
static int decide(struct cli *cli, const struct wish *w, struct retention *out, struct buf *own)
{
    struct error e = {0};
    int64_t age = conf_ms(cli->conf, CONF_RUNNER_RETAIN_HOURS);
    if (w->older_than && conf_parse_hours(w->older_than, 0, CONF_HOURS_MAX_MS, &age, &e))
        return cli_fail(cli, EX_USAGE, "--older-than: %s", e.text);
    out->now = clock_wall_ms();
    out->before = out->now - age;
    if (w->older_than && !age) out->before++; /* also what ended in this millisecond */
    if (!w->older_than && !age) out->before = TASK_NONE;
    if (!w->older_than && read_types(cli, out->now, own, &e)) return cli_error(cli, &e);
    out->own = own->data;
    return EX_OK;
}

/* Moves the log into the database. While a runner lives that is the runner's. */
static enum err checkpoint(struct cli *cli, struct error *e)
{
    bool alive = true;
    enum err rc = runner_alive(cli->db, clock_wall_ms(), &alive, e);
    return rc || alive ? rc : db_checkpoint(cli->db, e);
}

/* Who keeps the log from being cut. ERR_BUSY. */
static enum err blame_reader(struct cli *cli, struct error *e)
{
    struct log_reader readers[LOG_READERS_MAX];
    char who[32] = "a program";
    if (log_readers_find(cli->db, readers))
        snprintf(who, sizeof who, "process %lld", (long long)readers[0].pid);
    return error_set(
        e, ERR_BUSY,
        "%s keeps the write-ahead log from being cut, which grows by all that is removed: end "
        "its transaction, then go on",
        who);
}

/* Keeps the log short, which whoever opens the database reads all of. A runner that lives may have been stopped, or
 * killed a moment ago. */
static enum err bound_log(struct cli *cli, struct error *e)
{
    enum { LOG_PAGES = 1024, RUNNER_PAGES = 8192 };
    int64_t pages = db_wal_pages(cli->db);
    enum err rc = ERR_OK;
    if (pages > RUNNER_PAGES)
        rc = db_checkpoint(cli->db, e);
    else if (pages > LOG_PAGES)
        rc = checkpoint(cli, e);
    return !rc && db_log_is_stuck(cli->db) ? blame_reader(cli, e) : rc;
}

/* Step by step until nothing is left, and the file has given back what it can. What was removed is in *out also after an error. */
static enum err remove_all(struct cli *cli, const struct retention *what,
                           struct retention_count *out, struct error *e)
{
    int64_t patience = conf_int(cli->conf, CONF_DATABASE_BUSY_MS);
    for (bool more = true; more;) {
        struct retention_step step;
        enum err rc = retention_step(cli->db, what, patience, &step, e);
        if (rc) return rc;
        for (size_t i = 0; i < step.gone_count; i++) files_remove(cli->db, step.gone[i]);
        retention_add(out, &step.removed);
        more = step.more;
        const struct timespec moment = {.tv_nsec = 1000000};
        if (txn_wanted(cli->db)) nanosleep(&moment, NULL); /* whoever waits is next */
        if ((rc = bound_log(cli, e))) return rc;
    }
    enum err rc = ERR_OK;
    for (bool more = true; !rc && more;) {
        rc = db_give_back(cli->db, patience, &more, e);
        if (!rc) rc = bound_log(cli, e);
    }
    return rc;
}

static void print(const struct retention_count *n, const struct wish *w)
{
    const struct {
        const char *name, *one, *many;
        int64_t count;
    } kinds[] = {
        {"tasks", "task", "tasks", n->tasks},
        {"events", "event", "events", n->events},
        {"groups", "group", "groups", n->groups},
        {"keys", "idempotency key", "idempotency keys", n->keys},
        {"tickets", "ticket", "tickets", n->tickets},
        {"runners", "dead runner", "dead runners", n->runners},
        {"rates", "passed rate", "passed rates", n->rates},
        {"uploads", "upload", "uploads", n->uploads},
    };
    struct buf out = {0};
    if (w->json) buf_fmt(&out, "{\"dry_run\":%s", w->dry_run ? "true" : "false");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (w->json)
            buf_fmt(&out, ",\"%s\":%lld", kinds[i].name, (long long)kinds[i].count);
        else if (kinds[i].count)
            buf_fmt(&out, "%s%lld %s", out.len ? ", " : "", (long long)kinds[i].count,
                    kinds[i].count == 1 ? kinds[i].one : kinds[i].many);
    }
    if (w->json)
        buf_char(&out, '}');
    else
        buf_fmt(&out, "%s%s", out.len ? "" : "nothing", w->dry_run ? " to remove" : " removed");
    puts(out.data);
    buf_free(&out);
}

static int gc(struct cli *cli, int argc, char **argv)
{
    struct wish w = {0};
    const struct cli_option options[] = {CLI_VALUE("older-than", &w.older_than),
                                         CLI_FLAG("dry-run", &w.dry_run),
                                         CLI_FLAG("json", &w.json)};
    struct error e = {0};
    struct retention what = {0};
    struct retention_count count = {0};
    struct buf own = {0};
    int status = cli_options(cli, options, sizeof options / sizeof *options, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = cli_settings(cli);
    if (!status) status = decide(cli, &w, &what, &own);
    if (!status) status = cli_database(cli);
    if (status) {
        buf_free(&own);
        return status;
    }

    enum err rc =
        w.dry_run ? retention_due(cli->db, &what, &count, &e) : remove_all(cli, &what, &count, &e);
    buf_free(&own);
    if (!rc || count.tasks || count.events) print(&count, &w);
    if (!rc && !w.dry_run) rc = checkpoint(cli, &e);
    return rc ? cli_error(cli, &e) : cli_flush(cli);
}
