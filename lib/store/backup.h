/* Copies of a database: made while programs use it, and put back while none does. */
#ifndef LEAT_STORE_BACKUP_H
#define LEAT_STORE_BACKUP_H

#include "base/error.h"
#include "store/db.h"

#include <stdint.h>

/* Makes `file` a copy of the database in the state of one moment: one file, on disk when this returns, and never
 * half of one. A backup that is there is replaced. Meanwhile others write, but the write-ahead log is not cut.
 * ERR_STATE: the file there is something else, or none can be made; ERR_FULL, ERR_IO. */
enum err backup_make(struct db *db, const char *file, struct error *e);

/* Puts the backup `file` in the place of the database at `path`, with the newest schema and a new epoch. The old
 * one, if there is one, stays beside it, as *kept (the caller frees; NULL: there was none). `now` (wall-clock ms) is
 * for its name. ERR_BUSY while a program has it open; ERR_STATE: the file is no database of ours; ERR_MALFORMED: it
 * is damaged; ERR_NEWER, ERR_NOTFOUND, ERR_FULL, ERR_IO: all is as it was. */
enum err backup_restore(const char *path, const char *file, int64_t now, char **kept,
                        struct error *e);

#endif
