#include "runner/broken_types.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_MS = 500,        /* to the first look, doubled for each that follows, ... */
    SELDOM_MS = 60 * 1000, /* ... at most */
};

struct broken_type {
    struct broken_types *all;
    char type[JOBTYPE_NAME_MAX + 1];
    int64_t since; /* monotonic ms */
    int64_t wait_ms;
    struct loop_timer look; /* set: the type is held until then */
};

static void log_type(const char *what, const char *type, const char *why)
{
    char name[JOBTYPE_NAME_MAX + 1], text[512];
    log_warn(what, " type=%s why=\"%s\"", log_quote(name, sizeof name, type),
             log_quote(text, sizeof text, why));
}

/* What is wrong with the type, as the registry knows it; "" where nothing is. */
static void find_problem(const struct broken_types *b, const char *type, struct error *why)
{
    const struct jobtype *conf;
    const struct job_type *t = job_types_get(b->types, type);
    *why = (struct error){0};
    if (job_types_find(b->types, type, &conf, why)) return;
    if (t && t->file == JOB_FILE_BUSY)
        error_set(why, ERR_STATE, "the job file '%s' is being written", type);
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

/* Looks again after a while that grows, but not later than the patience lasts. */
static void hold(struct broken_type *t, int64_t now)
{
    int64_t at = now + t->wait_ms, over = t->since + t->all->patience_ms;
    loop_timer_set(t->all->loop, &t->look, at < over ? at : over);
    t->wait_ms = t->wait_ms * 2 < SELDOM_MS ? t->wait_ms * 2 : SELDOM_MS;
}

static void look(void *arg)
{
    struct broken_type *t = arg;
    struct broken_types *b = t->all;
    struct error why;
    job_types_refresh_one(b->types, t->type, NULL);
    find_problem(b, t->type, &why);
    int64_t now = clock_monotonic_ms();
    if (*why.text && !is_over(t, now))
        hold(t, now);
    else
        b->release(b->arg, t->type);
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

bool broken_types_report(struct broken_types *b, const char *type, const char *why)
{
    struct broken_type *t = find(b, type);
    int64_t now = clock_monotonic_ms();
    if (!b->patience_ms || (t && is_over(t, now))) return false;
    if (t && loop_timer_is_set(&t->look)) return true;
    if (!t) log_type("a type is broken, its tasks wait", type, why);
    hold(t ? t : add(b, type), now);
    return true;
}

bool broken_types_hold(struct broken_types *b, const char *type)
{
    struct broken_type *t = find(b, type);
    struct error why;
    if (t && loop_timer_is_set(&t->look)) return true;
    find_problem(b, type, &why);
    return *why.text && broken_types_report(b, type, why.text);
}

void broken_types_mended(struct broken_types *b, const char *type)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->items[i]->type, type) != 0) continue;
        log_info("a type is mended", " type=%s", b->items[i]->type);
        drop(b->items[i]);
        b->items[i] = b->items[--b->count];
        return;
    }
}
