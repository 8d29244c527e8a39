/* The schema and its versions (PRAGMA user_version). For lib/store alone. */
#ifndef LEAT_STORE_MIGRATE_H
#define LEAT_STORE_MIGRATE_H

#include "base/error.h"

#include <stdbool.h>

struct sqlite3;

/* Compares the database with the program. ERR_NEWER when the database is ahead; *current says whether
 * nothing is to be done. */
enum err migrate_check(struct sqlite3 *sql, bool *current, struct error *e);

/* Applies the steps that are missing, each in its own transaction. The caller holds the write lock. */
enum err migrate_run(struct sqlite3 *sql, struct error *e);

#endif
