/* leat submit: makes a task. */
#include "ops/submit.h"

#include "base/json.h"
#include "cli/command.h"
#include "cli/view.h"
#include "ops/autostart.h"
#include "ops/submit_fields.h"
#include "render/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int submit(struct cli *cli, int argc, char **argv);

const struct command command_submit = {
    .name = "submit",
    .arguments = "TYPE [--input TEXT | --input-file FILE|-] [--group G] [--owner NAME] "
                 "[--priority N] [--delay S] [--unique TEXT] [--timeout S] [--max-attempts N] "
                 "[--watch] [--json]",
    .summary = "makes a task of a type, as leat types lists them, and prints its id",
    .help = "  --input TEXT       what the job reads on its standard input; without it, nothing\n"
            "  --input-file FILE  the same from a file, byte for byte; -: from standard input\n"
            "  --group G          the group that it belongs to\n"
            "  --owner NAME       whose it is; else [auth] anonymous, else who is logged in\n"
            "  --priority N       -100 to 100; higher goes first\n"
            "  --delay S          not before so many seconds\n"
            "  --unique TEXT      while such a task is unfinished, it is the one that is meant\n"
            "  --timeout S        no more than its type allows, as\n"
            "  --max-attempts N\n"
            "  --watch            then as leat watch: its result on standard output, and its exit\n"
            "                     status is that of the job\n"
            "  --json             the task's document; with --watch its events, one a line\n",
    .run = submit,
};

/* What is asked for, besides the task. */
struct wish {
    const char *input, *input_file, *owner;
    bool watch, json;
};

enum { FIELDS_MAX = 16 };

/* Reads the options and the type into the task. */
static int read_arguments(struct cli *cli, struct wish *w, const char **fields, int *argc,
                          char **argv)
{
    const struct cli_option options[] = {
        CLI_VALUE("input", &w->input),
        CLI_VALUE("input-file", &w->input_file),
        CLI_VALUE("owner", &w->owner),
        CLI_VALUE("group", &fields[0]),
        CLI_VALUE("priority", &fields[1]),
        CLI_VALUE("delay", &fields[2]),
        CLI_VALUE("unique", &fields[3]),
        CLI_VALUE("timeout", &fields[4]),
        CLI_VALUE("max-attempts", &fields[5]),
        CLI_FLAG("watch", &w->watch),
        CLI_FLAG("json", &w->json),
    };
    int status = cli_options(cli, options, sizeof options / sizeof *options, argc, argv);
    if (status) return status;
    if (!*argc)
        return cli_fail(cli, EX_USAGE, "the TYPE of the task is expected; leat types lists them");
    if (*argc > 1) return cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[1]);
    if (w->input && w->input_file)
        return cli_fail(cli, EX_USAGE, "--input: not together with --input-file");
    return EX_OK;
}

static int set_fields(struct cli *cli, struct submit *s, const char *const *fields)
{
    static const char *const names[] = {"group",  "priority", "delay",
                                        "unique", "timeout",  "max_attempts"};
    struct error e = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (fields[i] && submit_field_text(s, names[i], fields[i], &e))
            return cli_fail(cli, EX_USAGE, "--%s", e.text);
    return EX_OK;
}

/* ---- input ---- */

/* All of `fd`, at most `most` bytes. */
static int read_all(struct cli *cli, int fd, const char *name, size_t most, struct buf *out)
{
    enum { PIECE = 65536 };
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, PIECE), PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cli_fail(cli, EX_NOINPUT, "%s: %s", name, strerror(errno));
        if (!n) return EX_OK;
        out->len += (size_t)n;
        if (out->len > most)
            return cli_fail(cli, EX_DATAERR,
                            "%s: larger than [http] max_raw_bytes, which is %zu bytes", name, most);
    }
}

static int read_file(struct cli *cli, const char *path, struct submit *s)
{
    bool standard = !strcmp(path, "-");
    struct buf body = {0};
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cli_fail(cli, EX_NOINPUT, "--input-file: %s: %s", path, strerror(errno));
    int status = read_all(cli, fd, standard ? "standard input" : path,
                          (size_t)conf_int(cli->conf, CONF_HTTP_MAX_RAW_BYTES), &body);
    if (!standard) close(fd);
    if (status) {
        buf_free(&body);
        return status;
    }
    s->content_type = mem_str(standard ? "application/octet-stream" : file_content_type(path));
    s->input = body.data;
    s->input_bytes = body.len;
    return EX_OK;
}

static int read_input(struct cli *cli, const struct wish *w, struct submit *s)
{
    if (w->input_file) return read_file(cli, w->input_file, s);
    if (!w->input) return EX_OK;
    s->input = mem_str(w->input);
    s->input_bytes = strlen(w->input);
    bool text = utf8_valid(s->input, s->input_bytes);
    s->content_type = mem_str(text ? "text/plain; charset=utf-8" : "application/octet-stream");
    return EX_OK;
}

/* ---- making it ---- */

static int refused(struct cli *cli, const struct submit *s, struct error *e)
{
    if (s->op.code && !strcmp(s->op.code, "unknown_type"))
        return cli_fail(cli, EX_DATAERR, "%s: there is no such type; leat types lists them",
                        s->type);
    return cli_refused(cli, &s->op, e);
}

/* Makes it durable. */
static int make(struct cli *cli, struct submit *s)
{
    struct error e = {0};
    if (submit_time_check(s, &e) || submit_check(s, &e) || submit_run(s, cli->db, &e))
        return refused(cli, s, &e);
    if (!task_status_terminal(s->task.status)) autostart(cli->conf);
    return EX_OK;
}

static int print(struct cli *cli, const struct wish *w, const struct task *t)
{
    struct task_view view = cli_view(cli);
    struct buf out = {0};
    if (w->json)
        task_document(&out, t, &view);
    else
        buf_str(&out, t->id);
    buf_char(&out, '\n');
    if (w->watch && isatty(STDERR_FILENO)) {
        fputs(out.data, stderr);
        buf_free(&out);
        return EX_OK;
    }
    cli_put(&out);
    return cli_flush(cli);
}

static int watch(struct cli *cli, const struct wish *w, struct task *t)
{
    struct watcher watcher = {.cli = cli, .back = "watch"};
    int status = w->json ? EX_OK : print(cli, w, t);
    watcher_add(&watcher, t, 0);
    if (!status) status = view_run(&watcher, w->json ? VIEW_JSON : VIEW_WATCH);
    watcher_free(&watcher);
    return status;
}

static int submit(struct cli *cli, int argc, char **argv)
{
    const char *fields[FIELDS_MAX] = {NULL};
    struct wish w = {0};
    struct caller caller;
    struct submit s;
    int status = read_arguments(cli, &w, fields, &argc, argv);
    if (!status) status = cli_caller(cli, w.owner, &caller);
    if (status) return status;
    if (!conf_text(cli->conf, CONF_RUNNER_JOBS))
        return cli_fail(cli, EX_CONFIG, "[runner] jobs is not set: there are no types");
    submit_init(&s, &caller);
    s.type = mem_str(argv[0]);
    status = set_fields(cli, &s, fields);
    if (!status) status = read_input(cli, &w, &s);
    if (!status) status = make(cli, &s);
    if (!status) status = w.watch ? watch(cli, &w, &s.task) : print(cli, &w, &s.task);
    submit_free(&s);
    return status;
}
