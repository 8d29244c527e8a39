#include "portions.h"

#include "server/server.h"
#include "store/inputs.h"

#include <stdlib.h>
#include <string.h>

/* ---- giving up ---- */

struct dropping {
    struct submit_drop op;
    struct submit *items;
    size_t count;
    void (*done)(struct exchange *x, void *arg);
    void *arg;
};

static void dropped(struct exchange *x, void *arg)
{
    struct dropping d = *(struct dropping *)arg;
    free(arg);
    for (size_t i = 0; i < d.count; i++) d.items[i].upload = 0;
    d.done(x, d.arg);
}

void portions_drop(struct exchange *x, struct submit *items, size_t count,
                   void (*done)(struct exchange *x, void *arg), void *arg)
{
    struct dropping *d = mem_alloc(sizeof *d);
    *d = (struct dropping){.items = items, .count = count, .done = done, .arg = arg};
    submit_drop_init(&d->op, items, count);
    commit_group_add(x->server->commits, x, &d->op.op, dropped, d);
}

/* ---- storing ---- */

/* An input on its way into the database. */
struct storing {
    struct submit *s;
    struct submit_portion portion;
    struct buf bytes; /* of the portion, out of the file */
    size_t stored;
    void (*done)(struct exchange *x, void *arg);
    void *arg;
};

/* The outcome stands in s->op. */
static void end(struct exchange *x, void *arg)
{
    struct storing st = *(struct storing *)arg;
    free(arg);
    buf_free(&st.bytes);
    st.done(x, st.arg);
}

static void give_up(struct exchange *x, struct storing *st)
{
    if (st->s->upload)
        portions_drop(x, st->s, 1, end, st);
    else
        end(x, st);
}

static void made(struct exchange *x, void *arg)
{
    struct storing *st = arg;
    if (st->s->op.error.code)
        give_up(x, st);
    else
        end(x, st);
}

/* All is stored: the task. */
static void make(struct exchange *x, struct storing *st)
{
    struct submit *s = st->s;
    spool_close(&x->spool);
    free(s->input);
    s->input = NULL;
    submit_uploaded(s);
    commit_group_add(x->server->commits, x, &s->op, made, st);
}

static void stored(struct exchange *x, void *arg);

/* Reads the next portion, and has it stored. */
static void next(struct exchange *x, struct storing *st)
{
    struct submit *s = st->s;
    size_t left = s->input_bytes - st->stored, len = left < INPUT_PORTION ? left : INPUT_PORTION;
    const char *from = s->input ? s->input + st->stored : NULL;
    if (!left) {
        make(x, st);
        return;
    }
    if (!from) {
        buf_clear(&st->bytes);
        from = buf_reserve(&st->bytes, len);
        if (spool_read(&x->spool, st->bytes.data, len, (int64_t)st->stored, &s->op.error)) {
            give_up(x, st);
            return;
        }
    }
    st->stored += len;
    submit_portion_init(&st->portion, s->upload, from, len);
    commit_group_add(x->server->commits, x, &st->portion.op, stored, st);
}

static void stored(struct exchange *x, void *arg)
{
    struct storing *st = arg;
    st->s->op.error = st->portion.op.error;
    if (st->s->op.error.code)
        give_up(x, st);
    else
        next(x, st);
}

static void reserved(struct exchange *x, void *arg)
{
    struct storing *st = arg;
    struct submit *s = st->s;
    if (s->op.error.code) s->upload = 0; /* it was undone */
    if (s->op.error.code || !s->upload)
        end(x, st);
    else
        next(x, st);
}

void portions_submit(struct exchange *x, struct submit *s,
                     void (*done)(struct exchange *x, void *arg), void *arg)
{
    if (s->input_bytes <= INPUT_PORTION && !x->spool.open) {
        commit_group_add(x->server->commits, x, &s->op, done, arg);
        return;
    }
    struct storing *st = mem_alloc(sizeof *st);
    *st = (struct storing){.s = s, .done = done, .arg = arg};
    submit_reserve(s);
    commit_group_add(x->server->commits, x, &s->op, reserved, st);
}
