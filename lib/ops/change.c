#include "ops/change.h"

#include "base/buf.h"
#include "base/clock.h"
#include "ops/limits.h"
#include "store/group_tasks.h"
#include "store/groups.h"
#include "store/tasks.h"

#include <stdio.h>
#include <stdlib.h>

enum { PORTION = 100 }; /* tasks of one transaction: some 10 ms */

/* How many attempts a retried task of `type` gets: its type's, 1 when that is gone. */
static int64_t attempts_of(const struct caller *caller, const char *type)
{
    const struct jobtype *t = NULL;
    return job_types_find(caller->types, type, &t, NULL) ? 1 : t->attempts;
}

/* ---- one ---- */

static enum err retry(struct change_task *c, struct db *db, int64_t now, struct error *e)
{
    struct task t = {0};
    enum err rc = task_get(db, c->id, c->caller.reader, &t, e);
    int64_t attempts = rc ? 0 : attempts_of(&c->caller, t.type);
    if (!rc)
        rc = c->force ? task_restart(db, t.n, t.status, attempts, now, e)
                      : task_retry(db, t.n, attempts, now, e);
    /* it is among the pending already, unless it runs and will be */
    int64_t more = t.status == TASK_RUNNING;
    if (!rc) rc = limits_queued(db, c->caller.conf, t.owner, more, &c->op.limit, e);
    task_free(&t);
    return rc;
}

static enum err apply_task(struct operation *op, struct db *db, struct error *e)
{
    struct change_task *c = (struct change_task *)op;
    int64_t now = clock_wall_ms();
    task_free(&c->task);
    c->task = (struct task){0};
    enum err rc = limits_write(db, &c->caller, &op->limit, e);
    if (rc) return rc;
    switch (c->kind) {
    case CHANGE_CANCEL: rc = task_cancel(db, c->id, c->caller.reader, now, e); break;
    case CHANGE_RETRY: rc = retry(c, db, now, e); break;
    case CHANGE_DELETE: return task_delete(db, c->id, c->caller.reader, now, e);
    }
    return rc ? rc : task_get(db, c->id, c->caller.reader, &c->task, e);
}

void change_task_init(struct change_task *c, const struct caller *caller, enum change_kind kind,
                      const char *id)
{
    *c = (struct change_task){.op = {.apply = apply_task, .terminal = kind == CHANGE_CANCEL},
                              .caller = *caller,
                              .kind = kind};
    snprintf(c->id, sizeof c->id, "%s", id);
}

void change_task_free(struct change_task *c)
{
    task_free(&c->task);
}

/* ---- all of a group ---- */

/* What is asked for has to fit before anything changes. */
static enum err begin_group(struct change_group *c, struct db *db, struct error *e)
{
    struct group g = {0};
    c->begun = true;
    enum err rc = limits_write(db, &c->caller, &c->op.limit, e);
    if (!rc) rc = group_tasks_newest(db, &c->until, e);
    if (rc || c->kind != CHANGE_RETRY) return rc;
    rc = group_get(db, c->owner, c->group, &g, e);
    int64_t more = g.counts[TASK_FAILED] + g.counts[TASK_TIMEOUT] + g.counts[TASK_CANCELLED];
    group_free(&g);
    if (!rc && more) rc = limits_queued(db, c->caller.conf, c->owner, more, &c->op.limit, e);
    return rc;
}

static enum err change_one(struct change_group *c, struct db *db, const struct group_task *t,
                           int64_t now, struct error *e)
{
    enum err rc = ERR_OK;
    if (c->kind == CHANGE_RETRY) {
        if (!task_status_terminal(t->status) || t->status == TASK_COMPLETED) return ERR_OK;
        rc = task_retry(db, t->n, attempts_of(&c->caller, t->type), now, e);
        c->changed += !rc;
    } else if (!task_status_terminal(t->status)) {
        rc = task_cancel_n(db, t->n, t->status, now, e);
        if (t->status == TASK_PENDING) c->changed += !rc;
        if (t->status == TASK_RUNNING) c->requested += !rc;
    }
    return rc;
}

static enum err apply_group(struct operation *op, struct db *db, struct error *e)
{
    struct change_group *c = (struct change_group *)op;
    struct group_portion tasks = {0};
    const struct change_group before = *c;
    enum err rc = c->begun ? ERR_OK : begin_group(c, db, e);
    if (!rc)
        rc = group_portion_read(db, c->owner, c->group, c->after, c->until, PORTION, &tasks, e);
    int64_t now = clock_wall_ms();
    for (size_t i = 0; !rc && i < tasks.count; i++) {
        rc = change_one(c, db, &tasks.items[i], now, e);
        c->after = tasks.items[i].n;
    }
    op->again = !rc && tasks.more;
    group_portion_free(&tasks);
    if (rc) { /* this portion did not happen */
        c->after = before.after;
        c->changed = before.changed;
        c->requested = before.requested;
    }
    return rc;
}

void change_group_init(struct change_group *c, const struct caller *caller, enum change_kind kind,
                       const char *owner, const char *group)
{
    *c = (struct change_group){
        .op = {.apply = apply_group, .terminal = kind == CHANGE_CANCEL, .large = true},
        .caller = *caller,
        .kind = kind,
        .owner = mem_str(owner),
        .group = mem_str(group)};
}

void change_group_free(struct change_group *c)
{
    free(c->owner);
    free(c->group);
}
