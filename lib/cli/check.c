/* leat check: whether a site can work, and does. */
#include "cli/check.h"

#include <string.h>
#include <sysexits.h>

static int check(struct cli *cli, int argc, char **argv);

const struct command command_check = {
    .name = "check",
    .arguments = "[URL] [--token TOKEN] [--json]",
    .summary = "looks for what is wrong with a site, and says what mends it",
    .help = "  Without a URL: settings, permissions, database, disk, jobs of this machine.\n"
            "  With the URL of a site, such as https://www.example.org/: whatever stands between "
            "it and\n"
            "  its clients, by curl(1). Tasks of the built-in type leat-check are made, streamed, "
            "resumed\n"
            "  and waited for, and 3 MB are sent; it takes half a minute.\n"
            "\n"
            "  --token TOKEN  a bearer token with the scopes create and read; else as anybody\n"
            "\n"
            "  Exit status: 0, also where there are notes; 69 where there is a problem.\n",
    .run = check,
};

static int check(struct cli *cli, int argc, char **argv)
{
    const char *token = NULL;
    struct findings f = {.cli = cli};
    const struct cli_option options[] = {CLI_VALUE("token", &token), CLI_FLAG("json", &f.json)};
    int status = cli_options(cli, options, 2, &argc, argv);
    if (!status && argc > 1) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[1]);
    if (!status && argc && strncmp(argv[0], "http://", 7) != 0 &&
        strncmp(argv[0], "https://", 8) != 0)
        status =
            cli_fail(cli, EX_USAGE, "URL: '%s' does not begin with http:// or https://", argv[0]);
    if (!status && token && !argc) status = cli_fail(cli, EX_USAGE, "--token: only with a URL");
    if (!status && token && strpbrk(token, "\r\n"))
        status = cli_fail(cli, EX_USAGE, "--token: not a token");
    if (!status) status = cli_settings(cli);
    if (status) return status;
    if (argc)
        status = check_url(cli, &f, argv[0], token);
    else
        check_site(cli, &f);
    if (status) return status;
    findings_end(&f);
    status = cli_flush(cli);
    return status ? status : f.problems ? EX_UNAVAILABLE : EX_OK;
}
