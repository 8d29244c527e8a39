/* The closed set of statements: every query of sql/query, prepared once per connection, found by
 * index. For lib/store alone. */
#ifndef LEAT_STORE_STMT_H
#define LEAT_STORE_STMT_H

#include "base/error.h"
#include "gen/query.h"
#include "store/db.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stmt_set;

struct stmt_set *stmt_set_new(sqlite3 *sql); /* `sql` is borrowed and must outlive it */
void stmt_set_free(struct stmt_set *set);

/* The statement, reset and without bindings; ends with stmt_end or stmt_run. Borrowed. NULL with `e` and
 * stmt_failed set when the schema cannot be read (ERR_BUSY, ERR_IO), or the write transaction is over
 * because a statement in it failed, or it does not compile (ERR_INTERNAL). */
sqlite3_stmt *stmt_begin(struct db *db, enum query query, struct error *e);

/* Why stmt_begin gave NULL the last time. */
enum err stmt_failed(const struct db *db);

/* Bind by name (":owner"). The name must exist (asserted). Text and bytes are borrowed until
 * stmt_end. NULL text and TASK_NONE are NULL. */
void stmt_text(sqlite3_stmt *st, const char *name, const char *value);
void stmt_blob(sqlite3_stmt *st, const char *name, const void *bytes, size_t len);
void stmt_int(sqlite3_stmt *st, const char *name, int64_t value);
void stmt_real(sqlite3_stmt *st, const char *name, double value);

/* The next row: *row says whether there is one. On error the statement is reset. */
enum err stmt_step(struct db *db, sqlite3_stmt *st, bool *row, struct error *e);

/* Ends a statement of which rows were read. NULL is fine. */
void stmt_end(sqlite3_stmt *st);

/* The first column of the one row of a bound statement, 0 when it has none; ends it. */
enum err stmt_number(struct db *db, sqlite3_stmt *st, int64_t *value, struct error *e);

/* Steps a statement without rows to its end. */
enum err stmt_run(struct db *db, sqlite3_stmt *st, struct error *e);

/* A column as the row structs keep it: a copy for the caller (NULL: NULL), TASK_NONE for NULL. */
char *stmt_column_text(sqlite3_stmt *st, int column);
int64_t stmt_column_int(sqlite3_stmt *st, int column);

/* What SQLite says, as one of our errors; `what` begins the sentence. */
enum err stmt_error(sqlite3 *sql, int rc, const char *what, struct error *e);

/* Of db.c, for the floor's own files. */
sqlite3 *db_sqlite(struct db *db);
struct stmt_set *db_statements(const struct db *db);
bool db_writing(const struct db *db); /* between db_begin and db_commit */
struct figures *db_figures(const struct db *db);
struct changes *db_changes(const struct db *db);
const char *db_path(const struct db *db);

#endif
