#include "store/files.h"

#include "fixture.h"

/* A claimed task whose files wait in ROOM/kept. */
struct bench {
    struct room *r;
    struct claim claim;
    char *id;
    char from[64];
    struct file_list list;
    struct files_end end;
};

static void spew(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) fail_msg("%s", path);
    close(fd);
}

/* ROOM/TAIL; of the last call. */
static const char *in_room(const struct room *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *in_room(const struct room *r, const char *format, ...)
{
    static char path[200];
    int n = snprintf(path, sizeof path, "%s/", r->dir);
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    return path;
}

static bool there(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

/* Fills ROOM/kept with one file and says so in the list. */
static void lay_out(struct bench *b, const char *name, const char *text)
{
    file_list_free(&b->list);
    mkdir(b->from, 0750);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", b->from, name);
    spew(path, text);
    file_list_add(&b->list, name, (int64_t)strlen(text));
    b->end.placed = false;
}

static void set_up(struct bench *b, struct room *r)
{
    gid_t group;
    *b = (struct bench){.r = r};
    OK(r, files_make_root(r->db, r->dir, &group, &r->e));
    int64_t n = make(r, (struct sketch){.max_attempts = 3});
    b->claim = take(r, 1, T0);
    assert_int_equal(b->claim.n, n);
    b->id = id_of(r->db, n);
    snprintf(b->from, sizeof b->from, "%s/kept", r->dir);
    b->end = (struct files_end){
        .id = b->id, .prefix = "/api", .from = b->from, .list = &b->list, .now = T0 + 5};
}

static void tear_down(struct bench *b)
{
    free(b->id);
    file_list_free(&b->list);
}

/* The transaction that completes the task; `commit` false: it is rolled back in the end. */
static enum err complete(struct bench *b, bool commit)
{
    struct room *r = b->r;
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    enum err rc = files_finish(r->db, &b->claim, &b->end, &r->e);
    struct claim_end end = {.status = TASK_COMPLETED, .now = T0 + 5};
    if (!rc) rc = claim_finish(r->db, &b->claim, &end, &r->e);
    if (rc || !commit)
        txn_rollback(r->db);
    else
        OK(r, txn_commit(r->db, &r->e));
    return rc;
}

/* What files_open gives of a file, as text. */
static void file_is(struct bench *b, const char *name, const char *text)
{
    int fd;
    int64_t bytes, modified;
    char read_text[100] = "";
    OK(b->r, files_open(b->r->db, b->id, name, &fd, &bytes, &modified, &b->r->e));
    assert_int_equal(read(fd, read_text, sizeof read_text - 1), bytes);
    assert_string_equal(read_text, text);
    close(fd);
}

static size_t sweep(struct room *r)
{
    struct files_sweep s = {0};
    for (bool more = true; more;) OK(r, files_sweep(r->db, &s, 1000, &more, &r->e));
    assert_true(txn_idle(r->db));
    return s.removed;
}

/* ---- */

static void a_completed_task_has_its_files(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "a.txt", "hello");
    assert_int_equal(complete(&b, true), ERR_OK);
    file_is(&b, "a.txt", "hello");
    assert_false(there(b.from));

    struct task t = {0};
    OK(b.r, task_get_n(b.r->db, b.claim.n, &t, &b.r->e));
    assert_int_equal(t.files.count, 1);
    assert_string_equal(t.files.items[0].name, "a.txt");
    assert_int_equal(t.files.items[0].bytes, 5);
    assert_string_equal(t.files.items[0].content_type, "text/plain; charset=utf-8");
    task_free(&t);
    sql_is(
        b.r->db, "task.created task.status_changed file.created task.status_changed",
        "SELECT group_concat(type, ' ') FROM (SELECT type FROM events WHERE task = %lld ORDER BY "
        "seq)",
        (long long)b.claim.n);
    struct task_file f = {0};
    assert_int_equal(files_find(b.r->db, b.claim.n, "b.txt", &f, &b.r->e), ERR_NOTFOUND);
    assert_int_equal(sweep(b.r), 0);
    file_is(&b, "a.txt", "hello");
    tear_down(&b);
}

static void a_transaction_that_was_rolled_back_is_tried_again(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "a.txt", "hello");
    assert_int_equal(complete(&b, false), ERR_OK);
    assert_true(b.end.placed);
    assert_int_equal(sql_number(b.r->db, "SELECT count(*) FROM files"), 0);
    assert_int_equal(sweep(b.r), 0); /* the task runs */
    assert_int_equal(complete(&b, true), ERR_OK);
    file_is(&b, "a.txt", "hello");
    tear_down(&b);
}

static void what_a_crash_left_is_replaced(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "old.txt", "old");
    assert_int_equal(complete(&b, false), ERR_OK); /* and the runner dies */
    struct claim_end lost = {
        .status = TASK_PENDING, .run_at = TASK_NONE, .lost = true, .now = T0 + 6};
    assert_int_equal(finish(b.r, &b.claim, &lost), ERR_OK);
    b.claim = take(b.r, 2, T0 + 7);
    lay_out(&b, "new.txt", "new");
    assert_int_equal(complete(&b, true), ERR_OK);
    file_is(&b, "new.txt", "new");
    assert_false(there(in_room(b.r, "files/%s/old.txt", b.id)));
    tear_down(&b);
}

static void who_lost_the_claim_moves_nothing(void **state)
{
    struct bench b;
    set_up(&b, *state);
    struct claim slept = b.claim;
    struct claim_end lost = {
        .status = TASK_PENDING, .run_at = TASK_NONE, .lost = true, .now = T0 + 6};
    assert_int_equal(finish(b.r, &b.claim, &lost), ERR_OK);
    b.claim = take(b.r, 2, T0 + 7);
    lay_out(&b, "a.txt", "right");
    assert_int_equal(complete(&b, true), ERR_OK);

    b.claim = slept;
    lay_out(&b, "a.txt", "wrong");
    assert_int_equal(complete(&b, true), ERR_FENCED);
    assert_false(b.end.placed);
    file_is(&b, "a.txt", "right");
    tear_down(&b);
}

static void a_folder_that_vanished_is_an_error_even_beside_an_old_one(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "a.txt", "hello");
    assert_int_equal(complete(&b, false), ERR_OK);
    b.end.placed = false; /* as another attempt sees it */
    assert_int_equal(complete(&b, true), ERR_STATE);
    assert_int_equal(sql_number(b.r->db, "SELECT count(*) FROM files"), 0);
    tear_down(&b);
}

static void sweeping_removes_what_belongs_to_no_files(void **state)
{
    struct bench b;
    set_up(&b, *state);
    struct room *r = b.r;
    lay_out(&b, "a.txt", "kept");
    assert_int_equal(complete(&b, true), ERR_OK);
    int64_t pending = make(r, (struct sketch){.run_at = T0 + 1000000});
    char *other = id_of(r->db, pending), none[ID_SIZE];
    id_new(none, T0);
    const char *const made[] = {other, none};
    for (size_t i = 0; i < 2; i++) {
        mkdir(in_room(r, "files/%s", made[i]), 0750);
        spew(in_room(r, "files/%s/x", made[i]), "x");
    }
    id_new(none, T0); /* of a sweep that was killed */
    mkdir(in_room(r, "files/.gone-%s", none), 0750);
    spew(in_room(r, "files/.gone-%s/x", none), "x");
    mkdir(in_room(r, "files/README"), 0750);
    assert_int_equal(sweep(r), 3);
    file_is(&b, "a.txt", "kept");
    assert_true(there(in_room(r, "files/README")));
    assert_false(there(in_room(r, "files/%s", other)));
    assert_int_equal(sweep(r), 0);
    free(other);
    tear_down(&b);
}

static void a_long_walk_goes_on(void **state)
{
    struct room *r = *state;
    gid_t group;
    OK(r, files_make_root(r->db, r->dir, &group, &r->e));
    for (int i = 0; i < 450; i++) {
        char id[ID_SIZE];
        id_new(id, T0 + i);
        mkdir(in_room(r, "files/%s", id), 0750);
    }
    struct files_sweep s = {0};
    int steps = 0;
    for (bool more = true; more; steps++) OK(r, files_sweep(r->db, &s, 1000, &more, &r->e));
    assert_in_range(steps, 3, 4);
    assert_int_equal(s.removed, 450);
}

static void the_files_of_a_deleted_task_go(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "a.txt", "hello");
    assert_int_equal(complete(&b, true), ERR_OK);
    OK(b.r, txn_begin(b.r->db, TXN_SYNC_AFTER, &b.r->e));
    OK(b.r, task_delete(b.r->db, b.id, NULL, T0, &b.r->e));
    OK(b.r, txn_commit(b.r->db, &b.r->e));
    assert_int_equal(sql_number(b.r->db, "SELECT count(*) FROM files"), 0);
    files_remove(b.r->db, b.id);
    assert_false(there(in_room(b.r, "files/%s", b.id)));
    files_remove(b.r->db, b.id); /* nothing happens */
    files_remove(b.r->db, "../files");
    assert_true(there(in_room(b.r, "files")));
    tear_down(&b);
}

static void what_is_no_file_is_not_opened(void **state)
{
    struct bench b;
    set_up(&b, *state);
    lay_out(&b, "a.txt", "hello");
    assert_int_equal(complete(&b, true), ERR_OK);
    static const char *const names[] = {"", ".", "..", "../a.txt", "b.txt", "a.txt/"};
    int fd;
    int64_t bytes, modified;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(files_open(b.r->db, b.id, names[i], &fd, &bytes, &modified, NULL),
                         ERR_NOTFOUND);
    assert_int_equal(files_open(b.r->db, "..", "leat.db", &fd, &bytes, &modified, NULL),
                     ERR_NOTFOUND);
    char path[200];
    snprintf(path, sizeof path, "%s", in_room(b.r, "files/%s/link", b.id));
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(files_open(b.r->db, b.id, "link", &fd, &bytes, &modified, NULL), ERR_IO);
    assert_int_equal(mkfifo(in_room(b.r, "files/%s/pipe", b.id), 0600), 0);
    assert_int_equal(files_open(b.r->db, b.id, "pipe", &fd, &bytes, &modified, NULL), ERR_IO);
    tear_down(&b);
}

static void the_root_must_be_a_folder(void **state)
{
    struct room *r = *state;
    gid_t group = 0;
    spew(in_room(r, "files"), "");
    assert_int_equal(files_make_root(r->db, r->dir, &group, &r->e), ERR_IO);
    unlink(in_room(r, "files"));
    OK(r, files_make_root(r->db, r->dir, &group, &r->e));
    struct stat st;
    assert_int_equal(stat(in_room(r, "files"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(st.st_gid, group);
    assert_int_equal(files_make_root(r->db, "/proc", &group, &r->e), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_completed_task_has_its_files),
        room_test(a_transaction_that_was_rolled_back_is_tried_again),
        room_test(what_a_crash_left_is_replaced),
        room_test(who_lost_the_claim_moves_nothing),
        room_test(a_folder_that_vanished_is_an_error_even_beside_an_old_one),
        room_test(sweeping_removes_what_belongs_to_no_files),
        room_test(a_long_walk_goes_on),
        room_test(the_files_of_a_deleted_task_go),
        room_test(what_is_no_file_is_not_opened),
        room_test(the_root_must_be_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
