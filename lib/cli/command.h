/* What the commands of `leat` are made of, and what they share. Each command stands in the file of its
 * first word, with its descriptor on top; main.c lists them. */
#ifndef LEAT_CLI_COMMAND_H
#define LEAT_CLI_COMMAND_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/error.h"
#include "ops/operation.h"
#include "render/document.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CLI_REQUEST_ID_SIZE = 33 };

/* What of the environment counts. NULL: it is not set. */
struct cli_environment {
    const char *columns, *no_color, *term;
    const char *events, *task_id; /* inside a job: LEAT_EVENTS, LEAT_TASK_ID */
};

/* One run of the program. */
struct cli {
    const char *self;   /* path of the program, for conf_load */
    const char *config; /* --config, or NULL */
    const struct command *command;
    struct cli_environment env;
    bool unicode;      /* people here read more than ASCII */
    struct conf *conf; /* from cli_settings on */
    struct db *db;     /* from cli_database on */

    struct job_types *types; /* from cli_caller on, with the two below */
    char *login;
    char request_id[CLI_REQUEST_ID_SIZE];
};

struct command {
    const char *name;      /* one word or two: "token add" */
    const char *arguments; /* as --help shows them */
    const char *summary;   /* one line */
    const char *help;      /* more, each line indented by two; NULL: nothing more to say */
    /* Gets what follows the name. Returns the exit status (sysexits.h), having said what went wrong. */
    int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct command command_submit, command_watch, command_wait;
extern const struct command command_list, command_show, command_log;
extern const struct command command_cancel, command_retry;
extern const struct command command_progress, command_emit;
extern const struct command command_types, command_pause, command_resume;
extern const struct command command_stats, command_top;
extern const struct command command_init, command_check;
extern const struct command command_backup, command_restore, command_migrate;
extern const struct command command_gc;
extern const struct command command_token_add, command_token_list, command_token_revoke;

/* An option of a command, "--name VALUE", "--name=VALUE" or, with `flag`, "--name". */
struct cli_option {
    const char *name;   /* without the dashes */
    const char **value; /* NULL: a flag */
    bool *flag;
    char letter; /* of a flag: also "-f"; 0: none */
};
#define CLI_VALUE(name, at)                                                                        \
    {                                                                                              \
        name, at, NULL, 0                                                                          \
    }
#define CLI_FLAG(name, at)                                                                         \
    {                                                                                              \
        name, NULL, at, 0                                                                          \
    }
#define CLI_LETTER(name, letter, at)                                                               \
    {                                                                                              \
        name, NULL, at, letter                                                                     \
    }

/* Takes the options out of `argv`, wherever they stand before a "--"; --config is known to every command. What
 * is left are *argc operands. EX_OK, or EX_USAGE after saying why. */
int cli_options(struct cli *cli, const struct cli_option *options, size_t count, int *argc,
                char **argv);

/* Prints "leat: …" and, after EX_USAGE, how the command is used, to stderr; returns `status`. */
int cli_fail(const struct cli *cli, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints how a command is used, on lines of 79 columns; `lead` comes first. */
void cli_usage(const struct command *c, const char *lead, FILE *out);

/* As cli_fail for an error of the lower floors, with the status that fits it. */
int cli_error(const struct cli *cli, const struct error *e);

/* Reads the settings, once. EX_OK, or EX_CONFIG after saying why. */
int cli_settings(struct cli *cli);

/* Opens the site's database, once. EX_OK, or another status after saying why. */
int cli_database(struct cli *cli);

/* Opens the site's database as somebody who changes something in it: `owner`, else [auth] anonymous, else who is
 * logged in; who sees everyone's tasks. *out is borrowed from `cli`. */
int cli_caller(struct cli *cli, const char *owner, struct caller *out);

/* As cli_error, for an operation that was refused. */
int cli_refused(const struct cli *cli, const struct operation *op, const struct error *e);

/* How documents are shown: as the API shows them, now. After cli_database. */
struct task_view cli_view(const struct cli *cli);

/* Text as one word of a shell, in quotes where it needs them. Appends. */
void cli_word(struct buf *out, const char *text);

/* "leat" with the --config that was given: how a command of ours is typed again. Appends. */
void cli_again(const struct cli *cli, struct buf *out);

/* Writes to standard output what `out` holds, and frees it. */
void cli_put(struct buf *out);

/* Ends what was written to standard output: EX_OK, or EX_IOERR after saying why. */
int cli_flush(const struct cli *cli);

#endif
