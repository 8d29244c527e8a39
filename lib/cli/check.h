/* The two halves of leat check. */
#ifndef LEAT_CLI_CHECK_H
#define LEAT_CLI_CHECK_H

#include "cli/findings.h"

/* Looks at settings, database, disk and jobs of this machine. */
void check_site(struct cli *cli, struct findings *f);

/* Tries the site at `url` as its clients do, by curl(1), with a bearer `token` or NULL. EX_OK, or another status after
 * saying why nothing could be tried. */
int check_url(struct cli *cli, struct findings *f, const char *url, const char *token);

#endif
