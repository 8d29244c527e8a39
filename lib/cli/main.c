/* leat: what people and scripts do with a site from the shell. */
#include "base/standard.h"
#include "cli/command.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const struct command *const commands[] = {
    /* tasks */
    &command_submit,
    &command_watch,
    &command_wait,
    &command_list,
    &command_show,
    &command_log,
    &command_cancel,
    &command_retry,
    /* inside a job */
    &command_progress,
    &command_emit,
    /* the site */
    &command_init,
    &command_check,
    &command_types,
    &command_pause,
    &command_resume,
    &command_stats,
    &command_top,
    &command_gc,
    &command_backup,
    &command_restore,
    &command_migrate,
    /* who may ask */
    &command_token_add,
    &command_token_list,
    &command_token_revoke,
    NULL,
};

static void print_help(FILE *out)
{
    fputs("usage: leat [--config FILE] COMMAND [ARGUMENT...]\n\n", out);
    for (const struct command *const *c = commands; *c; c++) {
        cli_usage(*c, "  ", out);
        fprintf(out, "      %s\n", (*c)->summary);
    }
    fputs(
        "\n"
        "  --config FILE   the site's settings, before or after COMMAND; else $LEAT_CONF,\n"
        "                  etc/leat.conf beside the program's parent folder, /etc/leat/leat.conf\n"
        "  --help          this, or after COMMAND what there is to say about it\n"
        "  --version\n"
        "\n"
        "Exit status: 0, or one of sysexits.h: 64 usage, 65 no such thing, or not in that state,\n"
        "75 database busy (try again), 74 input or output, 78 settings, 70 a fault of the "
        "program.\n",
        out);
}

static int print_command_help(const struct command *c)
{
    cli_usage(c, "usage: ", stdout);
    printf("\n  %s.\n", c->summary);
    if (c->help) printf("\n%s", c->help);
    return fflush(stdout) ? EX_IOERR : EX_OK;
}

/* How many of the words are the name of a command: 0, 1 or 2. */
static int named(const char *name, int argc, char **argv)
{
    const char *blank = strchr(name, ' ');
    size_t len = blank ? (size_t)(blank - name) : strlen(name);
    if (argc < 1 || strlen(argv[0]) != len || strncmp(argv[0], name, len) != 0) return 0;
    if (!blank) return 1;
    return argc > 1 && !strcmp(argv[1], blank + 1) ? 2 : 0;
}

/* Finds the command and how many words name it. */
static const struct command *find_command(int argc, char **argv, int *words)
{
    for (const struct command *const *c = commands; *c; c++)
        if ((*words = named((*c)->name, argc, argv))) return *c;
    return NULL;
}

/* The commands that begin with the word: how each is used. False: there is none. */
static bool print_family(const char *word, FILE *out)
{
    bool found = false;
    size_t len = strlen(word);
    for (const struct command *const *c = commands; *c; c++) {
        if (strncmp((*c)->name, word, len) != 0 || (*c)->name[len] != ' ') continue;
        if (!found) fprintf(out, "leat: %s: one of these:\n", word);
        cli_usage(*c, "  ", out);
        found = true;
    }
    return found;
}

static int unknown(const struct cli *cli, int argc, char **argv)
{
    if (!argc) {
        print_help(stderr);
        return EX_USAGE;
    }
    /* the first word may be right */
    bool help = argc > 1 && !strcmp(argv[1], "--help");
    if (print_family(argv[0], help ? stdout : stderr)) return help ? cli_flush(cli) : EX_USAGE;
    return cli_fail(cli, EX_USAGE, "there is no command '%s'; leat --help lists them", argv[0]);
}

/* The options before the command. Returns -1 to go on with *argc and *argv, or the exit status. */
static int leading_options(struct cli *cli, int *argc, char ***argv)
{
    for (; *argc && (*argv)[0][0] == '-'; ++*argv, --*argc) {
        const char *arg = (*argv)[0];
        if (!strcmp(arg, "--help")) {
            print_help(stdout);
            return cli_flush(cli);
        }
        if (!strcmp(arg, "--version")) {
            puts("leat " LEAT_VERSION);
            return cli_flush(cli);
        }
        if (!strncmp(arg, "--config=", 9)) {
            cli->config = arg + 9;
        } else if (!strcmp(arg, "--config") && *argc > 1) {
            cli->config = *++*argv;
            --*argc;
        } else {
            bool config = !strcmp(arg, "--config");
            return cli_fail(cli, EX_USAGE, "%s: %s", arg,
                            config ? "a value is missing" : "no such option");
        }
    }
    return -1;
}

/* Whether the locale's characters are UTF-8; widths of characters are known in any case, where the system can. */
static bool reads_unicode(void)
{
    setlocale(LC_CTYPE, "");
    bool unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
    if (!unicode) setlocale(LC_CTYPE, "C.UTF-8");
    return unicode;
}

int main(int argc, char **argv)
{
    /* Found through PATH, argv[0] does not say where we are. */
    struct cli cli = {
        .self = access("/proc/self/exe", F_OK) ? argv[0] : "/proc/self/exe",
        .env = {.columns = getenv("COLUMNS"),
                .no_color = getenv("NO_COLOR"),
                .term = getenv("TERM"),
                .events = getenv("LEAT_EVENTS"),
                .task_id = getenv("LEAT_TASK_ID")},
        .unicode = reads_unicode(),
    };
    int words = 0;
    standard_open();
    if (argc) argv++, argc--;
    int status = leading_options(&cli, &argc, &argv);
    if (status >= 0) return status;
    cli.command = find_command(argc, argv, &words);
    if (!cli.command) return unknown(&cli, argc, argv);
    argv += words, argc -= words;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help")) return print_command_help(cli.command);
    umask(0007); /* the database belongs to a group */
    status = cli.command->run(&cli, argc, argv);
    job_types_close(cli.types);
    free(cli.login);
    db_checkpoint_last(cli.db, NULL); /* what fails is tried again by whoever commits next */
    db_close(cli.db);
    conf_free(cli.conf);
    return status;
}
