#include "store/changes.h"

#include "base/buf.h"
#include "base/log.h"
#include "store/figures.h"
#include "store/stmt.h"

#include <stdio.h>
#include <stdlib.h>

struct changes {
    struct noted {
        struct change what;
        enum task_status to;
        int64_t elapsed_ms;
    } * items;
    size_t count, cap;
};

struct changes *changes_new(void)
{
    return mem_alloc(sizeof(struct changes));
}

void changes_free(struct changes *c)
{
    if (!c) return;
    free(c->items);
    free(c);
}

struct change change_of(const char *id, const char *request_id, const char *type,
                        enum task_status from, int64_t since)
{
    struct change c = {.from = from, .since = since};
    snprintf(c.id, sizeof c.id, "%s", id);
    snprintf(c.request_id, sizeof c.request_id, "%s", request_id);
    snprintf(c.type, sizeof c.type, "%s", type);
    return c;
}

static void copy_text(char *to, size_t size, sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    snprintf(to, size, "%s", text ? text : "");
}

enum err change_look(struct db *db, int64_t n, struct change *out, struct error *e)
{
    *out = (struct change){.from = TASK_STATUSES};
    if (!figures_joined(db)) return ERR_OK;
    sqlite3_stmt *st = stmt_begin(db, Q_TASK_WAS, e);
    if (!st) return stmt_failed(db);
    stmt_int(st, ":n", n);
    bool row = false;
    enum err rc = stmt_step(db, st, &row, e);
    if (rc) return rc;
    if (row) {
        copy_text(out->id, sizeof out->id, st, 0);
        copy_text(out->request_id, sizeof out->request_id, st, 1);
        copy_text(out->type, sizeof out->type, st, 2);
        task_status_parse((const char *)sqlite3_column_text(st, 3), &out->from);
        out->since = sqlite3_column_int64(st, 4);
    }
    stmt_end(st);
    return ERR_OK;
}

void change_note(struct db *db, const struct change *c, enum task_status to, int64_t now)
{
    struct changes *all = db_changes(db);
    if (!*c->id || !figures_joined(db)) return;
    if (all->count == all->cap)
        all->items =
            mem_grow(all->items, all->cap = all->cap ? all->cap * 2 : 8, sizeof *all->items);
    all->items[all->count++] =
        (struct noted){.what = *c, .to = to, .elapsed_ms = now > c->since ? now - c->since : 0};
}

void changes_end(struct db *db, bool committed)
{
    struct changes *all = db_changes(db);
    for (size_t i = 0; committed && i < all->count; i++) {
        const struct noted *n = &all->items[i];
        const struct change *c = &n->what;
        char id[ID_SIZE], request_id[CHANGE_REQUEST_MAX + 1], type[CHANGE_TYPE_MAX + 1];
        log_info("task_status_change",
                 " task_id=%s request_id=%s type=%s from=%s to=%s elapsed_ms=%lld",
                 log_quote(id, sizeof id, c->id),
                 log_quote(request_id, sizeof request_id, c->request_id),
                 log_quote(type, sizeof type, c->type),
                 c->from == TASK_STATUSES ? "none" : task_status_name(c->from),
                 task_status_name(n->to), (long long)n->elapsed_ms);
        const char *const labels[] = {c->type};
        if (c->from == TASK_PENDING && n->to == TASK_RUNNING)
            figures_observe(db, FIGURE_CLAIM_WAIT, labels, n->elapsed_ms * 1000, 1);
        if (c->from == TASK_RUNNING)
            figures_observe(db, FIGURE_RUN_TIME, labels, n->elapsed_ms * 1000, 1);
    }
    all->count = 0;
}
