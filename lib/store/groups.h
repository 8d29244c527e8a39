/* Groups in the database. */
#ifndef LEAT_STORE_GROUPS_H
#define LEAT_STORE_GROUPS_H

#include "base/error.h"
#include "store/db.h"
#include "task/group.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads one (free with group_free). One never used is found too: idle and empty. */
enum err group_get(struct db *db, const char *owner, const char *name, struct group *out,
                   struct error *e);

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

/* The functions below write: between db_begin and db_commit. */

/* Replaces the context by `json` (one JSON value) if its version is `expected` (-1: whatever it is).
 * ERR_STATE when it is not. */
enum err group_context_put(struct db *db, const char *owner, const char *name, const char *json,
                           int64_t expected, int64_t now, struct error *e);

/* Puts an application event into the group's log; *seq is its position. `payload` is JSON text. */
enum err group_publish(struct db *db, const char *owner, const char *name, const char *request_id,
                       const char *type, const char *payload, int64_t now, int64_t *seq,
                       struct error *e);

/* Cancels what is pending, and asks the runners of what is running; both are counted. Needs
 * DB_SYNC_BEFORE. */
enum err group_cancel(struct db *db, const char *owner, const char *name, int64_t now,
                      int64_t *cancelled, int64_t *requested, struct error *e);

/* Retries every task that failed, timed out or was cancelled. `attempts` gives the further attempts
 * of a type. */
enum err group_retry(struct db *db, const char *owner, const char *name,
                     int64_t (*attempts)(void *arg, const char *type), void *arg, int64_t now,
                     int64_t *retried, struct error *e);

#endif
