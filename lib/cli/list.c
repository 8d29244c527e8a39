/* leat list: the tasks there are. */
#include "base/clock.h"
#include "cli/bar.h"
#include "cli/table.h"
#include "cli/task_ref.h"
#include "render/dialect.h"
#include "store/tasks.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int list(struct cli *cli, int argc, char **argv);

const struct command command_list = {
    .name = "list",
    .arguments = "[--status STATUS] [--type TYPE] [--group G] [--owner NAME] [--limit N] "
                 "[--page-token TOKEN] [--json]",
    .summary = "lists tasks, the newest first",
    .help = "  --status STATUS  pending, running, completed, failed, timeout or cancelled\n"
            "  --owner NAME     that one's; else everyone's\n"
            "  --limit N        so many; 50 without it, at most [http] page_size_max\n"
            "  --page-token T   goes on where a list ended: its next_page_token\n"
            "  --json           the list of the API: {\"tasks\":[...],\"next_page_token\":\"\"}\n"
            "\n"
            "  Where the screen is narrow, only the ends of ids are shown; they will do as IDs.\n",
    .run = list,
};

enum { LIMIT = 50, WIDE = 110 };

struct wish {
    const char *status, *limit, *token;
    bool json;
};

static int read_arguments(struct cli *cli, struct wish *w, struct task_query *q, int argc,
                          char **argv)
{
    const struct cli_option options[] = {
        CLI_VALUE("status", &w->status), CLI_VALUE("type", &q->type),
        CLI_VALUE("group", &q->group),   CLI_VALUE("owner", &q->owner),
        CLI_VALUE("limit", &w->limit),   CLI_VALUE("page-token", &w->token),
        CLI_FLAG("json", &w->json),
    };
    struct error e = {0};
    int status = cli_options(cli, options, sizeof options / sizeof *options, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = cli_settings(cli);
    if (status) return status;
    if (w->status && !task_status_parse(w->status, &q->status))
        return cli_fail(cli, EX_USAGE,
                        "--status: '%s' is not pending, running, completed, failed, timeout or "
                        "cancelled",
                        w->status);
    int64_t most = conf_int(cli->conf, CONF_HTTP_PAGE_SIZE_MAX);
    if (q->limit > most) q->limit = most;
    if (w->limit && conf_parse_int(w->limit, 1, most, &q->limit, &e))
        return cli_fail(cli, EX_USAGE, "--limit: %s", e.text);
    if (w->token && *w->token && conf_parse_int(w->token, 1, INT64_MAX, &q->before, NULL))
        return cli_fail(cli, EX_USAGE, "--page-token: not a token of this list");
    return EX_OK;
}

static void list_json(struct cli *cli, const struct task_list *l, const char *next, struct buf *out)
{
    struct task_view view = cli_view(cli);
    struct dialect envelope = {0};
    dialect_task_list(out, &envelope, l->items, l->count, next, &view);
    buf_char(out, '\n');
}

/* What there is to say about it: how it failed, or what it said last. */
static void words(struct buf *out, const struct task *t)
{
    if (t->error_code) {
        bar_error(out, t);
        return;
    }
    bool both = t->phase && t->message;
    buf_fmt(out, "%s%s%s", t->phase ? t->phase : "", both ? ": " : "",
            t->message ? t->message : "");
}

enum { ID, STATUS, DONE, AGE, TYPE, OWNER, GROUP, MESSAGE, COLUMNS };

/* Whether all have the same owner; whether none has a group: then that need not be said. */
static void leave_out(const struct task_list *l, struct table_column *columns)
{
    bool owners = false, groups = false;
    for (size_t i = 0; i < l->count; i++) {
        owners = owners || strcmp(l->items[i].owner, l->items[0].owner) != 0;
        groups = groups || l->items[i].group;
    }
    if (!owners) columns[OWNER].title = NULL;
    if (!groups) columns[GROUP].title = NULL;
}

static void list_text(struct cli *cli, const struct task_list *l, struct buf *out)
{
    struct table_column columns[COLUMNS] = {
        [ID] = {"ID", NULL, 0, false},       [STATUS] = {"STATUS", NULL, 0, false},
        [DONE] = {"DONE", NULL, 0, true},    [AGE] = {"AGE", NULL, 0, true},
        [TYPE] = {"TYPE", NULL, 8, false},   [OWNER] = {"OWNER", NULL, 6, false},
        [GROUP] = {"GROUP", NULL, 6, false}, [MESSAGE] = {"MESSAGE", NULL, 10, false},
    };
    bool wide = terminal_of(cli, STDOUT_FILENO).columns >= WIDE;
    int64_t now = clock_wall_ms();
    leave_out(l, columns);
    struct table *table = table_new(cli, TABLE_LINES, columns, COLUMNS);
    for (size_t i = 0; i < l->count; i++) {
        const struct task *t = &l->items[i];
        struct buf message = {0};
        words(&message, t);
        table_row(table);
        table_text(table, wide ? t->id : task_ref_short(t->id));
        table_coloured(table, task_status_name(t->status), bar_colour(t->status));
        table_percent(table, t->progress);
        table_age(table, t->created_at, now);
        table_text(table, t->type);
        table_text(table, t->owner);
        table_text(table, t->group);
        table_text(table, message.data);
        buf_free(&message);
    }
    table_write(table, out);
    table_free(table);
}

static int list(struct cli *cli, int argc, char **argv)
{
    struct wish w = {0};
    struct task_query q = {.status = TASK_STATUSES, .before = INT64_MAX, .limit = LIMIT};
    struct task_list l = {0};
    struct error e = {0};
    int status = read_arguments(cli, &w, &q, argc, argv);
    if (!status) status = cli_database(cli);
    if (status) return status;
    if (task_list_read(cli->db, &q, &l, &e)) return cli_error(cli, &e);
    struct buf out = {0}, next = {0};
    if (l.more) buf_int(&next, l.items[l.count - 1].n);
    if (w.json)
        list_json(cli, &l, next.data, &out);
    else
        list_text(cli, &l, &out);
    cli_put(&out);
    status = cli_flush(cli);
    if (!w.json && l.more && isatty(STDERR_FILENO))
        fprintf(stderr, "there are older ones: --page-token %s goes on, --limit N shows more\n",
                next.data);
    buf_free(&next);
    task_list_free(&l);
    return status;
}
