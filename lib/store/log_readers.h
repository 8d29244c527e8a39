/* Who keeps the write-ahead log from being cut: a program that reads in one transaction for long. No checkpoint can pass
 * the state of the database that it reads, so the log grows with every commit. Its kind is a forgotten `BEGIN` in a shell,
 * or a backup by other means; Leat's own programs read for milliseconds. */
#ifndef LEAT_STORE_LOG_READERS_H
#define LEAT_STORE_LOG_READERS_H

#include "store/db.h"

#include <stddef.h>
#include <stdint.h>

enum {
    LOG_READERS_MAX = 5,             /* SQLite has as many marks for readers */
    LOG_READER_NAMED = 16 * 1048576, /* bytes of log behind one: as much as a log keeps anyway */
};

struct log_reader {
    int64_t pid;   /* as this pid namespace sees it; one of another namespace is not found */
    int64_t bytes; /* of log that no checkpoint can move because of it */
};

/* Those that hold up LOG_READER_NAMED bytes or more, one for each mark; their number. Reads the memory that SQLite shares
 * between processes, and proc(5) only where there is one: cheap enough for every look at the health of a site. */
size_t log_readers_find(struct db *db, struct log_reader out[LOG_READERS_MAX]);

#endif
