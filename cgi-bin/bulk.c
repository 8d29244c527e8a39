/* Many tasks by one request: its lines are read a slice at a time, and where their inputs are much they are
 * stored before the tasks are, so that neither memory nor a transaction holds all of them. */
#include "bulk.h"

#include "answers.h"
#include "base/clock.h"
#include "ops/autostart.h"
#include "portions.h"
#include "server/server.h"
#include "store/inputs.h"
#include "task_request.h"
#include "web/problem.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>

enum { SLICE_US = 2 * 1000 };

struct bulk {
    struct submit_many m;
    struct buf text;     /* of the body, as far as it was read and not used */
    size_t used;         /* of `text` */
    int64_t read, bytes; /* of the body: so many are or were in `text`, and it has so many */
    int64_t line;
    size_t stored; /* of the items: the inputs of those before are stored */
    size_t held;   /* bytes of the inputs of the others */
    struct submit_inputs inputs;
};

static void drop(struct bulk *b)
{
    submit_many_free(&b->m);
    buf_free(&b->text);
    free(b);
}

static void dropped(struct exchange *x, void *arg)
{
    (void)x; /* answered before */
    drop(arg);
}

static bool has_uploads(const struct bulk *b)
{
    for (size_t i = 0; i < b->m.count; i++)
        if (b->m.items[i].upload) return true;
    return false;
}

/* It was answered: nothing of it stays. */
static void give_up(struct exchange *x, struct bulk *b)
{
    if (has_uploads(b))
        portions_drop(x, b->m.items, b->m.count, dropped, b);
    else
        drop(b);
}

static void answer(struct exchange *x, const struct submit_many *m)
{
    struct task_view view = answer_view(x);
    struct buf body = {0};
    buf_str(&body, "{\"tasks\":[");
    for (size_t i = 0; i < m->count; i++) {
        const struct submit *s = &m->items[i];
        buf_fmt(&body, "%s{\"task_id\":\"%s\"%s,\"links\":", i ? "," : "", s->task.id,
                s->joined ? ",\"joined\":true" : "");
        task_links(&body, &s->task, &view);
        buf_char(&body, '}');
    }
    buf_str(&body, "]}");
    struct response r;
    response_start(&r, &x->request, 202);
    response_json(&r, &body);
    buf_free(&body);
}

static void created(struct exchange *x, void *arg)
{
    struct bulk *b = arg;
    x->request.line = b->m.line;
    if (exchange_refused(x, &b->m.op)) {
        give_up(x, b);
        return;
    }
    autostart(x->server->conf);
    answer(x, &b->m);
    drop(b);
}

/* ---- reading ---- */

static void go_on(struct exchange *x, void *arg);

static void inputs_stored(struct exchange *x, void *arg)
{
    struct bulk *b = arg;
    bool failed = b->inputs.op.error.code;
    for (size_t i = b->stored; i < b->m.count; i++) {
        struct submit *s = &b->m.items[i];
        free(s->input);
        s->input = NULL;
        if (failed) s->upload = 0; /* it was undone */
    }
    b->stored = b->m.count;
    b->held = 0;
    x->request.line = b->m.line;
    if (exchange_refused(x, &b->inputs.op))
        give_up(x, b);
    else
        go_on(x, b);
}

static void store_inputs(struct exchange *x, struct bulk *b)
{
    submit_inputs_init(&b->inputs, &b->m, b->stored);
    commit_group_add(x->server->commits, x, &b->inputs.op, inputs_stored, b);
}

/* Reads more of the body behind what is not used yet. *e says what failed. */
static enum err read_more(struct exchange *x, struct bulk *b, struct error *e)
{
    int64_t left = b->bytes - b->read;
    size_t len = left < INPUT_PORTION ? (size_t)left : INPUT_PORTION;
    buf_drop(&b->text, b->used);
    b->used = 0;
    enum err rc = spool_read(&x->spool, buf_reserve(&b->text, len), len, b->read, e);
    if (rc) return rc;
    b->text.len += len;
    b->read += (int64_t)len;
    return ERR_OK;
}

/* The next line: its bytes behind b->used in *len. False: there is none, or (*e) the body cannot be read. A line that
 * is too large is given out as far as it was read. */
static bool find_line(struct exchange *x, struct bulk *b, size_t *len, struct error *e)
{
    size_t most = (size_t)conf_int(x->request.conf, CONF_HTTP_MAX_BODY_BYTES), looked = 0;
    for (;;) {
        size_t there = b->text.len - b->used;
        const char *from = buf_text(&b->text) + b->used, *stop = NULL;
        if (there > looked) stop = memchr(from + looked, '\n', there - looked);
        *len = stop ? (size_t)(stop - from) : there;
        looked = there;
        if (stop || there > most) return true;
        if (b->read == b->bytes) return there > 0;
        if (read_more(x, b, e)) return false;
    }
}

static void end(struct exchange *x, struct bulk *b)
{
    x->request.line = 0;
    if (b->m.count) {
        commit_group_add(x->server->commits, x, &b->m.op, created, b);
    } else {
        problem(&x->request, 422, "invalid_request", "there is no request in the body");
        drop(b);
    }
}

/* Reads lines for a slice of time, or until their inputs are much. */
static void go_on(struct exchange *x, void *arg)
{
    struct bulk *b = arg;
    struct error e = {0};
    size_t len;
    for (int64_t until = clock_monotonic_us() + SLICE_US; clock_monotonic_us() < until;) {
        if (!find_line(x, b, &len, &e)) {
            if (e.code) {
                exchange_fail(x, &e);
                give_up(x, b);
            } else {
                end(x, b);
            }
            return;
        }
        size_t before = b->m.count;
        if (!task_request_read_line(x, &b->m, ++b->line, b->text.data + b->used, len)) {
            give_up(x, b);
            return;
        }
        b->used += len;
        if (b->used < b->text.len) b->used++; /* its end */
        if (b->m.count > before) b->held += b->m.items[before].input_bytes;
        if (b->held > INPUT_PORTION) {
            store_inputs(x, b);
            return;
        }
    }
    exchange_later(x, go_on, b);
}

void bulk_create(struct exchange *x)
{
    struct bulk *b = mem_alloc(sizeof *b);
    submit_many_init(&b->m);
    if (!task_request_read_many(x, &b->m)) {
        drop(b);
        return;
    }
    b->bytes = exchange_body_bytes(x);
    b->read = (int64_t)x->body.len;
    b->text = x->body;
    x->body = (struct buf){0};
    go_on(x, b);
}
