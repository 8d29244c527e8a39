/* Groups in the database. */
#ifndef LEAT_STORE_GROUPS_H
#define LEAT_STORE_GROUPS_H

#include "base/error.h"
#include "store/db.h"
#include "task/group.h"

/* Reads one (free with group_free). One never used is found too: idle and empty. */
enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e);

#endif
