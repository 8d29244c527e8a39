/* Whose group a request means. */
#ifndef LEAT_GROUPS_H
#define LEAT_GROUPS_H

#include "server/exchange.h"

/* The asker, or the owner that an admin names with ?owner=. The caller frees; NULL: refused, and answered: the
 * path names no group that can be, or the asker may not name another owner. */
char *group_owner(struct exchange *x);

#endif
