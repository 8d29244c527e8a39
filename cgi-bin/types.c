/* Job types: what there is, and holding one back. */
#include "answers.h"
#include "base/clock.h"
#include "base/json.h"
#include "handlers.h"
#include "ops/autostart.h"
#include "ops/pause.h"
#include "ops/type_list.h"
#include "server/server.h"

#include <stdlib.h>

static void type_document(struct buf *out, const struct type_list_item *item,
                          const struct conf *conf)
{
    const struct jobtype *t = &item->conf;
    buf_str(out, "{\"type\":");
    json_text(out, t->name);
    json_key(out, "timeout");
    json_number(out, (double)t->timeout_ms / 1000);
    json_key(out, "max_attempts");
    buf_int(out, t->attempts);
    json_key(out, "max_input_bytes");
    buf_int(out, type_list_input_max(item, conf));
    json_key(out, "result_type");
    json_text(out, *t->result_type ? t->result_type : NULL);
    buf_fmt(out, ",\"serialize\":%s,\"get\":%s,\"paused\":%s", t->serialize ? "\"group\"" : "null",
            t->get ? "true" : "false", item->paused ? "true" : "false");
    json_key(out, "broken");
    json_text(out, item->broken);
    buf_char(out, '}');
}

/* GET /types: the job types, with their limits, whether they are paused, and what is broken about one, so that
 * its tasks wait. */
void types_list(struct exchange *x)
{
    struct job_types *types = x->server->types;
    struct error e = {0};
    struct type_rows rows = {0};
    enum err rc = job_types_refresh(types, &e);
    if (!rc) rc = type_rows_read(x->server->db, clock_wall_ms(), &rows, &e);
    if (rc) {
        exchange_fail(x, &e);
    } else {
        struct type_list list;
        struct buf body = {0};
        type_list_make(&list, types, &rows);
        buf_str(&body, "{\"types\":[");
        for (size_t i = 0; i < list.count; i++) {
            buf_str(&body, i ? "," : "");
            type_document(&body, &list.items[i], x->request.conf);
        }
        buf_str(&body, "]}");
        answer_json(x, &body);
        type_list_free(&list);
    }
    type_rows_free(&rows);
}

static void drop_pause(struct pause_type *p)
{
    pause_type_free(p);
    free(p);
}

static void changed(struct exchange *x, void *arg)
{
    struct pause_type *p = arg;
    if (!exchange_refused(x, &p->op)) {
        struct type_list list;
        struct buf body = {0};
        if (!p->paused) autostart(x->server->conf); /* for the tasks that waited */
        type_list_make(&list, x->server->types, &p->rows);
        struct type_list_item gone;
        type_document(&body, type_list_get(&list, p->type, &gone), x->request.conf);
        answer_json(x, &body);
        type_list_free(&list);
    }
    drop_pause(p);
}

static void change(struct exchange *x, bool paused)
{
    struct caller caller = exchange_caller(x);
    struct pause_type *p = mem_alloc(sizeof *p);
    job_types_refresh(x->server->types, NULL); /* a folder that cannot be read is as it was */
    pause_type_init(p, &caller, x->route.params[0], paused);
    commit_group_add(x->server->commits, x, &p->op, changed, p);
}

/* POST /types/{type}/pause: 200 with the type; no task of it is claimed from now on, what runs goes on. */
void types_pause(struct exchange *x)
{
    change(x, true);
}

/* POST /types/{type}/resume: 200 with the type; what waits is claimed again. */
void types_resume(struct exchange *x)
{
    change(x, false);
}
