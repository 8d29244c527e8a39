/* Groups in the database. */
#ifndef LEAT_STORE_GROUPS_H
#define LEAT_STORE_GROUPS_H

#include "base/error.h"
#include "store/db.h"
#include "task/group.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads one but for its context, which stays NULL (free with group_free). One never used is found too: idle
 * and empty. */
enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e);

/* Reads the context: one JSON value on one line, NULL when it was never set, in *json, which the caller frees, and
 * its version, 0 when it was never set. Both are of one state of the database. */
enum err group_context_get(struct db *db, const char *owner, const char *name, char **json,
                           int64_t *version, struct error *e);

/* Names of groups, latest change first. */
struct group_page {
    struct group_name {
        char *owner, *name;
        int64_t updated_at;
    } * items;
    size_t count;
    bool more;
};

/* At most `limit` groups of `owner` (NULL: of everyone) that come behind `after` (NULL: the first). */
enum err group_page_read(struct db *db, const char *owner, const struct group_name *after,
                         int64_t limit, struct group_page *out, struct error *e);
void group_page_free(struct group_page *p);

/* The functions below write: between txn_begin and txn_commit. */

/* Replaces the context by `json` (one JSON value of at most TASK_STATE_MAX bytes, which the caller sees to) if its
 * version is `expected` (-1: whatever it is), and counts the version on. ERR_STATE when it is not. */
enum err group_context_put(struct db *db, const char *owner, const char *name, const char *json,
                           int64_t expected, int64_t now, struct error *e);

/* Puts an application event into the group's log; *seq is its position. `payload` is JSON text. */
enum err group_publish(struct db *db, const char *owner, const char *name, const char *request_id,
                       const char *type, const char *payload, int64_t now, int64_t *seq,
                       struct error *e);

#endif
