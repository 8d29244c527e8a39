#include "gen/query.h"
#include "store/sqlite.h"
#include "store/tasks.h"
#include "store/transitions.h"

#include <assert.h>
#include <stdlib.h>

/* As task_create_batch.sql and input_create_batch.sql number them. */
enum column {
    ID,
    TYPE,
    GROUP,
    PRIORITY,
    MAX_ATTEMPTS,
    TIMEOUT_MS,
    RUN_AT,
    SERIALIZE,
    CONTENT_TYPE,
    BODY,
    COLUMNS
};

/* The row of one. */
static void fill(struct cell row[COLUMNS], const struct task_new *t)
{
    row[ID] = cell_text(t->id);
    row[TYPE] = cell_text(t->type);
    row[GROUP] = cell_text(t->group);
    row[PRIORITY] = cell_int(t->priority);
    row[MAX_ATTEMPTS] = cell_int(t->max_attempts);
    row[TIMEOUT_MS] = cell_int(t->timeout_ms);
    row[RUN_AT] = cell_int(t->run_at);
    row[SERIALIZE] = cell_int(t->serialize);
    row[CONTENT_TYPE] = cell_text(t->input ? t->content_type : NULL);
    row[BODY] = cell_blob(t->input, t->input ? t->input_bytes : 0);
}

static enum err insert(struct db *db, const struct task_new *all, const struct cells *cells,
                       int64_t *first, struct error *e)
{
    int64_t count = (int64_t)cells->rows, last = 0;
    const struct q_task_create_batch_in in = {.cells = cells,
                                              .count = count,
                                              .owner = all->owner,
                                              .request_id = all->request_id,
                                              .now = all->now};
    enum err rc = q_task_create_batch(db, &in, &last, e);
    *first = last - count + 1; /* AUTOINCREMENT, and nobody else writes meanwhile */
    if (!rc) rc = q_input_create_batch(db, cells, count, *first, e);
    return rc ? rc : q_batch_created(db, *first, last, e);
}

enum err task_create_batch(struct db *db, const struct task_new *all, size_t count, int64_t *first,
                           struct error *e)
{
    assert(txn_is_open(db) && count);
    struct cell(*rows)[COLUMNS] = mem_alloc(count * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        assert(!all[i].unique && !all[i].upload);
        fill(rows[i], &all[i]);
    }
    struct cells cells = {.items = rows[0], .columns = COLUMNS, .rows = count};
    enum err rc = insert(db, all, &cells, first, e);
    free(rows);
    for (size_t i = 0; !rc && i < count; i++) {
        const struct task_new *t = &all[i];
        struct transition new = transition_of(t->id, t->request_id, t->type, TASK_STATUSES, t->now);
        transition_note(db, &new, TASK_PENDING, t->now);
    }
    return rc;
}
