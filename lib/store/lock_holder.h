/* Who holds the write lock. While it is held, DB.lock says so in one line: pid, start time, pid namespace, since
 * when, and what for. So that a process that stops inside the lock (SIGSTOP, a frozen container) can be named, and
 * ended by those who may: its supervisor, or leatd of the same user and pid namespace. */
#ifndef LEAT_STORE_LOCK_HOLDER_H
#define LEAT_STORE_LOCK_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOCK_NAMED_MS = 3000,  /* held so long, health names the holder */
    LOCK_ENDED_MS = 10000, /* held so long, the holder is ended */
};

struct lock_holder {
    int64_t pid;   /* 0: nobody says so */
    int64_t start; /* clock ticks since boot, proc(5) field 22; 0: not known */
    uint64_t ns;   /* inode of its pid namespace; 0: not known */
    int64_t since; /* monotonic us */
    bool lengthy;  /* a migration or a checkpoint, which may take long */
};

/* Learns what this process is called: before it has threads, and anew after fork. */
void lock_holder_init(void);

/* Write and clear the line in the locked file `fd`. Failures are ignored: then nobody says so. */
void lock_holder_set(int fd, bool lengthy);
void lock_holder_clear(int fd);

/* Whether the lock of the database at `db_path` is held, by somebody who has had it for `ms` without giving it up:
 * *out. */
bool lock_held(const char *db_path, int64_t ms, struct lock_holder *out);

/* Whether pids of the holder's mean the same here. */
bool lock_holder_is_near(const struct lock_holder *h);

/* One who looks every second or so. Starts zeroed. */
struct lock_watch {
    struct lock_holder seen;
    int64_t from; /* monotonic ms: since when it is that one */
    int64_t last; /* monotonic ms: the last look */
};

/* Whether the holder has to be ended: it has had the lock since LOCK_ENDED_MS, as seen by the watch, it is a
 * process of this user and pid namespace that was started when it says, and it is neither this one nor, unless it
 * is stopped, one at something lengthy. *out is that one. */
bool lock_watch_overdue(struct lock_watch *w, const char *db_path, struct lock_holder *out);

#endif
