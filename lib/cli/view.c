#include "cli/view.h"

#include "base/clock.h"
#include "base/json.h"
#include "cli/bar.h"
#include "cli/task_ref.h"
#include "cli/terminal.h"
#include "render/document.h"
#include "store/events.h"
#include "store/results.h"
#include "store/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

struct view {
    struct watcher *w;
    enum view_form form;
    struct terminal terminal; /* standard error */
    char **logs;              /* the last line of each task's log; NULL: none */
    char **told;              /* the last progress of each that was told in a line; NULL: none */
    int drawn;                /* lines of the terminal that are ours */
};

static bool draws(const struct view *v)
{
    return v->form == VIEW_WATCH && v->terminal.live;
}

/* ---- results ---- */

int view_result(struct cli *cli, const struct task *t)
{
    struct buf body = {0}, plain = {0};
    struct error e = {0};
    struct task_result result;
    enum err rc = task_result_find(cli->db, t->n, &result, &e);
    if (!rc)
        rc = task_result_read(cli->db, &result, buf_reserve(&body, (size_t)result.bytes),
                              (size_t)result.bytes, 0, &e);
    if (!rc) body.len = (size_t)result.bytes;
    task_result_free(&result);
    if (rc == ERR_NOTFOUND) return EX_OK;
    if (rc) {
        buf_free(&body);
        return cli_error(cli, &e);
    }
    if (!isatty(STDOUT_FILENO)) {
        cli_put(&body);
        return cli_flush(cli);
    }
    if (utf8_valid(buf_text(&body), body.len) && !memchr(buf_text(&body), '\0', body.len)) {
        text_harmless(&plain, buf_text(&body), body.len);
        if (plain.len && plain.data[plain.len - 1] != '\n') buf_char(&plain, '\n');
        cli_put(&plain);
    } else {
        buf_str(&plain, "leat: the result is no text, of ");
        text_bytes(&plain, (int64_t)body.len);
        fputs(plain.data, stderr);
        buf_clear(&plain);
        cli_again(cli, &plain);
        fprintf(stderr, "; %sshow --result %s >FILE saves it\n", plain.data, t->id);
        buf_free(&plain);
    }
    buf_free(&body);
    return cli_flush(cli);
}

/* ---- bars ---- */

/* Takes back what was drawn. */
static void erase(struct view *v, struct buf *out)
{
    if (v->drawn) buf_fmt(out, "\r\033[%dA\033[J", v->drawn);
    v->drawn = 0;
}

static void end_line(struct view *v, struct buf *out)
{
    buf_str(out, "\033[K\n");
    v->drawn++;
}

static void draw_one(struct view *v, struct buf *out, size_t at, bool several)
{
    const struct watched *item = &v->w->items[at];
    struct buf label = {0}, second = {0};
    struct bar bar = {
        .task = &item->task, .log = v->logs[at], .now = clock_wall_ms(), .gone = item->gone};
    if (several) {
        buf_fmt(&label, "%s %s", item->task.type, task_ref_short(item->task.id));
        bar.label = label.data;
    }
    bar_line(out, &v->terminal, &bar);
    end_line(v, out);
    if (!several) bar_second(&second, &v->terminal, &bar);
    if (second.len) {
        buf_str(out, second.data);
        end_line(v, out);
    }
    buf_free(&second);
    buf_free(&label);
}

/* As many as the terminal has room for, those that have not ended first. */
static void draw_several(struct view *v, struct buf *out)
{
    size_t count = v->w->count, room = v->terminal.rows > 4 ? (size_t)v->terminal.rows - 2 : 2;
    size_t ended = 0, shown = 0, unfinished = 0;
    for (size_t i = 0; i < count; i++) ended += v->w->items[i].ended;
    unfinished = count - ended;
    size_t spare = room > unfinished ? room - unfinished : 0; /* for those that have ended */
    for (size_t i = 0; i < count && shown < room; i++) {
        if (count > room && v->w->items[i].ended && !spare) continue;
        if (count > room && v->w->items[i].ended) spare--;
        draw_one(v, out, i, true);
        shown++;
    }
    if (shown == count) return;
    struct buf line = {0};
    buf_fmt(&line, "and %zu more; %zu of %zu have ended", count - shown, ended, count);
    text_fit(out, &v->terminal, line.data, v->terminal.columns - 1);
    end_line(v, out);
    buf_free(&line);
}

static void draw(struct view *v)
{
    struct buf out = {0};
    v->terminal = terminal_of(v->w->cli, STDERR_FILENO);
    erase(v, &out);
    if (v->w->count == 1)
        draw_one(v, &out, 0, false);
    else
        draw_several(v, &out);
    fwrite(out.data, 1, out.len, stderr);
    fflush(stderr);
    buf_free(&out);
}

/* ---- lines ---- */

static const char *member(const json_t *payload, const char *name)
{
    const char *text = json_string_value(json_object_get(payload, name));
    return text ? text : "";
}

static void status_line(struct buf *out, const json_t *payload)
{
    const json_t *error = json_object_get(payload, "error");
    json_int_t attempt = json_integer_value(json_object_get(payload, "attempt"));
    enum task_status to = TASK_STATUSES;
    buf_str(out, member(payload, "to"));
    if (attempt > 1) buf_fmt(out, ", attempt %lld", (long long)attempt);
    if (!error || !task_status_parse(member(payload, "to"), &to)) return;
    const struct failure f = {member(error, "code"), member(error, "message"),
                              json_integer_value(json_object_get(error, "exit_status")),
                              json_integer_value(json_object_get(error, "signal"))};
    struct buf words = {0};
    bar_failure(&words, to, &f);
    if (words.len) buf_fmt(out, ": %s", words.data);
    buf_free(&words);
}

static void progress_line(struct buf *out, const json_t *payload)
{
    const char *phase = member(payload, "phase"), *message = member(payload, "message");
    const json_t *percent = json_object_get(payload, "percent");
    if (json_is_number(percent)) buf_fmt(out, "%3d%%", (int)json_number_value(percent));
    if (*phase) buf_fmt(out, " %s%s", phase, *message ? ":" : "");
    if (*message) buf_fmt(out, " %s", message);
}

/* The event in words. */
static void event_line(struct buf *out, const struct event *ev)
{
    json_t *payload = json_read(ev->payload, strlen(ev->payload), NULL);
    if (!strcmp(ev->type, "task.created")) {
        buf_str(out, "pending");
    } else if (!strcmp(ev->type, "task.status_changed")) {
        status_line(out, payload);
    } else if (!strcmp(ev->type, "task.progress")) {
        progress_line(out, payload);
    } else if (!strcmp(ev->type, "log.append")) {
        buf_str(out, member(payload, "message"));
    } else if (!strcmp(ev->type, "file.created")) {
        buf_fmt(out, "file %s, ", member(payload, "name"));
        text_bytes(out, json_integer_value(json_object_get(payload, "bytes")));
    } else {
        buf_fmt(out, "%s %s", ev->type, ev->payload);
    }
    json_decref(payload);
}

/* Prints text, each of its lines beginning with the task where there are several. */
static void print_lines(const struct view *v, size_t at, const struct buf *text)
{
    struct buf plain = {0}, out = {0};
    text_harmless(&plain, buf_text(text), text->len);
    const char *p = buf_text(&plain);
    do {
        size_t len = strcspn(p, "\n");
        if (v->w->count > 1) buf_fmt(&out, "%s ", task_ref_short(v->w->items[at].task.id));
        buf_add(&out, p, len);
        buf_char(&out, '\n');
        p += len + (p[len] == '\n');
    } while (*p);
    cli_put(&out);
    buf_free(&plain);
}

static void print_event(struct view *v, size_t at, const struct event *ev)
{
    struct buf text = {0};
    event_line(&text, ev);
    bool progress = !strcmp(ev->type, "task.progress");
    /* fractions of a percent are nobody's business here */
    if (!progress || !v->told[at] || strcmp(v->told[at], buf_text(&text)) != 0)
        print_lines(v, at, &text);
    if (progress) {
        free(v->told[at]);
        v->told[at] = mem_str(buf_text(&text));
    }
    buf_free(&text);
}

/* ---- hooks ---- */

static void keep_log(struct view *v, size_t at, const char *text)
{
    json_t *payload = json_read(text, strlen(text), NULL);
    free(v->logs[at]);
    v->logs[at] = mem_str(member(payload, json_object_get(payload, "ansi") ? "ansi" : "message"));
    json_decref(payload);
}

static void on_event(void *arg, size_t at, const struct event *ev)
{
    struct view *v = arg;
    if (v->form == VIEW_JSON) {
        struct buf line = {0};
        event_envelope(&line, ev, db_epoch(v->w->cli->db));
        buf_char(&line, '\n');
        cli_put(&line);
    } else if (draws(v)) {
        if (!strcmp(ev->type, "log.append")) keep_log(v, at, ev->payload);
    } else if (v->form == VIEW_WATCH) {
        print_event(v, at, ev);
    }
}

static void on_look(void *arg)
{
    struct view *v = arg;
    if (draws(v)) draw(v);
    fflush(stdout);
}

static void on_say(void *arg, const char *line)
{
    struct view *v = arg;
    struct buf out = {0};
    bool lines = v->form == VIEW_WATCH && !draws(v);
    erase(v, &out);
    buf_fmt(&out, "leat: %s\n", line);
    fwrite(out.data, 1, out.len, lines ? stdout : stderr);
    fflush(lines ? stdout : stderr);
    buf_free(&out);
    if (draws(v)) draw(v);
}

/* Of a task that is drawn only the present counts: the log begins with its last line. */
static enum err begin(struct view *v, size_t at, struct error *e)
{
    struct watched *item = &v->w->items[at];
    char *payload = NULL;
    if (!draws(v)) return ERR_OK;
    enum err rc = event_last_log(v->w->cli->db, item->task.n, &payload, e);
    if (payload) keep_log(v, at, payload);
    free(payload);
    item->after = item->task.cursor;
    return rc;
}

/* What went wrong, where nothing else has said it. */
static void print_errors(const struct view *v)
{
    for (size_t i = 0; i < v->w->count; i++) {
        const struct watched *item = &v->w->items[i];
        struct buf error = {0}, plain = {0};
        if (!item->gone && (!item->ended || item->task.status == TASK_COMPLETED)) continue;
        bar_error(&error, &item->task);
        text_harmless(&plain, buf_text(&error), error.len);
        fprintf(stderr, "leat: %s: %s%s%s\n", item->task.id,
                item->gone ? "deleted" : task_status_name(item->task.status), plain.len ? ": " : "",
                buf_text(&plain));
        buf_free(&error);
        buf_free(&plain);
    }
}

int view_run(struct watcher *w, enum view_form form)
{
    struct view v = {.w = w, .form = form, .terminal = terminal_of(w->cli, STDERR_FILENO)};
    struct error e = {0};
    enum err rc = ERR_OK;
    v.logs = mem_alloc(w->count * sizeof *v.logs);
    v.told = mem_alloc(w->count * sizeof *v.told);
    w->hooks = (struct watcher_hooks){on_event, on_look, on_say, &v};
    for (size_t i = 0; !rc && i < w->count; i++) rc = begin(&v, i, &e);
    int status = rc ? cli_error(w->cli, &e) : watcher_run(w);
    if (!status && form == VIEW_QUIET) print_errors(&v);
    if (!status && form == VIEW_WATCH && w->count == 1 && w->items[0].ended && !w->items[0].gone)
        status = view_result(w->cli, &w->items[0].task);
    for (size_t i = 0; i < w->count; i++) {
        free(v.logs[i]);
        free(v.told[i]);
    }
    free(v.logs);
    free(v.told);
    if (!status) status = cli_flush(w->cli);
    return status ? status : watcher_status(w);
}
