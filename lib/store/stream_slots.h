/* How many streams an account has open, in all processes of a site together. Each process counts in a slot of
 * the file DB.streams, which all of them map; a slot counts while its process holds the lock on it, so what a
 * killed process had open is forgotten with it.
 *
 * Where a process holds one stream only (CGI), so many of them may hold one, lest there be none for other
 * requests. When these run short, streams are shorter; and who is refused one has the oldest end, so that all
 * have their turn.
 *
 * The file is of no worth when no process runs: it is never synced. */
#ifndef LEAT_STORE_STREAM_SLOTS_H
#define LEAT_STORE_STREAM_SLOTS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct stream_slots;

/* Opens the file of the database at `db_path`. `cgi_most`: this process holds one stream at most, and of
 * such processes so many may hold one; 0: it is none of them. ERR_IO. */
enum err stream_slots_open(struct stream_slots **out, const char *db_path, int64_t cgi_most,
                           struct error *e);

/* Gives the slot up. NULL is fine. */
void stream_slots_close(struct stream_slots *s);

/* Counts one more stream of an account unless it has `most` already (0: no limit), or unless as many
 * processes hold streams as may (CGI; or all slots of the file are taken). Else it was not counted. */
enum stream_slot { SLOT_TAKEN, SLOT_ACCOUNT_FULL, SLOT_SITE_FULL };
enum stream_slot stream_slots_take(struct stream_slots *s, const char *account, int64_t most);
void stream_slots_give_back(struct stream_slots *s, const char *account);

/* How long a stream of this process may last that shall last `ms`: at most half of the places taken, so long;
 * with the last one, 2 s. */
int64_t stream_slots_length(const struct stream_slots *s, int64_t ms);

/* Whether somebody was refused who should have this process' place, since the last time this was asked. */
bool stream_slots_wanted(struct stream_slots *s);

/* Whether no other process is the first one of the site. `may_be`: this one becomes the first where there is
 * none, and stays it; else it is the first no longer. */
bool stream_slots_first(struct stream_slots *s, bool may_be);

#endif
