/* leat show: one task. */
#include "base/clock.h"
#include "base/json.h"
#include "cli/bar.h"
#include "cli/table.h"
#include "cli/task_ref.h"
#include "cli/view.h"
#include "render/document.h"
#include "store/files.h"
#include "task/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int show(struct cli *cli, int argc, char **argv);

const struct command command_show = {
    .name = "show",
    .arguments = "ID [--json | --result]",
    .summary = "shows a task",
    .help = "  ID may be the beginning or end of one, of 8 characters or more.\n"
            "  --json    its document, as of the API\n"
            "  --result  what its job gave, byte for byte\n",
    .run = show,
};

enum { RESULT_LINES = 20 };

static const struct table_column columns[] = {
    {"ID", NULL, 0, false},      {"Type", NULL, 0, false},     {"Status", NULL, 0, false},
    {"Error", NULL, 0, false},   {"Progress", NULL, 0, false}, {"Remaining", NULL, 0, false},
    {"Owner", NULL, 0, false},   {"Group", NULL, 0, false},    {"Priority", NULL, 0, false},
    {"Attempt", NULL, 0, false}, {"Created", NULL, 0, false},  {"Not before", NULL, 0, false},
    {"Started", NULL, 0, false}, {"Ended", NULL, 0, false},    {"Request", NULL, 0, false},
    {"Result", NULL, 0, false},
};

static void add_words(struct table *table, const struct buf *words)
{
    table_text(table, words->len ? words->data : NULL);
}

/* The cells up to the owner: how it is. */
static void add_state(struct table *table, const struct task *t, int64_t now)
{
    double left = progress_remaining(task_elapsed_seconds(t, now), t->progress);
    struct buf state = {0}, error = {0}, progress = {0}, remaining = {0};
    bar_state(&state, t, now);
    table_coloured(table, state.data, bar_colour(t->status));
    bar_error(&error, t);
    if (error.len && t->error_retryable) buf_str(&error, " (leat retry may help)");
    add_words(table, &error);
    if (t->phase || t->message || (t->progress > 0 && t->status != TASK_COMPLETED)) {
        buf_fmt(&progress, "%d%%", (int)t->progress);
        if (t->phase) buf_fmt(&progress, " %s%s", t->phase, t->message ? ":" : "");
        if (t->message) buf_fmt(&progress, " %s", t->message);
    }
    add_words(table, &progress);
    if (t->status == TASK_RUNNING && left >= 0) text_clock(&remaining, left);
    add_words(table, &remaining);
    buf_free(&state);
    buf_free(&error);
    buf_free(&progress);
    buf_free(&remaining);
}

/* "3.0 KiB application/json". */
static void add_result(struct table *table, const struct task *t)
{
    struct buf words = {0};
    if (t->result_type) {
        text_bytes(&words, t->result_bytes);
        buf_fmt(&words, " %s", t->result_type);
    }
    add_words(table, &words);
    buf_free(&words);
}

static void add_all(struct table *table, const struct task *t, int64_t now)
{
    struct buf attempt = {0}, priority = {0};
    table_row(table);
    table_text(table, t->id);
    table_text(table, t->type);
    add_state(table, t, now);
    table_text(table, t->owner);
    table_text(table, t->group);
    if (t->priority) buf_int(&priority, t->priority);
    add_words(table, &priority);
    buf_fmt(&attempt, "%lld of %lld", (long long)t->attempt, (long long)t->max_attempts);
    add_words(table, &attempt);
    table_moment(table, t->created_at);
    table_moment(table, t->run_at);
    table_moment(table, t->started_at);
    table_moment(table, t->completed_at);
    table_text(table, t->request_id);
    add_result(table, t);
    buf_free(&attempt);
    buf_free(&priority);
}

/* The first lines of a result that documents show. */
static void add_lines(struct buf *out, const struct terminal *terminal, const struct task *t)
{
    json_t *value = t->result ? json_read(t->result, strlen(t->result), NULL) : NULL;
    if (!value || json_is_null(value)) return;
    char *dump =
        json_is_string(value)
            ? mem_str(json_string_value(value))
            : json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    const char *p = dump ? dump : "";
    buf_char(out, '\n');
    for (int i = 0; *p && i < RESULT_LINES; i++) {
        size_t len = strcspn(p, "\n");
        char *line = mem_dup(p, len);
        buf_str(out, "  ");
        text_fit(out, terminal, line, terminal->columns - 2);
        buf_char(out, '\n');
        free(line);
        p += len + (p[len] == '\n');
    }
    if (*p) buf_str(out, "  (more: leat show --result)\n");
    free(dump);
    json_decref(value);
}

static void add_files(struct cli *cli, struct buf *out, const struct task *t)
{
    static const struct table_column file[] = {
        {"FILE", NULL, 20, false}, {"SIZE", NULL, 0, true}, {"PLACE", NULL, 20, false}};
    struct table *table = table_new(cli, TABLE_LINES, file, 3);
    for (size_t i = 0; i < t->files.count; i++) {
        struct buf path = {0};
        files_path(cli->db, t->id, t->files.items[i].name, &path, NULL);
        table_row(table);
        table_text(table, t->files.items[i].name);
        table_bytes(table, t->files.items[i].bytes);
        table_text(table, path.len ? path.data : "missing");
        buf_free(&path);
    }
    if (t->files.count) buf_char(out, '\n');
    table_write(table, out);
    table_free(table);
}

static void show_text(struct cli *cli, const struct task *t)
{
    struct buf out = {0};
    struct terminal terminal = terminal_of(cli, STDOUT_FILENO);
    struct table *table = table_new(cli, TABLE_PAIRS, columns, sizeof columns / sizeof *columns);
    add_all(table, t, clock_wall_ms());
    table_write(table, &out);
    table_free(table);
    add_lines(&out, &terminal, t);
    add_files(cli, &out, t);
    cli_put(&out);
}

static void show_json(struct cli *cli, const struct task *t)
{
    struct task_view view = cli_view(cli);
    struct buf out = {0};
    task_document(&out, t, &view);
    buf_char(&out, '\n');
    cli_put(&out);
}

static int show_result(struct cli *cli, const struct task *t)
{
    if (t->result_type) return view_result(cli, t);
    return cli_fail(cli, EX_DATAERR, "%s: there is no result: the task is %s", t->id,
                    task_status_name(t->status));
}

static int show(struct cli *cli, int argc, char **argv)
{
    bool json = false, result = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json), CLI_FLAG("result", &result)};
    struct task t = {0};
    int status = cli_options(cli, options, 2, &argc, argv);
    if (!status && argc != 1)
        status = cli_fail(cli, EX_USAGE, "the ID of one task is expected; leat list shows them");
    if (!status && json && result)
        status = cli_fail(cli, EX_USAGE, "--json: not together with --result");
    if (!status) status = cli_database(cli);
    if (!status) status = task_ref_read(cli, argv[0], &t);
    if (status) return status;
    if (result)
        status = show_result(cli, &t);
    else if (json)
        show_json(cli, &t);
    else
        show_text(cli, &t);
    task_free(&t);
    return status ? status : cli_flush(cli);
}
