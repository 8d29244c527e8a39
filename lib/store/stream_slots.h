/* How many streams an account has open, in all processes of a site together. Each process counts in a slot of
 * the file DB.streams, which all of them map; a slot counts while its process holds the lock on it, so what a
 * killed process had open is forgotten with it.
 *
 * The file is of no worth when no process runs: it is never synced. */
#ifndef LEAT_STORE_STREAM_SLOTS_H
#define LEAT_STORE_STREAM_SLOTS_H

#include "base/error.h"

#include <stdint.h>

struct stream_slots;

/* Opens the file of the database at `db_path`. `cgi_most`: this process answers one request by CGI, and of
 * such processes so many may hold streams; 0: it does not. ERR_IO. */
enum err stream_slots_open(struct stream_slots **out, const char *db_path, int64_t cgi_most,
                           struct error *e);

/* Gives the slot up. NULL is fine. */
void stream_slots_close(struct stream_slots *s);

/* Counts one more stream of an account unless it has `most` already (0: no limit), or unless as many
 * processes hold streams as may (CGI; or all slots of the file are taken). Else it was not counted. */
enum stream_slot { SLOT_TAKEN, SLOT_ACCOUNT_FULL, SLOT_SITE_FULL };
enum stream_slot stream_slots_take(struct stream_slots *s, const char *account, int64_t most);
void stream_slots_give_back(struct stream_slots *s, const char *account);

#endif
