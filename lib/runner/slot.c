#include "runner/slot.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "runner/channel.h"
#include "runner/child.h"
#include "runner/clear.h"
#include "runner/keep.h"
#include "runner/lines.h"
#include "runner/outbox.h"
#include "runner/result.h"
#include "runner/workdir.h"
#include "store/files.h"
#include "store/groups.h"
#include "store/tasks.h"
#include "task/says.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 65536 - 1024, /* of a job's line: an event fits in 64 KB with its envelope */
    NEWS_MAX = 256,                /* events of one slot in one transaction */
    QUOTE_MAX = 200,               /* bytes of a malformed line that are shown */
    SAID_MAX = 300,                /* bytes of the last line that are kept for the error */
    PIPE_MAX = 65536,              /* bytes of input that go through a pipe */
    SYSTEM_BACKOFF_MS = 5000,
    CLEAR_MAX = 100, /* files that are removed at once: a few ms */
};

enum state { FREE, CLAIMED, RUNNING, STOPPING, KILLED, DRAINING, KEEPING, ENDED, CLEARING, FENCED };

struct slot {
    const struct slot_shop *shop;
    enum state state;
    enum stop stop;
    struct task task;
    struct claim claim;
    struct jobtype type;
    struct job_user user;
    struct workdir dir;
    struct child child;
    int64_t started; /* monotonic ms; of the fork */
    int64_t timeout_ms;
    int64_t timeout_at, kill_at; /* monotonic ms */

    struct channel out, err, events;
    struct buf result;
    struct lines err_lines, event_lines;
    struct outbox outbox;
    char last_said[SAID_MAX + 1]; /* on stderr */
    char *context;                /* the newest that it gave to its group; NULL: none */
    char *checkpoint;             /* the newest that it saved and that is not written; NULL: none */

    /* Once the process is gone. */
    enum ending ending;
    int ending_number;
    struct outcome outcome;
    struct result read_result;
    char *result_url;
    struct process_id leader; /* what the process was */
    int keep_report;          /* of the process that keeps its files; -1: none */
    struct file_list files;   /* kept */
    bool files_placed;        /* as in files_end */
    int64_t ended_at;         /* wall-clock ms */
};

struct slot *slot_new(const struct slot_shop *shop)
{
    struct slot *s = mem_alloc(sizeof *s);
    s->shop = shop;
    s->child = CHILD_NONE;
    s->out = s->err = s->events = CHANNEL_CLOSED;
    s->keep_report = -1;
    return s;
}

/* Forgets the task. Its process must be gone. */
static void reset(struct slot *s)
{
    channel_close(&s->out);
    channel_close(&s->err);
    channel_close(&s->events);
    buf_free(&s->result);
    lines_free(&s->err_lines);
    lines_free(&s->event_lines);
    outbox_free(&s->outbox);
    free(s->outcome.message);
    free(s->read_result.value);
    free(s->result_url);
    free(s->context);
    free(s->checkpoint);
    file_list_free(&s->files);
    if (s->keep_report >= 0) close(s->keep_report);
    workdir_free(&s->dir);
    task_free(&s->task);
    const struct slot_shop *shop = s->shop;
    *s = (struct slot){.shop = shop,
                       .child = CHILD_NONE,
                       .out = CHANNEL_CLOSED,
                       .err = CHANNEL_CLOSED,
                       .events = CHANNEL_CLOSED,
                       .keep_report = -1};
}

void slot_free(struct slot *s)
{
    if (!s) return;
    reset(s);
    free(s);
}

void slot_abandon(struct slot *s)
{
    child_signal(&s->child, SIGKILL);
}

bool slot_is_free(const struct slot *s)
{
    return s->state == FREE;
}

bool slot_is_working(const struct slot *s)
{
    return s->state != FREE && s->state != ENDED && s->state != CLEARING;
}

int64_t slot_task(const struct slot *s)
{
    return s->state == FREE ? 0 : s->claim.n;
}

void slot_claim(struct slot *s, struct task *t, const struct jobtype *type,
                const struct child *child)
{
    s->type = *type;
    s->child = *child;
    s->task = *t;
    *t = (struct task){0};
    s->claim = (struct claim){s->task.n, s->shop->runner, s->task.attempt};
    s->state = CLAIMED;
}

void slot_unclaim(struct slot *s)
{
    if (s->state != CLAIMED) return;
    child_drop(&s->child);
    reset(s);
}

/* ---- starting ----------------------------------------------------------------------------------- */

struct input {
    struct db *db;
    int64_t task;
};

static enum err copy_input(void *arg, int fd, struct error *e)
{
    const struct input *in = arg;
    return task_input_copy(in->db, in->task, fd, e);
}

static enum err no_input(int *fd, struct error *e)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "cannot open /dev/null") : ERR_OK;
}

/* A pipe that holds all of the input already. *fd is -1 when it is too small for that: the system gives
 * small ones to a user who has many. */
static enum err piped_input(struct input *in, int64_t bytes, int *fd, struct error *e)
{
    int ends[2];
    *fd = -1;
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    enum err rc = ERR_OK;
    bool fits = fcntl(ends[1], F_GETPIPE_SZ) >= bytes;
    if (fits) rc = copy_input(in, ends[1], e);
    close(ends[1]);
    if (fits && !rc)
        *fd = ends[0];
    else
        close(ends[0]);
    return rc;
}

/* The job's standard input in *fd. */
static enum err open_input(struct slot *s, int64_t bytes, int *fd, struct error *e)
{
    struct input in = {s->shop->db, s->task.n};
    if (bytes < 0) return no_input(fd, e);
    enum err rc = bytes <= PIPE_MAX ? piped_input(&in, bytes, fd, e) : ERR_OK;
    if (!rc && *fd < 0) rc = workdir_temporary(&s->dir, copy_input, &in, fd, e);
    return rc;
}

static void take_result(void *arg, const char *bytes, size_t len);
static void take_err(void *arg, const char *bytes, size_t len);
static void take_events(void *arg, const char *bytes, size_t len);

/* A pipe whose reading end is the channel's and whose writing end is *fd. */
static enum err open_pipe(struct slot *s, struct channel *c, channel_take *take, int *fd,
                          struct error *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    channel_open(c, s->shop->loop, ends[0], take, s);
    *fd = ends[1];
    return ERR_OK;
}

/* Descriptor 3 is the pipe that also has a name. Ours is open for writing too, so that it does not end
 * while somebody may still open it. */
static enum err open_events(struct slot *s, int *fd, struct error *e)
{
    int ours = open(s->dir.events, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (ours < 0) return error_errno(e, ERR_IO, "cannot open %s", s->dir.events);
    channel_open(&s->events, s->shop->loop, ours, take_events, s);
    *fd = open(s->dir.events, O_WRONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "cannot open %s", s->dir.events) : ERR_OK;
}

/* Whether bytes that were read have not become news. */
static bool lines_left(const struct slot *s)
{
    return lines_waiting(&s->event_lines) || lines_waiting(&s->err_lines);
}

/* Whether the loop is to read on in its pipes. */
static void hear(struct slot *s, bool on)
{
    struct error e = {0};
    bool lines = on && !lines_left(s);
    bool out = on && s->stop != STOP_TOO_LARGE;
    if (channel_listen(&s->out, out, &e) || channel_listen(&s->err, lines, &e) ||
        channel_listen(&s->events, lines, &e))
        log_error("cannot watch a pipe", " error=\"%s\"", e.text);
}

/* Has the child become the job, with its four descriptors. */
static enum err start_child(struct slot *s, int64_t input_bytes, const char *content_type,
                            struct error *e)
{
    int fds[4] = {-1, -1, -1, -1};
    enum err rc = open_input(s, input_bytes, &fds[0], e);
    if (!rc) rc = open_pipe(s, &s->out, take_result, &fds[1], e);
    if (!rc) rc = open_pipe(s, &s->err, take_err, &fds[2], e);
    if (!rc) rc = open_events(s, &fds[3], e);
    if (!rc) {
        struct buf file = {0};
        buf_fmt(&file, "%s/%s", s->shop->jobs, s->task.type);
        s->started = clock_monotonic_ms();
        s->timeout_at = s->started + s->timeout_ms;
        struct jobenv_own own = s->shop->own;
        if (s->user.set) own.home = s->user.home;
        char **env = jobenv_make(&(struct jobenv){
            .own = &own,
            .task = &s->task,
            .content_type = content_type,
            .folder = s->dir.folder,
            .events = s->dir.events,
            .files = s->dir.files,
            .checkpoint = s->dir.checkpoint,
            .context = s->task.group ? s->dir.context : NULL,
            .deadline = clock_wall_ms() + s->timeout_ms,
        });
        rc = child_go(&s->child,
                      &(struct child_plan){
                          .file = file.data,
                          .folder = s->dir.folder,
                          .env = env,
                          .type = &s->type,
                          .user = &s->user,
                          .descriptors = {fds[0], fds[1], fds[2], fds[3]},
                          .nofile = s->shop->nofile,
                      },
                      e);
        jobenv_free(env);
        buf_free(&file);
    }
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0) close(fds[i]);
    return rc;
}

static void finish(struct slot *s, enum ending ending, int number, const char *said);

/* Writes what the job may know of its group. */
static enum err put_context(struct slot *s, struct error *e)
{
    if (!s->task.group) return ERR_OK;
    struct group g = {0};
    enum err rc = group_get(s->shop->db, s->task.owner, s->task.group, &g, e);
    if (!rc) rc = workdir_put(s->dir.context, g.context ? g.context : "null", &s->user, e);
    group_free(&g);
    return rc;
}

/* Writes what an earlier attempt saved. */
static enum err put_checkpoint(struct slot *s, struct error *e)
{
    char *json = NULL;
    enum err rc = claim_checkpoint_get(s->shop->db, s->task.n, &json, e);
    if (!rc && json) rc = workdir_put(s->dir.checkpoint, json, &s->user, e);
    free(json);
    return rc;
}

/* Starts what jobtype_load found. ERR_INVALID: it is the task's own fault. */
static enum err start_job(struct slot *s, struct error *e)
{
    int64_t bytes = -1;
    char *content_type = NULL;
    enum err rc = task_input_info(s->shop->db, s->task.n, &bytes, &content_type, e);
    if (!rc && s->type.max_input_bytes >= 0 && bytes > s->type.max_input_bytes)
        rc = error_set(e, ERR_INVALID, "the input is larger than max_input_bytes of the type: %lld",
                       (long long)s->type.max_input_bytes);
    if (!rc) rc = job_user_find(&s->user, s->type.user, e);
    if (!rc) rc = workdir_make(&s->dir, s->shop->work, s->task.id, s->task.attempt, &s->user, e);
    if (!rc) rc = put_context(s, e);
    if (!rc) rc = put_checkpoint(s, e);
    if (!rc) rc = start_child(s, bytes, content_type, e);
    free(content_type);
    return rc;
}

enum err slot_start(struct slot *s, struct error *e)
{
    if (s->state != CLAIMED) return ERR_OK;
    s->started = clock_monotonic_ms();
    s->err_lines.max = s->event_lines.max = LINE_MAX_BYTES;
    outbox_open(&s->outbox, s->shop->progress_rate);
    /* Asked for while it was on its way back to waiting. */
    if (s->task.cancel_requested) {
        s->stop = STOP_CANCEL;
        child_drop(&s->child);
        finish(s, ENDING_SIGNAL, SIGTERM, NULL);
        return ERR_OK;
    }
    enum err rc = *s->type.name ? ERR_OK : jobtype_load(&s->type, s->shop->jobs, s->task.type, e);
    if (!rc) {
        s->timeout_ms = s->task.timeout_ms != TASK_NONE ? s->task.timeout_ms : s->type.timeout_ms;
        rc = start_job(s, e);
    }
    if (!rc) {
        char id[ID_SIZE], type[JOBTYPE_NAME_MAX + 1];
        s->state = RUNNING;
        hear(s, true);
        log_info("task_start", " task_id=%s type=%s attempt=%lld child=%lld",
                 log_quote(id, sizeof id, s->task.id), log_quote(type, sizeof type, s->task.type),
                 (long long)s->task.attempt, (long long)s->child.id.pid);
        return ERR_OK;
    }
    child_drop(&s->child);
    switch (rc) {
    case ERR_NOTFOUND: finish(s, ENDING_NO_TYPE, 0, e->text); return ERR_OK;
    case ERR_INVALID: finish(s, ENDING_UNUSABLE, 0, e->text); return ERR_OK;
    default: finish(s, ENDING_NO_SYSTEM, 0, e->text); return rc;
    }
}

/* ---- what the job says -------------------------------------------------------------------------- */

static void kill_now(struct slot *s)
{
    child_signal(&s->child, SIGKILL);
    s->state = KILLED;
    s->kill_at = INT64_MAX;
}

static void take_result(void *arg, const char *bytes, size_t len)
{
    struct slot *s = arg;
    size_t room = (size_t)s->shop->result_max - s->result.len;
    buf_add(&s->result, bytes, len < room ? len : room);
    if (len <= room || s->stop) return;
    /* One that failed by itself has no result that could be too large. */
    if (s->state == DRAINING && (s->ending != ENDING_EXIT || s->ending_number)) return;
    s->stop = STOP_TOO_LARGE;
    if (s->state == RUNNING) kill_now(s);
}

static void take_err(void *arg, const char *bytes, size_t len)
{
    lines_feed(&((struct slot *)arg)->err_lines, bytes, len);
}

static void take_events(void *arg, const char *bytes, size_t len)
{
    lines_feed(&((struct slot *)arg)->event_lines, bytes, len);
}

static void say_cut(struct slot *s, const struct line *line, const char *where, int64_t wall)
{
    if (!line->cut) return;
    struct buf text = {0};
    buf_fmt(&text, "a line on %s was longer than %d bytes: the last %zu were cut off", where,
            LINE_MAX_BYTES, line->cut);
    outbox_log(&s->outbox, "warn", text.data, text.len, wall);
    buf_free(&text);
}

static void remember_said(struct slot *s, const char *text)
{
    size_t len = strlen(text);
    if (len > SAID_MAX) len = utf8_cut(text, SAID_MAX);
    memcpy(s->last_said, text, len);
    s->last_said[len] = '\0';
}

static void log_line(struct slot *s, const struct line *line, int64_t wall)
{
    struct says says;
    says_log_line(&says, line->text, line->len);
    outbox_log(&s->outbox, says.level, says.message, strlen(says.message), wall);
    if (*says.message) remember_said(s, says.message);
    says_free(&says);
    say_cut(s, line, "standard error", wall);
}

static void malformed(struct slot *s, const struct line *line, const char *why, int64_t wall)
{
    struct buf text = {0};
    bool whole = line->len <= QUOTE_MAX;
    buf_fmt(&text, "not understood on descriptor 3 (%s): ", why);
    buf_add(&text, line->text, whole ? line->len : utf8_cut(line->text, QUOTE_MAX));
    if (!whole) buf_str(&text, "...");
    outbox_log(&s->outbox, "warn", text.data, text.len, wall);
    buf_free(&text);
}

static void keep_newest(char **json, struct says *says)
{
    free(*json);
    *json = says->json;
    says->json = NULL;
}

/* The newest counts, once the task is completed. */
static void take_context(struct slot *s, struct says *says, int64_t wall)
{
    static const char alone[] = "context: the task is of no group";
    if (!s->task.group) {
        outbox_log(&s->outbox, "warn", alone, strlen(alone), wall);
        return;
    }
    keep_newest(&s->context, says);
}

static void event_line(struct slot *s, const struct line *line, int64_t mono, int64_t wall)
{
    struct says says;
    struct error why = {0};
    if (says_parse(&says, line->text, line->len, &why)) {
        malformed(s, line, why.text, wall);
    } else {
        switch (says.kind) {
        case SAYS_NOTHING: break;
        case SAYS_PROGRESS: {
            struct report r = {says.percent, says.phase, says.message};
            says.phase = says.message = NULL;
            outbox_progress(&s->outbox, &r, mono, wall);
            break;
        }
        case SAYS_EVENT:
            outbox_event(&s->outbox, says.type, says.json, wall);
            says.type = says.json = NULL;
            break;
        case SAYS_LOG:
            outbox_log(&s->outbox, says.level, says.message, strlen(says.message), wall);
            break;
        case SAYS_CHECKPOINT: keep_newest(&s->checkpoint, &says); break;
        case SAYS_CONTEXT: take_context(s, &says, wall); break;
        }
        says_free(&says);
    }
    say_cut(s, line, "descriptor 3", wall);
}

/* Turns lines into news while there is room for it. */
static void read_lines(struct slot *s)
{
    int64_t mono = clock_monotonic_ms(), wall = clock_wall_ms();
    struct line line;
    while (s->outbox.count < NEWS_MAX && lines_next(&s->event_lines, &line))
        event_line(s, &line, mono, wall);
    while (s->outbox.count < NEWS_MAX && lines_next(&s->err_lines, &line)) log_line(s, &line, wall);
    outbox_due(&s->outbox, mono, wall, false);
}

/* ---- the end ------------------------------------------------------------------------------------ */

/* Removes what the attempt left. What is much is set aside, and s->child removes it while the slot goes on. */
static void clear_folders(struct slot *s)
{
    const struct workroot *work = s->shop->work;
    enum workdir_parts parts = s->files.count ? WORKDIR_REST : WORKDIR_ALL;
    struct error e = {0};
    char id[ID_SIZE];
    if (workdir_remove_some(work, s->task.id, s->task.attempt, parts, CLEAR_MAX)) return;
    if (s->child.id.pid > 0 || !workdir_set_aside(work, s->task.id, s->task.attempt, parts)) {
        workdir_remove(work, s->task.id, s->task.attempt, parts);
    } else if (clear_start(&s->child, s->shop->forks, work, s->task.id, s->task.attempt,
                           s->shop->nofile, &e)) {
        log_warn("cannot start a process that clears up", " error=\"%s\"", e.text);
        workdir_remove(work, s->task.id, s->task.attempt, WORKDIR_ASIDE);
    } else {
        log_info("task_clear", " task_id=%s child=%lld", log_quote(id, sizeof id, s->task.id),
                 (long long)s->child.id.pid);
    }
}

static void remove_all(const struct slot *s)
{
    workdir_remove(s->shop->work, s->task.id, s->task.attempt, WORKDIR_ALL);
    workdir_remove(s->shop->work, s->task.id, s->task.attempt, WORKDIR_ASIDE);
}

/* The attempt is over: says what that makes of the task. */
static void finish(struct slot *s, enum ending ending, int number, const char *said)
{
    channel_close(&s->out);
    channel_close(&s->err);
    channel_close(&s->events);
    outcome_decide(&s->outcome, &(struct attempt){
                                    .stop = s->stop,
                                    .ending = ending,
                                    .number = number,
                                    .said = said,
                                    .attempt = s->task.attempt,
                                    .max_attempts = s->task.max_attempts,
                                    .timeout_ms = s->timeout_ms,
                                    .result_max = s->shop->result_max,
                                });
    if (s->outcome.status != TASK_COMPLETED) file_list_free(&s->files);
    if (s->outcome.status == TASK_COMPLETED && s->result.len) {
        result_read(&s->read_result, &s->result, s->type.result_type, (size_t)s->shop->inline_max);
        struct buf url = {0};
        buf_fmt(&url, "%s/tasks/%s/result", s->shop->prefix, s->task.id);
        s->result_url = url.data;
    }
    s->ended_at = clock_wall_ms();
    s->ending = ending;
    s->state = ENDED;
    clear_folders(s);
}

/* Takes notice when the process that clears up has ended. */
static void look_for_cleared(struct slot *s)
{
    struct child_end ended;
    if (!child_reap(&s->child, &ended)) return;
    if (ended.signalled || ended.number || ended.no_exec)
        workdir_remove(s->shop->work, s->task.id, s->task.attempt, WORKDIR_ASIDE);
    reset(s);
}

/* Has the files kept that the job made. False: there are none, or it has not completed. */
static bool keep_files(struct slot *s)
{
    if (s->stop || s->ending != ENDING_EXIT || s->ending_number || !keep_needed(s->dir.files))
        return false;
    struct error e = {0};
    workdir_remove(s->shop->work, s->task.id, s->task.attempt, WORKDIR_KEPT);
    struct keep_order order = {
        .from = s->dir.files,
        .to = s->dir.kept,
        .task_id = s->task.id,
        .leader = s->leader,
        .group = s->shop->files_group,
        .files_max = s->shop->files_max,
        .bytes_max = s->shop->files_bytes,
    };
    if (keep_start(&s->child, &s->keep_report, s->shop->forks, &order, s->shop->nofile, &e))
        finish(s, ENDING_NO_FILES, 0, e.text);
    else
        s->state = KEEPING;
    return true;
}

/* Takes notice when the process that keeps the files has ended. */
static void look_for_kept(struct slot *s)
{
    struct child_end ended;
    if (!child_reap(&s->child, &ended)) return;
    struct keep_report report;
    keep_read(&report, s->keep_report);
    int64_t wall = clock_wall_ms();
    for (size_t i = 0; i <= KEEP_TOLD_MAX && report.refused[i]; i++)
        outbox_log(&s->outbox, "warn", report.refused[i], strlen(report.refused[i]), wall);
    if (ended.no_exec)
        finish(s, ENDING_NO_FILES, 0, ended.error.text);
    else if (report.too_much) {
        if (!s->stop) s->stop = STOP_FILES;
        finish(s, ENDING_EXIT, 0, report.too_much);
    } else if (report.failed) {
        finish(s, ENDING_NO_FILES, 0, report.failed);
    } else {
        s->files = report.files;
        report.files = (struct file_list){0};
        finish(s, ENDING_EXIT, 0, NULL);
    }
    keep_report_free(&report);
}

/* Reads on in what the process left in its pipes, as far as there is room for the news. */
static void drain(struct slot *s)
{
    struct line line;
    while (channel_drain(&s->out)) continue;
    for (bool more = true; more && !lines_left(s);) {
        bool events = channel_drain(&s->events), err = channel_drain(&s->err);
        more = events || err;
        read_lines(s);
    }
    if (s->events.watch.fd >= 0 || s->err.watch.fd >= 0 || lines_left(s) ||
        s->outbox.count + 4 > NEWS_MAX)
        return;

    int64_t mono = clock_monotonic_ms(), wall = clock_wall_ms();
    if (lines_last(&s->event_lines, &line)) event_line(s, &line, mono, wall);
    if (lines_last(&s->err_lines, &line)) log_line(s, &line, wall);
    outbox_due(&s->outbox, mono, wall, true);
    if (!keep_files(s)) finish(s, s->ending, s->ending_number, s->last_said);
}

/* Takes notice when the process has ended. */
static void look_for_end(struct slot *s)
{
    struct child_end ended;
    struct process_id leader = s->child.id;
    if (!child_reap(&s->child, &ended)) return;
    s->leader = leader;
    if (s->state == FENCED) {
        remove_all(s);
        reset(s);
        return;
    }
    s->ending = ended.no_exec ? ENDING_NO_EXEC : ended.signalled ? ENDING_SIGNAL : ENDING_EXIT;
    s->ending_number = ended.number;
    if (ended.no_exec) remember_said(s, ended.error.text);
    channel_last(&s->out);
    channel_last(&s->err);
    channel_last(&s->events);
    s->state = DRAINING;
}

void slot_stop(struct slot *s, enum stop why)
{
    /* One that ended before we wanted it to has ended by itself. */
    if (s->state != RUNNING || child_ended(&s->child)) return;
    s->stop = why;
    s->state = STOPPING;
    s->kill_at = clock_monotonic_ms() + s->type.kill_grace_ms;
    child_signal(&s->child, SIGTERM);
    child_signal(&s->child, SIGCONT); /* a stopped process would not see it */
}

void slot_fence(struct slot *s)
{
    char id[ID_SIZE];
    log_warn("task_fenced", " task_id=%s", log_quote(id, sizeof id, s->task.id));
    outbox_clear(&s->outbox);
    if (s->child.id.pid <= 0) {
        remove_all(s);
        reset(s);
        return;
    }
    channel_close(&s->out);
    channel_close(&s->err);
    channel_close(&s->events);
    kill_now(s);
    s->state = FENCED;
}

bool slot_refuse(struct slot *s)
{
    if (s->state == ENDED && s->stop == STOP_REFUSED) return false;
    outbox_free(&s->outbox);
    outbox_open(&s->outbox, s->shop->progress_rate);
    lines_free(&s->err_lines);
    lines_free(&s->event_lines);
    free(s->checkpoint);
    s->checkpoint = NULL;
    s->stop = STOP_REFUSED;
    if (s->state != ENDED && s->child.id.pid > 0)
        kill_now(s);
    else if (s->state == ENDED || s->state == DRAINING) {
        free(s->outcome.message);
        free(s->read_result.value);
        free(s->result_url);
        s->read_result = (struct result){0};
        s->result_url = NULL;
        finish(s, s->ending, s->ending_number, NULL);
    }
    return true;
}

/* ---- the turn ----------------------------------------------------------------------------------- */

void slot_turn(struct slot *s, bool blocked)
{
    if (s->state == FREE || s->state == ENDED) return;
    if (s->state == KEEPING)
        look_for_kept(s);
    else if (s->state == CLEARING)
        look_for_cleared(s);
    else if (s->child.id.pid > 0)
        look_for_end(s);
    int64_t now = clock_monotonic_ms();
    if (s->state == RUNNING && now >= s->timeout_at) slot_stop(s, STOP_TIMEOUT);
    if (s->state == STOPPING && now >= s->kill_at) kill_now(s);

    bool reading = s->state == RUNNING || s->state == STOPPING || s->state == KILLED;
    if (reading) {
        if (!blocked) read_lines(s);
        hear(s, !blocked);
    } else if (s->state == DRAINING && !blocked) {
        read_lines(s);
        drain(s);
    }
}

int64_t slot_deadline(const struct slot *s)
{
    int64_t at = INT64_MAX;
    switch (s->state) {
    case RUNNING: at = s->timeout_at; break;
    case STOPPING: at = s->kill_at; break;
    case DRAINING: return 0;
    case FREE:
    case CLAIMED:
    case KILLED:
    case KEEPING:
    case CLEARING:
    case ENDED:
    case FENCED: break;
    }
    if (s->state == RUNNING || s->state == STOPPING || s->state == KILLED) {
        if (lines_left(s)) return 0;
        int64_t due = progress_due(&s->outbox.gate);
        if (due < at) at = due;
    }
    return at;
}

/* ---- writing ------------------------------------------------------------------------------------ */

bool slot_has_news(const struct slot *s)
{
    if (s->state == FREE || s->state == CLAIMED || s->state == FENCED) return false;
    return s->state == ENDED || s->outbox.count || s->checkpoint;
}

bool slot_has_end(const struct slot *s)
{
    return s->state == ENDED;
}

/* Whether its cancelling was asked for before it goes back to waiting. */
static enum err cancelled_meanwhile(struct slot *s, bool *cancelled, struct error *e)
{
    struct task now = {0};
    enum err rc = task_get_n(s->shop->db, s->task.n, &now, e);
    *cancelled = !rc && now.cancel_requested;
    task_free(&now);
    return rc;
}

static int64_t again_at(const struct slot *s)
{
    if (!s->outcome.backoff) return TASK_NONE;
    double random = id_random(1000) / 1000.0;
    int64_t wait =
        s->outcome.unspent ? SYSTEM_BACKOFF_MS : jobtype_backoff(&s->type, s->task.tries, random);
    return s->ended_at + wait;
}

static enum err write_end(struct slot *s, struct error *e)
{
    if (s->outcome.status == TASK_PENDING) {
        bool cancelled;
        enum err rc = cancelled_meanwhile(s, &cancelled, e);
        if (rc) return rc;
        if (cancelled) {
            free(s->outcome.message);
            s->stop = STOP_CANCEL;
            outcome_decide(&s->outcome, &(struct attempt){.stop = STOP_CANCEL});
        }
    }
    const struct outcome *o = &s->outcome;
    bool result = s->result_url != NULL;
    struct claim_end end = {
        .status = o->status,
        .run_at = o->status == TASK_PENDING ? again_at(s) : TASK_NONE,
        .attempt_unspent = o->unspent,
        .error_code = o->code,
        .error_message = o->message,
        .error_retryable = o->retryable,
        .result = result ? s->result.data : NULL,
        .result_bytes = result ? s->result.len : 0,
        .result_type = s->read_result.type,
        .result_inline = s->read_result.value,
        .result_url = s->result_url,
        .context = o->status == TASK_COMPLETED ? s->context : NULL,
        .now = s->ended_at,
    };
    struct files_end files = {
        .id = s->task.id,
        .prefix = s->shop->prefix,
        .from = s->dir.kept,
        .list = &s->files,
        .placed = s->files_placed,
        .now = s->ended_at,
    };
    enum err rc = files_finish(s->shop->db, &s->claim, &files, e);
    s->files_placed = files.placed;
    return rc ? rc : claim_finish(s->shop->db, &s->claim, &end, e);
}

enum err slot_write(struct slot *s, struct error *e)
{
    enum err rc = outbox_write(&s->outbox, s->shop->db, &s->claim, e);
    if (!rc && s->checkpoint) rc = claim_checkpoint(s->shop->db, &s->claim, s->checkpoint, e);
    if (!rc && s->state == ENDED) rc = write_end(s, e);
    return rc;
}

void slot_written(struct slot *s)
{
    outbox_clear(&s->outbox);
    free(s->checkpoint);
    s->checkpoint = NULL;
    if (s->state != ENDED) return;
    char id[ID_SIZE], type[JOBTYPE_NAME_MAX + 1];
    log_info("task_end", " task_id=%s type=%s status=%s%s%s elapsed_ms=%lld",
             log_quote(id, sizeof id, s->task.id), log_quote(type, sizeof type, s->task.type),
             task_status_name(s->outcome.status), s->outcome.code ? " code=" : "",
             s->outcome.code ? s->outcome.code : "",
             (long long)(clock_monotonic_ms() - s->started));
    s->state = CLEARING;
    if (s->child.id.pid <= 0) reset(s);
}
