/* Inside a job: lines for its runner, as they go to descriptor 3. */
#ifndef LEAT_CLI_SAY_H
#define LEAT_CLI_SAY_H

#include "base/buf.h"
#include "cli/command.h"

/* Checks the line, which has no end yet, as its runner will, and writes it to $LEAT_EVENTS, else to descriptor 3.
 * EX_OK, or another status after saying why. Frees `line`. */
int say_line(struct cli *cli, struct buf *line);

#endif
