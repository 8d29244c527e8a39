#include "cli/command.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "task/access.h"
#include "task/task.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

int cli_fail(const struct cli *cli, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("leat: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (status == EX_USAGE && cli->command) cli_usage(cli->command, "usage: ", stderr);
    return status;
}

/* How long the next word of arguments is: what stands between brackets is one, with its alternatives. */
static size_t word_length(const char *p)
{
    size_t len = 0;
    int depth = 0;
    for (; p[len] && (depth || p[len] != ' '); len++) depth += (p[len] == '[') - (p[len] == ']');
    return len;
}

void cli_usage(const struct command *c, const char *lead, FILE *out)
{
    enum { WIDTH = 79 };
    int indent = fprintf(out, "%sleat %s", lead, c->name), column = indent;
    for (const char *p = c->arguments; *p;) {
        int len = (int)word_length(p);
        if (column > indent && column + 1 + len > WIDTH)
            column = fprintf(out, "\n%*s", indent, "") - 1;
        column += fprintf(out, " %.*s", len, p);
        p += len;
        p += *p == ' ';
    }
    fputc('\n', out);
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

int cli_refused(const struct cli *cli, const struct operation *op, const struct error *e)
{
    if (e->code == ERR_LIMIT && op->limit.retry_s)
        return cli_fail(cli, EX_TEMPFAIL, "%s; try again in %lld s", e->text,
                        (long long)op->limit.retry_s);
    if (e->code == ERR_INTERNAL && op->code && !strcmp(op->code, "type_misconfigured"))
        return cli_fail(cli, EX_CONFIG, "%s", e->text);
    if (op->code && (!strcmp(op->code, "unknown_type") || !strcmp(op->code, "body_too_large")))
        return cli_fail(cli, EX_DATAERR, "%s", e->text);
    return cli_error(cli, e);
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

/* The flag of one letter that `arg` ("-f") is, or NULL. */
static const struct cli_option *find_letter(const struct cli_option *options, size_t count,
                                            const char *arg)
{
    for (size_t i = 0; i < count; i++)
        if (options[i].letter && options[i].letter == arg[1] && !arg[2]) return &options[i];
    return NULL;
}

int cli_options(struct cli *cli, const struct cli_option *options, size_t count, int *argc,
                char **argv)
{
    const struct cli_option config = {.name = "config", .value = &cli->config};
    int kept = 0;
    bool over = false;
    for (int i = 0; i < *argc; i++) {
        const char *arg = argv[i], *value = NULL;
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
        if (arg[1] != '-') option = find_letter(options, count, arg);
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

/* The name of who runs the program; the caller frees. */
static char *login_name(void)
{
#ifdef LEAT_STATIC /* which may load no library of the host's for it */
    const struct passwd *user = NULL;
    FILE *users = fopen("/etc/passwd", "re");
    while (users && (user = fgetpwent(users)) && user->pw_uid != geteuid()) continue;
    if (users) fclose(users);
#else
    char room[4096];
    struct passwd entry, *user = NULL;
    if (getpwuid_r(geteuid(), &entry, room, sizeof room, &user)) user = NULL;
#endif
    struct buf name = {0};
    if (user && owner_valid(user->pw_name))
        buf_str(&name, user->pw_name);
    else
        buf_fmt(&name, "uid-%ld", (long)geteuid());
    return name.data;
}

int cli_caller(struct cli *cli, const char *owner, struct caller *out)
{
    if (owner && !owner_valid(owner))
        return cli_fail(cli, EX_USAGE,
                        "--owner: not 1 to %d bytes of UTF-8 text without control characters",
                        TASK_OWNER_MAX);
    int status = cli_database(cli);
    if (status) return status;
    struct error e = {0};
    const char *jobs = conf_text(cli->conf, CONF_RUNNER_JOBS);
    if (!cli->types) cli->types = job_types_open(jobs);
    if (!cli->login) cli->login = login_name();
    if (!*cli->request_id) id_hex(cli->request_id, CLI_REQUEST_ID_SIZE - 1);
    if (!owner) owner = conf_text(cli->conf, CONF_AUTH_ANONYMOUS);
    if (!owner) owner = cli->login;
    /* what is started by us logs what people have to know, nothing more */
    log_open("leat", "warn", "stderr", &e);
    *out = (struct caller){.owner = owner,
                           .account = owner,
                           .request_id = cli->request_id,
                           .conf = cli->conf,
                           .types = cli->types};
    return EX_OK;
}

struct task_view cli_view(const struct cli *cli)
{
    return (struct task_view){.prefix = conf_text(cli->conf, CONF_HTTP_PREFIX),
                              .epoch = db_epoch(cli->db),
                              .now = clock_wall_ms()};
}

void cli_word(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";
    if (*text && !text[strspn(text, plain)]) {
        buf_str(out, text);
        return;
    }
    buf_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_str(out, "'\\''");
        else
            buf_char(out, *text);
    }
    buf_char(out, '\'');
}

void cli_again(const struct cli *cli, struct buf *out)
{
    buf_str(out, "leat ");
    if (!cli->config) return;
    buf_str(out, "--config ");
    cli_word(out, cli->config);
    buf_char(out, ' ');
}

void cli_put(struct buf *out)
{
    fwrite(buf_text(out), 1, out->len, stdout);
    buf_free(out);
}

int cli_flush(const struct cli *cli)
{
    if (!fflush(stdout) && !ferror(stdout)) return EX_OK;
    return cli_fail(cli, EX_IOERR, "standard output: %s", strerror(errno));
}
