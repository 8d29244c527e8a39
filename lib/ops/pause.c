#include "ops/pause.h"

#include "base/clock.h"
#include "ops/limits.h"

#include <string.h>

/* A type without a job file may still have tasks that wait, or be paused. */
static enum err check_type(struct pause_type *p, struct db *db, struct error *e)
{
    bool known = job_types_get(p->caller.types, p->type) != NULL;
    enum err rc = known ? ERR_OK : type_is_known(db, p->type, &known, e);
    if (rc || known) return rc;
    return error_set(e, ERR_NOTFOUND, "there is no such job type");
}

static enum err apply(struct operation *op, struct db *db, struct error *e)
{
    struct pause_type *p = (struct pause_type *)op;
    int64_t now = clock_wall_ms();
    type_rows_free(&p->rows);
    enum err rc = check_type(p, db, e);
    if (!rc) rc = limits_write(db, &p->caller, &op->limit, e);
    if (!rc) rc = p->paused ? type_pause(db, p->type, now, e) : type_resume(db, p->type, e);
    return rc ? rc : type_rows_read(db, now, &p->rows, e);
}

void pause_type_init(struct pause_type *p, const struct caller *caller, const char *type,
                     bool paused)
{
    *p = (struct pause_type){.op = {.apply = apply}, .caller = *caller, .paused = paused};
    if (jobtype_name_valid(type)) strcpy(p->type, type); /* else "": there is none */
}

void pause_type_free(struct pause_type *p)
{
    type_rows_free(&p->rows);
}
