/* leat watch, leat wait: until tasks have ended. */
#include "cli/view.h"
#include "render/document.h"

#include <stdio.h>
#include <sysexits.h>

static int watch(struct cli *cli, int argc, char **argv);
static int wait_for(struct cli *cli, int argc, char **argv);

const struct command command_watch = {
    .name = "watch",
    .arguments = "ID... [--json]",
    .summary = "shows how far tasks are until they have ended, and of one task its result",
    .help =
        "  On a terminal a bar a task, on standard error; else a line an event, on standard "
        "output,\n"
        "  from the first on. --json: the events themselves, one a line. The result of one task\n"
        "  follows on standard output, byte for byte. An ID may be its beginning or end, of 8\n"
        "  characters or more.\n"
        "\n"
        "  Ctrl-C leaves the tasks alone and says how to come back; a second one within 2 s\n"
        "  cancels them.\n"
        "\n"
        "  Exit status: 0 completed; the job's own; 128 and its signal; 124 timeout; 130 "
        "cancelled,\n"
        "  or left; 70 else. Of several, the first that is not 0.\n",
    .run = watch,
};

const struct command command_wait = {
    .name = "wait",
    .arguments = "ID... [--json]",
    .summary = "waits until tasks have ended; says nothing but what went wrong",
    .help = "  --json: their documents, {\"tasks\":[...]}, when all have ended. Exit status and "
            "Ctrl-C as\n"
            "  with leat watch.\n",
    .run = wait_for,
};

/* Reads the arguments of both. */
static int begin(struct watcher *w, bool *json, int argc, char **argv)
{
    const struct cli_option options[] = {CLI_FLAG("json", json)};
    int status = cli_options(w->cli, options, 1, &argc, argv);
    if (!status) status = cli_database(w->cli);
    return status ? status : watcher_add_named(w, argc, argv);
}

static int watch(struct cli *cli, int argc, char **argv)
{
    struct watcher w = {.cli = cli, .back = "watch"};
    bool json = false;
    int status = begin(&w, &json, argc, argv);
    if (!status) status = view_run(&w, json ? VIEW_JSON : VIEW_WATCH);
    watcher_free(&w);
    return status;
}

static void print_documents(const struct watcher *w)
{
    struct task_view view = cli_view(w->cli);
    struct buf out = {0};
    buf_str(&out, "{\"tasks\":[");
    for (size_t i = 0; i < w->count; i++) {
        if (i) buf_char(&out, ',');
        task_document(&out, &w->items[i].task, &view);
    }
    buf_str(&out, "]}\n");
    cli_put(&out);
}

static int wait_for(struct cli *cli, int argc, char **argv)
{
    struct watcher w = {.cli = cli, .back = "wait"};
    bool json = false;
    int status = begin(&w, &json, argc, argv);
    if (status) {
        watcher_free(&w);
        return status;
    }
    status = view_run(&w, VIEW_QUIET);
    if (json && !w.detached) print_documents(&w);
    watcher_free(&w);
    int flushed = cli_flush(cli);
    return flushed ? flushed : status;
}
