/* The schema and its versions (PRAGMA user_version). For lib/store alone. */
#ifndef LEAT_STORE_MIGRATE_H
#define LEAT_STORE_MIGRATE_H

#include "base/error.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Compares the database with the program. ERR_NEWER when the database is ahead; *current says whether
 * nothing is to be done. */
enum err migrate_check(sqlite3 *sql, bool *current, struct error *e);

/* Applies the steps that are missing, each in its own transaction. The caller holds the turnstile. */
enum err migrate_run(sqlite3 *sql, struct error *e);

#endif
