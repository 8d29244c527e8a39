/* How an attempt ends: what its process left, what becomes of its files, and what that makes of the task. */
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "runner/artifacts.h"
#include "runner/attempt_parts.h"
#include "runner/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CLEANUP_MAX = 100, /* files that are removed at once: a few ms */
    INTERPRETER_MAX =
        254, /* bytes of its name that are shown; the kernel itself reads 256 of the line */
};

/* ---- the job has ended --------------------------------------------------------------------------- */

/* The interpreter that the first line of a script names, "" when there is none. */
static void find_interpreter(char out[INTERPRETER_MAX], const char *file)
{
    char line[INTERPRETER_MAX + 2] = {0};
    *out = '\0';
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    if (n < 2 || strncmp(line, "#!", 2) != 0) return;
    const char *name = line + 2 + strspn(line + 2, " \t");
    size_t len = strcspn(name, " \t\n");
    memcpy(out, name, len);
    out[len] = '\0';
}

/* Why the job file cannot be executed although it is there: for what it names. */
static void explain(struct attempt *a, const char *file)
{
    char interpreter[INTERPRETER_MAX];
    struct buf text = {0};
    find_interpreter(interpreter, file);
    size_t len = strlen(interpreter);
    bool cr = len && interpreter[len - 1] == '\r';
    if (cr) interpreter[len - 1] = '\0';
    buf_fmt(&text,
            "cannot execute: the interpreter '%s' of %s is not there: No such file or directory%s",
            interpreter, file,
            cr ? " (its name ends with a carriage return: the file has the line ends of Windows)"
               : "");
    if (len) attempt_remember_said(a, text.data);
    buf_free(&text);
}

/* The child did not become the job: whether that is the site's to mend, or cannot be helped. */
static enum ending take_refusal(struct attempt *a, const struct child_end *ended)
{
    struct buf file = {0};
    buf_fmt(&file, "%s/%s", a->host->jobs, a->task.type);
    int number = ended->exec_errno;
    bool there = !access(file.data, F_OK);
    bool sites = number == ETXTBSY || number == EACCES || (number == ENOENT && !there);
    enum ending ending = ENDING_NO_EXEC;
    attempt_remember_said(a, ended->error.text);
    if (sites && broken_types_report(a->host->broken, a->task.type, ended->error.text))
        ending = ENDING_HELD;
    if (number == ENOENT && there) {
        ending = ENDING_UNUSABLE;
        explain(a, file.data);
    }
    buf_free(&file);
    return ending;
}

void attempt_take_end(struct attempt *a)
{
    struct child_end ended;
    a->leader = a->child.id;
    loop_timer_stop(a->host->loop, &a->deadline);
    attempt_reap(a, &ended);
    a->ending = ended.no_exec     ? take_refusal(a, &ended)
                : ended.signalled ? ENDING_SIGNAL
                                  : ENDING_EXIT;
    a->ending_number = ended.number;
    if (!ended.no_exec) broken_types_mended(a->host->broken, a->task.type);
    attempt_last_output(a);
    attempt_finish_reading(a);
}

/* Has a helper take over the files that the job made. False: there are none, the job has not completed, or
 * there is no helper, which is how it ended then. */
static bool keep_artifacts(struct attempt *a)
{
    if (a->stop || a->ending != ENDING_EXIT || a->ending_number || !artifacts_needed(a->dir.files))
        return false;
    struct error e = {0};
    workdir_remove(a->host->work, a->task.id, a->task.attempt, WORKDIR_KEPT);
    struct artifacts_request request = {
        .from = a->dir.files,
        .to = a->dir.kept,
        .task_id = a->task.id,
        .leader = a->leader,
        .group = a->host->files_group,
        .files_max = a->host->files_max,
        .bytes_max = a->host->files_bytes,
    };
    if (!artifacts_start(&a->child, &a->artifacts_report, a->host->forks, &request, a->host->nofile,
                         &e))
        return true;
    a->ending = ENDING_NO_FILES;
    attempt_remember_said(a, e.text);
    return false;
}

void attempt_finish_reading(struct attempt *a)
{
    if (a->paused || !attempt_read_remainder(a)) return;
    attempt_happens(a, keep_artifacts(a) ? EVENT_KEEPING : EVENT_OVER);
}

static void take_report(struct attempt *a, const struct child_end *ended,
                        struct artifacts_report *report)
{
    const char *failed = ended->no_exec ? ended->error.text : report->failed;
    if (failed) {
        a->ending = ENDING_NO_FILES;
        attempt_remember_said(a, failed);
    } else if (report->too_much) {
        a->stop = STOP_FILES;
        attempt_remember_said(a, report->too_much);
    } else {
        a->files = report->files;
        report->files = (struct file_list){0};
    }
}

void attempt_take_artifacts(struct attempt *a)
{
    struct child_end ended;
    struct artifacts_report report;
    attempt_reap(a, &ended);
    artifacts_read(&report, a->artifacts_report);
    int64_t wall = clock_wall_ms();
    for (size_t i = 0; i <= ARTIFACTS_TOLD_MAX && report.refused[i]; i++)
        outbox_log(&a->outbox, "warn", report.refused[i], strlen(report.refused[i]), wall);
    take_report(a, &ended, &report);
    artifacts_report_free(&report);
    attempt_conclude(a);
}

/* ---- its folders --------------------------------------------------------------------------------- */

void attempt_remove_all(struct attempt *a)
{
    workdir_remove(a->host->work, a->task.id, a->task.attempt, WORKDIR_ALL);
    workdir_remove(a->host->work, a->task.id, a->task.attempt, WORKDIR_ASIDE);
}

/* Whether its folders, which nobody has changed or may still be in, are kept for another attempt. */
static bool keep_folders(struct attempt *a, enum workdir_parts parts)
{
    return parts == WORKDIR_ALL && a->child.id.pid <= 0 && !a->user.set &&
           !escaped_any(a->host->escaped) && workdir_spare(a->host->work, &a->dir);
}

/* Removes what the attempt left. What is much is set aside, and a helper removes it while this goes on. */
static void clean_up(struct attempt *a)
{
    const struct workroot *work = a->host->work;
    enum workdir_parts parts = a->files.count ? WORKDIR_REST : WORKDIR_ALL;
    struct error e = {0};
    char id[ID_SIZE];
    if (keep_folders(a, parts)) return;
    if (workdir_remove_some(work, a->task.id, a->task.attempt, parts, CLEANUP_MAX)) return;
    if (a->child.id.pid > 0 || !workdir_set_aside(work, a->task.id, a->task.attempt, parts)) {
        workdir_remove(work, a->task.id, a->task.attempt, parts);
    } else if (cleanup_start(&a->child, a->host->forks, work, a->task.id, a->task.attempt,
                             a->host->nofile, &e)) {
        log_failure(LOG_LEVEL_WARN, "cannot start a process that cleans up", &e);
        workdir_remove(work, a->task.id, a->task.attempt, WORKDIR_ASIDE);
    } else {
        attempt_watch(a);
        log_info("task_cleanup", " task_id=%s child=%lld", log_quote(id, sizeof id, a->task.id),
                 (long long)a->child.id.pid);
    }
}

void attempt_take_cleanup(struct attempt *a)
{
    struct child_end ended;
    attempt_reap(a, &ended);
    if (ended.signalled || ended.number || ended.no_exec)
        workdir_remove(a->host->work, a->task.id, a->task.attempt, WORKDIR_ASIDE);
}

/* ---- the outcome --------------------------------------------------------------------------------- */

/* Forgets an outcome that the database did not take. */
static void forget_outcome(struct attempt *a)
{
    free(a->outcome.message);
    free(a->read_result.value);
    free(a->result_url);
    a->read_result = (struct result){0};
    a->result_url = NULL;
}

void attempt_conclude(struct attempt *a)
{
    forget_outcome(a);
    attempt_close_pipes(a);
    outcome_decide(&a->outcome, &(struct attempt_end){
                                    .stop = a->stop,
                                    .ending = a->ending,
                                    .number = a->ending_number,
                                    .said = a->said,
                                    .attempt = a->task.attempt,
                                    .max_attempts = a->task.max_attempts,
                                    .timeout_ms = a->timeout_ms,
                                    .result_max = a->host->result_max,
                                    .state_max = ATTEMPT_STATE_MAX,
                                });
    if (a->outcome.status != TASK_COMPLETED) file_list_free(&a->files);
    if (a->outcome.status == TASK_COMPLETED && a->result.len) {
        result_read(&a->read_result, &a->result, a->type.result_type, (size_t)a->host->inline_max);
        struct buf url = {0};
        buf_fmt(&url, "%s/tasks/%s/result", a->host->prefix, a->task.id);
        a->result_url = url.data;
    }
    a->ended_at = clock_wall_ms();
    clean_up(a);
}
