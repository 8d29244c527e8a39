/* leat init: a site's folders, settings and database. */
#include "base/json.h"
#include "base/write_all.h"
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static int init(struct cli *cli, int argc, char **argv);

const struct command command_init = {
    .name = "init",
    .arguments = "[FOLDER] [--json]",
    .summary = "makes what a site needs: settings, folders, an empty database",
    .help = "  With a FOLDER: in it leat.conf, jobs/ with an example, and data/ for the database. "
            "What is\n"
            "  there stays as it is. Without one: the folders and the database that the settings "
            "name.\n",
    .run = init,
};

/* What was made, for people or as JSON. */
struct made {
    struct buf lines, json;
};

static void say_made(struct made *m, const char *path)
{
    buf_fmt(&m->lines, "made %s\n", path);
    if (m->json.len) buf_char(&m->json, ',');
    json_text(&m->json, path);
}

/* Makes a folder, and those above it; `mode` whatever the umask. */
static int make_folder(struct cli *cli, struct made *m, const char *path, mode_t mode)
{
    struct stat st;
    if (!stat(path, &st)) {
        if (S_ISDIR(st.st_mode)) return EX_OK;
        return cli_fail(cli, EX_CANTCREAT, "%s: is no folder", path);
    }
    char *copy = mem_str(path), *above = dirname(copy);
    int status =
        strcmp(above, path) != 0 && access(above, F_OK) ? make_folder(cli, m, above, 0755) : EX_OK;
    free(copy);
    if (status) return status;
    if (mkdir(path, mode & 0777) || chmod(path, mode))
        return cli_fail(cli, EX_CANTCREAT, "%s: %s", path, strerror(errno));
    say_made(m, path);
    return EX_OK;
}

/* Makes a file unless it is there. */
static int make_file(struct cli *cli, struct made *m, const char *path, mode_t mode,
                     const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST) return EX_OK;
    bool fine = fd >= 0 && write_all(fd, text, strlen(text)) && !fchmod(fd, mode);
    int why = errno;
    if (fd >= 0) close(fd);
    if (!fine) return cli_fail(cli, EX_CANTCREAT, "%s: %s", path, strerror(why));
    say_made(m, path);
    return EX_OK;
}

static const char example[] =
    "#!/bin/sh\n"
    "# A job is a program: what a task is given comes in, its result goes out.\n"
    "exec wc -w\n";

/* The settings of a site in its own folder. */
static int make_settings(struct cli *cli, struct made *m, const char *folder)
{
    struct buf conf = {0}, path = {0}, job = {0};
    buf_fmt(&path, "%s/leat.conf", folder);
    buf_fmt(&conf,
            "; leat.conf(5) says what there is to set. leat check looks whether all is well.\n"
            "[database]\npath = %s/data/leat.db\n\n"
            "[runner]\njobs = %s/jobs\n\n"
            "[auth]\n; Whoever shows no credentials is this owner; without it, tokens are needed.\n"
            ";anonymous = anonymous\n",
            folder, folder);
    int status = make_file(cli, m, path.data, 0640, conf.data);
    buf_fmt(&job, "%s/jobs", folder);
    if (!status) status = make_folder(cli, m, job.data, 0755);
    buf_str(&job, "/wordcount");
    if (!status) status = make_file(cli, m, job.data, 0755, example);
    buf_free(&conf);
    buf_free(&path);
    buf_free(&job);
    return status;
}

/* The folder, absolute, so that the settings hold wherever they are read. *out is the caller's. */
static int find_folder(struct cli *cli, struct made *m, const char *name, char **out)
{
    if (strpbrk(name, ";#\"'\n\r") || !utf8_valid(name, strlen(name)))
        return cli_fail(cli, EX_USAGE, "FOLDER: a character in it is special in leat.conf");
    int status = make_folder(cli, m, name, 0755);
    if (status) return status;
    *out = realpath(name, NULL);
    if (*out && !strpbrk(*out, ";#\"'\n\r")) return EX_OK;
    return cli_fail(cli, EX_USAGE, "FOLDER: its path cannot stand in leat.conf");
}

/* The folder of the database belongs to a group, as all that is made in it; then the database. */
static int make_database(struct cli *cli, struct made *m)
{
    int status = cli_settings(cli);
    const char *path = status ? NULL : conf_text(cli->conf, CONF_DATABASE_PATH);
    const char *jobs = status ? NULL : conf_text(cli->conf, CONF_RUNNER_JOBS);
    if (!status && !path)
        return cli_fail(cli, EX_CONFIG,
                        "[database] path is not set: leat init FOLDER writes settings");
    if (!status) {
        char *copy = mem_str(path);
        status = make_folder(cli, m, dirname(copy), 02770);
        free(copy);
    }
    if (!status && jobs) status = make_folder(cli, m, jobs, 0755);
    bool there = !status && !access(path, F_OK);
    if (!status) status = cli_database(cli);
    if (!status && !there) say_made(m, path);
    return status;
}

static void say_next(const struct cli *cli, bool json, struct made *m)
{
    struct buf out = {0};
    if (json) {
        buf_fmt(&out, "{\"settings\":");
        json_text(&out, conf_file(cli->conf));
        buf_fmt(&out, ",\"made\":[%s]}\n", buf_text(&m->json));
    } else {
        const char *file = conf_file(cli->conf);
        buf_str(&out, m->lines.len ? m->lines.data : "all was there\n");
        struct buf named = {0};
        if (file) {
            buf_str(&named, " --config ");
            cli_word(&named, file);
        }
        buf_fmt(&out, "next: leatd%s, and a web server that passes requests to leat.fcgi\n",
                buf_text(&named));
        buf_fmt(&out, "      leat%s check says whether all is well\n", buf_text(&named));
        buf_free(&named);
    }
    cli_put(&out);
}

static int init(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct made made = {{0}, {0}};
    struct buf config = {0};
    char *folder = NULL;
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc > 1) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[1]);
    if (!status && argc && cli->config)
        status = cli_fail(cli, EX_USAGE, "--config: not together with a FOLDER, which has its own");
    if (!status && argc) status = find_folder(cli, &made, argv[0], &folder);
    if (!status && argc) status = make_settings(cli, &made, folder);
    if (!status && argc) {
        buf_fmt(&config, "%s/leat.conf", folder);
        cli->config = config.data;
    }
    if (!status) status = make_database(cli, &made);
    if (!status) say_next(cli, json, &made);
    cli->config = NULL; /* borrowed */
    buf_free(&config);
    buf_free(&made.lines);
    buf_free(&made.json);
    free(folder);
    return status ? status : cli_flush(cli);
}
