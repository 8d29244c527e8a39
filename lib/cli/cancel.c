/* leat cancel: tasks shall end. */
#include "cli/change.h"

static int cancel(struct cli *cli, int argc, char **argv);

const struct command command_cancel = {
    .name = "cancel",
    .arguments = "ID... [--json]",
    .summary = "cancels tasks that wait or run",
    .help = "  A task that runs ends when its runner has stopped the job: leat wait ID waits for "
            "that.\n"
            "  --json  their documents, {\"tasks\":[...]}\n",
    .run = cancel,
};

static int cancel(struct cli *cli, int argc, char **argv)
{
    struct change_wish w = {.kind = CHANGE_CANCEL, .next = "leat show says how it ended"};
    const struct cli_option options[] = {CLI_FLAG("json", &w.json)};
    int status = cli_options(cli, options, 1, &argc, argv);
    return status ? status : change_named(cli, &w, argc, argv);
}
