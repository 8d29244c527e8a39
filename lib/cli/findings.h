/* What leat check found: each with what it is about, and, of a problem, what mends it. */
#ifndef LEAT_CLI_FINDINGS_H
#define LEAT_CLI_FINDINGS_H

#include "cli/command.h"

#include <stdbool.h>
#include <stddef.h>

enum finding_level {
    FINDING_OK,
    FINDING_NOTE,    /* worth knowing; nothing is wrong */
    FINDING_PROBLEM, /* something does not work */
};

struct findings {
    struct cli *cli;
    bool json;
    size_t count, problems;
    struct buf out; /* of JSON */
};

/* Adds one, and prints it at once unless all is JSON. `about` is a word; `mend`: what to do, or NULL. */
void findings_add(struct findings *f, enum finding_level level, const char *about, const char *mend,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Says how it went. Frees. */
void findings_end(struct findings *f);

#endif
