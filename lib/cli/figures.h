/* The site's figures, for leat stats and leat top. */
#ifndef LEAT_CLI_FIGURES_H
#define LEAT_CLI_FIGURES_H

#include "base/buf.h"
#include "cli/command.h"
#include "metrics/stats.h"

/* Appends the figures of the whole site, a line each. */
void figures_site(struct cli *cli, const struct stats *s, struct buf *out);

/* Appends a table of the types that have tasks, and how many in each status. */
void figures_types(struct cli *cli, const struct stats *s, struct buf *out);

/* Appends a table of the living processes. */
void figures_processes(struct cli *cli, const struct stats *s, struct buf *out);

#endif
