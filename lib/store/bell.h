/* The bell: a file beside the database that is touched after each commit, so that processes on the
 * same machine wake up. It carries no state; ringing too often or never is harmless, because whoever
 * waits also looks at db_changed once a second. */
#ifndef LEAT_STORE_BELL_H
#define LEAT_STORE_BELL_H

#include "base/error.h"

struct bell;

/* Listens at the bell of the database at `db_path`, creating it when missing. ERR_IO. */
enum err bell_open(struct bell **out, const char *db_path, struct error *e);
void bell_close(struct bell *b);

/* A descriptor that is readable once the bell has rung. */
int bell_fd(const struct bell *b);

/* Forgets the rings so far. Call before reading what is new, never after. */
void bell_answer(struct bell *b);

#endif
