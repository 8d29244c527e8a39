#include "store/migrate.h"

#include "gen/schema.h"
#include "store/stmt.h"

#include <stdio.h>

static enum err read_version(sqlite3 *sql, int *version, struct error *e)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(sql, "PRAGMA user_version", -1, &st, NULL);
    if (rc) return stmt_error(sql, rc, "cannot read the schema version", e);
    rc = sqlite3_step(st);
    *version = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? ERR_OK : stmt_error(sql, rc, "cannot read the schema version", e);
}

enum err migrate_check(sqlite3 *sql, bool *current, struct error *e)
{
    int version = 0, newest = schema_steps[schema_step_count - 1].version;
    enum err rc = read_version(sql, &version, e);
    if (rc) return rc;
    *current = version == newest;
    if (version <= newest) return ERR_OK;
    return error_set(e, ERR_NEWER,
                     "the database has schema version %d, this program knows up to %d: "
                     "it was used by a newer version",
                     version, newest);
}

static enum err apply(sqlite3 *sql, const struct schema_step *step, struct error *e)
{
    char set_version[64];
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", step->version);
    const char *const parts[] = {"BEGIN IMMEDIATE", step->sql, set_version, "COMMIT"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int rc = sqlite3_exec(sql, parts[i], NULL, NULL, NULL);
        if (!rc) continue;
        enum err code = stmt_error(sql, rc, step->name, e);
        if (!sqlite3_get_autocommit(sql)) sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL);
        return code;
    }
    return ERR_OK;
}

enum err migrate_run(sqlite3 *sql, struct error *e)
{
    int version = 0;
    enum err rc = read_version(sql, &version, e);
    for (size_t i = 0; !rc && i < schema_step_count; i++)
        if (schema_steps[i].version > version) rc = apply(sql, &schema_steps[i], e);
    return rc;
}
