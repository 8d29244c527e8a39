/* SQLite: connections, statements, errors and blobs. The only file that includes sqlite3.h is this one's
 * .c. For lib/store alone, and for the functions that sql/embed.sh makes.
 *
 * A connection is SQLite's own struct, which nobody else looks into. */
#ifndef LEAT_STORE_SQLITE_H
#define LEAT_STORE_SQLITE_H

#include "base/error.h"
#include "task/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;

/* ---- connections ---- */

/* Opens an existing file to read and write. It never checkpoints by itself, and leaves the write-ahead log
 * in its place when it is closed. `busy_ms`: how long it waits for SQLite's own locks. On an error *out
 * still is to be closed. ERR_IO, ERR_BUSY. */
enum err sqlite_open(const char *path, int64_t busy_ms, struct sqlite3 **out, struct error *e);
void sqlite_close(struct sqlite3 *sql); /* NULL is fine */

/* The same for a file that is only read, and belongs to nobody: a backup. */
enum err sqlite_open_backup(const char *path, struct sqlite3 **out, struct error *e);

/* Copies all of a database, in the state of one moment, over the file `to`, which exists and is empty. What comes of
 * it has no write-ahead log, so that the file is the whole. Writers go on meanwhile, but the log is not cut. */
enum err sqlite_copy(struct sqlite3 *from, const char *to, struct error *e);

/* From now on it waits so long for SQLite's own locks; less than 0 is 0. */
void sqlite_set_patience(struct sqlite3 *sql, int64_t ms);

/* Has *pages be the length of the log, in pages, after each commit of this connection (which also keeps SQLite
 * from checkpointing by itself). Borrowed until sqlite_close. */
void sqlite_note_log(struct sqlite3 *sql, int64_t *pages);

/* Syncs the write-ahead log, wherever a commit of ours stands in it. When another process has moved it into the
 * database meanwhile, it synced it first. False: the disk refused. */
bool sqlite_sync_log(struct sqlite3 *sql);

/* Of the commit that has just failed: whether it was the sync that the disk refused; errno of the log. */
bool sqlite_sync_refused(struct sqlite3 *sql);
int sqlite_log_errno(struct sqlite3 *sql);

/* Copies the log into the database as far as no reader needs it: of `pages` in it `moved` are in the database
 * then. CHECKPOINT_FAILED fills *e. */
enum sqlite_checkpoint { CHECKPOINT_DONE, CHECKPOINT_BUSY, CHECKPOINT_UNSYNCED, CHECKPOINT_FAILED };
enum sqlite_checkpoint sqlite_checkpoint(struct sqlite3 *sql, int64_t *pages, int64_t *moved,
                                         struct error *e);

/* SQLite's marks for readers of the log: one who reads at mark m holds a POSIX read lock of byte
 * SQLITE_LOG_MARK_LOCK + m of the shared memory (DB-shm). *held: bytes of log behind each mark, which no checkpoint can
 * move while somebody holds it; a mark that nobody holds counts for nothing. False: there is no log in use.
 * (sqlite.org/walformat.html, 2.1: the format is fixed.) */
enum { SQLITE_LOG_MARKS = 5, SQLITE_LOG_MARK_LOCK = 123 };
bool sqlite_log_marks(struct sqlite3 *sql, int64_t held[SQLITE_LOG_MARKS]);

/* The database's file, without links; the library's version. Borrowed. */
const char *sqlite_file(struct sqlite3 *sql);
const char *sqlite_version(void);

/* Runs SQL that is the connection's own business: transactions and pragmas. */
enum err sqlite_exec(struct sqlite3 *sql, const char *text, struct error *e);

/* Runs several statements, which an error calls `name`. */
enum err sqlite_script(struct sqlite3 *sql, const char *name, const char *text, struct error *e);

/* The first value of the first row of a pragma, 0 or "" (at most size - 1 bytes) when it gives none. */
enum err sqlite_pragma_number(struct sqlite3 *sql, const char *pragma, int64_t *value,
                              struct error *e);
enum err sqlite_pragma_text(struct sqlite3 *sql, const char *pragma, char *out, size_t size,
                            struct error *e);

/* What SQLite says (`rc` is its result code), as one of our errors; `what` begins the sentence. */
enum err sqlite_error(struct sqlite3 *sql, int rc, const char *what, struct error *e);

/* Whether a transaction is open. An error of a statement (disk full, I/O) may have ended it. */
bool sqlite_in_transaction(struct sqlite3 *sql);

/* Whether no statement is un-reset: else the connection holds a snapshot. */
bool sqlite_idle(struct sqlite3 *sql);

/* Rows that were changed since it was opened, also by triggers. */
int64_t sqlite_total_changes(struct sqlite3 *sql);

/* ---- statements ---- */

/* Prepared once per connection, found by number. */
struct statements;
struct statement;

struct statements *statements_new(struct sqlite3 *sql, size_t count); /* borrows `sql` */
void statements_free(struct statements *set);                         /* before sqlite_close */

/* Number `at`, reset and without bindings, prepared of `text` when it is used first (`name` begins the
 * sentence of errors). It ends with statement_end, statement_run, or an error of statement_step.
 * `writing`: a write transaction must be open; ERR_INTERNAL when an error has ended it, because the
 * statement would be a transaction of its own. ERR_BUSY, ERR_IO: the schema cannot be read. *out is NULL
 * after an error. */
enum err statement_begin(struct statements *set, size_t at, const char *name, const char *text,
                         bool writing, struct statement **out, struct error *e);

/* The next row: *row says whether there is one. */
enum err statement_step(struct statement *st, bool *row, struct error *e);

/* Ends it before or after its last row. NULL is fine. */
void statement_end(struct statement *st);

/* Steps one without rows to its end. Rows it changed itself, and the last that it inserted; both may be
 * NULL. */
enum err statement_run(struct statement *st, int64_t *changed, int64_t *rowid, struct error *e);

/* Parameter `at`, from 1. Text and bytes are borrowed until the end. Where NULL may stand, it is TASK_NONE,
 * NAN, NULL or TASK_STATUSES. */
void statement_bind_int(struct statement *st, int at, int64_t value);
void statement_bind_int_or_null(struct statement *st, int at, int64_t value);
void statement_bind_bool(struct statement *st, int at, bool value);
void statement_bind_real(struct statement *st, int at, double value);
void statement_bind_real_or_null(struct statement *st, int at, double value);
void statement_bind_text(struct statement *st, int at, const char *value);
void statement_bind_text_or_null(struct statement *st, int at, const char *value);
void statement_bind_blob(struct statement *st, int at, const void *bytes, size_t len);
void statement_bind_status(struct statement *st, int at, enum task_status value);
void statement_bind_status_or_null(struct statement *st, int at, enum task_status value);

/* Many values for one statement: row by row, `columns` in each. In SQL, cell(:name, row, column) is one of them, both
 * from 0; what lies outside is NULL. All is borrowed until the end. */
struct cell {
    enum { CELL_NULL, CELL_INT, CELL_TEXT, CELL_BLOB } kind;
    int64_t number;
    const void *bytes;
    size_t len;
};
struct cells {
    const struct cell *items;
    size_t columns, rows;
};
void statement_bind_cells(struct statement *st, int at, const struct cells *value);

struct cell cell_int(int64_t value);                  /* TASK_NONE: NULL */
struct cell cell_text(const char *value);             /* NULL is NULL */
struct cell cell_blob(const void *bytes, size_t len); /* never NULL */

/* Column `at`, from 0, of the row. Text and bytes are borrowed until the next step or the end; `own` is a copy
 * for the caller. NULL reads as 0, false, "" where it is not expected. A status that is none is
 * TASK_STATUSES. */
int64_t statement_int(const struct statement *st, int at);
int64_t statement_int_or_null(const struct statement *st, int at);
bool statement_bool(const struct statement *st, int at);
double statement_real(const struct statement *st, int at);
double statement_real_or_null(const struct statement *st, int at);
const char *statement_text(const struct statement *st, int at);
const char *statement_text_or_null(const struct statement *st, int at);
char *statement_own_text(const struct statement *st, int at);
char *statement_own_text_or_null(const struct statement *st, int at);
const void *statement_blob(const struct statement *st, int at);
size_t statement_blob_len(const struct statement *st, int at);
void statement_id(const struct statement *st, int at, char *out); /* ID_SIZE bytes */
enum task_status statement_status(const struct statement *st, int at);

/* ---- blobs ---- */

/* A value that is read in pieces. */
struct blob {
    void *handle;
    struct sqlite3 *sql;
    int64_t size;
};

/* Opens the value of a column in row `rowid`. ERR_INTERNAL when there is no such row. */
enum err blob_open(struct sqlite3 *sql, const char *table, const char *column, int64_t rowid,
                   struct blob *out, struct error *e);
enum err blob_read(const struct blob *b, void *to, size_t len, int64_t at, struct error *e);
void blob_close(struct blob *b);

#endif
