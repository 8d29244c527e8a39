#include "store/stream_slots.h"

#include "base/buf.h"
#include "base/clock.h"

#include <fcntl.h>
#include <sched.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SLOTS =
        256, /* processes; the byte behind their locks is that of turns, then that of the first */
    TURN_TRIES = 1000, /* some ms */
    ACCOUNTS = 4096,   /* of one process; the table is open-addressed. More share what is left. */
    SHORT_MS = 2000,   /* a stream lasts so long, however many wait */
};

/* The file: slots, each a table of accounts. Only its process writes a slot. */
struct account {
    _Atomic uint64_t key; /* of its name; 0: free */
    _Atomic uint32_t count;
};

struct slot {
    _Atomic uint32_t cgi;  /* of a CGI process that has something open */
    _Atomic uint32_t open; /* of all accounts */
    struct account accounts[ACCOUNTS];
};

/* Of a CGI process that has something open. */
struct place {
    _Atomic int64_t since; /* monotonic ms */
    _Atomic uint32_t wanted;
};

struct table {
    struct slot slots[SLOTS];
    struct place places[SLOTS];
};

struct stream_slots {
    int fd;
    int64_t cgi_most;
    int own;    /* index of the slot; -1: none yet */
    bool first; /* of the processes */
    struct table *table;
    struct slot *slots; /* of it */
};

static uint64_t key_of(const char *account)
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    uint64_t key;
    crypto_generichash(hash, sizeof hash, (const unsigned char *)account, strlen(account), NULL, 0);
    memcpy(&key, hash, sizeof key);
    return key ? key : 1;
}

enum err stream_slots_open(struct stream_slots **out, const char *db_path, int64_t cgi_most,
                           struct error *e)
{
    struct stream_slots *s = mem_alloc(sizeof *s);
    struct buf path = {0};
    enum err rc = ERR_OK;
    s->cgi_most = cgi_most;
    s->own = -1;
    buf_fmt(&path, "%s.streams", db_path);
    s->fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    if (s->fd < 0 || ftruncate(s->fd, (off_t)sizeof *s->table))
        rc = error_errno(e, ERR_IO, "cannot open %s", path.data);
    if (!rc) {
        void *table = mmap(NULL, sizeof *s->table, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
        if (table == MAP_FAILED) {
            rc = error_errno(e, ERR_IO, "cannot map %s", path.data);
        } else {
            s->table = table;
            s->slots = s->table->slots;
        }
    }
    buf_free(&path);
    if (rc)
        stream_slots_close(s);
    else
        *out = s;
    return rc;
}

static struct flock lock_on(int index, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = index, .l_len = 1};
}

void stream_slots_close(struct stream_slots *s)
{
    if (!s) return;
    if (s->table) munmap(s->table, sizeof *s->table);
    if (s->fd >= 0) close(s->fd); /* which ends the lock */
    free(s);
}

/* Locks belong to the open file, so that a child that inherits nothing keeps none. */
static bool lives(const struct stream_slots *s, int index)
{
    if (index == s->own) return true;
    struct flock lock = lock_on(index, F_WRLCK);
    return !fcntl(s->fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* How many living CGI processes have streams open. */
static int64_t cgi_slots(const struct stream_slots *s)
{
    int64_t count = 0;
    for (int i = 0; i < SLOTS; i++) count += s->slots[i].cgi && lives(s, i);
    return count;
}

/* Takes a free slot for this process. */
static bool own_slot(struct stream_slots *s)
{
    for (int i = 0; s->own < 0 && i < SLOTS; i++) {
        struct flock lock = lock_on(i, F_WRLCK);
        if (fcntl(s->fd, F_OFD_SETLK, &lock)) continue;
        s->own = i;
        struct slot *slot = &s->slots[i];
        /* What a dead one left is cleared where it is not zero: pages that nobody used stay unused. */
        if (slot->open || slot->cgi) memset(slot, 0, sizeof *slot);
    }
    return s->own >= 0;
}

/* The entry of a key in a slot; NULL: it has none. *spare: where it could be put. */
static struct account *find(struct slot *slot, uint64_t key, struct account **spare)
{
    if (spare) *spare = NULL;
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        struct account *a = &slot->accounts[(key + i) % ACCOUNTS];
        if (a->key == key) return a;
        if (spare && !*spare && !a->count) *spare = a;
        if (!a->key) return NULL;
    }
    return NULL;
}

/* How many streams an account has open in all living processes. */
static int64_t count_of(struct stream_slots *s, uint64_t key)
{
    int64_t count = 0;
    for (int i = 0; i < SLOTS; i++) {
        if (!s->slots[i].open) continue;
        const struct account *a = find(&s->slots[i], key, NULL);
        if (a && a->count && lives(s, i)) count += a->count;
    }
    return count;
}

static void add(struct stream_slots *s, uint64_t key)
{
    struct slot *slot = &s->slots[s->own];
    struct account *spare, *a = find(slot, key, &spare);
    slot->cgi = s->cgi_most > 0;
    if (!slot->open) s->table->places[s->own].since = clock_monotonic_ms();
    slot->open++; /* first, and in subtract last: a killed process leaves no count in a slot that looks empty */
    if (!a && spare) {
        a = spare;
        a->key = key;
    }
    if (a) a->count++;
}

static void subtract(struct stream_slots *s, uint64_t key)
{
    struct slot *slot = &s->slots[s->own];
    struct account *a = find(slot, key, NULL);
    if (a && a->count) a->count--;
    if (slot->open == 1) slot->cgi = 0;
    if (slot->open) slot->open--;
}

/* Has this process alone look and count, so that of two that come together one is admitted. Nobody is waited
 * for who was stopped in it: then two that come together may both be refused, never both admitted. */
static bool begin_turn(struct stream_slots *s)
{
    struct flock lock = lock_on(SLOTS, F_WRLCK);
    for (int i = 0; i < TURN_TRIES; i++) {
        if (!fcntl(s->fd, F_OFD_SETLK, &lock)) return true;
        sched_yield();
    }
    return false;
}

static void end_turn(struct stream_slots *s)
{
    struct flock lock = lock_on(SLOTS, F_UNLCK);
    fcntl(s->fd, F_OFD_SETLK, &lock);
}

/* Has the oldest of the CGI processes end its stream, unless that is young. One that has been told is not told
 * again: of several that are refused each has another end. */
static void want_oldest(struct stream_slots *s)
{
    struct place *oldest = NULL;
    int64_t before = clock_monotonic_ms() - SHORT_MS;
    for (int i = 0; i < SLOTS; i++) {
        struct place *place = &s->table->places[i];
        if (!s->slots[i].cgi || i == s->own || place->wanted || place->since > before) continue;
        if (lives(s, i) && (!oldest || place->since < oldest->since)) oldest = place;
    }
    if (oldest) oldest->wanted = 1;
}

enum stream_slot stream_slots_take(struct stream_slots *s, const char *account, int64_t most)
{
    uint64_t key = key_of(account);
    if (!own_slot(s)) return SLOT_SITE_FULL;
    bool bounded = most || s->cgi_most, turn = bounded && begin_turn(s);
    add(s, key); /* first, and looked at then: without a turn at least one of two sees both */
    enum stream_slot slot = most && count_of(s, key) > most             ? SLOT_ACCOUNT_FULL
                            : s->cgi_most && cgi_slots(s) > s->cgi_most ? SLOT_SITE_FULL
                                                                        : SLOT_TAKEN;
    if (slot != SLOT_TAKEN) subtract(s, key);
    if (slot == SLOT_SITE_FULL) want_oldest(s);
    if (slot == SLOT_TAKEN) s->table->places[s->own].wanted = 0;
    if (turn) end_turn(s);
    return slot;
}

void stream_slots_give_back(struct stream_slots *s, const char *account)
{
    subtract(s, key_of(account));
}

int64_t stream_slots_length(const struct stream_slots *s, int64_t ms)
{
    int64_t half = s->cgi_most / 2, taken = s->cgi_most ? cgi_slots(s) : 0;
    if (taken <= half || ms <= SHORT_MS) return ms;
    int64_t left = taken < s->cgi_most ? s->cgi_most - taken : 0;
    return SHORT_MS + (ms - SHORT_MS) * left / (s->cgi_most - half);
}

bool stream_slots_wanted(struct stream_slots *s)
{
    return s->cgi_most && s->own >= 0 && atomic_exchange(&s->table->places[s->own].wanted, 0);
}

bool stream_slots_first(struct stream_slots *s, bool may_be)
{
    if (s->first == may_be && may_be) return true;
    struct flock lock = lock_on(SLOTS + 1, may_be ? F_WRLCK : F_UNLCK);
    if (may_be || s->first) s->first = !fcntl(s->fd, F_OFD_SETLK, &lock) && may_be;
    if (may_be) return s->first;
    lock = lock_on(SLOTS + 1, F_WRLCK);
    return fcntl(s->fd, F_OFD_GETLK, &lock) || lock.l_type == F_UNLCK;
}
