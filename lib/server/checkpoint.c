#include "server/checkpoint.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    LOG_PAGES = 2048,    /* of log since the last checkpoint: 8 MiB */
    RUNNER_PAGES = 8192, /* the same, while there is a runner, which makes one at half of that */
    AGAIN_MS = 250,      /* between two, or two looks for a runner */
};

static void ended(void *arg, int status)
{
    struct checkpoints *c = arg;
    c->running = false;
    c->mark = db_wal_pages(c->db);
    if (status) log_warn("a checkpoint failed", " status=%d", status);
}

/* Starts this program once more, with nothing of ours but standard error. errno or 0. */
static int start(const struct conf *conf, pid_t *pid)
{
    static char program[] = "/proc/self/exe", checkpoint[] = "--checkpoint", config[] = "--config";
    char *file = (char *)conf_file(conf);
    char *argv[] = {program, checkpoint, file ? config : NULL, file, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(pid, program, &files, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

void checkpoints_open(struct checkpoints *c, struct loop *loop, struct db *db,
                      const struct conf *conf)
{
    *c = (struct checkpoints){.loop = loop, .db = db, .conf = conf, .at = INT64_MIN / 2};
}

void checkpoints_close(struct checkpoints *c)
{
    if (c->running) loop_child_del(c->loop, &c->child);
    c->running = false;
}

/* Or was a moment ago: one that is killed counts until its lease ends. */
static bool runner_is_there(struct db *db)
{
    struct error e = {0};
    bool alive = false;
    return !runner_alive(db, clock_wall_ms(), &alive, &e) && alive;
}

void checkpoints_turn(struct checkpoints *c)
{
    int64_t pages = db_wal_pages(c->db);
    if (pages < c->mark) c->mark = 0; /* the log began anew */
    if (c->running || pages - c->mark <= LOG_PAGES) return;
    int64_t now = clock_monotonic_ms();
    if (now - c->at < AGAIN_MS) return;
    c->at = now;
    if (pages - c->mark <= RUNNER_PAGES && runner_is_there(c->db)) return;
    c->child = (struct loop_child){.ended = ended, .arg = c};
    int failed = start(c->conf, &c->child.pid);
    struct error e = {0};
    if (failed)
        log_warn("cannot start a checkpoint", " error=\"%s\"", strerror(failed));
    else if (loop_child_add(c->loop, &c->child, &e))
        log_failure(LOG_LEVEL_WARN, "cannot watch a checkpoint", &e);
    else
        c->running = true;
}

int checkpoint_alone(const struct conf *conf)
{
    struct error e = {0};
    struct db *db = NULL;
    struct db_options options = {.path = conf_text(conf, CONF_DATABASE_PATH),
                                 .busy_ms = conf_int(conf, CONF_DATABASE_BUSY_MS)};
    enum err rc = db_open(&db, &options, &e);
    if (!rc) rc = db_checkpoint(db, &e);
    db_close(db);
    if (rc) log_failure(LOG_LEVEL_ERROR, "cannot checkpoint", &e);
    return rc == ERR_BUSY ? EX_OK : rc ? EX_IOERR : EX_OK; /* another one may be at it */
}
