/* What tasks are given. An input is one value, or, where that would be too much for one transaction, an upload:
 * portions that are stored before the task is, each in a transaction of its own.
 *
 * Invariants:
 *  1. A task is there only with all of its input.
 *  2. An upload counts for its owner, with all of its bytes, from its beginning.
 *  3. An upload that nobody goes on with is given up after UPLOAD_LEFT_MS, and retention removes it: its writer
 *     may have been killed. A writer that was only stopped finds nothing to go on with (ERR_BUSY). */
#ifndef LEAT_STORE_INPUTS_H
#define LEAT_STORE_INPUTS_H

#include "base/buf.h"
#include "base/error.h"
#include "store/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INPUT_PORTION = 256 * 1024, /* bytes that are stored, or read, at once */
    UPLOAD_LEFT_MS = 60 * 1000,
};

/* ---- reading ---- */

/* The input of a task, and how far it has been read. */
struct input {
    int64_t task;
    int64_t bytes;      /* -1: it has none */
    char *content_type; /* NULL when it has none */
    bool portions;      /* it was an upload */
    int64_t at;         /* bytes, or the newest portion, that have been read */
};

/* Finds the input of task `n`; free with input_free. */
enum err input_find(struct db *db, int64_t n, struct input *out, struct error *e);
void input_free(struct input *in);

/* Puts its next part into *out, at most INPUT_PORTION bytes; none at its end. */
enum err input_read(struct db *db, struct input *in, struct buf *out, struct error *e);

/* ---- uploads; all between txn_begin and txn_commit ---- */

/* A new one of `bytes` bytes, none of them stored yet. */
enum err upload_begin(struct db *db, const char *owner, int64_t bytes, int64_t now, int64_t *id,
                      struct error *e);

/* Stores what comes next, at most INPUT_PORTION bytes. ERR_BUSY: it was given up. */
enum err upload_add(struct db *db, int64_t id, const void *bytes, size_t len, int64_t now,
                    struct error *e);

/* Makes it, which is complete, the input of task `n`. ERR_BUSY: it was given up. */
enum err upload_give(struct db *db, int64_t id, int64_t n, struct error *e);

/* Gives it up, unless it is a task's. */
enum err upload_drop(struct db *db, int64_t id, struct error *e);

#endif
