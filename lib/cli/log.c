/* leat log: what the job of a task has said. */
#include "base/json.h"
#include "cli/command.h"
#include "cli/task_ref.h"
#include "cli/terminal.h"
#include "cli/watcher.h"
#include "render/document.h"
#include "render/frame.h"
#include "store/events.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int show_log(struct cli *cli, int argc, char **argv);

const struct command command_log = {
    .name = "log",
    .arguments = "ID [-f] [--json]",
    .summary = "prints the log of a task: its job's messages, as it wrote them",
    .help =
        "  -f, --follow  goes on until the task has ended\n"
        "  --json        the events log.append, one a line\n"
        "\n"
        "  On a terminal with the job's colours, unless NO_COLOR is set, and without what else "
        "would\n"
        "  steer it. The whole history, with progress and changes of status, shows leat watch.\n",
    .run = show_log,
};

enum { PORTION_EVENTS = 1000, PORTION_BYTES = 1 << 20 };

struct reader {
    struct cli *cli;
    bool json, tty, colours;
};

/* The message with its colours, or nothing and false: it has none. */
static bool coloured_line(struct buf *out, const struct event *ev)
{
    json_t *payload = json_read(ev->payload, strlen(ev->payload), NULL);
    const json_t *ansi = json_object_get(payload, "ansi");
    bool any = json_is_string(ansi);
    if (any) {
        text_coloured(out, json_string_value(ansi), json_string_length(ansi));
        buf_char(out, '\n');
    }
    json_decref(payload);
    return any;
}

static void print_event(const struct reader *r, const struct event *ev)
{
    static const struct dialect envelope = {0};
    enum frame_form form = r->json ? FRAME_NDJSON : FRAME_LOG;
    struct buf text = {0}, shown = {0};
    if (strcmp(ev->type, "log.append") != 0) return;
    if (r->json || !r->tty) {
        frame_event(&shown, form, &envelope, ev, db_epoch(r->cli->db));
    } else if (!r->colours || !coloured_line(&shown, ev)) {
        frame_event(&text, form, &envelope, ev, db_epoch(r->cli->db));
        text_harmless(&shown, buf_text(&text), text.len);
        buf_free(&text);
    }
    cli_put(&shown);
}

static int print_all(const struct reader *r, const struct task *t)
{
    struct event_scope scope = {.kind = SCOPE_TASK, .task = t->n};
    struct event_list events = {0};
    struct error e = {0};
    enum err rc;
    int64_t after = 0;
    do {
        rc = events_read(r->cli->db, &scope, after, PORTION_EVENTS, PORTION_BYTES, &events, &e);
        for (size_t i = 0; !rc && i < events.count; i++) print_event(r, &events.items[i]);
        if (!rc && events.count) after = events.items[events.count - 1].seq;
    } while (!rc && events.more && !ferror(stdout));
    event_list_free(&events);
    return rc ? cli_error(r->cli, &e) : cli_flush(r->cli);
}

/* ---- following ---- */

static void on_event(void *arg, size_t at, const struct event *ev)
{
    (void)at;
    print_event(arg, ev);
}

static void on_look(void *arg)
{
    (void)arg;
    fflush(stdout);
}

static void on_say(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "leat: %s\n", line);
}

/* The log is what is asked for: however the task ends, it was given. */
static int follow(struct reader *r, struct task *t)
{
    struct watcher w = {.cli = r->cli, .hooks = {on_event, on_look, on_say, r}, .back = "log -f"};
    watcher_add(&w, t, 0);
    int status = watcher_run(&w);
    if (!status && w.detached) status = watcher_status(&w);
    watcher_free(&w);
    return status ? status : cli_flush(r->cli);
}

static int show_log(struct cli *cli, int argc, char **argv)
{
    bool following = false;
    struct reader r = {.cli = cli, .tty = isatty(STDOUT_FILENO)};
    r.colours = terminal_of(cli, STDOUT_FILENO).colours;
    const struct cli_option options[] = {CLI_LETTER("follow", 'f', &following),
                                         CLI_FLAG("json", &r.json)};
    struct task t = {0};
    int status = cli_options(cli, options, 2, &argc, argv);
    if (!status && argc != 1)
        status = cli_fail(cli, EX_USAGE, "the ID of one task is expected; leat list shows them");
    if (!status) status = cli_database(cli);
    if (!status) status = task_ref_read(cli, argv[0], &t);
    if (status) return status;
    status = following ? follow(&r, &t) : print_all(&r, &t);
    task_free(&t);
    return status;
}
