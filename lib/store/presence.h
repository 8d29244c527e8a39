/* Who has a database open. Each program that does shares a lock (flock) on its bell, DB.bell, for as long as it has
 * it open; who must be alone takes the lock for itself. The system releases it whatever a program dies of. */
#ifndef LEAT_STORE_PRESENCE_H
#define LEAT_STORE_PRESENCE_H

#include "base/error.h"

#include <stdbool.h>

/* Shares the lock of the open bell `fd`, or takes it `alone`; then also those count that have the database open
 * without knowing of the lock. Before this process opens the database: looking opens and closes its file, which
 * would drop SQLite's locks. ERR_BUSY: somebody has it, or is alone; the text names processes, where they can be
 * found. ERR_IO. */
enum err presence_take(int fd, const char *db_path, bool alone, struct error *e);

#endif
