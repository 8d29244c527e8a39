#include "cli/table.h"

#include "base/json.h"
#include "task/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cell {
    char *text; /* NULL: absent */
    enum colour colour;
};

struct table {
    struct terminal terminal;
    enum table_form form;
    const struct table_column *columns;
    size_t count;
    struct cell *cells; /* row by row */
    size_t cell_count, cell_room;
    size_t at; /* the column of the next cell */
    struct buf json;
};

struct table *table_new(const struct cli *cli, enum table_form form,
                        const struct table_column *columns, size_t count)
{
    assert(count > 0);
    struct table *t = mem_alloc(sizeof *t);
    *t = (struct table){.terminal = terminal_of(cli, STDOUT_FILENO),
                        .form = form,
                        .columns = columns,
                        .count = count,
                        .at = count};
    buf_char(&t->json, '[');
    return t;
}

void table_free(struct table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->cell_count; i++) free(t->cells[i].text);
    free(t->cells);
    buf_free(&t->json);
    free(t);
}

void table_row(struct table *t)
{
    assert(t->at == t->count); /* the row before has all its cells */
    if (t->json.data[t->json.len - 1] == '}') buf_char(&t->json, ',');
    buf_char(&t->json, '{');
    t->at = 0;
}

/* ---- cells ---- */

/* Takes over `text`. */
static void put(struct table *t, char *text, enum colour colour, const char *json)
{
    assert(t->at < t->count);
    const struct table_column *column = &t->columns[t->at++];
    if (column->key) {
        json_key(&t->json, column->key);
        buf_str(&t->json, json);
    }
    if (t->at == t->count) buf_char(&t->json, '}');
    if (t->form == TABLE_JSON || !column->title) {
        free(text);
        if (t->form == TABLE_JSON) return;
        text = NULL;
    }
    if (text && strchr(text, '\033')) { /* the columns are measured without it */
        struct buf plain = {0};
        text_harmless(&plain, text, strlen(text));
        free(text);
        text = plain.data;
    }
    if (t->cell_count == t->cell_room) {
        t->cell_room = t->cell_room ? t->cell_room * 2 : 64;
        t->cells = mem_grow(t->cells, t->cell_room, sizeof *t->cells);
    }
    t->cells[t->cell_count++] = (struct cell){text, colour};
}

void table_both(struct table *t, const char *text, const char *json)
{
    put(t, mem_str(text), COLOUR_NONE, json);
}

void table_coloured(struct table *t, const char *text, enum colour colour)
{
    struct buf json = {0};
    json_text(&json, text);
    put(t, mem_str(text), colour, json.data);
    buf_free(&json);
}

void table_text(struct table *t, const char *text)
{
    table_coloured(t, text, COLOUR_NONE);
}

/* A number, or an absent one; takes what `text` holds. */
static void put_number(struct table *t, struct buf *text, int64_t value)
{
    struct buf json = {0};
    if (value == TASK_NONE) {
        buf_free(text);
        buf_str(&json, "null");
    } else {
        buf_int(&json, value);
    }
    put(t, text->data, COLOUR_NONE, json.data);
    buf_free(&json);
}

void table_int(struct table *t, int64_t value)
{
    struct buf text = {0};
    buf_int(&text, value);
    put_number(t, &text, value);
}

void table_bool(struct table *t, bool value)
{
    table_both(t, value ? "yes" : "no", value ? "true" : "false");
}

void table_seconds(struct table *t, int64_t ms)
{
    struct buf json = {0}, text = {0};
    json_number(&json, (double)ms / 1000);
    buf_fmt(&text, "%s s", json.data);
    put(t, text.data, COLOUR_NONE, json.data);
    buf_free(&json);
}

void table_moment(struct table *t, int64_t ms)
{
    struct buf text = {0};
    if (ms != TASK_NONE) text_time(&text, ms);
    put_number(t, &text, ms);
}

void table_age(struct table *t, int64_t ms, int64_t now)
{
    struct buf text = {0};
    if (ms != TASK_NONE) text_age(&text, now - ms);
    put_number(t, &text, ms);
}

void table_percent(struct table *t, double percent)
{
    struct buf text = {0}, json = {0};
    json_number(&json, percent);
    buf_fmt(&text, "%d%%", (int)percent);
    put(t, text.data, COLOUR_NONE, json.data);
    buf_free(&json);
}

void table_bytes(struct table *t, int64_t bytes)
{
    struct buf text = {0};
    if (bytes != TASK_NONE) text_bytes(&text, bytes);
    put_number(t, &text, bytes);
}

/* ---- writing ---- */

static const char *shown(const struct cell *c)
{
    return c->text && *c->text ? c->text : "-";
}

enum { GAP = 2, HIDDEN = -1 };

/* Of the cell after one in `column`. */
static size_t next_column(const struct table *t, size_t column)
{
    return column + 1 < t->count ? column + 1 : 0;
}

static void measure(const struct table *t, int *widths)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *title = t->columns[i].title;
        widths[i] = title ? text_width(title, strlen(title)) : HIDDEN;
    }
    for (size_t i = 0, column = 0; i < t->cell_count; i++, column = next_column(t, column)) {
        const char *text = shown(&t->cells[i]);
        int width = text_width(text, strlen(text)), *most = &widths[column];
        if (*most != HIDDEN && width > *most) *most = width;
    }
}

/* The widest of those that may lose some; t->count: there is none. */
static size_t widest(const struct table *t, const int *widths)
{
    size_t at = t->count;
    for (size_t i = 0; i < t->count; i++) {
        if (!t->columns[i].least || widths[i] <= t->columns[i].least) continue;
        if (at == t->count || widths[i] > widths[at]) at = i;
    }
    return at;
}

/* Takes columns away from those that may lose some, always from the widest, until all of them fit; and where that is
 * not enough, hides the last. */
static void narrow(const struct table *t, int *widths)
{
    int total = -GAP;
    for (size_t i = 0; i < t->count; i++)
        if (widths[i] != HIDDEN) total += widths[i] + GAP;
    while (total > t->terminal.columns) {
        size_t at = widest(t, widths), last = t->count - 1;
        if (at < t->count) {
            widths[at]--;
            total--;
            continue;
        }
        while (last && widths[last] == HIDDEN) last--;
        if (!last) return;
        total -= widths[last] + GAP;
        widths[last] = HIDDEN;
    }
}

static void write_line(const struct table *t, const int *widths, const struct cell *cells,
                       struct buf *out)
{
    size_t start = out->len;
    int owed = 0; /* blanks that are still to come, should anything follow */
    for (size_t i = 0; i < t->count; i++) {
        const struct table_column *column = &t->columns[i];
        if (widths[i] == HIDDEN) continue;
        struct buf text = {0};
        int used =
            text_fit(&text, &t->terminal, cells ? shown(&cells[i]) : column->title, widths[i]);
        int pad = widths[i] - used;
        if (out->len > start) owed += GAP;
        if (column->right) owed += pad;
        buf_fmt(out, "%*s", owed, "");
        owed = column->right ? 0 : pad;
        text_colour(out, &t->terminal, cells ? cells[i].colour : COLOUR_FAINT, buf_text(&text));
        buf_free(&text);
    }
    buf_char(out, '\n');
}

static void write_lines(const struct table *t, struct buf *out)
{
    if (!t->cell_count) return;
    int *widths = mem_alloc(t->count * sizeof *widths);
    measure(t, widths);
    narrow(t, widths);
    write_line(t, widths, NULL, out);
    for (size_t i = 0; i < t->cell_count; i += t->count) write_line(t, widths, &t->cells[i], out);
    free(widths);
}

static void write_pairs(const struct table *t, struct buf *out)
{
    int width = 0;
    for (size_t i = 0; i < t->count; i++) {
        const char *title = t->columns[i].title;
        if (title && text_width(title, strlen(title)) > width)
            width = text_width(title, strlen(title));
    }
    for (size_t i = 0, column = 0; i < t->cell_count; i++, column = next_column(t, column)) {
        const struct cell *cell = &t->cells[i];
        const char *title = t->columns[column].title;
        if (!title || !cell->text || !*cell->text) continue;
        struct buf text = {0};
        text_fit(&text, &t->terminal, cell->text, t->terminal.columns - width - GAP);
        buf_fmt(out, "%s%*s", title, width + GAP - text_width(title, strlen(title)), "");
        text_colour(out, &t->terminal, cell->colour, buf_text(&text));
        buf_char(out, '\n');
        buf_free(&text);
    }
}

void table_write(const struct table *t, struct buf *out)
{
    assert(t->at == t->count);
    switch (t->form) {
    case TABLE_LINES: write_lines(t, out); break;
    case TABLE_PAIRS: write_pairs(t, out); break;
    case TABLE_JSON:
        buf_add(out, t->json.data, t->json.len);
        buf_char(out, ']');
        break;
    }
}
