/* What text looks like where people read it: how wide it is, what of it fits, colours. */
#ifndef LEAT_CLI_TERMINAL_H
#define LEAT_CLI_TERMINAL_H

#include "base/buf.h"
#include "cli/command.h"

#include <stdbool.h>
#include <stddef.h>

struct terminal {
    int fd;
    bool live;    /* a terminal on which lines can be drawn again */
    bool colours; /* ... and NO_COLOR (no-color.org) is not set */
    bool unicode;
    int columns; /* COLUMNS, else what the terminal has, else 80 */
    int rows;    /* 0: no terminal */
};

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_WARN, COLOUR_FAINT };

/* Looks at descriptor `fd`; again when its size may have changed. */
struct terminal terminal_of(const struct cli *cli, int fd);

/* Columns that `len` bytes take: 2 for wide characters, 0 for combining ones. */
int text_width(const char *text, size_t len);

/* Appends as much of `text` as fits into `columns`, with a sign where it was cut, on one line: what is no printable
 * character, and what steers a terminal, is left out, a line break or tab is a blank. Returns the columns that it takes. */
int text_fit(struct buf *out, const struct terminal *t, const char *text, int columns);

/* The same, but with the colours that it selects, which end with it, where there are any. */
int text_fit_coloured(struct buf *out, const struct terminal *t, const char *text, int columns);

/* Appends `text` so that it is harmless on a terminal: without its control sequences, its lines kept. */
void text_harmless(struct buf *out, const char *text, size_t len);

/* The same, but with the colours that it selects, which end with it. */
void text_coloured(struct buf *out, const char *text, size_t len);

/* Appends text in a colour where there are any. */
void text_colour(struct buf *out, const struct terminal *t, enum colour colour, const char *text);

/* Appends a length of time: "0:12", "1:02:03"; seconds below 0 are 0. */
void text_clock(struct buf *out, double seconds);

/* Appends a length of time as people say it, in one unit: "12s", "3m", "5h", "2d". */
void text_age(struct buf *out, int64_t ms);

/* Appends a moment of the local time: "2026-11-27 06:42:37". */
void text_time(struct buf *out, int64_t ms);

/* Appends a size: "512 B", "1.4 KiB", "3.0 MiB". */
void text_bytes(struct buf *out, int64_t bytes);

#endif
