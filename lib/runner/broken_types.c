#include "runner/broken_types.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "spawn/user.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_MS = 500,        /* to the first look, doubled for each that follows, ... */
    SELDOM_MS = 60 * 1000, /* ... at most */
};

struct broken_type {
    struct broken_types *all;
    char type[JOBTYPE_NAME_MAX + 1];
    char *why;     /* what is known to be wrong; NULL: nothing at present */
    bool seen;     /* that by a look, not by starting a job alone */
    bool held;     /* its tasks wait */
    int64_t since; /* monotonic ms */
    int64_t wait_ms;
    struct loop_timer look;
};

static void log_type(const char *what, const char *type, const char *why)
{
    char name[JOBTYPE_NAME_MAX + 1], text[512];
    log_warn(what, " type=%s why=\"%s\"", log_quote(name, sizeof name, type),
             log_quote(text, sizeof text, why));
}

/* What is wrong with the type, as far as looking at it shows. */
static bool find_problem(const struct broken_types *b, const char *type, struct error *why)
{
    struct job_user user;
    if (job_types_problem(b->types, type, why)) return true;
    return job_user_find(&user, job_types_get(b->types, type)->conf.user, why) == ERR_INVALID;
}

static struct broken_type *find(const struct broken_types *b, const char *type)
{
    for (size_t i = 0; i < b->count; i++)
        if (!strcmp(b->items[i]->type, type)) return b->items[i];
    return NULL;
}

static bool is_over(const struct broken_type *t, int64_t now)
{
    return now - t->since >= t->all->patience_ms;
}

/* What is known now, for others to read; NULL: nothing is wrong as far as is known. */
static void know(struct broken_type *t, const char *why)
{
    struct buf text = {0};
    if (why) job_types_hide_folder(t->all->types, &text, why);
    bool same = t->why && text.data ? !strcmp(t->why, text.data) : t->why == text.data;
    t->all->changed |= !same;
    free(t->why);
    t->why = text.data;
}

/* Looks again after a while that grows. */
static void look_later(struct broken_type *t, int64_t at)
{
    loop_timer_set(t->all->loop, &t->look, at);
    t->wait_ms = t->wait_ms * 2 < SELDOM_MS ? t->wait_ms * 2 : SELDOM_MS;
}

/* Tasks wait, but not longer than the patience lasts. */
static void hold(struct broken_type *t, int64_t now)
{
    int64_t at = now + t->wait_ms, over = t->since + t->all->patience_ms;
    t->held = true;
    look_later(t, at < over ? at : over);
}

/* Its tasks are tried. What only starting a job shows is unknown until then, and where none waits to be started
 * in a good while it is taken for mended. */
static void let_go(struct broken_type *t, int64_t now)
{
    t->held = false;
    t->wait_ms = SELDOM_MS;
    look_later(t, now + SELDOM_MS);
    t->all->release(t->all->arg, t->type);
}

static void look(void *arg)
{
    struct broken_type *t = arg;
    struct broken_types *b = t->all;
    struct error why;
    int64_t now = clock_monotonic_ms();
    job_types_refresh_one(b->types, t->type, NULL);
    bool broken = find_problem(b, t->type, &why);
    if (broken) {
        t->seen = true;
        know(t, why.text);
        if (is_over(t, now) && t->held)
            let_go(t, now);
        else if (t->held)
            hold(t, now);
        else
            look_later(t, now + t->wait_ms);
        return;
    }
    if (t->seen || !t->held) know(t, NULL);
    if (t->held) let_go(t, now);
}

static struct broken_type *add(struct broken_types *b, const char *type)
{
    struct broken_type *t = mem_alloc(sizeof *t);
    *t = (struct broken_type){
        .all = b,
        .since = clock_monotonic_ms(),
        .wait_ms = FIRST_MS,
        .look = {.fire = look, .arg = t},
    };
    strncat(t->type, type, JOBTYPE_NAME_MAX);
    b->items = mem_grow(b->items, b->count + 1, sizeof(struct broken_type *));
    return b->items[b->count++] = t;
}

static void drop(struct broken_type *t)
{
    loop_timer_stop(t->all->loop, &t->look);
    free(t->why);
    free(t);
}

void broken_types_open(struct broken_types *b, struct loop *loop, struct job_types *types,
                       broken_types_release *release, void *arg)
{
    *b = (struct broken_types){.loop = loop, .types = types, .release = release, .arg = arg};
}

void broken_types_close(struct broken_types *b)
{
    for (size_t i = 0; i < b->count; i++) drop(b->items[i]);
    free(b->items);
    b->items = NULL;
    b->count = 0;
}

/* `seen`: by looking at the type. */
static bool report(struct broken_types *b, const char *type, const char *why, bool seen)
{
    struct broken_type *t = find(b, type);
    int64_t now = clock_monotonic_ms();
    if (!b->patience_ms) return false;
    if (!t) log_type("a type is broken, its tasks wait", type, why);
    if (!t) t = add(b, type);
    t->seen = seen;
    know(t, why);
    if (t->held) return true;
    if (is_over(t, now)) {
        look_later(t, now + SELDOM_MS);
        return false;
    }
    hold(t, now);
    return true;
}

bool broken_types_report(struct broken_types *b, const char *type, const char *why)
{
    return report(b, type, why, false);
}

bool broken_types_hold(struct broken_types *b, const char *type)
{
    const struct broken_type *t = find(b, type);
    struct error why;
    if (t && t->held) return true;
    return job_types_problem(b->types, type, &why) && report(b, type, why.text, true);
}

size_t broken_types_rows(const struct broken_types *b, struct broken_row **out)
{
    int64_t lead = clock_wall_ms() - clock_monotonic_ms();
    size_t count = 0;
    *out = mem_grow(NULL, b->count + 1, sizeof **out);
    for (size_t i = 0; i < b->count && count < TYPE_ROWS_MAX; i++)
        if (b->items[i]->why)
            (*out)[count++] = (struct broken_row){.type = b->items[i]->type,
                                                  .why = b->items[i]->why,
                                                  .since = b->items[i]->since + lead};
    return count;
}

void broken_types_mended(struct broken_types *b, const char *type)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->items[i]->type, type) != 0) continue;
        log_info("a type is mended", " type=%s", b->items[i]->type);
        b->changed |= b->items[i]->why != NULL;
        drop(b->items[i]);
        b->items[i] = b->items[--b->count];
        return;
    }
}
