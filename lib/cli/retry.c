/* leat retry: tasks begin anew. */
#include "cli/change.h"

static int retry(struct cli *cli, int argc, char **argv);

const struct command command_retry = {
    .name = "retry",
    .arguments = "ID... [--force] [--json]",
    .summary = "has tasks that failed, timed out or were cancelled run again",
    .help =
        "  With as many attempts as their type allows.\n"
        "  --force  completed and running ones too, these are stopped first: from the beginning,\n"
        "           without the result, files and checkpoint of the earlier run\n"
        "  --json   their documents, {\"tasks\":[...]}\n",
    .run = retry,
};

static int retry(struct cli *cli, int argc, char **argv)
{
    struct change_wish w = {.kind = CHANGE_RETRY,
                            .next = "leat show says how it is, and --force runs it anew"};
    const struct cli_option options[] = {CLI_FLAG("force", &w.force), CLI_FLAG("json", &w.json)};
    int status = cli_options(cli, options, sizeof options / sizeof *options, &argc, argv);
    if (w.force) w.next = "leat show says how it is";
    return status ? status : change_named(cli, &w, argc, argv);
}
