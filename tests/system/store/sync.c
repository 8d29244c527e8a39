/* Durability, seen from below: a layer between SQLite and the system counts the syncs, looks at what
 * others can see at that moment, and fails on demand. */
#include "../../unit/store/fixture.h"

#include "store/bell.h"

#include <sys/file.h>

/* ---- the layer ------------------------------------------------------------------------------ */

static struct {
    int syncs[2];    /* of the database and of the log */
    int fail_syncs;  /* so many of the log fail, from the next on */
    int skip_writes; /* after so many writes to the log that succeed, */
    int fail_writes; /* so many fail, with this: */
    int write_code, write_errno;
    bool fail_maps; /* growing the -shm file fails */
    void (*at_sync)(void);
} layer;

struct file {
    sqlite3_file base;
    bool log;
    sqlite3_file *below; /* behind this struct */
};

static sqlite3_file *below(sqlite3_file *f)
{
    return ((struct file *)f)->below;
}

#define METHOD(f) below(f)->pMethods

static int file_close(sqlite3_file *f)
{
    return METHOD(f)->xClose(below(f));
}
static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return METHOD(f)->xRead(below(f), to, n, at);
}
static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    if (((struct file *)f)->log && layer.fail_writes > 0 && layer.skip_writes-- <= 0) {
        layer.fail_writes--;
        return layer.write_code;
    }
    return METHOD(f)->xWrite(below(f), from, n, at);
}
static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return METHOD(f)->xTruncate(below(f), size);
}
static int file_sync(sqlite3_file *f, int flags)
{
    bool log = ((struct file *)f)->log;
    layer.syncs[log]++;
    if (log && layer.at_sync) layer.at_sync();
    if (log && layer.fail_syncs > 0) {
        layer.fail_syncs--;
        errno = EIO;
        return SQLITE_IOERR_FSYNC;
    }
    return METHOD(f)->xSync(below(f), flags);
}
static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return METHOD(f)->xFileSize(below(f), size);
}
static int file_lock(sqlite3_file *f, int lock)
{
    return METHOD(f)->xLock(below(f), lock);
}
static int file_unlock(sqlite3_file *f, int lock)
{
    return METHOD(f)->xUnlock(below(f), lock);
}
static int file_check(sqlite3_file *f, int *out)
{
    return METHOD(f)->xCheckReservedLock(below(f), out);
}
static int file_control(sqlite3_file *f, int op, void *arg)
{
    if (op == SQLITE_FCNTL_LAST_ERRNO && layer.write_errno) {
        *(int *)arg = layer.write_errno;
        return SQLITE_OK;
    }
    return METHOD(f)->xFileControl(below(f), op, arg);
}
static int file_sector(sqlite3_file *f)
{
    return METHOD(f)->xSectorSize(below(f));
}
static int file_device(sqlite3_file *f)
{
    return METHOD(f)->xDeviceCharacteristics(below(f));
}
static int shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    if (layer.fail_maps) return SQLITE_IOERR_SHMSIZE;
    return METHOD(f)->xShmMap(below(f), page, size, extend, out);
}
static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return METHOD(f)->xShmLock(below(f), offset, n, flags);
}
static void shm_barrier(sqlite3_file *f)
{
    METHOD(f)->xShmBarrier(below(f));
}
static int shm_unmap(sqlite3_file *f, int del)
{
    return METHOD(f)->xShmUnmap(below(f), del);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static sqlite3_vfs *unix_vfs;

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    struct file *file = (struct file *)f;
    file->below = (sqlite3_file *)(file + 1);
    file->log = flags & SQLITE_OPEN_WAL;
    int rc = unix_vfs->xOpen(unix_vfs, name, file->below, flags, out);
    file->base.pMethods = file->below->pMethods ? &methods : NULL;
    return rc;
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *text)
{
    (void)vfs, (void)n, (void)text;
    return layer.write_errno;
}

static sqlite3_vfs layer_vfs;

static int layer_install(void **state)
{
    (void)state;
    unix_vfs = sqlite3_vfs_find("unix");
    if (!unix_vfs) return -1;
    layer_vfs = *unix_vfs;
    layer_vfs.zName = "layer";
    layer_vfs.szOsFile = (int)sizeof(struct file) + unix_vfs->szOsFile;
    layer_vfs.xOpen = vfs_open;
    layer_vfs.xGetLastError = vfs_last_error;
    return sqlite3_vfs_register(&layer_vfs, 1);
}

static int layer_enter_closed(void **state)
{
    memset(&layer, 0, sizeof layer);
    return room_enter_closed(state);
}

/* A database that was made here: its log is in use, and the next commit does not sync a new header. */
static int layer_enter(void **state)
{
    return layer_enter_closed(state) || room_open(*state) ? -1 : 0;
}

static int layer_leave(void **state)
{
    memset(&layer, 0, sizeof layer);
    return room_leave(state);
}

#define layer_test(name) cmocka_unit_test_setup_teardown(name, layer_enter, layer_leave)

/* ---- counting ------------------------------------------------------------------------------- */

static enum err commit_one(struct room *r, enum txn_sync sync)
{
    int64_t n;
    enum err rc = txn_begin(r->db, sync, &r->e);
    if (rc) return rc;
    OK(r, sketch_create(r->db, &(struct sketch){.group = "g"}, NULL, &n, &r->e));
    return txn_commit(r->db, &r->e);
}

/* The syncs of the log that one more commit makes. */
static int syncs_of(struct room *r, enum txn_sync sync)
{
    int before = layer.syncs[1];
    assert_int_equal(commit_one(r, sync), ERR_OK);
    return layer.syncs[1] - before;
}

static void each_kind_of_commit_syncs_as_often_as_it_says(void **state)
{
    struct room *r = *state;
    /* in this order, so that each follows each: the kind of one commit does not stick */
    static const enum txn_sync kinds[] = {
        TXN_SYNC_NONE,  TXN_SYNC_AFTER,  TXN_SYNC_BEFORE, TXN_SYNC_NONE, TXN_SYNC_BEFORE,
        TXN_SYNC_AFTER, TXN_SYNC_BEFORE, TXN_SYNC_BEFORE, TXN_SYNC_NONE, TXN_SYNC_NONE,
        TXN_SYNC_AFTER, TXN_SYNC_AFTER,  TXN_SYNC_NONE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_int_equal(syncs_of(r, kinds[i]), kinds[i] != TXN_SYNC_NONE);
}

static void a_new_database_is_synced_before_it_is_used(void **state)
{
    struct room *r = *state;
    OK(r, room_open(r));
    assert_true(layer.syncs[1] > 0);
}

static void a_transaction_without_a_change_syncs_nothing(void **state)
{
    struct room *r = *state;
    int before = layer.syncs[1];
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(layer.syncs[1], before);
}

static void a_checkpoint_syncs_the_log_before_the_database(void **state)
{
    struct room *r = *state;
    syncs_of(r, TXN_SYNC_NONE);
    int log = layer.syncs[1], database = layer.syncs[0];
    OK(r, db_checkpoint(r->db, &r->e));
    assert_true(layer.syncs[1] > log);
    assert_true(layer.syncs[0] > database);
}

/* Whether others can write at this moment. */
static struct {
    sqlite3 *other;
    int lock;
    bool in_turn, locked;
} barred;

static void try_to_write(void)
{
    barred.in_turn = flock(barred.lock, LOCK_EX | LOCK_NB) != 0;
    barred.locked = sqlite3_exec(barred.other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY;
}

static void during_a_checkpoint_nobody_writes_write_lock_or_not(void **state)
{
    struct room *r = *state;
    char path[64];
    snprintf(path, sizeof path, "%s.lock", r->path);
    syncs_of(r, TXN_SYNC_NONE);
    barred.lock = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(sqlite3_open_v2(r->path, &barred.other, SQLITE_OPEN_READWRITE, "unix"), 0);
    sqlite3_db_config(barred.other, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    layer.at_sync = try_to_write;
    OK(r, db_checkpoint(r->db, &r->e));
    layer.at_sync = NULL;
    sqlite3_close(barred.other);
    close(barred.lock);
    assert_true(barred.in_turn);
    assert_true(barred.locked);
}

static void after_a_checkpoint_commits_are_synced_as_before(void **state)
{
    struct room *r = *state;
    syncs_of(r, TXN_SYNC_AFTER);
    OK(r, db_checkpoint(r->db, &r->e));
    /* the log begins anew, with a header that is synced first */
    assert_in_range(syncs_of(r, TXN_SYNC_AFTER), 1, 2);
    assert_int_equal(syncs_of(r, TXN_SYNC_AFTER), 1);
}

/* ---- the moment of the sync ----------------------------------------------------------------- */

/* What another process would find while the log is being synced. */
static struct {
    sqlite3 *reader;
    int lock;
    struct bell *bell;
    int looks;
    bool visible, queue_free, rung;
} moment;

static bool is_rung(void)
{
    return poll(&(struct pollfd){.fd = bell_fd(moment.bell), .events = POLLIN}, 1, 0) == 1;
}

static int found_one(void *arg, int columns, char **values, char **names)
{
    (void)columns, (void)names;
    *(bool *)arg = values[0] && strcmp(values[0], "0") != 0;
    return 0;
}

static void look(void)
{
    moment.looks++;
    sqlite3_exec(moment.reader, "SELECT count(*) FROM tasks", found_one, &moment.visible, NULL);
    moment.queue_free = !flock(moment.lock, LOCK_EX | LOCK_NB);
    if (moment.queue_free) flock(moment.lock, LOCK_UN);
    moment.rung = is_rung();
}

/* Commits a task and looks around at its sync. */
static void commit_and_look(struct room *r, enum txn_sync sync)
{
    char path[64];
    snprintf(path, sizeof path, "%s.lock", r->path);
    memset(&moment, 0, sizeof moment);
    moment.lock = open(path, O_RDWR | O_CLOEXEC);
    assert_true(moment.lock >= 0);
    assert_int_equal(sqlite3_open_v2(r->path, &moment.reader, SQLITE_OPEN_READONLY, "unix"), 0);
    OK(r, bell_open(&moment.bell, r->path, &r->e));
    layer.at_sync = look;
    assert_int_equal(commit_one(r, sync), ERR_OK);
    layer.at_sync = NULL;
    assert_true(is_rung()); /* in the end */
    bell_close(moment.bell);
    sqlite3_close(moment.reader);
    close(moment.lock);
}

static void synced_after_means_seen_and_rung_first_with_the_queue_free(void **state)
{
    commit_and_look(*state, TXN_SYNC_AFTER);
    assert_int_equal(moment.looks, 1);
    assert_true(moment.visible);
    assert_true(moment.queue_free);
    assert_true(moment.rung);
}

static void synced_before_means_that_nobody_sees_it_earlier(void **state)
{
    commit_and_look(*state, TXN_SYNC_BEFORE);
    assert_int_equal(moment.looks, 1);
    assert_false(moment.visible);
    assert_false(moment.queue_free);
    assert_false(moment.rung);
}

static void without_a_sync_the_txn_rings_all_the_same(void **state)
{
    commit_and_look(*state, TXN_SYNC_NONE);
    assert_int_equal(moment.looks, 0);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void a_sync_that_fails_after_the_commit_leaves_the_outcome_open(void **state)
{
    struct room *r = *state;
    layer.fail_syncs = 1;
    assert_int_equal(commit_one(r, TXN_SYNC_AFTER), ERR_UNSYNCED);
    assert_int_equal(r->e.code, ERR_UNSYNCED);
    /* others see it: only a power cut would tell */
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
    assert_true(txn_idle(r->db));
}

/* As a process does that is started again. */
static void open_again(struct room *r)
{
    room_close(r);
    OK(r, room_open(r));
}

static void a_sync_that_fails_before_the_commit_leaves_the_outcome_open_too(void **state)
{
    struct room *r = *state;
    layer.fail_syncs = 1;
    assert_int_equal(commit_one(r, TXN_SYNC_BEFORE), ERR_UNSYNCED);
    assert_int_equal(r->e.code, ERR_UNSYNCED);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);
    assert_true(txn_idle(r->db));
    /* Nothing more is written here; the write lock was left for others. */
    assert_int_equal(commit_one(r, TXN_SYNC_NONE), ERR_UNSYNCED);
    open_again(r);
    assert_int_equal(commit_one(r, TXN_SYNC_BEFORE), ERR_OK);
    assert_consistent(r->db);
}

static void after_a_checkpoint_whose_sync_fails_nothing_is_written(void **state)
{
    struct room *r = *state;
    syncs_of(r, TXN_SYNC_AFTER);
    layer.fail_syncs = 1;
    assert_int_equal(db_checkpoint(r->db, &r->e), ERR_UNSYNCED);
    assert_int_equal(commit_one(r, TXN_SYNC_AFTER), ERR_UNSYNCED);
    open_again(r);
    OK(r, db_checkpoint(r->db, &r->e));
    assert_int_equal(commit_one(r, TXN_SYNC_AFTER), ERR_OK);
    sql_is(r->db, "ok", "PRAGMA integrity_check");
}

/* A commit whose write to the log fails so. */
static void write_fails(struct room *r, int code, int number, enum txn_sync sync, enum err expected)
{
    layer.fail_writes = 1;
    layer.write_code = code;
    layer.write_errno = number;
    assert_int_equal(commit_one(r, sync), expected);
    assert_int_equal(r->e.code, expected);
    assert_int_equal(layer.fail_writes, 0);
    assert_int_equal(sql_number(r->db, "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM"
                                       " events)"),
                     0);
    assert_true(txn_idle(r->db));
}

static void a_full_disk_says_full_and_writes_nothing(void **state)
{
    for (int sync = TXN_SYNC_NONE; sync <= TXN_SYNC_BEFORE; sync++)
        write_fails(*state, SQLITE_FULL, 0, (enum txn_sync)sync, ERR_FULL);
}

static void a_full_quota_is_a_full_disk(void **state)
{
    write_fails(*state, SQLITE_IOERR_WRITE, EDQUOT, TXN_SYNC_AFTER, ERR_FULL);
}

static void a_broken_disk_is_an_io_error(void **state)
{
    write_fails(*state, SQLITE_IOERR_WRITE, EIO, TXN_SYNC_AFTER, ERR_IO);
}

static void after_a_failed_write_the_next_commit_counts(void **state)
{
    struct room *r = *state;
    write_fails(r, SQLITE_FULL, 0, TXN_SYNC_AFTER, ERR_FULL);
    assert_int_equal(commit_one(r, TXN_SYNC_AFTER), ERR_OK);
    assert_int_equal(sql_number(r->db, "SELECT max(seq) FROM events"), 2);
    assert_consistent(r->db);
    room_close(r);
    OK(r, room_open(r));
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
    sql_is(r->db, "ok", "PRAGMA integrity_check");
}

static void when_a_large_input_fills_the_disk_nothing_of_it_stays(void **state)
{
    struct room *r = *state;
    size_t len = 8 << 20; /* more than SQLite keeps in memory: it is written before the commit */
    char *bytes = mem_alloc(len);
    int64_t n;
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e));
    layer.fail_writes = 1;
    layer.write_code = SQLITE_FULL;
    struct sketch large = {.input = bytes, .input_bytes = len};
    assert_int_equal(sketch_create(r->db, &large, NULL, &n, &r->e), ERR_FULL);
    /* SQLite has ended the transaction: what a caller does next in it must not count by itself */
    assert_int_not_equal(sketch_create(r->db, &(struct sketch){0}, NULL, &n, &r->e), ERR_OK);
    assert_int_not_equal(txn_commit(r->db, &r->e), ERR_OK);
    free(bytes);
    assert_int_equal(sql_number(r->db, "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM"
                                       " events)"),
                     0);
    assert_int_equal(commit_one(r, TXN_SYNC_AFTER), ERR_OK);
    assert_consistent(r->db);
}

static void a_disk_that_fills_while_the_schema_is_made_leaves_no_half(void **state)
{
    struct room *r = *state;
    int failures = 0;
    for (int after = 0;; after++) {
        /* every write in turn, up to the one that is not needed */
        layer.skip_writes = after;
        layer.fail_writes = 1;
        layer.write_code = SQLITE_FULL;
        enum err rc = room_open(r);
        bool failed = !layer.fail_writes;
        layer.fail_writes = layer.skip_writes = 0;
        assert_int_equal(rc, failed ? ERR_FULL : ERR_OK);
        failures += failed;
        room_close(r);
        OK(r, room_open(r));
        sql_is(r->db, "ok", "PRAGMA integrity_check");
        make(r, (struct sketch){.group = "g"});
        assert_consistent(r->db);
        room_close(r);
        room_clear(r);
        if (!failed) break;
        after += after / 8; /* there are many */
    }
    assert_true(failures > 5);
}

static void no_room_for_shared_memory_is_a_full_disk(void **state)
{
    struct room *r = *state;
    room_close(r);
    layer.fail_maps = true;
    layer.write_errno = ENOSPC;
    assert_int_equal(room_open(r), ERR_FULL);
    assert_null(r->db);
    layer.fail_maps = false;
    OK(r, room_open(r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        layer_test(each_kind_of_commit_syncs_as_often_as_it_says),
        cmocka_unit_test_setup_teardown(a_new_database_is_synced_before_it_is_used,
                                        layer_enter_closed, layer_leave),
        layer_test(a_transaction_without_a_change_syncs_nothing),
        layer_test(a_checkpoint_syncs_the_log_before_the_database),
        layer_test(during_a_checkpoint_nobody_writes_write_lock_or_not),
        layer_test(after_a_checkpoint_commits_are_synced_as_before),
        layer_test(synced_after_means_seen_and_rung_first_with_the_queue_free),
        layer_test(synced_before_means_that_nobody_sees_it_earlier),
        layer_test(without_a_sync_the_txn_rings_all_the_same),
        layer_test(a_sync_that_fails_after_the_commit_leaves_the_outcome_open),
        layer_test(a_sync_that_fails_before_the_commit_leaves_the_outcome_open_too),
        layer_test(after_a_checkpoint_whose_sync_fails_nothing_is_written),
        layer_test(a_full_disk_says_full_and_writes_nothing),
        layer_test(a_full_quota_is_a_full_disk),
        layer_test(a_broken_disk_is_an_io_error),
        layer_test(after_a_failed_write_the_next_commit_counts),
        layer_test(when_a_large_input_fills_the_disk_nothing_of_it_stays),
        cmocka_unit_test_setup_teardown(a_disk_that_fills_while_the_schema_is_made_leaves_no_half,
                                        layer_enter_closed, layer_leave),
        layer_test(no_room_for_shared_memory_is_a_full_disk),
    };
    return cmocka_run_group_tests(tests, layer_install, NULL);
}
