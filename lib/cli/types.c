/* leat types, pause, resume: what kinds of tasks there are, and holding one back. */
#include "ops/type_list.h"

#include "base/clock.h"
#include "cli/table.h"
#include "ops/autostart.h"
#include "ops/pause.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int types(struct cli *cli, int argc, char **argv);
static int pause_types(struct cli *cli, int argc, char **argv);
static int resume_types(struct cli *cli, int argc, char **argv);

const struct command command_types = {
    .name = "types",
    .arguments = "[--json]",
    .summary = "lists the types of tasks: the executables of the jobs folder",
    .help = "  STATE is ready, paused, or broken: then its tasks wait, and what is wrong stands "
            "below.\n"
            "  --json  the list of the API\n",
    .run = types,
};

const struct command command_pause = {
    .name = "pause",
    .arguments = "TYPE... [--json]",
    .summary = "has nothing more of a type begin; what runs goes on",
    .help = "  Until leat resume TYPE; it is kept in the database.\n",
    .run = pause_types,
};

const struct command command_resume = {
    .name = "resume",
    .arguments = "TYPE... [--json]",
    .summary = "has tasks of a paused type begin again",
    .run = resume_types,
};

/* ---- showing ---- */

static const struct table_column columns[] = {
    {"TYPE", "type", 12, false},
    {"STATE", NULL, 0, false},
    {"TIMEOUT", "timeout", 0, true},
    {"ATTEMPTS", "max_attempts", 0, true},
    {"INPUT", "max_input_bytes", 0, true},
    {"RESULT", "result_type", 10, false},
    {"SERIALIZE", "serialize", 0, false},
    {NULL, "get", 0, false},
    {NULL, "paused", 0, false},
    {NULL, "broken", 0, false},
};

static void add_state(struct table *table, const struct type_list_item *item)
{
    if (item->broken)
        table_coloured(table, "broken", COLOUR_BAD);
    else if (item->paused)
        table_coloured(table, "paused", COLOUR_WARN);
    else
        table_coloured(table, "ready", COLOUR_GOOD);
}

static void add(struct table *table, const struct type_list_item *item, const struct conf *conf)
{
    const struct jobtype *t = &item->conf;
    table_row(table);
    table_text(table, t->name);
    add_state(table, item);
    table_seconds(table, t->timeout_ms);
    table_int(table, t->attempts);
    table_bytes(table, type_list_input_max(item, conf));
    table_text(table, *t->result_type ? t->result_type : NULL);
    table_text(table, t->serialize ? "group" : NULL);
    table_bool(table, t->get);
    table_bool(table, item->paused);
    table_text(table, item->broken);
}

static struct table *begin(const struct cli *cli, bool json)
{
    return table_new(cli, json ? TABLE_JSON : TABLE_LINES, columns,
                     sizeof columns / sizeof *columns);
}

/* `list`, unless NULL: what is wrong with its types follows for people. */
static int end(const struct cli *cli, struct table *table, bool json, const struct type_list *list)
{
    struct buf out = {0};
    if (json) buf_str(&out, "{\"types\":");
    table_write(table, &out);
    if (json) buf_str(&out, "}\n");
    for (size_t i = 0; !json && list && i < list->count; i++)
        if (list->items[i].broken)
            buf_fmt(&out, "%s: %s\n", list->items[i].conf.name, list->items[i].broken);
    table_free(table);
    cli_put(&out);
    return cli_flush(cli);
}

/* The site's registry, as it is now. */
static int look(struct cli *cli, struct caller *caller)
{
    struct error e = {0};
    int status = cli_caller(cli, NULL, caller);
    if (status) return status;
    if (!conf_text(cli->conf, CONF_RUNNER_JOBS))
        return cli_fail(cli, EX_CONFIG, "[runner] jobs is not set: there are no types");
    return job_types_refresh(cli->types, &e) ? cli_error(cli, &e) : EX_OK;
}

static int types(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct caller caller;
    struct type_rows rows = {0};
    struct type_list list = {0};
    struct error e = {0};
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = look(cli, &caller);
    if (status) return status;
    if (type_rows_read(cli->db, clock_wall_ms(), &rows, &e)) return cli_error(cli, &e);
    type_list_make(&list, cli->types, &rows);
    struct table *table = begin(cli, json);
    for (size_t i = 0; i < list.count; i++) add(table, &list.items[i], cli->conf);
    status = end(cli, table, json, &list);
    type_list_free(&list);
    type_rows_free(&rows);
    return status;
}

/* ---- pausing ---- */

/* One type; with `table` its row, else a line. */
static int change_one(struct cli *cli, const struct caller *caller, const char *name, bool paused,
                      struct table *table)
{
    struct error e = {0};
    struct pause_type op;
    int status = EX_OK;
    pause_type_init(&op, caller, name, paused);
    if (operation_run(&op.op, cli->db, &e)) {
        status = e.code == ERR_NOTFOUND
                     ? cli_fail(cli, EX_DATAERR,
                                "%.64s: there is no such type; leat types lists them", name)
                     : cli_refused(cli, &op.op, &e);
    } else if (table) {
        struct type_list list = {0};
        struct type_list_item gone;
        type_list_make(&list, cli->types, &op.rows);
        add(table, type_list_get(&list, name, &gone), cli->conf);
        type_list_free(&list);
    } else {
        printf("%s: %s\n", name, paused ? "paused" : "resumed");
    }
    pause_type_free(&op);
    return status;
}

static int change(struct cli *cli, int argc, char **argv, bool paused)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct caller caller;
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && !argc)
        status = cli_fail(cli, EX_USAGE, "a TYPE is expected; leat types lists them");
    if (!status) status = look(cli, &caller);
    if (status) return status;
    struct table *table = json ? begin(cli, true) : NULL;
    for (int i = 0; i < argc; i++) {
        int one = change_one(cli, &caller, argv[i], paused, table);
        if (!status) status = one;
    }
    int flushed = table ? end(cli, table, true, NULL) : cli_flush(cli);
    if (!paused) autostart(cli->conf); /* for the tasks that waited */
    return status ? status : flushed;
}

static int pause_types(struct cli *cli, int argc, char **argv)
{
    return change(cli, argc, argv, true);
}

static int resume_types(struct cli *cli, int argc, char **argv)
{
    return change(cli, argc, argv, false);
}
