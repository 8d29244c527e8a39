#include "store/transitions.h"

#include "base/buf.h"
#include "base/log.h"
#include "gen/query.h"

#include <stdlib.h>
#include <string.h>

struct transitions {
    struct noted {
        struct transition what;
        enum task_status to;
        int64_t elapsed_ms;
    } * items;
    size_t count, cap;
    size_t kept; /* that stay when the savepoint is undone */
    void (*committed)(void *arg, const struct transition *t, enum task_status to,
                      int64_t elapsed_ms);
    void *arg;
};

/* As much of a text as there is room for. */
static void copy(char *to, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(to, text, len);
    to[len] = '\0';
}

struct transition transition_of(const char *id, const char *request_id, const char *type,
                                enum task_status from, int64_t since)
{
    struct transition t = {.from = from, .since = since};
    copy(t.id, sizeof t.id, id);
    copy(t.request_id, sizeof t.request_id, request_id);
    copy(t.type, sizeof t.type, type);
    return t;
}

enum err transition_look(struct db *db, int64_t n, struct transition *out, struct error *e)
{
    *out = (struct transition){.from = TASK_STATUSES};
    if (!db_transitions(db)) return ERR_OK;
    struct q_task_was_row row;
    bool found;
    enum err rc = q_task_was(db, n, &row, &found, e);
    if (found) *out = transition_of(row.id, row.request_id, row.type, row.status, row.since);
    free(row.request_id);
    free(row.type);
    return rc;
}

void transition_note(struct db *db, const struct transition *t, enum task_status to, int64_t now)
{
    struct transitions *all = db_transitions(db);
    if (!all || !*t->id) return;
    if (all->count == all->cap)
        all->items =
            mem_grow(all->items, all->cap = all->cap ? all->cap * 2 : 8, sizeof *all->items);
    all->items[all->count++] =
        (struct noted){.what = *t, .to = to, .elapsed_ms = now > t->since ? now - t->since : 0};
}

static void write_log(const struct noted *n)
{
    const struct transition *t = &n->what;
    char id[ID_SIZE], request_id[TRANSITION_REQUEST_MAX + 1], type[TRANSITION_TYPE_MAX + 1];
    log_info(
        "task_status_change", " task_id=%s request_id=%s type=%s from=%s to=%s elapsed_ms=%lld",
        log_quote(id, sizeof id, t->id), log_quote(request_id, sizeof request_id, t->request_id),
        log_quote(type, sizeof type, t->type),
        t->from == TASK_STATUSES ? "none" : task_status_name(t->from), task_status_name(n->to),
        (long long)n->elapsed_ms);
}

static void on_end(void *arg, enum txn_moment moment)
{
    struct transitions *all = arg;
    switch (moment) {
    case TXN_SAVEPOINT: all->kept = all->count; return;
    case TXN_UNDONE: all->count = all->kept; return;
    case TXN_COMMITTED:
        log_gather(true);
        for (size_t i = 0; i < all->count; i++) {
            const struct noted *n = &all->items[i];
            write_log(n);
            all->committed(all->arg, &n->what, n->to, n->elapsed_ms);
        }
        log_gather(false);
        break;
    case TXN_DROPPED: break;
    }
    all->count = all->kept = 0;
}

void transitions_watch(struct db *db,
                       void (*committed)(void *arg, const struct transition *t, enum task_status to,
                                         int64_t elapsed_ms),
                       void *arg)
{
    transitions_unwatch(db);
    struct transitions *all = mem_alloc(sizeof *all);
    all->committed = committed;
    all->arg = arg;
    db_set_transitions(db, all);
    txn_on_end(db, on_end, all);
}

void transitions_unwatch(struct db *db)
{
    struct transitions *all = db_transitions(db);
    if (!all) return;
    txn_on_end(db, NULL, NULL);
    db_set_transitions(db, NULL);
    free(all->items);
    free(all);
}
