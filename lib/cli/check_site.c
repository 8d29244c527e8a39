#include "base/clock.h"
#include "cli/check.h"
#include "cli/terminal.h"
#include "ops/type_list.h"
#include "store/claims.h"
#include "store/damage.h"
#include "store/lock_holder.h"
#include "store/log_readers.h"
#include "store/runner_lock.h"
#include "store/type_rows.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SHEBANG_MAX = 256 };

#define SCARCE_BYTES ((int64_t)256 << 20)
#define SPACE_BYTES  ((int64_t)64 << 20)

/* ---- settings and permissions ---- */

static void check_settings(struct cli *cli, struct findings *f)
{
    const char *file = conf_file(cli->conf);
    if (file)
        findings_add(f, FINDING_OK, "settings", NULL, "%s", file);
    else
        findings_add(f, FINDING_NOTE, "settings",
                     "--config FILE names it, or LEAT_CONF, or it is /etc/leat/leat.conf",
                     "no leat.conf was found: all is as it is by default");
    if (conf_text(cli->conf, CONF_AUTH_ANONYMOUS))
        findings_add(f, FINDING_NOTE, "anonymous", NULL,
                     "whoever shows no credentials may do as '%s': %s",
                     conf_text(cli->conf, CONF_AUTH_ANONYMOUS),
                     conf_text(cli->conf, CONF_AUTH_ANONYMOUS_SCOPE));
}

/* The folder is the group's: so are the files that programs make in it, whoever starts them. */
static void check_folder(struct findings *f, const char *folder)
{
    struct stat st;
    if (stat(folder, &st)) {
        findings_add(f, FINDING_PROBLEM, "folder", "leat init makes it", "%s: %s", folder,
                     strerror(errno));
    } else if (access(folder, W_OK | X_OK)) {
        findings_add(f, FINDING_PROBLEM, "folder",
                     "chgrp it to a group that all programs of the site have, and chmod 2770",
                     "%s cannot be written by uid %ld, who looks", folder, (long)geteuid());
    } else if (st.st_mode & S_IWOTH) {
        findings_add(f, FINDING_PROBLEM, "folder", "chmod o-w that folder",
                     "%s can be written by anybody", folder);
    } else if (!(st.st_mode & S_ISGID) || (st.st_mode & 070) != 070) {
        findings_add(f, FINDING_NOTE, "folder", "chmod 2770 that folder",
                     "%s has mode %04o: that will do where all programs run as one user", folder,
                     (unsigned)(st.st_mode & 07777));
    } else {
        findings_add(f, FINDING_OK, "folder", NULL, "%s", folder);
    }
}

static void check_disk(struct findings *f, const char *folder)
{
    struct statvfs fs;
    struct buf free_bytes = {0};
    if (statvfs(folder, &fs)) return;
    int64_t left = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    text_bytes(&free_bytes, left);
    if (left < SCARCE_BYTES || fs.f_favail < 1000)
        findings_add(
            f, FINDING_PROBLEM, "disk", "free some: leat gc --older-than HOURS, or elsewhere",
            "%s and %llu files are left", free_bytes.data, (unsigned long long)fs.f_favail);
    else
        findings_add(f, FINDING_OK, "disk", NULL, "%s are free", free_bytes.data);
    buf_free(&free_bytes);
}

/* ---- the database ---- */

/* "3.40.1" as 3040001. */
static int version_number(const char *text)
{
    int major = 0, minor = 0, patch = 0;
    sscanf(text, "%d.%d.%d", &major, &minor, &patch);
    return major * 1000000 + minor * 1000 + patch;
}

/* sqlite.org/wal.html#walresetbug: 3.7.0 to 3.51.2. */
static void check_sqlite(struct findings *f)
{
    const char *version = db_library();
    if (version_number(version) < 3051003)
        findings_add(
            f, FINDING_NOTE, "sqlite",
            "keep other programs from checkpointing this database; or make SQLITE_SRC=DIR "
            "builds a newer one in",
            "%s can damage a database when a checkpoint meets a writer that begins the log "
            "anew: Leat only checkpoints inside its write lock, where that cannot be",
            version);
    else
        findings_add(f, FINDING_OK, "sqlite", NULL, "%s", version);
}

static void check_runner(struct cli *cli, struct findings *f)
{
    bool alive = false, wanted = true;
    if (runner_alive(cli->db, clock_wall_ms(), &alive, NULL)) return;
    runner_wanted(cli->db, &wanted, NULL);
    if (alive)
        findings_add(f, FINDING_OK, "runner", NULL, "one is alive");
    else if (conf_bool(cli->conf, CONF_RUNNER_AUTOSTART))
        findings_add(f, FINDING_OK, "runner", NULL,
                     "none is alive; one is started when it is needed");
    else
        findings_add(f, wanted ? FINDING_PROBLEM : FINDING_NOTE, "runner",
                     "start leatd, or set [runner] autostart = yes", "none is alive%s",
                     wanted ? ", and tasks wait for one" : "");
}

static void check_opened(struct cli *cli, struct findings *f)
{
    struct lock_holder holder = {0};
    struct buf size = {0};
    int64_t bytes = 0, log = 0;
    int64_t unused = 0;
    db_bytes(cli->db, &bytes, &log);
    text_bytes(&size, bytes);
    findings_add(f, FINDING_OK, "database", NULL, "%s, %s", db_path(cli->db), size.data);
    buf_free(&size);
    if (lock_held(db_path(cli->db), LOCK_NAMED_MS, &holder))
        findings_add(f, FINDING_PROBLEM, "write lock", "end that process if it does not go on",
                     "process %lld has held it for %lld s", (long long)holder.pid,
                     (long long)(clock_monotonic_us() - holder.since) / 1000000);
    struct log_reader readers[LOG_READERS_MAX];
    size_t reading = log_readers_find(cli->db, readers);
    for (size_t i = 0; i < reading; i++)
        findings_add(f, FINDING_PROBLEM, "log", "end that process or its transaction",
                     "process %lld keeps %lld MiB of the write-ahead log from being cut",
                     (long long)readers[i].pid, (long long)readers[i].bytes >> 20);
    if (!reading && log > (int64_t)256 << 20)
        findings_add(f, FINDING_NOTE, "log", "look for a program that keeps a transaction open",
                     "the write-ahead log has %lld MiB: a reader may keep it from being cut",
                     (long long)log >> 20);
    if (!db_free_bytes(cli->db, &unused, NULL) && unused > SPACE_BYTES && unused > bytes / 4)
        findings_add(f, FINDING_NOTE, "space", "stop the site, leat migrate",
                     "%lld MiB of the file are free, for new rows alone", (long long)unused >> 20);
    check_runner(cli, f);
}

static void check_database(struct cli *cli, struct findings *f)
{
    const char *path = conf_text(cli->conf, CONF_DATABASE_PATH);
    struct error e = {0};
    if (!path) {
        findings_add(f, FINDING_PROBLEM, "database", "leat init FOLDER writes settings",
                     "[database] path is not set");
        return;
    }
    char *copy = mem_str(path), *folder = dirname(copy);
    check_folder(f, folder);
    check_disk(f, folder);
    free(copy);
    if (access(path, F_OK)) {
        findings_add(f, FINDING_NOTE, "database", "leat init, or the first program, makes it",
                     "%s is not there yet", path);
        return;
    }
    if (damage_noted(path))
        findings_add(f, FINDING_PROBLEM, "database", "stop the site, leat restore BACKUP",
                     "%s was found malformed: nothing is written to it", path);
    struct db_options options = {.path = path,
                                 .busy_ms = conf_int(cli->conf, CONF_DATABASE_BUSY_MS)};
    if (!db_open(&cli->db, &options, &e))
        check_opened(cli, f);
    else if (e.code == ERR_STATE)
        findings_add(f, FINDING_NOTE, "database",
                     "leat migrate, or the next program that starts, does it", "%s", e.text);
    else
        findings_add(f, FINDING_PROBLEM, "database",
                     access(path, R_OK | W_OK)
                         ? "all programs must be able to write it: one group, 0660"
                         : NULL,
                     "%s", e.text);
}

/* ---- jobs ---- */

/* What is wrong with the first line of a script; NULL: nothing, or it is none. Text in *why. */
static bool bad_interpreter(const char *path, struct buf *why)
{
    char line[SHEBANG_MAX + 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false; /* who may execute it need not be able to read it */
    ssize_t n = read(fd, line, SHEBANG_MAX);
    close(fd);
    if (n < 3 || line[0] != '#' || line[1] != '!') return false;
    char *name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, "\n")] = '\0';
    if (strchr(name, '\r')) {
        buf_str(why, "its first line ends with a carriage return, as on Windows");
        return true;
    }
    name[strcspn(name, " \t")] = '\0';
    if (!access(name, X_OK)) return false;
    buf_fmt(why, "its interpreter %s: %s", name, strerror(errno));
    return true;
}

static size_t check_types(struct cli *cli, struct findings *f, const char *jobs)
{
    struct type_rows rows = {0};
    struct type_list list = {0};
    if (cli->db) type_rows_read(cli->db, clock_wall_ms(), &rows, NULL);
    type_list_make(&list, cli->types, &rows);
    size_t good = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct type_list_item *item = &list.items[i];
        struct buf path = {0}, why = {0};
        buf_fmt(&path, "%s/%s", jobs, item->conf.name);
        if (item->broken)
            findings_add(f, FINDING_PROBLEM, "job", "its tasks wait until that is mended", "%s: %s",
                         item->conf.name, item->broken);
        else if (bad_interpreter(path.data, &why))
            findings_add(f, FINDING_PROBLEM, "job", "its tasks fail until that is mended", "%s: %s",
                         item->conf.name, why.data);
        else
            good++;
        if (item->paused)
            findings_add(f, FINDING_NOTE, "job", "leat resume", "%s is paused", item->conf.name);
        buf_free(&path);
        buf_free(&why);
    }
    type_list_free(&list);
    type_rows_free(&rows);
    return good;
}

/* Files with the name of a type that cannot be executed and have no conf are no types: often a bit is missing. */
static void check_files(struct findings *f, const char *jobs)
{
    DIR *dir = opendir(jobs);
    for (const struct dirent *d; dir && (d = readdir(dir));) {
        struct stat st;
        struct buf path = {0}, conf = {0};
        buf_fmt(&path, "%s/%s", jobs, d->d_name);
        buf_fmt(&conf, "%s.conf", path.data);
        if (jobtype_name_valid(d->d_name) && !stat(path.data, &st) && S_ISREG(st.st_mode) &&
            !(st.st_mode & 0111) && access(conf.data, F_OK))
            findings_add(f, FINDING_NOTE, "job", "chmod +x, if it is to be one",
                         "%s is not executable, and so no type", d->d_name);
        buf_free(&path);
        buf_free(&conf);
    }
    if (dir) closedir(dir);
}

static void check_jobs(struct cli *cli, struct findings *f)
{
    const char *jobs = conf_text(cli->conf, CONF_RUNNER_JOBS);
    struct error e = {0};
    if (!jobs) {
        findings_add(f, FINDING_PROBLEM, "jobs", "set [runner] jobs", "the jobs folder is not set");
        return;
    }
    cli->types = job_types_open(jobs);
    if (job_types_refresh(cli->types, &e)) {
        findings_add(f, FINDING_PROBLEM, "jobs", "leat init makes it", "%s", e.text);
        return;
    }
    size_t good = check_types(cli, f, jobs);
    check_files(f, jobs);
    if (good)
        findings_add(f, FINDING_OK, "jobs", NULL, "%zu type%s in %s can run", good,
                     good == 1 ? "" : "s", jobs);
    else
        findings_add(f, FINDING_NOTE, "jobs", "put an executable into it", "no type in %s can run",
                     jobs);
}

bool check_site(struct cli *cli, struct findings *f)
{
    bool runner = conf_bool(cli->conf, CONF_RUNNER_AUTOSTART);
    check_settings(cli, f);
    check_sqlite(f);
    check_database(cli, f);
    check_jobs(cli, f);
    if (!runner && cli->db) runner_alive(cli->db, clock_wall_ms(), &runner, NULL);
    return runner && !f->problems;
}
