/* leat emit: inside a job, an event of its own. */
#include "base/json.h"
#include "cli/say.h"
#include "task/event.h"

#include <string.h>
#include <sysexits.h>

static int emit(struct cli *cli, int argc, char **argv);

const struct command command_emit = {
    .name = "emit",
    .arguments = "TYPE JSON",
    .summary = "inside a job: says an event of its own",
    .help = "  TYPE is words with dots between them, such as doc.created; the first is not task, "
            "group,\n"
            "  log, file or stream. JSON is one value, its payload.\n",
    .run = emit,
};

/* JSON text as one line: a line break stands between values and never in them. */
static void add_line(struct buf *out, const char *json)
{
    for (; *json; json++) buf_char(out, *json == '\n' || *json == '\r' ? ' ' : *json);
}

static int emit(struct cli *cli, int argc, char **argv)
{
    struct error e = {0};
    int status = cli_options(cli, NULL, 0, &argc, argv);
    if (status) return status;
    if (argc != 2) return cli_fail(cli, EX_USAGE, "TYPE and JSON are expected");
    if (!event_type_allowed(argv[0]))
        return cli_fail(cli, EX_DATAERR,
                        "TYPE: '%.100s' is not words such as doc.created, or its first is task, "
                        "group, log, file or stream",
                        argv[0]);
    json_t *value = json_read(argv[1], strlen(argv[1]), &e);
    if (!value) return cli_fail(cli, EX_DATAERR, "JSON: %s", e.text);
    json_decref(value);
    struct buf line = {0};
    buf_fmt(&line, "{\"type\":\"%s\",\"payload\":", argv[0]);
    add_line(&line, argv[1]);
    buf_char(&line, '}');
    return say_line(cli, &line);
}
