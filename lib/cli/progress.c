/* leat progress: inside a job, how far it is. */
#include "base/conf.h"
#include "base/json.h"
#include "cli/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static int progress(struct cli *cli, int argc, char **argv);

const struct command command_progress = {
    .name = "progress",
    .arguments = "PERCENT [MESSAGE] [--phase PHASE]",
    .summary = "inside a job: says how far it is",
    .help = "  PERCENT is a number from 0 to 100. Without a message or phase, those before stay.\n",
    .run = progress,
};

static int progress(struct cli *cli, int argc, char **argv)
{
    const char *phase = NULL;
    const struct cli_option options[] = {CLI_VALUE("phase", &phase)};
    char *end = NULL;
    int status = cli_options(cli, options, 1, &argc, argv);
    if (status) return status;
    if (argc < 1 || argc > 2) return cli_fail(cli, EX_USAGE, "PERCENT and MESSAGE are expected");
    double percent = strtod(argv[0], &end);
    if (!*argv[0] || *end || strspn(argv[0], "0123456789.") != strlen(argv[0]) || percent > 100)
        return cli_fail(cli, EX_USAGE, "PERCENT: '%s' is not a number from 0 to 100", argv[0]);
    const char *words[] = {argc > 1 ? argv[1] : NULL, phase};
    for (size_t i = 0; i < 2; i++)
        if (words[i] && !utf8_valid(words[i], strlen(words[i])))
            return cli_fail(cli, EX_DATAERR, "%s: not UTF-8", i ? "--phase" : "MESSAGE");
    struct buf line = {0};
    buf_str(&line, "{\"progress\":");
    json_number(&line, percent);
    for (size_t i = 0; i < 2; i++) {
        if (!words[i]) continue;
        json_key(&line, i ? "phase" : "message");
        json_text(&line, words[i]);
    }
    buf_char(&line, '}');
    return say_line(cli, &line);
}
