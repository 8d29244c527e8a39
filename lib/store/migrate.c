#include "store/migrate.h"

#include "gen/schema.h"
#include "store/sqlite.h"

#include <stdio.h>

enum err migrate_check(struct sqlite3 *sql, bool *current, struct error *e)
{
    int64_t version = 0, newest = schema_steps[schema_step_count - 1].version;
    enum err rc = sqlite_pragma_number(sql, "PRAGMA user_version", &version, e);
    if (rc) return rc;
    *current = version == newest;
    if (version <= newest) return ERR_OK;
    return error_set(e, ERR_NEWER,
                     "the database has schema version %d, this program knows up to %d: "
                     "it was used by a newer version",
                     (int)version, (int)newest);
}

static enum err apply(struct sqlite3 *sql, const struct schema_step *step, struct error *e)
{
    char set_version[64];
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", step->version);
    const char *const parts[] = {"BEGIN IMMEDIATE", step->sql, set_version, "COMMIT"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        enum err rc = sqlite_script(sql, step->name, parts[i], e);
        if (!rc) continue;
        if (sqlite_in_transaction(sql)) sqlite_exec(sql, "ROLLBACK", NULL);
        return rc;
    }
    return ERR_OK;
}

enum err migrate_run(struct sqlite3 *sql, struct error *e)
{
    int64_t version = 0;
    enum err rc = sqlite_pragma_number(sql, "PRAGMA user_version", &version, e);
    for (size_t i = 0; !rc && i < schema_step_count; i++)
        if (schema_steps[i].version > version) rc = apply(sql, &schema_steps[i], e);
    return rc;
}
