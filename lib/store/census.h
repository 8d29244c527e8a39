/* What the database holds, in numbers that are cheap to find out. */
#ifndef LEAT_STORE_CENSUS_H
#define LEAT_STORE_CENSUS_H

#include "base/error.h"
#include "store/db.h"
#include "task/status.h"

#include <stddef.h>
#include <stdint.h>

/* Tasks of one type in one status. */
struct census_tasks {
    char *type;
    enum task_status status;
    int64_t count;
};

struct census {
    struct census_tasks *tasks; /* by type, then status */
    size_t task_rows;
    int64_t
        due_since; /* wall-clock ms: of the longest waiting task at the head of a queue; TASK_NONE */
    int64_t runners;              /* that live */
    int64_t events, newest_event; /* how many the log holds; its highest seq */
    int64_t database_bytes, log_bytes;
    int64_t
        log_pages; /* in use of the write-ahead log when this process last wrote; 0: not known */
};

/* Takes it, from one state of the database. Free with census_free, also after an error. */
enum err census_take(struct db *db, int64_t now, struct census *out, struct error *e);
void census_free(struct census *c);

#endif
