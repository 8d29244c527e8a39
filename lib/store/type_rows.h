/* What the database holds of job types: which are paused, and which a runner found broken. Functions that write
 * must run between txn_begin and txn_commit. */
#ifndef LEAT_STORE_TYPE_ROWS_H
#define LEAT_STORE_TYPE_ROWS_H

#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TYPE_ROWS_MAX = 1000 }; /* that are read */

/* Nothing more of the type is claimed, until it is resumed. Both change nothing where it is so already. */
enum err type_pause(struct db *db, const char *type, int64_t now, struct error *e);
enum err type_resume(struct db *db, const char *type, struct error *e);

/* Whether it is paused, or has tasks. */
enum err type_is_known(struct db *db, const char *type, bool *known, struct error *e);

/* A type that is broken, for `why` (owned), since then (wall-clock ms). */
struct broken_row {
    char *type, *why;
    int64_t since;
};

/* What there is to say about types; both lists are ordered by name. */
struct type_rows {
    char **paused; /* owned, as are its names */
    size_t paused_count;
    struct broken_row *broken; /* as living runners say */
    size_t broken_count;
};

/* The first TYPE_ROWS_MAX of each, from one state of the database if a read transaction is open. Free with
 * type_rows_free, also after an error. */
enum err type_rows_read(struct db *db, int64_t now, struct type_rows *out, struct error *e);
void type_rows_free(struct type_rows *t);

/* All that `runner` has to say, instead of what it said before. */
enum err type_rows_tell(struct db *db, int64_t runner, const struct broken_row *rows, size_t count,
                        struct error *e);

#endif
