/* leatd: runs the tasks of one database. */
#include "base/conf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/standard.h"
#include "ops/job_types.h"
#include "runner/artifacts.h"
#include "runner/check_job.h"
#include "runner/cleanup.h"
#include "runner/runner.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

static const char help[] =
    "usage: leatd [--config FILE] [--once] [--idle-exit SECONDS]\n"
    "       leatd [--config FILE] --check\n"
    "\n"
    "Runs the tasks of one database: each is an executable of the jobs folder.\n"
    "\n"
    "  --config FILE        settings; else $LEAT_CONF, etc/leat.conf beside the program's\n"
    "                       parent folder, /etc/leat/leat.conf\n"
    "  --check              only say whether the settings are valid\n"
    "  --once               stop when no task is due and none runs\n"
    "  --idle-exit SECONDS  stop when no task has waited, not even for later, or run for\n"
    "                       SECONDS\n"
    "  --presence FD        how leat.fcgi hands on the lock that says that a runner is there\n"
    "  --version, --help\n"
    "\n"
    "SIGTERM and SIGINT: claim nothing more, let jobs finish for drain_seconds, put the rest\n"
    "back; a second one: do not let them finish. SIGHUP: read the settings again.\n"
    "Exit status: 0, or one of sysexits.h: 64 usage, 70 a fault of the program, 71 out of memory,\n"
    "74 input or output, 75 database busy, 78 settings; 1 when it is unknown whether a commit is\n"
    "on disk.\n";

enum {
    OPTION_CONFIG = 1,
    OPTION_CHECK,
    OPTION_ONCE,
    OPTION_IDLE_EXIT,
    OPTION_PRESENCE,
    OPTION_VERSION,
    OPTION_HELP
};

struct arguments {
    const char *config, *idle_exit, *presence;
    const char *self; /* path of the program */
    bool check, once;
};

/* Returns -1 to go on, or the exit status. */
static int read_arguments(struct arguments *out, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"once", no_argument, NULL, OPTION_ONCE},
        {"idle-exit", required_argument, NULL, OPTION_IDLE_EXIT},
        {"presence", required_argument, NULL, OPTION_PRESENCE},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case OPTION_CONFIG: out->config = optarg; break;
        case OPTION_CHECK: out->check = true; break;
        case OPTION_ONCE: out->once = true; break;
        case OPTION_IDLE_EXIT: out->idle_exit = optarg; break;
        case OPTION_PRESENCE: out->presence = optarg; break;
        case OPTION_VERSION: puts("leatd " LEAT_VERSION); return EX_OK;
        case OPTION_HELP: fputs(help, stdout); return EX_OK;
        default: fputs(help, stderr); return EX_USAGE;
        }
    }
    if (optind == argc) return -1;
    fprintf(stderr, "leatd: unexpected argument '%s'\n%s", argv[optind], help);
    return EX_USAGE;
}

static int exit_status(enum err rc)
{
    switch (rc) {
    case ERR_OK: return EX_OK;
    case ERR_INVALID:
    case ERR_NEWER: return EX_CONFIG;
    case ERR_BUSY: return EX_TEMPFAIL;
    case ERR_FULL:
    case ERR_MALFORMED:
    case ERR_IO: return EX_IOERR;
    case ERR_UNSYNCED: return EXIT_FAILURE;
    case ERR_NOTFOUND:
    case ERR_STATE:
    case ERR_LIMIT:
    case ERR_FENCED:
    case ERR_INTERNAL: break;
    }
    return EX_SOFTWARE;
}

/* As many open files as the system allows; returns the limit that jobs shall have. */
static rlim_t raise_nofile(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return 1024;
    rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        log_warn("cannot raise the limit of open files", " limit=%llu", (unsigned long long)before);
    return before;
}

static enum err read_again(void *arg, struct conf **out, struct error *e)
{
    const struct arguments *a = arg;
    return conf_load(out, a->config, a->self, e);
}

static enum err run(const struct conf *conf, const struct arguments *a, struct error *e)
{
    struct runner_options options = {
        .conf = conf,
        .own = {getenv("PATH"), getenv("LANG"), getenv("TZ"), getenv("HOME")},
        .once = a->once,
        .notify = {getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")},
        .presence = -1,
        .reload = read_again,
        .reload_arg = (void *)a,
        .idle_exit_ms =
            conf_text(conf, CONF_RUNNER_IDLE_EXIT) ? conf_ms(conf, CONF_RUNNER_IDLE_EXIT) : -1,
    };
    struct error why = {0};
    if (a->idle_exit && conf_parse_seconds(a->idle_exit, 0, 86400000, &options.idle_exit_ms, &why))
        return error_set(e, ERR_INVALID, "--idle-exit: %s", why.text);
    int64_t presence = -1;
    if (a->presence && conf_parse_int(a->presence, 3, INT_MAX, &presence, &why))
        return error_set(e, ERR_INVALID, "--presence: %s", why.text);
    options.presence = (int)presence;
    enum err rc =
        log_open("leatd", conf_text(conf, CONF_LOG_LEVEL), conf_text(conf, CONF_LOG_TARGET), e);
    if (rc) return conf_blame(conf, CONF_LOG_TARGET, e);
    options.nofile = raise_nofile();
    signal(SIGPIPE, SIG_IGN);

    struct runner *runner = NULL;
    rc = runner_open(&runner, &options, e);
    if (rc) return rc;
    rc = runner_run(runner, e);
    if (rc) log_failure(LOG_LEVEL_ERROR, "runner_failed", e);
    runner_close(runner);
    return rc;
}

int main(int argc, char **argv)
{
    /* A process that the runner itself started. */
    if (argc && !strcmp(argv[0], ARTIFACTS_NAME)) return artifacts_main();
    if (argc && !strcmp(argv[0], CLEANUP_NAME)) return cleanup_main();
    if (argc && !strcmp(argv[0], JOB_TYPE_CHECK)) return check_job_main();

    struct arguments a = {0};
    int status = read_arguments(&a, argc, argv);
    if (status >= 0) return status;
    standard_open();

    struct conf *conf = NULL;
    struct error e = {0};
    /* Found through PATH, argv[0] does not say where we are. */
    a.self = access("/proc/self/exe", F_OK) ? argv[0] : "/proc/self/exe";
    enum err rc = conf_load(&conf, a.config, a.self, &e);
    if (rc) status = EX_CONFIG; /* a file that cannot be read is a fault of the settings too */
    if (!rc && !a.check) rc = run(conf, &a, &e);
    if (rc) fprintf(stderr, "leatd: %s\n", e.text);
    conf_free(conf);
    return status >= 0 ? status : exit_status(rc);
}
