#include "cli/bar.h"

#include "task/progress.h"

#include <string.h>

enum { WIDE = 60, CELLS_WIDE = 24, CELLS_MIN = 6, LABEL_MAX = 28, WORDS_MIN = 22 };

enum colour bar_colour(enum task_status status)
{
    switch (status) {
    case TASK_COMPLETED: return COLOUR_GOOD;
    case TASK_FAILED:
    case TASK_TIMEOUT: return COLOUR_BAD;
    case TASK_CANCELLED: return COLOUR_WARN;
    case TASK_PENDING:
    case TASK_RUNNING:
    case TASK_STATUSES: break;
    }
    return COLOUR_NONE;
}

void bar_failure(struct buf *out, enum task_status status, const struct failure *f)
{
    const char *word = task_status_name(status);
    size_t start = out->len;
    if (!f->code) return;
    if (f->exit_status > 0)
        buf_fmt(out, "exit status %lld", (long long)f->exit_status);
    else if (f->signal > 0)
        buf_fmt(out, "killed by signal %lld", (long long)f->signal);
    else if (strcmp(f->code, word) != 0)
        buf_str(out, f->code);
    if (!f->message || !*f->message || !strcmp(f->message, word)) return;
    if (out->len > start) buf_str(out, ": ");
    buf_str(out, f->message);
}

void bar_error(struct buf *out, const struct task *t)
{
    const struct failure f = {t->error_code, t->error_message, t->exit_status, t->signal};
    bar_failure(out, t->status, &f);
}

static void pending_state(struct buf *out, const struct task *t, int64_t now)
{
    if (t->run_at != TASK_NONE && t->run_at > now) {
        buf_str(out, "waits for ");
        text_clock(out, (double)(t->run_at - now) / 1000);
    } else {
        buf_str(out, "waiting");
        if (t->queue_position > 0) buf_fmt(out, ", number %lld", (long long)t->queue_position);
    }
    if (t->attempt > 0) buf_fmt(out, ", after attempt %lld", (long long)t->attempt);
}

void bar_state(struct buf *out, const struct task *t, int64_t now)
{
    double elapsed = task_elapsed_seconds(t, now);
    if (t->status == TASK_PENDING) {
        pending_state(out, t, now);
    } else if (t->status == TASK_RUNNING) {
        buf_str(out, t->cancel_requested ? "is being cancelled" : "running");
        if (t->attempt > 1) buf_fmt(out, ", attempt %lld", (long long)t->attempt);
    } else {
        buf_str(out, task_status_name(t->status));
        if (elapsed < 0) return;
        buf_str(out, t->status == TASK_COMPLETED ? " in " : " after ");
        if (elapsed < 10)
            buf_fmt(out, "%.1f s", elapsed);
        else
            text_clock(out, elapsed);
    }
}

/* The bar itself, of so many cells. */
static void draw_cells(struct buf *out, const struct terminal *t, const struct task *task,
                       int cells)
{
    struct buf text = {0};
    int full = (int)(task->progress / 100 * cells);
    for (int i = 0; i < cells; i++) {
        if (t->unicode)
            buf_str(&text, i < full ? "\xe2\x96\x88" : "\xe2\x96\x91");
        else
            buf_char(&text, i < full ? '#' : '-');
    }
    buf_char(out, '[');
    text_colour(out, t, bar_colour(task->status), buf_text(&text));
    buf_char(out, ']');
    buf_free(&text);
}

/* "ETA 0:12" where it can be told, else how long it has run. */
static void draw_time(struct buf *out, const struct bar *b)
{
    double elapsed = task_elapsed_seconds(b->task, b->now);
    double left = progress_remaining(elapsed, b->task->progress);
    if (b->task->status != TASK_RUNNING) return;
    if (left >= 0) buf_str(out, "ETA ");
    text_clock(out, left >= 0 ? left : elapsed);
}

/* What it says, or is. */
static void draw_words(struct buf *out, const struct bar *b)
{
    const struct task *t = b->task;
    bool says = t->status == TASK_RUNNING && !t->cancel_requested;
    if (b->gone) {
        buf_str(out, "deleted");
    } else if (b->label && task_status_terminal(t->status) && t->status != TASK_COMPLETED) {
        struct buf error = {0};
        bar_error(&error, t);
        buf_fmt(out, "%s%s%s", task_status_name(t->status), error.len ? ": " : "",
                buf_text(&error));
        buf_free(&error);
    } else if (says && (t->phase || t->message)) {
        bool both = t->phase && t->message;
        buf_fmt(out, "%s%s%s", t->phase ? t->phase : "", both ? ": " : "",
                t->message ? t->message : "");
    } else if (says && b->label && b->log) {
        buf_str(out, b->log);
    } else {
        bar_state(out, t, b->now);
    }
}

void bar_line(struct buf *out, const struct terminal *t, const struct bar *b)
{
    /* the last column stays empty: a terminal would begin another line there */
    int left = t->columns - 1, cells = left >= WIDE ? CELLS_WIDE : left / 3;
    struct buf time = {0}, words = {0};
    if (b->label) {
        int most = left / 3 < LABEL_MAX ? left / 3 : LABEL_MAX;
        int used = text_fit(out, t, b->label, most);
        buf_fmt(out, "%*s", most - used + 1, "");
        left -= most + 1;
        cells = left >= WIDE ? left / 3 : left / 4;
        if (cells > CELLS_WIDE) cells = CELLS_WIDE;
    }
    if (cells < CELLS_MIN) cells = CELLS_MIN;
    draw_cells(out, t, b->task, cells);
    buf_fmt(out, " %3d%%", (int)b->task->progress);
    left -= cells + 7;
    draw_time(&time, b);
    if (time.len && left > (int)time.len + 1) {
        buf_fmt(out, "  %s", time.data);
        left -= (int)time.len + 2;
    }
    draw_words(&words, b);
    if (task_status_terminal(b->task->status) && left < WORDS_MIN &&
        text_width(buf_text(&words), words.len) > left - 2) {
        buf_clear(&words); /* one word that is whole says more */
        buf_str(&words, task_status_name(b->task->status));
    }
    if (left > 4) {
        struct buf fit = {0};
        text_fit(&fit, t, buf_text(&words), left - 2);
        buf_str(out, "  ");
        text_colour(out, t, bar_colour(b->task->status), buf_text(&fit));
        buf_free(&fit);
    }
    buf_free(&time);
    buf_free(&words);
}

void bar_second(struct buf *out, const struct terminal *t, const struct bar *b)
{
    struct buf words = {0}, fit = {0};
    bool ended = task_status_terminal(b->task->status);
    if (ended)
        bar_error(&words, b->task);
    else if (b->log)
        buf_str(&words, b->log);
    if (words.len) {
        bool own = strchr(words.data, '\033'); /* the job has chosen them */
        text_fit_coloured(&fit, t, words.data, t->columns - 1);
        text_colour(out, t, ended || own ? COLOUR_NONE : COLOUR_FAINT, buf_text(&fit));
    }
    buf_free(&fit);
    buf_free(&words);
}
