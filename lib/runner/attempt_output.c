/* What a job says: its pipes, read a piece at a time, and the lines in them, which become news. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "runner/attempt_parts.h"
#include "task/job_protocol.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    QUOTE_MAX = 200,    /* bytes of a malformed line that are shown */
    REMAINDER_NEWS = 9, /* three last lines, a warning beside each, and what was held back */
    RETRY_MS = 50,      /* after a pipe could not be watched */
    MUTED_MS = 10,      /* between two looks at the pipes of a job whose log is full */
};

static const char STDERR[] = "standard error", STDOUT[] = "standard output";

/* ---- pipes -------------------------------------------------------------------------------------- */

/* Whether bytes that were read have not become news. */
static bool lines_left(const struct attempt *a)
{
    return lines_waiting(&a->event_lines) || lines_waiting(&a->err_lines) ||
           lines_waiting(&a->out_lines);
}

static void too_large(struct attempt *a, enum stop excess)
{
    a->excess = excess;
    attempt_happens(a, EVENT_TOO_LARGE);
}

static void take_result(void *arg, const char *bytes, size_t len)
{
    struct attempt *a = arg;
    if (a->type.stdout_log) {
        lines_feed(&a->out_lines, bytes, len);
        attempt_read_lines(a);
        return;
    }
    size_t room = (size_t)a->host->result_max - a->result.len;
    buf_add(&a->result, bytes, len < room ? len : room);
    if (len > room) too_large(a, STOP_TOO_LARGE);
}

static void take_err(void *arg, const char *bytes, size_t len)
{
    struct attempt *a = arg;
    lines_feed(&a->err_lines, bytes, len);
    attempt_read_lines(a);
}

static void take_events(void *arg, const char *bytes, size_t len)
{
    struct attempt *a = arg;
    lines_feed(&a->event_lines, bytes, len);
    attempt_read_lines(a);
}

/* A pipe whose reading end is the channel's and whose writing end is *fd. */
static enum err open_pipe(struct attempt *a, struct channel *c, channel_take *take, int *fd,
                          struct error *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    channel_open(c, a->host->loop, ends[0], take, a);
    *fd = ends[1];
    return ERR_OK;
}

/* Descriptor 3 is the pipe that also has a name. Ours is open for writing too, so that it does not end
 * while somebody may still open it. */
static enum err open_events(struct attempt *a, int *fd, struct error *e)
{
    int ours = open(a->dir.events, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (ours < 0) return error_errno(e, ERR_IO, "cannot open %s", a->dir.events);
    channel_open(&a->events, a->host->loop, ours, take_events, a);
    *fd = open(a->dir.events, O_WRONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "cannot open %s", a->dir.events) : ERR_OK;
}

enum err attempt_open_pipes(struct attempt *a, int fds[4], struct error *e)
{
    enum err rc = open_pipe(a, &a->out, take_result, &fds[1], e);
    if (!rc) rc = open_pipe(a, &a->err, take_err, &fds[2], e);
    return rc ? rc : open_events(a, &fds[3], e);
}

void attempt_close_pipes(struct attempt *a)
{
    channel_close(&a->out);
    channel_close(&a->err);
    channel_close(&a->events);
}

void attempt_listen(struct attempt *a)
{
    struct error e = {0};
    bool reads =
        a->state == STATE_RUNNING || a->state == STATE_STOPPING || a->state == STATE_KILLED;
    bool on = reads && !a->paused && !a->muted;
    bool out = a->type.stdout_log ? !lines_waiting(&a->out_lines) : a->stop != STOP_TOO_LARGE;
    bool failed = channel_listen(&a->out, on && out, &e) ||
                  channel_listen(&a->err, on && !lines_waiting(&a->err_lines), &e) ||
                  channel_listen(&a->events, on && !lines_waiting(&a->event_lines), &e);
    if (failed) log_failure(LOG_LEVEL_ERROR, "cannot watch a pipe", &e);
    if (failed || (reads && a->muted))
        loop_timer_set(a->host->loop, &a->retry,
                       clock_monotonic_ms() + (failed ? RETRY_MS : MUTED_MS));
}

void attempt_last_output(struct attempt *a)
{
    channel_last(&a->out);
    channel_last(&a->err);
    channel_last(&a->events);
}

/* ---- lines -------------------------------------------------------------------------------------- */

static void say_cut(struct attempt *a, const struct line *line, const char *where, bool tail,
                    int64_t wall)
{
    if (!line->cut) return;
    struct buf text = {0};
    buf_fmt(&text, "a line on %s was longer than %d bytes: %zu were cut %s", where,
            ATTEMPT_LINE_MAX, line->cut, tail ? "out of its middle" : "off its end");
    outbox_log(&a->outbox, "warn", text.data, text.len, wall);
    buf_free(&text);
}

void attempt_remember_said(struct attempt *a, const char *text)
{
    size_t len = strlen(text);
    if (len > ATTEMPT_SAID_MAX) len = utf8_cut(text, ATTEMPT_SAID_MAX);
    memcpy(a->said, text, len);
    a->said[len] = '\0';
}

/* A line of the log, on stderr or stdout. */
static void log_line(struct attempt *a, const struct line *line, const char *where, int64_t mono,
                     int64_t wall)
{
    struct job_line said;
    if (line->end == LINE_RETURN_FEED) {
        outbox_settle(&a->outbox, mono, wall);
        return;
    }
    job_log_line(&said, line->text, line->len);
    if (line->end == LINE_FEED) {
        outbox_settle(&a->outbox, mono, wall);
        outbox_line(&a->outbox, &said, wall);
    } else if (*said.message) {
        outbox_redraw(&a->outbox, &said, mono, wall);
    }
    bool words = said.message[strspn(said.message, " \t")]; /* blanks say nothing */
    if (words && where == STDERR) attempt_remember_said(a, said.message);
    job_line_free(&said);
    say_cut(a, line, where, true, wall);
}

static void malformed(struct attempt *a, const struct line *line, const char *why, int64_t wall)
{
    struct buf text = {0};
    bool whole = line->len <= QUOTE_MAX;
    buf_fmt(&text, "not understood on descriptor 3 (%s): ", why);
    buf_add(&text, line->text, whole ? line->len : utf8_cut(line->text, QUOTE_MAX));
    if (!whole) buf_str(&text, "...");
    outbox_log(&a->outbox, "warn", text.data, text.len, wall);
    buf_free(&text);
}

/* The newest counts. One that is too large is not dropped in silence: what comes after it would build on it. */
static void keep_newest(struct attempt *a, char **json, struct job_line *said, enum stop excess)
{
    if (strlen(said->json) > ATTEMPT_STATE_MAX) {
        too_large(a, excess);
        return;
    }
    free(*json);
    *json = said->json;
    said->json = NULL;
}

/* It is saved once the task is completed. */
static void take_context(struct attempt *a, struct job_line *said, int64_t wall)
{
    static const char alone[] = "context: the task is of no group";
    if (a->task.group)
        keep_newest(a, &a->context, said, STOP_CONTEXT);
    else
        outbox_log(&a->outbox, "warn", alone, strlen(alone), wall);
}

static void take_line(struct attempt *a, struct job_line *said, int64_t mono, int64_t wall)
{
    static const char mended[] = "half of a surrogate pair on descriptor 3 became U+FFFD";
    /* once: where characters are cut between two pieces of text, it may be in every line */
    if (said->mended && !a->mended) outbox_log(&a->outbox, "info", mended, strlen(mended), wall);
    a->mended |= said->mended;
    switch (said->kind) {
    case JOB_LINE_NOTHING: break;
    case JOB_LINE_PROGRESS: {
        struct report r = {said->percent, said->phase, said->message};
        said->phase = said->message = NULL;
        outbox_progress(&a->outbox, &r, mono, wall);
        break;
    }
    case JOB_LINE_EVENT:
        outbox_event(&a->outbox, said->type, said->json, wall);
        said->type = said->json = NULL;
        break;
    case JOB_LINE_LOG: outbox_line(&a->outbox, said, wall); break;
    case JOB_LINE_CHECKPOINT: keep_newest(a, &a->checkpoint, said, STOP_CHECKPOINT); break;
    case JOB_LINE_CONTEXT: take_context(a, said, wall); break;
    }
}

/* A line that is longer than an event may be, and is no context or checkpoint. */
static void take_long_line(struct attempt *a, const struct line *line, int64_t wall)
{
    struct line shown = *line;
    shown.len = utf8_cut(line->text, ATTEMPT_LINE_MAX);
    shown.cut += line->len - shown.len;
    malformed(a, &shown, "too long", wall);
    say_cut(a, &shown, "descriptor 3", false, wall);
}

static void event_line(struct attempt *a, const struct line *line, int64_t mono, int64_t wall)
{
    struct job_line said;
    struct error why = {0};
    bool is_long = line->len > ATTEMPT_LINE_MAX;
    enum job_line_kind guess = is_long ? job_line_guess(line->text, line->len) : JOB_LINE_NOTHING;
    if (is_long && guess == JOB_LINE_NOTHING) {
        take_long_line(a, line, wall);
    } else if (line->cut) {
        too_large(a, guess == JOB_LINE_CONTEXT ? STOP_CONTEXT : STOP_CHECKPOINT);
    } else if (job_line_parse(&said, line->text, line->len, &why)) {
        malformed(a, line, why.text, wall);
    } else {
        take_line(a, &said, mono, wall);
        job_line_free(&said);
    }
}

/* A pipe's lines: descriptor 3 is 0, then standard error, then standard output. */
enum { PIPES = 3 };

static struct lines *lines_of(struct attempt *a, int pipe)
{
    return pipe == 0 ? &a->event_lines : pipe == 1 ? &a->err_lines : &a->out_lines;
}

static void take(struct attempt *a, int pipe, const struct line *line, int64_t mono, int64_t wall)
{
    if (pipe == 0)
        event_line(a, line, mono, wall);
    else
        log_line(a, line, pipe == 1 ? STDERR : STDOUT, mono, wall);
}

/* While there is room: a line may make three, what was held back, it, and a warning. The pipe that took the last
 * room is the last to be read the next time. */
static void read_in_turn(struct attempt *a, int64_t mono, int64_t wall)
{
    struct line line;
    int first = a->turn;
    for (int i = 0; i < PIPES; i++) {
        int pipe = (first + i) % PIPES;
        while (a->outbox.count < ATTEMPT_NEWS_MAX && lines_next(lines_of(a, pipe), &line))
            take(a, pipe, &line, mono, wall);
        if (a->outbox.count >= ATTEMPT_NEWS_MAX) {
            a->turn = (pipe + 1) % PIPES;
            return;
        }
    }
    a->turn = 0;
}

void attempt_read_lines(struct attempt *a)
{
    int64_t mono = clock_monotonic_ms(), wall = clock_wall_ms();
    read_in_turn(a, mono, wall);
    outbox_due(&a->outbox, mono, wall, false);
    int64_t due = outbox_next(&a->outbox);
    if (due == INT64_MAX)
        loop_timer_stop(a->host->loop, &a->progress);
    else
        loop_timer_set(a->host->loop, &a->progress, due);
    if (lines_left(a)) attempt_listen(a);
}

bool attempt_read_remainder(struct attempt *a)
{
    struct line line;
    while (!a->type.stdout_log && channel_drain(&a->out)) continue;
    attempt_read_lines(a);
    for (bool more = true; more && !lines_left(a);) {
        bool events = channel_drain(&a->events), err = channel_drain(&a->err);
        more = events || err || (a->type.stdout_log && channel_drain(&a->out));
    }
    bool open = a->events.watch.fd >= 0 || a->err.watch.fd >= 0 || a->out.watch.fd >= 0;
    if (open || lines_left(a) || a->outbox.count + REMAINDER_NEWS > ATTEMPT_NEWS_MAX) return false;
    int64_t mono = clock_monotonic_ms(), wall = clock_wall_ms();
    static const int order[PIPES] = {0, 2, 1}; /* the last words are those on standard error */
    for (int i = 0; i < PIPES; i++)
        if (lines_last(lines_of(a, order[i]), &line)) take(a, order[i], &line, mono, wall);
    outbox_due(&a->outbox, mono, wall, true);
    loop_timer_stop(a->host->loop, &a->progress);
    return true;
}
