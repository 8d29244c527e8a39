/* What commands show: rows of cells, as a table that fits the width, as a list of names and values, or as JSON. Each
 * cell is given once and stands in whichever form is asked for. */
#ifndef LEAT_CLI_TABLE_H
#define LEAT_CLI_TABLE_H

#include "cli/terminal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_column {
    const char *title; /* NULL: only in JSON */
    const char *key;   /* of JSON; NULL: only for people */
    int least;         /* it may be cut to so many columns where the table is too wide; 0: never */
    bool right;        /* numbers */
};

enum table_form {
    TABLE_LINES, /* a heading, and a line a row; nothing where there is no row. The last columns are left out where
                    they do not fit */
    TABLE_PAIRS, /* a line a cell: title and value; cells that are absent are left out */
    TABLE_JSON,  /* an array of objects */
};

struct table; /* opaque */

/* An empty one; the columns are borrowed. Free with table_free. */
struct table *table_new(const struct cli *cli, enum table_form form,
                        const struct table_column *columns, size_t count);
void table_free(struct table *t);

/* The next row begins. Its cells follow in the order of the columns. */
void table_row(struct table *t);

/* The next cell. NULL and TASK_NONE are absent: "-", or null in JSON. */
void table_text(struct table *t, const char *text);
void table_coloured(struct table *t, const char *text, enum colour colour);
void table_int(struct table *t, int64_t value);
void table_bool(struct table *t, bool value);    /* yes or no */
void table_seconds(struct table *t, int64_t ms); /* "600 s"; in JSON seconds */
void table_moment(struct table *t, int64_t ms);  /* local time; in JSON milliseconds */
void table_age(struct table *t, int64_t ms,
               int64_t now); /* how long ago; in JSON the moment in milliseconds */
void table_percent(struct table *t, double percent);
void table_bytes(struct table *t, int64_t bytes);

/* A cell whose two forms are given: `json` is one JSON value. */
void table_both(struct table *t, const char *text, const char *json);

/* Appends what it is. In lines and pairs all of it ends with a newline; JSON has none. */
void table_write(const struct table *t, struct buf *out);

#endif
