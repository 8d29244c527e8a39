/* leat backup, restore, migrate: the database as a file. */
#include "store/backup.h"

#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static int backup(struct cli *cli, int argc, char **argv);
static int restore(struct cli *cli, int argc, char **argv);
static int migrate(struct cli *cli, int argc, char **argv);

const struct command command_backup = {
    .name = "backup",
    .arguments = "FILE [--json]",
    .summary = "copies the database, in the state of one moment, while it is used",
    .help = "  FILE is one file, for its owner alone, and whole or not there; an earlier backup is "
            "replaced.\n"
            "  Files that jobs made lie in the folder files beside the database: copy that too, "
            "afterwards.\n",
    .run = backup,
};

const struct command command_restore = {
    .name = "restore",
    .arguments = "FILE [--json]",
    .summary = "puts a backup in the place of the database, which stays beside it",
    .help = "  Refused (75) while a program has the database open. Who watches begins anew: "
            "cursors of\n"
            "  before are of another epoch. A runner removes files of tasks that the backup does "
            "not know.\n",
    .run = restore,
};

const struct command command_migrate = {
    .name = "migrate",
    .arguments = "[--json]",
    .summary = "brings the database to the newest form: schema, and space that can be given back",
    .help =
        "  Every program brings the schema up when it begins; this does it at a time of your "
        "choice,\n"
        "  and writes an old database anew so that space which is freed can be given back\n"
        "  (auto_vacuum). Refused (75) while a program has it open; needs as much room again.\n",
    .run = migrate,
};

/* The one operand, with --json. */
static int read_file(struct cli *cli, bool *json, int *argc, char **argv)
{
    const struct cli_option options[] = {CLI_FLAG("json", json)};
    int status = cli_options(cli, options, 1, argc, argv);
    if (!status && *argc != 1) status = cli_fail(cli, EX_USAGE, "one FILE is expected");
    return status;
}

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (int64_t)st.st_size;
}

/* ---- backup ---- */

static int backup(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    struct error e = {0};
    struct buf out = {0}, size = {0};
    int status = read_file(cli, &json, &argc, argv);
    if (!status) status = cli_database(cli);
    if (status) return status;
    if (backup_make(cli->db, argv[0], &e))
        return e.code == ERR_STATE ? cli_fail(cli, EX_CANTCREAT, "%s", e.text) : cli_error(cli, &e);
    if (json) {
        buf_str(&out, "{\"file\":");
        json_text(&out, argv[0]);
        buf_fmt(&out, ",\"bytes\":%lld}\n", (long long)size_of(argv[0]));
    } else {
        text_bytes(&size, size_of(argv[0]));
        buf_fmt(&out, "%s: %s\n", argv[0], size.data);
        buf_free(&size);
    }
    cli_put(&out);
    return cli_flush(cli);
}

/* ---- restore ---- */

/* Where the database lies, without opening it. */
static int find_path(struct cli *cli, const char **path)
{
    int status = cli_settings(cli);
    if (status) return status;
    *path = conf_text(cli->conf, CONF_DATABASE_PATH);
    if (*path) return EX_OK;
    return cli_fail(cli, EX_CONFIG,
                    "[database] path is not set; --config names a file that sets it");
}

static int restore(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const char *path = NULL;
    char *kept = NULL;
    struct error e = {0};
    struct buf out = {0};
    int status = read_file(cli, &json, &argc, argv);
    if (!status) status = find_path(cli, &path);
    if (status) return status;
    switch (backup_restore(path, argv[0], clock_wall_ms(), &kept, &e)) {
    case ERR_OK: break;
    case ERR_NOTFOUND: status = cli_fail(cli, EX_NOINPUT, "%s", e.text); break;
    case ERR_MALFORMED: status = cli_fail(cli, EX_DATAERR, "%s", e.text); break;
    default: status = cli_error(cli, &e);
    }
    if (!status && json) {
        buf_str(&out, "{\"database\":");
        json_text(&out, path);
        json_key(&out, "kept");
        json_text(&out, kept);
        buf_str(&out, "}\n");
    } else if (!status) {
        buf_fmt(&out, "%s is restored; start leatd and leat.fcgi again\n", path);
        if (kept) buf_fmt(&out, "what was there before is %s; remove it when all is well\n", kept);
    }
    free(kept);
    cli_put(&out);
    return status ? status : cli_flush(cli);
}

/* ---- migrate ---- */

static int migrate(struct cli *cli, int argc, char **argv)
{
    bool json = false, gives = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    const char *path = NULL;
    struct error e = {0};
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status) status = find_path(cli, &path);
    if (status) return status;
    int64_t before = size_of(path), unused = 0;
    struct db_options how = {.path = path,
                             .busy_ms = conf_int(cli->conf, CONF_DATABASE_BUSY_MS),
                             .migrate = true,
                             .alone = true};
    enum err rc = db_open(&cli->db, &how, &e);
    if (!rc) rc = db_gives_back(cli->db, &gives, &e);
    if (!rc) rc = db_free_bytes(cli->db, &unused, &e);
    bool rebuild = !gives || unused > before / 4;
    if (!rc && rebuild) rc = db_rebuild(cli->db, &e);
    if (!rc) rc = db_fold(cli->db, &e);
    if (rc) return cli_error(cli, &e);
    struct buf out = {0}, sizes = {0};
    if (json) {
        buf_fmt(&out, "{\"rebuilt\":%s,\"bytes_before\":%lld,\"bytes\":%lld}\n",
                rebuild ? "true" : "false", (long long)before, (long long)size_of(path));
    } else if (!rebuild) {
        buf_fmt(&out, "%s: nothing to do\n", path);
    } else {
        text_bytes(&sizes, before);
        buf_str(&sizes, ", now ");
        text_bytes(&sizes, size_of(path));
        buf_fmt(&out, "%s: written anew; it had %s\n", path, sizes.data);
    }
    buf_free(&sizes);
    cli_put(&out);
    return cli_flush(cli);
}
