/* leat stats: the site at a glance. */
#include "cli/figures.h"

#include <sysexits.h>

static int stats(struct cli *cli, int argc, char **argv);

const struct command command_stats = {
    .name = "stats",
    .arguments = "[--json]",
    .summary = "shows the site at a glance: queue, runners, streams, delays, sizes",
    .help = "  --json  the document of the API\n",
    .run = stats,
};

static int stats(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct stats s;
    struct error e = {0};
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = cli_database(cli);
    if (status) return status;
    if (stats_read(cli->db, NULL, &s, &e)) return cli_error(cli, &e);
    struct buf out = {0};
    if (json) {
        stats_document(&out, &s);
        buf_char(&out, '\n');
    } else {
        figures_site(cli, &s, &out);
        if (s.queue.task_rows) buf_char(&out, '\n');
        figures_types(cli, &s, &out);
        if (s.metrics.process_count) buf_char(&out, '\n');
        figures_processes(cli, &s, &out);
    }
    stats_free(&s);
    cli_put(&out);
    return cli_flush(cli);
}
