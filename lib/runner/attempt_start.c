/* How an attempt begins: its folders, its input, its environment, and the child that becomes the job. */
#include "base/clock.h"
#include "runner/attempt_parts.h"
#include "runner/job_token.h"
#include "store/groups.h"
#include "store/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIPE_MAX = 65536 }; /* bytes of input that go through a pipe */

/* What a descriptor is to hold. */
struct copying {
    struct db *db;
    struct input input;
};

static enum err write_all(int fd, const char *bytes, size_t len, struct error *e)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_errno(e, ERR_IO, "cannot write the input");
        bytes += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

/* Copies all of it, to a file or a pipe that it fits in. */
static enum err copy_input(void *arg, int fd, struct error *e)
{
    struct copying *from = arg;
    struct buf part = {0};
    enum err rc;
    from->input.at = 0;
    do {
        rc = input_read(from->db, &from->input, &part, e);
        if (!rc) rc = write_all(fd, part.data, part.len, e);
    } while (!rc && part.len);
    buf_free(&part);
    return rc;
}

static enum err no_input(int *fd, struct error *e)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "cannot open /dev/null") : ERR_OK;
}

/* A pipe that holds all of the input already. *fd is -1 when it is too small for that: the system gives
 * small ones to a user who has many. */
static enum err piped_input(struct copying *from, int *fd, struct error *e)
{
    int ends[2];
    *fd = -1;
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    enum err rc = ERR_OK;
    bool fits = fcntl(ends[1], F_GETPIPE_SZ) >= from->input.bytes;
    if (fits) rc = copy_input(from, ends[1], e);
    close(ends[1]);
    if (fits && !rc)
        *fd = ends[0];
    else
        close(ends[0]);
    return rc;
}

/* The job's standard input in *fd. */
static enum err open_input(struct attempt *a, const struct input *input, int *fd, struct error *e)
{
    struct copying from = {a->host->db, *input};
    if (input->bytes < 0) return no_input(fd, e);
    enum err rc = input->bytes <= PIPE_MAX ? piped_input(&from, fd, e) : ERR_OK;
    if (!rc && *fd < 0) rc = workdir_temporary(&a->dir, copy_input, &from, fd, e);
    return rc;
}

static struct exec_limits limits_of(const struct jobtype *t, rlim_t nofile)
{
    return (struct exec_limits){
        .memory_bytes = t->memory_bytes,
        .cpu_ms = t->cpu_ms,
        .file_bytes = t->file_bytes,
        .processes = t->processes,
        .nofile = nofile,
        .nice = (int)t->nice,
    };
}

static char **environment(const struct attempt *a, const char *content_type)
{
    struct jobenv_own own = a->host->own;
    if (a->user.set) own.home = a->user.home;
    return jobenv_make(&(struct jobenv){
        .own = &own,
        .task = &a->task,
        .content_type = content_type,
        .folder = a->dir.folder,
        .events = a->dir.events,
        .files = a->dir.files,
        .checkpoint = a->dir.checkpoint,
        .context = a->task.group ? a->dir.context : NULL,
        .url = *a->token ? a->host->url : NULL,
        .token = *a->token ? a->token : NULL,
        .deadline = clock_wall_ms() + a->timeout_ms,
    });
}

/* Has the child become the job, with its four descriptors. */
static enum err start_child(struct attempt *a, const struct input *input, struct error *e)
{
    int fds[4] = {-1, -1, -1, -1};
    enum err rc = open_input(a, input, &fds[0], e);
    if (!rc) rc = attempt_open_pipes(a, fds, e);
    if (!rc) {
        struct buf file = {0};
        buf_fmt(&file, "%s/%s", a->host->jobs, a->task.type);
        a->started = clock_monotonic_ms();
        char **env = environment(a, input->content_type);
        rc = child_go(&a->child,
                      &(struct exec_plan){
                          .file = file.data,
                          .argv = (char *const[]){a->type.name, NULL},
                          .env = env,
                          .folder = a->dir.folder,
                          .limits = limits_of(&a->type, a->host->nofile),
                          .user = &a->user,
                          .descriptors = {fds[0], fds[1], fds[2], fds[3]},
                      },
                      e);
        jobenv_free(env);
        secret_wipe(a->token, sizeof a->token);
        buf_free(&file);
    }
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0) close(fds[i]);
    return rc;
}

/* Writes what the job may know of its group. */
static enum err put_context(struct attempt *a, struct error *e)
{
    if (!a->task.group) return ERR_OK;
    char *json;
    enum err rc =
        group_context_get(a->host->db, a->task.owner, a->task.group, &json, &a->context_version, e);
    if (!rc) rc = workdir_put(a->dir.context, json ? json : "null", &a->user, e);
    free(json);
    return rc;
}

/* Writes what an earlier attempt saved. */
static enum err put_checkpoint(struct attempt *a, struct error *e)
{
    char *json = NULL;
    enum err rc = claim_checkpoint_get(a->host->db, a->task.n, &json, e);
    if (!rc && json) rc = workdir_put(a->dir.checkpoint, json, &a->user, e);
    free(json);
    return rc;
}

/* What TYPE.conf says now, and whom it names. Errors as job_types_find and job_user_find. */
static enum err find_type(struct attempt *a, struct error *e)
{
    const struct jobtype *type;
    enum err rc = job_types_refresh_one(a->host->types, a->task.type, e);
    if (!rc) rc = job_types_find(a->host->types, a->task.type, &type, e);
    if (rc) return rc;
    a->type = *type;
    a->timeout_ms = type->timeout_ms;
    if (a->task.timeout_ms != TASK_NONE && a->task.timeout_ms < a->timeout_ms)
        a->timeout_ms = a->task.timeout_ms;
    return job_user_find(&a->user, a->type.user, e);
}

/* Starts a job of the type that was found. ERR_INVALID: it is the task's own fault. */
static enum err start_job(struct attempt *a, struct error *e)
{
    struct input input;
    enum err rc = input_find(a->host->db, a->task.n, &input, e);
    if (!rc && a->type.max_input_bytes >= 0 && input.bytes > a->type.max_input_bytes)
        rc = error_set(e, ERR_INVALID, "the input is larger than max_input_bytes of the type: %lld",
                       (long long)a->type.max_input_bytes);
    if (!rc) rc = workdir_make(&a->dir, a->host->work, a->task.id, a->task.attempt, &a->user, e);
    if (!rc) rc = put_context(a, e);
    if (!rc) rc = put_checkpoint(a, e);
    if (!rc) rc = start_child(a, &input, e);
    input_free(&input);
    return rc;
}

/* `why` it was not started: which ending that is. */
static enum ending ending_of(enum err why)
{
    switch (why) {
    case ERR_NOTFOUND: return ENDING_NO_TYPE;
    case ERR_INVALID: return ENDING_UNUSABLE;
    default: return ENDING_NO_SYSTEM;
    }
}

enum err attempt_permit(struct attempt *a, struct error *e)
{
    enum { SPARE_MS = 60 * 1000 }; /* until its end is written */
    const struct jobtype *type;
    if (!a->host->url || job_types_find(a->host->types, a->task.type, &type, NULL) || !type->token)
        return ERR_OK;
    return job_token_make(a->host->db, &a->task, type->timeout_ms + type->kill_grace_ms + SPARE_MS,
                          a->token, e);
}

enum err attempt_start(struct attempt *a, struct error *e)
{
    if (a->state != STATE_CLAIMED) return ERR_OK;
    a->started = clock_monotonic_ms();
    a->event_lines.max = ATTEMPT_STATE_MAX + 1024;
    a->out_lines = a->err_lines = (struct lines){
        .max = ATTEMPT_LINE_MAX,
        .tail = ATTEMPT_LINE_TAIL,
        .returns = true,
    };
    outbox_open(&a->outbox, a->host->progress_rate);
    enum err rc = ERR_OK;
    bool held = false;
    if (a->task.cancel_requested) { /* while it was on its way back to waiting */
        a->stop = STOP_CANCEL;
        a->ending = ENDING_SIGNAL;
        a->ending_number = SIGTERM;
    } else {
        rc = find_type(a, e);
        if ((rc == ERR_NOTFOUND || rc == ERR_INVALID) &&
            broken_types_report(a->host->broken, a->task.type, e->text))
            held = true;
        if (!rc) rc = start_job(a, e);
        if (!rc) {
            attempt_happens(a, EVENT_STARTED);
            return ERR_OK;
        }
        a->ending = held ? ENDING_HELD : ending_of(rc);
        attempt_remember_said(a, e->text);
    }
    child_drop(&a->child);
    enum ending ending = a->ending;
    attempt_happens(a, EVENT_NOT_STARTED);
    return ending == ENDING_NO_SYSTEM ? rc : ERR_OK;
}
