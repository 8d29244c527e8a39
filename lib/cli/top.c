/* leat top: the site as it works, drawn again when something changes. */
#include "base/clock.h"
#include "base/loop.h"
#include "cli/bar.h"
#include "cli/figures.h"
#include "cli/task_ref.h"
#include "store/bell.h"
#include "store/tasks.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int top(struct cli *cli, int argc, char **argv);

const struct command command_top = {
    .name = "top",
    .arguments = "[--json]",
    .summary = "shows the queue, runners, streams and the unfinished tasks, live",
    .help = "  On a terminal until Ctrl-C; elsewhere, and with --json (as leat stats), once.\n",
    .run = top,
};

enum {
    BETWEEN_MS = 500, /* two drawings, at least */
    TICK_MS = 1000,
    ROWS_ELSEWHERE = 40,
};

struct screen {
    struct cli *cli;
    struct loop *loop;
    struct bell *bell;
    struct loop_fd ring;
    struct loop_timer tick;
    int64_t drawn_at;
};

/* Appends as many lines of `text` as there is room for, less than the whole terminal, each wiped behind its end. */
static void add_lines(struct buf *out, const char *text, int *room)
{
    while (*text && *room > 0) {
        size_t len = strcspn(text, "\n");
        buf_add(out, text, len);
        buf_str(out, "\033[K\n");
        text += len + (text[len] == '\n');
        --*room;
    }
}

/* The unfinished tasks, those that run first. */
static enum err add_tasks(struct cli *cli, const struct terminal *t, int64_t limit, struct buf *out,
                          struct error *e)
{
    struct task_list list = {0};
    int64_t now = clock_wall_ms();
    enum err rc = task_list_unfinished(cli->db, NULL, limit, &list, e);
    if (rc) return rc;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < list.count; i++) {
            const struct task *task = &list.items[i];
            struct buf label = {0};
            if ((task->status == TASK_RUNNING) != !pass) continue;
            buf_fmt(&label, "%s %s", task->type, task_ref_short(task->id));
            struct bar bar = {.task = task, .label = label.data, .now = now};
            bar_line(out, t, &bar);
            buf_char(out, '\n');
            buf_free(&label);
        }
    }
    task_list_free(&list);
    return ERR_OK;
}

static enum err add_all(struct cli *cli, const struct terminal *t, struct buf *out, struct error *e)
{
    struct stats s;
    int64_t limit = t->rows ? t->rows : ROWS_ELSEWHERE;
    enum err rc = stats_read(cli->db, NULL, &s, e);
    if (rc) return rc;
    figures_site(cli, &s, out);
    stats_free(&s);
    buf_char(out, '\n');
    return add_tasks(cli, t, limit, out, e);
}

static enum err draw(struct screen *s, struct error *e)
{
    struct terminal t = terminal_of(s->cli, STDOUT_FILENO);
    struct buf text = {0}, out = {0};
    int room = t.rows - 1;
    s->drawn_at = clock_monotonic_ms();
    enum err rc = add_all(s->cli, &t, &text, e);
    if (!rc) {
        buf_str(&out, "\033[H");
        add_lines(&out, buf_text(&text), &room);
        buf_str(&out, "\033[J");
        cli_put(&out);
        fflush(stdout);
    }
    buf_free(&text);
    return rc == ERR_BUSY ? ERR_OK : rc;
}

static void ticked(void *arg)
{
    struct screen *s = arg;
    loop_timer_set(s->loop, &s->tick, clock_monotonic_ms() + TICK_MS);
}

/* Not at once: many rings are one drawing. */
static void rang(void *arg, int events)
{
    (void)events;
    struct screen *s = arg;
    bell_answer(s->bell);
    int64_t next = s->drawn_at + BETWEEN_MS;
    if (s->tick.at > next) loop_timer_set(s->loop, &s->tick, next);
}

static enum err begin(struct screen *s, struct error *e)
{
    enum err rc = loop_open(&s->loop, e);
    if (rc) return rc;
    s->tick = (struct loop_timer){.fire = ticked, .arg = s};
    loop_timer_set(s->loop, &s->tick, clock_monotonic_ms() + TICK_MS);
    if (bell_open(&s->bell, db_path(s->cli->db), NULL)) return ERR_OK; /* the clock will do */
    s->ring = (struct loop_fd){.fd = bell_fd(s->bell), .events = LOOP_IN, .ready = rang, .arg = s};
    return loop_add(s->loop, &s->ring, e);
}

static int run_live(struct cli *cli)
{
    struct screen s = {.cli = cli};
    struct error e = {0};
    enum err rc = begin(&s, &e);
    fputs("\033[2J", stdout);
    while (!rc) {
        if (clock_monotonic_ms() >= s.drawn_at + BETWEEN_MS) rc = draw(&s, &e);
        assert(txn_idle(cli->db)); /* nobody waits in a transaction */
        if (!rc) rc = loop_wait(s.loop, -1, &e);
        if (loop_signal(SIGINT) || loop_signal(SIGTERM) || loop_signal(SIGHUP)) break;
    }
    if (s.bell) loop_del(s.loop, &s.ring);
    bell_close(s.bell);
    loop_close(s.loop);
    return rc ? cli_error(cli, &e) : EX_OK;
}

static int top(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const struct cli_option options[] = {CLI_FLAG("json", &json)};
    struct terminal t = terminal_of(cli, STDOUT_FILENO);
    struct error e = {0};
    int status = cli_options(cli, options, 1, &argc, argv);
    if (!status && argc) status = cli_fail(cli, EX_USAGE, "'%s' is not expected here", argv[0]);
    if (!status && json) return command_stats.run(cli, 1, (char *[]){(char *)"--json", NULL});
    if (!status) status = cli_database(cli);
    if (status) return status;
    if (t.live) return run_live(cli);
    struct buf out = {0};
    if (add_all(cli, &t, &out, &e)) status = cli_error(cli, &e);
    cli_put(&out);
    return status ? status : cli_flush(cli);
}
