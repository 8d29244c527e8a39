#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int cli_fail(const struct cli *cli, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("leat: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (status == EX_USAGE && cli->command)
        fprintf(stderr, "usage: leat %s %s\n", cli->command->name, cli->command->arguments);
    return status;
}

int cli_error(const struct cli *cli, const struct error *e)
{
    int status = EX_SOFTWARE;
    switch (e->code) {
    case ERR_OK: return EX_OK;
    case ERR_INVALID: status = EX_USAGE; break;
    case ERR_NOTFOUND:
    case ERR_STATE: status = EX_DATAERR; break;
    case ERR_LIMIT:
    case ERR_BUSY: status = EX_TEMPFAIL; break;
    case ERR_FULL:
    case ERR_MALFORMED:
    case ERR_IO:
    case ERR_UNSYNCED: status = EX_IOERR; break;
    case ERR_NEWER: status = EX_CONFIG; break;
    case ERR_FENCED:
    case ERR_INTERNAL: break;
    }
    return cli_fail(cli, status, "%s", e->text);
}

/* The option that `arg` (after its dashes) is, or NULL; *value is what stands behind its '=', or NULL. */
static const struct cli_option *find(const struct cli_option *options, size_t count,
                                     const char *arg, const char **value)
{
    size_t len = strcspn(arg, "=");
    *value = arg[len] ? arg + len + 1 : NULL;
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && !strncmp(options[i].name, arg, len))
            return &options[i];
    return NULL;
}

int cli_options(struct cli *cli, const struct cli_option *options, size_t count, int *argc,
                char **argv)
{
    const struct cli_option config = {.name = "config", .value = &cli->config};
    int kept = 0;
    bool over = false;
    for (int i = 0; i < *argc; i++) {
        const char *arg = argv[i], *value;
        if (over || arg[0] != '-' || !arg[1]) {
            argv[kept++] = argv[i];
            continue;
        }
        if (!strcmp(arg, "--")) {
            over = true;
            continue;
        }
        const struct cli_option *option = NULL;
        if (arg[1] == '-') option = find(options, count, arg + 2, &value);
        if (arg[1] == '-' && !option) option = find(&config, 1, arg + 2, &value);
        if (!option)
            return cli_fail(cli, EX_USAGE, "%.*s: no such option", (int)strcspn(arg, "="), arg);
        if (!option->value && value)
            return cli_fail(cli, EX_USAGE, "--%s: takes no value", option->name);
        if (option->value && !value) value = i + 1 < *argc ? argv[++i] : NULL;
        if (option->value && !value)
            return cli_fail(cli, EX_USAGE, "--%s: a value is missing", option->name);
        if (option->value)
            *option->value = value;
        else if (option->flag)
            *option->flag = true;
    }
    *argc = kept;
    return EX_OK;
}

int cli_settings(struct cli *cli)
{
    struct error e = {0};
    if (cli->conf || !conf_load(&cli->conf, cli->config, cli->self, &e)) return EX_OK;
    /* a file that cannot be read is a fault of the settings too */
    return cli_fail(cli, EX_CONFIG, "%s", e.text);
}

int cli_database(struct cli *cli)
{
    int status = cli_settings(cli);
    if (status || cli->db) return status;
    struct error e = {0};
    const char *path = conf_text(cli->conf, CONF_DATABASE_PATH), *file = conf_file(cli->conf);
    if (!path)
        return cli_fail(cli, EX_CONFIG, "[database] path is not set in %s",
                        file ? file : "any leat.conf; --config names one");
    struct db_options options = {
        .path = path, .busy_ms = conf_int(cli->conf, CONF_DATABASE_BUSY_MS), .migrate = true};
    enum err rc = db_open(&cli->db, &options, &e);
    if (rc == ERR_IO) conf_blame(cli->conf, CONF_DATABASE_PATH, &e);
    return rc ? cli_error(cli, &e) : EX_OK;
}

int cli_flush(const struct cli *cli)
{
    if (!fflush(stdout) && !ferror(stdout)) return EX_OK;
    return cli_fail(cli, EX_IOERR, "standard output: %s", strerror(errno));
}
