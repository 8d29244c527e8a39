/* leat retry: tasks begin anew. */
#include "cli/change.h"

static int retry(struct cli *cli, int argc, char **argv);

const struct command command_retry = {
    .name = "retry",
    .arguments = "ID... [--json]",
    .summary = "has tasks that failed, timed out or were cancelled run again",
    .help = "  With as many attempts as their type allows.\n"
            "  --json  their documents, {\"tasks\":[...]}\n",
    .run = retry,
};

static int retry(struct cli *cli, int argc, char **argv)
{
    struct change_wish w = {.kind = CHANGE_RETRY, .next = "leat show says how it is"};
    const struct cli_option options[] = {CLI_FLAG("json", &w.json)};
    int status = cli_options(cli, options, 1, &argc, argv);
    return status ? status : change_named(cli, &w, argc, argv);
}
