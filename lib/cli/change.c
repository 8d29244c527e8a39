#include "cli/change.h"

#include "cli/task_ref.h"
#include "ops/autostart.h"
#include "render/document.h"

#include <stdio.h>
#include <sysexits.h>

/* What came of it, in a line. */
static void print_line(const struct task *t)
{
    const char *word = task_status_name(t->status);
    if (t->status == TASK_RUNNING) word = "running, is being stopped";
    if (t->status == TASK_PENDING) word = "pending again";
    printf("%s: %s\n", t->id, word);
}

static int change_one(struct cli *cli, const struct change_wish *w, const struct caller *caller,
                      const char *name, struct buf *json)
{
    struct task_view view = cli_view(cli);
    struct task t = {0};
    struct error e = {0};
    struct change_task change;
    int status = task_ref_read(cli, name, &t);
    if (status) return status;
    change_task_init(&change, caller, w->kind, t.id);
    change.force = w->force;
    if (operation_run(&change.op, cli->db, &e)) {
        status = e.code == ERR_STATE
                     ? cli_fail(cli, EX_DATAERR, "%s: %s; %s", t.id, e.text, w->next)
                     : cli_refused(cli, &change.op, &e);
    } else if (w->json) {
        if (json->data[json->len - 1] != '[') buf_char(json, ',');
        task_document(json, &change.task, &view);
    } else {
        print_line(&change.task);
    }
    change_task_free(&change);
    task_free(&t);
    return status;
}

int change_named(struct cli *cli, const struct change_wish *w, int argc, char **argv)
{
    struct caller caller;
    struct buf json = {0};
    if (argc < 1)
        return cli_fail(cli, EX_USAGE, "the ID of a task is expected; leat list shows them");
    int status = cli_caller(cli, NULL, &caller);
    if (status) return status;
    job_types_refresh(caller.types, NULL); /* for their attempts */
    buf_str(&json, "{\"tasks\":[");
    for (int i = 0; i < argc; i++) {
        int one = change_one(cli, w, &caller, argv[i], &json);
        if (!status) status = one;
    }
    buf_str(&json, "]}\n");
    if (w->json) cli_put(&json);
    buf_free(&json);
    autostart(cli->conf);
    int flushed = cli_flush(cli);
    return status ? status : flushed;
}
