#include "store/sqlite.h"

#include "base/buf.h"
#include "base/id.h"
#include "base/pool.h"
#include "store/damage.h"
#include "task/task.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of the caller's ---- */

static const char cells_type[] = "cells"; /* how SQLite tells such a pointer from another */

/* cell(CELLS, row, column) */
static void read_cell(sqlite3_context *out, int count, sqlite3_value **given)
{
    (void)count;
    const struct cells *all = sqlite3_value_pointer(given[0], cells_type);
    int64_t row = sqlite3_value_int64(given[1]), column = sqlite3_value_int64(given[2]);
    if (!all || row < 0 || column < 0 || (size_t)row >= all->rows || (size_t)column >= all->columns)
        return;
    const struct cell *v = &all->items[(size_t)row * all->columns + (size_t)column];
    switch (v->kind) {
    case CELL_NULL: break;
    case CELL_INT: sqlite3_result_int64(out, v->number); break;
    case CELL_TEXT: sqlite3_result_text64(out, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8); break;
    case CELL_BLOB: sqlite3_result_blob64(out, v->bytes, v->len, SQLITE_STATIC); break;
    }
}

struct cell cell_int(int64_t value)
{
    return (struct cell){.kind = value == TASK_NONE ? CELL_NULL : CELL_INT, .number = value};
}

struct cell cell_text(const char *value)
{
    return (struct cell){
        .kind = value ? CELL_TEXT : CELL_NULL, .bytes = value, .len = value ? strlen(value) : 0};
}

struct cell cell_blob(const void *bytes, size_t len)
{
    return (struct cell){.kind = CELL_BLOB, .bytes = bytes ? bytes : "", .len = len};
}

/* ---- connections ---- */

/* Debian's SQLite has no lookaside of its own (SQLITE_OMIT_LOOKASIDE): it takes and frees some 160 blocks for a task that
 * is created, an eighth of its instructions. */
static void *take_block(int bytes)
{
    return pool_get((size_t)bytes);
}

static void *resize_block(void *block, int bytes)
{
    return realloc(block, (size_t)bytes);
}

static int block_size(void *block)
{
    return (int)pool_size(block);
}

static int round_size(int bytes)
{
    return (int)pool_round((size_t)bytes);
}

static int begin_blocks(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void end_blocks(void *arg)
{
    (void)arg;
}

/* No program of ours has threads that call SQLite, and none asks it how much memory it uses: without that a
 * fifth of its allocations is not spent on locks. Too late once SQLite has begun, and then of no importance. */
static void configure_library(void)
{
    static bool done;
    if (done) return;
    done = true;
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    static const sqlite3_mem_methods blocks = {take_block, pool_put,     resize_block, block_size,
                                               round_size, begin_blocks, end_blocks,   NULL};
    sqlite3_config(SQLITE_CONFIG_MALLOC, &blocks);
    /* The journal that takes back one statement passes 64 KB because of the triggers: it stays in memory. */
    sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
}

enum err sqlite_open(const char *path, int64_t busy_ms, struct sqlite3 **out, struct error *e)
{
    configure_library();
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, out, flags, NULL);
    if (rc) return sqlite_error(*out, rc, path, e);
    int on = 1;
    sqlite3_busy_timeout(*out, (int)busy_ms);
    sqlite3_wal_autocheckpoint(*out, 0);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_create_function(*out, "cell", 3, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, read_cell, NULL,
                            NULL);
    sqlite3_file_control(*out, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    /* a log that was once long is cut when it begins anew */
    return sqlite_exec(*out, "PRAGMA journal_size_limit = 16777216", e);
}

enum err sqlite_open_backup(const char *path, struct sqlite3 **out, struct error *e)
{
    configure_library();
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, out, flags, NULL);
    return rc ? sqlite_error(*out, rc, path, e) : ERR_OK;
}

enum err sqlite_copy(struct sqlite3 *from, const char *to, struct error *e)
{
    enum { ALL = -1 };
    struct sqlite3 *copy = NULL;
    char mode[16];
    enum err rc = sqlite_open(to, 0, &copy, e);
    int off = 0;
    if (!rc) {
        sqlite3_file_control(copy, "main", SQLITE_FCNTL_PERSIST_WAL, &off);
        /* all pages at once: else whatever somebody else commits would have it begin anew */
        sqlite3_backup *backup = sqlite3_backup_init(copy, "main", from, "main");
        int step = backup ? sqlite3_backup_step(backup, ALL) : SQLITE_ERROR;
        sqlite3_backup_finish(backup);
        if (step != SQLITE_DONE) rc = sqlite_error(copy, step, to, e);
    }
    if (!rc) rc = sqlite_pragma_text(copy, "PRAGMA journal_mode = DELETE", mode, sizeof mode, e);
    sqlite_close(copy);
    return rc;
}

void sqlite_close(struct sqlite3 *sql)
{
    sqlite3_close(sql);
}

void sqlite_set_patience(struct sqlite3 *sql, int64_t ms)
{
    sqlite3_busy_timeout(sql, ms > 0 ? (int)ms : 0);
}

static int note_log(void *arg, sqlite3 *sql, const char *name, int pages)
{
    (void)sql, (void)name;
    *(int64_t *)arg = pages;
    return SQLITE_OK;
}

void sqlite_note_log(struct sqlite3 *sql, int64_t *pages)
{
    sqlite3_wal_hook(sql, note_log, pages);
}

/* The write-ahead log as SQLite has it open, or NULL. */
static sqlite3_file *open_log(sqlite3 *sql)
{
    sqlite3_file *log = NULL;
    sqlite3_file_control(sql, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    return log && log->pMethods ? log : NULL;
}

/* What the last call to the system that failed on it left; 0: none did, or there is no file. */
static int last_errno(sqlite3_file *file)
{
    int n = 0;
    if (file && file->pMethods && file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &n))
        n = 0;
    return n;
}

bool sqlite_sync_log(struct sqlite3 *sql)
{
    sqlite3_file *log = open_log(sql);
    return log && log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK;
}

bool sqlite_sync_refused(struct sqlite3 *sql)
{
    return sqlite3_extended_errcode(sql) == SQLITE_IOERR_FSYNC;
}

int sqlite_log_errno(struct sqlite3 *sql)
{
    return last_errno(open_log(sql));
}

enum sqlite_checkpoint sqlite_checkpoint(struct sqlite3 *sql, int64_t *pages, int64_t *moved,
                                         struct error *e)
{
    int all = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(sql, NULL, SQLITE_CHECKPOINT_PASSIVE, &all, &done);
    *pages = all;
    *moved = done;
    if (rc == SQLITE_BUSY) return CHECKPOINT_BUSY;
    if (rc == SQLITE_IOERR_FSYNC) return CHECKPOINT_UNSYNCED;
    if (!rc) return CHECKPOINT_DONE;
    sqlite_error(sql, rc, "checkpoint", e);
    return CHECKPOINT_FAILED;
}

const char *sqlite_file(struct sqlite3 *sql)
{
    return sqlite3_db_filename(sql, "main");
}

const char *sqlite_version(void)
{
    return sqlite3_libversion();
}

enum err sqlite_exec(struct sqlite3 *sql, const char *text, struct error *e)
{
    return sqlite_script(sql, text, text, e);
}

enum err sqlite_script(struct sqlite3 *sql, const char *name, const char *text, struct error *e)
{
    int rc = sqlite3_exec(sql, text, NULL, NULL, NULL);
    return rc ? sqlite_error(sql, rc, name, e) : ERR_OK;
}

enum err sqlite_pragma_text(struct sqlite3 *sql, const char *pragma, char *out, size_t size,
                            struct error *e)
{
    sqlite3_stmt *st = NULL;
    *out = '\0';
    int rc = sqlite3_prepare_v2(sql, pragma, -1, &st, NULL);
    while (!rc && sqlite3_step(st) == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(st, 0);
        if (!*out) snprintf(out, size, "%s", value ? value : "");
    }
    if (!rc) rc = sqlite3_finalize(st);
    return rc ? sqlite_error(sql, rc, pragma, e) : ERR_OK;
}

enum err sqlite_pragma_number(struct sqlite3 *sql, const char *pragma, int64_t *value,
                              struct error *e)
{
    char text[32];
    enum err rc = sqlite_pragma_text(sql, pragma, text, sizeof text, e);
    *value = strtoll(text, NULL, 10);
    return rc;
}

enum err sqlite_error(struct sqlite3 *sql, int rc, const char *what, struct error *e)
{
    enum err code;
    if (rc == SQLITE_IOERR_NOMEM) rc = SQLITE_NOMEM;
    switch (rc & 0xff) {
    case SQLITE_NOMEM: mem_exhausted();
    case SQLITE_PROTOCOL: /* it gave up after many tries to get its locks */
    case SQLITE_BUSY:
    case SQLITE_LOCKED: code = ERR_BUSY; break;
    case SQLITE_FULL: code = ERR_FULL; break;
    case SQLITE_CONSTRAINT:
        code = rc == SQLITE_CONSTRAINT_TRIGGER ? ERR_STATE : ERR_INTERNAL;
        break;
    case SQLITE_IOERR:
        /* SQLITE_FULL is only what write(2) said; room for -shm, and quotas, are told so. */
        code = sqlite3_system_errno(sql) == ENOSPC || sqlite3_system_errno(sql) == EDQUOT ? ERR_FULL
                                                                                          : ERR_IO;
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_NOTADB: code = ERR_IO; break;
    case SQLITE_CORRUPT: code = ERR_MALFORMED; break;
    default: code = ERR_INTERNAL;
    }
    const char *file = sqlite_file(sql);
    bool named = !file || !*file || !strcmp(file, what);
    if (named || (code != ERR_IO && code != ERR_MALFORMED))
        return error_set(e, code, "%s: %s (%d)", what, sqlite3_errmsg(sql), rc);
    return error_set(e, code, "%s: %s (%d): %s", what, sqlite3_errmsg(sql), rc, file);
}

bool sqlite_log_marks(struct sqlite3 *sql, int64_t held[SQLITE_LOG_MARKS])
{
    enum { REGION = 32768, PAGE_SIZE_AT = 14, FRAMES_AT = 16, MOVED_AT = 96, MARKS_AT = 100 };
    sqlite3_file *db = NULL;
    void volatile *shared = NULL;
    sqlite3_file_control(sql, "main", SQLITE_FCNTL_FILE_POINTER, &db);
    if (!db || !db->pMethods || db->pMethods->iVersion < 2) return false;
    if (db->pMethods->xShmMap(db, 0, REGION, 0, &shared) || !shared) return false;
    const volatile char *at = shared;
    int64_t page = *(const volatile uint16_t *)(at + PAGE_SIZE_AT);
    uint32_t frames = *(const volatile uint32_t *)(at + FRAMES_AT);
    uint32_t moved = *(const volatile uint32_t *)(at + MOVED_AT);
    if (page == 1) page = 65536; /* does not fit into its 16 bits */
    for (int m = 0; m < SQLITE_LOG_MARKS; m++) {
        uint32_t mark = ((const volatile uint32_t *)(at + MARKS_AT))[m];
        if (mark < moved) mark = moved; /* who reads nothing of the log holds mark 0 */
        held[m] = mark < frames ? (int64_t)(frames - mark) * page : 0;
    }
    return true;
}

/* Whether a read failed. SQLite calls that SQLITE_CORRUPT too (SQLITE_IOERR_CORRUPTFS), but what is on disk may be
 * sound. What it read without an error resets the number only sometimes: then too, no damage is noted. */
static bool read_failed(sqlite3 *sql)
{
    sqlite3_file *db = NULL;
    sqlite3_file_control(sql, "main", SQLITE_FCNTL_FILE_POINTER, &db);
    return last_errno(db) == EIO || last_errno(open_log(sql)) == EIO;
}

/* The same for a statement of a database that was one when it was opened: the damage is noted for all. */
static enum err failed(sqlite3 *sql, int rc, const char *what, struct error *e)
{
    enum err code = sqlite_error(sql, rc, what, e);
    if ((rc & 0xff) != SQLITE_NOTADB && (rc & 0xff) != SQLITE_CORRUPT) return code;
    if (read_failed(sql)) {
        if (e) e->code = ERR_IO;
        return ERR_IO;
    }
    const char *file = sqlite_file(sql);
    if (file && *file) damage_note(file);
    if (e) e->code = ERR_MALFORMED;
    return ERR_MALFORMED;
}

bool sqlite_in_transaction(struct sqlite3 *sql)
{
    return !sqlite3_get_autocommit(sql);
}

bool sqlite_idle(struct sqlite3 *sql)
{
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(sql, st));)
        if (sqlite3_stmt_busy(st)) return false;
    return true;
}

int64_t sqlite_total_changes(struct sqlite3 *sql)
{
    return sqlite3_total_changes(sql);
}

/* ---- statements ---- */

struct statement {
    sqlite3_stmt *prepared;
};

struct statements {
    sqlite3 *sql;
    size_t count;
    struct statement items[];
};

struct statements *statements_new(struct sqlite3 *sql, size_t count)
{
    struct statements *set = mem_alloc(sizeof *set + count * sizeof *set->items);
    set->sql = sql;
    set->count = count;
    return set;
}

void statements_free(struct statements *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->count; i++) sqlite3_finalize(set->items[i].prepared);
    free(set);
}

enum err statement_begin(struct statements *set, size_t at, const char *name, const char *text,
                         bool writing, struct statement **out, struct error *e)
{
    assert(at < set->count);
    struct statement *st = &set->items[at];
    *out = NULL;
    if (writing && !sqlite_in_transaction(set->sql))
        return error_set(e, ERR_INTERNAL, "%s: the transaction is over", name);
    if (!st->prepared) {
        int rc =
            sqlite3_prepare_v3(set->sql, text, -1, SQLITE_PREPARE_PERSISTENT, &st->prepared, NULL);
        if (rc) return failed(set->sql, rc, name, e);
    }
    assert(!sqlite3_stmt_busy(st->prepared));
    *out = st;
    return ERR_OK;
}

enum err statement_step(struct statement *st, bool *row, struct error *e)
{
    int rc = sqlite3_step(st->prepared);
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) return ERR_OK;
    enum err code = failed(sqlite3_db_handle(st->prepared), rc, "database", e);
    statement_end(st);
    return code;
}

void statement_end(struct statement *st)
{
    if (!st) return;
    sqlite3_reset(st->prepared);
    sqlite3_clear_bindings(st->prepared);
}

enum err statement_run(struct statement *st, int64_t *changed, int64_t *rowid, struct error *e)
{
    sqlite3 *sql = sqlite3_db_handle(st->prepared);
    for (bool row = true; row;) {
        enum err rc = statement_step(st, &row, e);
        if (rc) return rc;
    }
    statement_end(st);
    if (changed) *changed = sqlite3_changes(sql);
    if (rowid) *rowid = sqlite3_last_insert_rowid(sql);
    return ERR_OK;
}

/* The number stands in the text that was prepared, so SQLite cannot refuse it. */
static void bound(int rc)
{
    if (rc == SQLITE_NOMEM) mem_exhausted();
    assert(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void statement_bind_int(struct statement *st, int at, int64_t value)
{
    bound(sqlite3_bind_int64(st->prepared, at, value));
}

void statement_bind_int_or_null(struct statement *st, int at, int64_t value)
{
    if (value != TASK_NONE) statement_bind_int(st, at, value);
}

void statement_bind_bool(struct statement *st, int at, bool value)
{
    statement_bind_int(st, at, value);
}

void statement_bind_real(struct statement *st, int at, double value)
{
    bound(sqlite3_bind_double(st->prepared, at, value));
}

void statement_bind_real_or_null(struct statement *st, int at, double value)
{
    if (!isnan(value)) statement_bind_real(st, at, value);
}

void statement_bind_text(struct statement *st, int at, const char *value)
{
    assert(value);
    statement_bind_text_or_null(st, at, value);
}

void statement_bind_text_or_null(struct statement *st, int at, const char *value)
{
    bound(sqlite3_bind_text(st->prepared, at, value, -1, SQLITE_STATIC));
}

void statement_bind_cells(struct statement *st, int at, const struct cells *value)
{
    sqlite3_bind_pointer(st->prepared, at, (void *)value, cells_type, NULL);
}

void statement_bind_blob(struct statement *st, int at, const void *bytes, size_t len)
{
    bound(sqlite3_bind_blob64(st->prepared, at, bytes ? bytes : "", len, SQLITE_STATIC));
}

void statement_bind_status(struct statement *st, int at, enum task_status value)
{
    statement_bind_text(st, at, task_status_name(value));
}

void statement_bind_status_or_null(struct statement *st, int at, enum task_status value)
{
    if (value != TASK_STATUSES) statement_bind_status(st, at, value);
}

int64_t statement_int(const struct statement *st, int at)
{
    return sqlite3_column_int64(st->prepared, at);
}

static bool is_null(const struct statement *st, int at)
{
    return sqlite3_column_type(st->prepared, at) == SQLITE_NULL;
}

int64_t statement_int_or_null(const struct statement *st, int at)
{
    return is_null(st, at) ? TASK_NONE : statement_int(st, at);
}

bool statement_bool(const struct statement *st, int at)
{
    return statement_int(st, at) != 0;
}

double statement_real(const struct statement *st, int at)
{
    return sqlite3_column_double(st->prepared, at);
}

double statement_real_or_null(const struct statement *st, int at)
{
    return is_null(st, at) ? NAN : statement_real(st, at);
}

const char *statement_text_or_null(const struct statement *st, int at)
{
    const char *text = (const char *)sqlite3_column_text(st->prepared, at);
    if (!text && !is_null(st, at)) mem_exhausted();
    return text;
}

const char *statement_text(const struct statement *st, int at)
{
    const char *text = statement_text_or_null(st, at);
    return text ? text : "";
}

char *statement_own_text(const struct statement *st, int at)
{
    return mem_str(statement_text(st, at));
}

char *statement_own_text_or_null(const struct statement *st, int at)
{
    return mem_str(statement_text_or_null(st, at));
}

const void *statement_blob(const struct statement *st, int at)
{
    return sqlite3_column_blob(st->prepared, at);
}

size_t statement_blob_len(const struct statement *st, int at)
{
    return (size_t)sqlite3_column_bytes(st->prepared, at);
}

void statement_id(const struct statement *st, int at, char *out)
{
    snprintf(out, ID_SIZE, "%s", statement_text(st, at));
}

enum task_status statement_status(const struct statement *st, int at)
{
    enum task_status status = TASK_STATUSES;
    task_status_parse(statement_text(st, at), &status);
    return status;
}

/* ---- blobs ---- */

enum err blob_open(struct sqlite3 *sql, const char *table, const char *column, int64_t rowid,
                   struct blob *out, struct error *e)
{
    sqlite3_blob *handle = NULL;
    int rc = sqlite3_blob_open(sql, "main", table, column, rowid, 0, &handle);
    *out = (struct blob){.handle = handle, .sql = sql};
    if (rc) return failed(sql, rc, table, e);
    out->size = sqlite3_blob_bytes(handle);
    return ERR_OK;
}

enum err blob_read(const struct blob *b, void *to, size_t len, int64_t at, struct error *e)
{
    int rc = sqlite3_blob_read(b->handle, to, (int)len, (int)at);
    return rc ? failed(b->sql, rc, "cannot read a value", e) : ERR_OK;
}

void blob_close(struct blob *b)
{
    sqlite3_blob_close(b->handle);
    b->handle = NULL;
}
