/* The two halves of leat check. */
#ifndef LEAT_CLI_CHECK_H
#define LEAT_CLI_CHECK_H

#include "cli/findings.h"

/* Looks at settings, database, disk and jobs of this machine. Whether tasks can run here: there is no problem, and a
 * runner. */
bool check_site(struct cli *cli, struct findings *f);

/* Tries the site at `url` as its clients do, by curl(1), with a bearer `token` or NULL. */
void check_url(struct cli *cli, struct findings *f, const char *url, const char *token);

#endif
