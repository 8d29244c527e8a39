#include "store/log_readers.h"

#include "base/buf.h"
#include "store/db_struct.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LOCKS_LOOKED_AT = 20000 }; /* lines of /proc/locks */

/* The inode of the memory that is shared, 0 if there is none. Without opening it: a descriptor of ours that is closed
 * takes SQLite's locks with it. */
static uint64_t shared_inode(struct db *db)
{
    struct buf path = {0};
    struct stat st = {0};
    buf_fmt(&path, "%s-shm", sqlite_file(db->sql));
    bool there = !stat(path.data, &st);
    buf_free(&path);
    return there ? (uint64_t)st.st_ino : 0;
}

/* Notes a reader of each mark that holds up much. Only the inode is compared: some filesystems say another device here
 * than stat(2) does, and bytes of such a place are locked nowhere but in SQLite's shared memory. */
static size_t find_holders(FILE *locks, uint64_t inode, const int64_t held[SQLITE_LOG_MARKS],
                           struct log_reader *out)
{
    char line[256], kind[16], mode[16];
    bool noted[SQLITE_LOG_MARKS] = {false};
    size_t count = 0;
    for (int i = 0; i < LOCKS_LOOKED_AT && fgets(line, sizeof line, locks); i++) {
        long long pid = 0, first = 0, last = 0;
        unsigned long long at = 0;
        /* "1: POSIX  ADVISORY  READ  1234 fe:01:5678 123 123"; one that waits has "->" before POSIX */
        if (sscanf(line, "%*d: %15s %*s %15s %lld %*x:%*x:%llu %lld %lld", kind, mode, &pid, &at,
                   &first, &last) != 6)
            continue;
        if (strcmp(kind, "POSIX") != 0 || strcmp(mode, "READ") != 0 || at != inode || pid <= 0)
            continue;
        for (int m = 0; m < SQLITE_LOG_MARKS; m++) {
            int64_t byte = SQLITE_LOG_MARK_LOCK + m;
            if (noted[m] || held[m] < LOG_READER_NAMED || byte < first || byte > last) continue;
            noted[m] = true;
            out[count++] = (struct log_reader){pid, held[m]};
        }
    }
    return count;
}

size_t log_readers_find(struct db *db, struct log_reader out[LOG_READERS_MAX])
{
    static_assert((int)LOG_READERS_MAX == (int)SQLITE_LOG_MARKS, "one for each");
    int64_t held[SQLITE_LOG_MARKS];
    bool much = false;
    if (!sqlite_log_marks(db->sql, held)) return 0;
    for (int m = 0; m < SQLITE_LOG_MARKS; m++) much |= held[m] >= LOG_READER_NAMED;
    uint64_t inode = much ? shared_inode(db) : 0;
    FILE *locks = inode ? fopen("/proc/locks", "re") : NULL;
    if (!locks) return 0;
    size_t count = find_holders(locks, inode, held, out);
    fclose(locks);
    return count;
}
