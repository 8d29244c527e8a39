/* What the commands of `leat` are made of, and what they share. Each command stands in the file of its
 * first word, with its descriptor on top; main.c lists them. */
#ifndef LEAT_CLI_COMMAND_H
#define LEAT_CLI_COMMAND_H

#include "base/conf.h"
#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>

/* One run of the program. */
struct cli {
    const char *self;   /* path of the program, for conf_load */
    const char *config; /* --config, or NULL */
    const struct command *command;
    struct conf *conf; /* from cli_settings on */
    struct db *db;     /* from cli_database on */
};

struct command {
    const char *name;      /* one word or two: "token add" */
    const char *arguments; /* as --help shows them */
    const char *summary;   /* one line */
    const char *help;      /* more, each line indented by two; NULL: nothing more to say */
    /* Gets what follows the name. Returns the exit status (sysexits.h), having said what went wrong. */
    int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct command command_gc;
extern const struct command command_token_add, command_token_list, command_token_revoke;

/* An option of a command, "--name VALUE", "--name=VALUE" or, with `flag`, "--name". */
struct cli_option {
    const char *name;   /* without the dashes */
    const char **value; /* NULL: a flag */
    bool *flag;
};

/* Takes the options out of `argv`, wherever they stand before a "--"; --config is known to every command. What
 * is left are *argc operands. EX_OK, or EX_USAGE after saying why. */
int cli_options(struct cli *cli, const struct cli_option *options, size_t count, int *argc,
                char **argv);

/* Prints "leat: …" and, after EX_USAGE, how the command is used, to stderr; returns `status`. */
int cli_fail(const struct cli *cli, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for an error of the lower floors, with the status that fits it. */
int cli_error(const struct cli *cli, const struct error *e);

/* Reads the settings, once. EX_OK, or EX_CONFIG after saying why. */
int cli_settings(struct cli *cli);

/* Opens the site's database, once. EX_OK, or another status after saying why. */
int cli_database(struct cli *cli);

/* Ends what was written to standard output: EX_OK, or EX_IOERR after saying why. */
int cli_flush(const struct cli *cli);

#endif
