/* How an attempt begins: its folders, its input, its environment, and the child that becomes the job. */
#include "base/clock.h"
#include "base/log.h"
#include "runner/attempt_parts.h"
#include "runner/job_token.h"
#include "store/groups.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

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
static enum err start_child(struct attempt *a, struct error *e)
{
    int fds[4] = {a->in, -1, -1, -1};
    enum err rc = attempt_open_pipes(a, fds, e);
    if (!rc) {
        struct buf file = {0};
        if (job_types_built_in(a->host->types, a->task.type))
            buf_str(&file, "/proc/self/exe"); /* main.c knows it by its argv[0] */
        else
            buf_fmt(&file, "%s/%s", a->host->jobs, a->task.type);
        a->started = clock_monotonic_ms();
        char **env = environment(a, a->input.content_type);
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
    for (int i = 1; i < 4; i++)
        if (fds[i] >= 0) close(fds[i]);
    attempt_close_input(a);
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

/* Lays out what a job of the type that was found needs. ERR_INVALID: it is the task's own fault. */
static enum err prepare(struct attempt *a, struct error *e)
{
    enum err rc = attempt_find_input(a, e);
    if (!rc) rc = workdir_make(&a->dir, a->host->work, a->task.id, a->task.attempt, &a->user, e);
    if (!rc) rc = put_context(a, e);
    if (!rc) rc = put_checkpoint(a, e);
    if (!rc) rc = attempt_open_input(a, e);
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

/* It was not started, which ends it. */
static void end_unstarted(struct attempt *a, enum ending ending, const char *said)
{
    a->ending = ending;
    if (said) attempt_remember_said(a, said);
    attempt_close_input(a);
    child_drop(&a->child);
    attempt_happens(a, EVENT_NOT_STARTED);
}

/* Starts the job, for which all is ready unless `rc`. */
static enum err start(struct attempt *a, enum err rc, struct error *e)
{
    if (!rc) rc = start_child(a, e);
    if (!rc) {
        attempt_happens(a, EVENT_STARTED);
        return ERR_OK;
    }
    enum ending ending = ending_of(rc);
    end_unstarted(a, ending, e->text);
    return ending == ENDING_NO_SYSTEM ? rc : ERR_OK;
}

void attempt_input_copied(struct attempt *a, enum err rc, struct error *e)
{
    if (start(a, rc, e)) log_failure(LOG_LEVEL_ERROR, "cannot start a job", e);
}

void attempt_end_unstarted(struct attempt *a)
{
    a->ending_number = SIGTERM;
    end_unstarted(a, ENDING_SIGNAL, NULL);
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
    if (a->task.cancel_requested) { /* while it was on its way back to waiting */
        a->stop = STOP_CANCEL;
        attempt_end_unstarted(a);
        return ERR_OK;
    }
    enum err rc = find_type(a, e);
    if ((rc == ERR_NOTFOUND || rc == ERR_INVALID) &&
        broken_types_report(a->host->broken, a->task.type, e->text)) {
        end_unstarted(a, ENDING_HELD, e->text);
        return ERR_OK;
    }
    if (!rc) rc = prepare(a, e);
    if (rc || a->in_to < 0) return start(a, rc, e);
    attempt_happens(a, EVENT_COPYING);
    return ERR_OK;
}
