/* That a database was found malformed: the file DB.malformed, beside it, names the damaged file by its inode. All
 * processes look, so that none writes on into what another has found damaged, also after a restart. It counts no
 * more once another file stands in the place of the damaged one. */
#ifndef LEAT_STORE_DAMAGE_H
#define LEAT_STORE_DAMAGE_H

#include <stdbool.h>

#define DAMAGE_SUFFIX ".malformed"

/* Notes that `db_path` is damaged. Where that cannot be written, nothing can. */
void damage_note(const char *db_path);

/* Whether that was noted of the file that is there now. A system call where it was not. */
bool damage_noted(const char *db_path);

#endif
