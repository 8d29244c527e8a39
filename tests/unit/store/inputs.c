/* Inputs, as one value and in portions: what goes in comes out, whole or not at all. */
#include "fixture.h"

#include "store/inputs.h"
#include "store/retention.h"

enum { PORTION = INPUT_PORTION };

/* So many bytes that repeat nowhere near; the caller frees. */
static unsigned char *noise(size_t len)
{
    unsigned char *bytes = mem_alloc(len);
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    return bytes;
}

/* The input of a task as it is read, compared byte for byte; no part is larger than a portion. */
static void input_is(struct room *r, int64_t n, const void *expected, size_t len)
{
    struct input in;
    struct buf part = {0};
    const unsigned char *rest = expected;
    OK(r, input_find(r->db, n, &in, &r->e));
    assert_int_equal(in.bytes, len);
    for (;;) {
        OK(r, input_read(r->db, &in, &part, &r->e));
        assert_true(txn_idle(r->db));
        if (!part.len) break;
        assert_in_range(part.len, 1, PORTION);
        assert_true(part.len <= len);
        assert_memory_equal(part.data, rest, part.len);
        rest += part.len;
        len -= part.len;
    }
    assert_int_equal(len, 0);
    OK(r, input_read(r->db, &in, &part, &r->e)); /* and it stays at its end */
    assert_int_equal(part.len, 0);
    buf_free(&part);
    input_free(&in);
}

static void an_input_of_five_megabytes_comes_back_byte_for_byte(void **state)
{
    struct room *r = *state;
    size_t len = 5 * 1024 * 1024 + 7;
    unsigned char *bytes = noise(len);
    int64_t n =
        make(r, (struct sketch){.input = bytes, .input_bytes = len, .content_type = "image/x"});
    input_is(r, n, bytes, len);
    struct input in;
    OK(r, input_find(r->db, n, &in, &r->e));
    assert_string_equal(in.content_type, "image/x");
    input_free(&in);
    free(bytes);
}

static void an_empty_input_is_an_input_and_none_is_none(void **state)
{
    struct room *r = *state;
    struct input in;
    input_is(r, make(r, (struct sketch){.input = "", .input_bytes = 0}), "", 0);
    OK(r, input_find(r->db, make(r, (struct sketch){0}), &in, &r->e));
    assert_int_equal(in.bytes, -1);
    assert_null(in.content_type);
}

static void an_input_of_zero_bytes_and_newlines_is_kept(void **state)
{
    struct room *r = *state;
    input_is(r, make(r, (struct sketch){.input = "\0a\n\r\0\xff", .input_bytes = 6}),
             "\0a\n\r\0\xff", 6);
}

/* ---- uploads ---- */

static int64_t begin(struct room *r, const char *owner, size_t bytes, int64_t now)
{
    int64_t id = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, upload_begin(r->db, owner, (int64_t)bytes, now, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return id;
}

static enum err add(struct room *r, int64_t id, const void *bytes, size_t len, int64_t now)
{
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    return txn_end(r->db, upload_add(r->db, id, bytes, len, now, &r->e), &r->e);
}

/* Stores all of it. */
static int64_t upload(struct room *r, const unsigned char *bytes, size_t len, int64_t now)
{
    int64_t id = begin(r, "alice", len, now);
    for (size_t at = 0; at < len; at += PORTION)
        OK(r, add(r, id, bytes + at, len - at < PORTION ? len - at : PORTION, now));
    return id;
}

/* Makes the task of an upload; *n 0 when that fails. */
static enum err create(struct room *r, int64_t id, int64_t *n)
{
    char task_id[ID_SIZE];
    id_new(task_id, T0);
    const struct task_new new = {.id = task_id,
                                 .owner = "alice",
                                 .type = "echo",
                                 .request_id = "req-1",
                                 .max_attempts = 1,
                                 .timeout_ms = TASK_NONE,
                                 .run_at = TASK_NONE,
                                 .content_type = "image/x",
                                 .upload = id,
                                 .now = T0};
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    enum err rc = txn_end(r->db, task_create(r->db, &new, n, &r->e), &r->e);
    if (rc) *n = 0;
    return rc;
}

static int64_t bytes_of(struct room *r, const char *owner)
{
    return sql_number(r->db, "SELECT coalesce(sum(bytes), 0) FROM owners WHERE name = %Q", owner);
}

static struct retention_count sweep(struct room *r, int64_t now)
{
    struct retention_count sum = {0};
    struct retention_step step = {.more = true};
    const struct retention what = {.before = TASK_NONE, .now = now};
    while (step.more) {
        OK(r, retention_step(r->db, &what, 1000, &step, &r->e));
        retention_add(&sum, &step.removed);
    }
    return sum;
}

static void portions_become_the_input_of_a_task_byte_for_byte(void **state)
{
    static const size_t lengths[] = {1, PORTION - 1, PORTION, PORTION + 1, 3 * PORTION + 77};
    struct room *r = *state;
    unsigned char *bytes = noise(4 * PORTION);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t n, id = upload(r, bytes, lengths[i], T0);
        upload(r, bytes + 7, 2 * PORTION, T0); /* of somebody else, between them */
        OK(r, create(r, id, &n));
        input_is(r, n, bytes, lengths[i]);
        assert_consistent(r->db);
    }
    free(bytes);
}

static void two_uploads_at_once_do_not_mix(void **state)
{
    struct room *r = *state;
    unsigned char *bytes = noise(6 * PORTION), *other = bytes + 3 * PORTION;
    int64_t n, m, a = begin(r, "alice", 3 * PORTION, T0), b = begin(r, "alice", 3 * PORTION, T0);
    for (size_t at = 0; at < 3 * PORTION; at += PORTION) {
        OK(r, add(r, a, bytes + at, PORTION, T0));
        OK(r, add(r, b, other + at, PORTION, T0));
    }
    OK(r, create(r, b, &m));
    OK(r, create(r, a, &n));
    input_is(r, n, bytes, 3 * PORTION);
    input_is(r, m, other, 3 * PORTION);
    free(bytes);
}

static void an_upload_that_is_not_whole_is_no_input(void **state)
{
    struct room *r = *state;
    int64_t n, id = begin(r, "alice", 10, T0);
    assert_int_equal(create(r, id, &n), ERR_BUSY);
    OK(r, add(r, id, "12345", 5, T0));
    assert_int_equal(create(r, id, &n), ERR_BUSY);
    assert_int_equal(add(r, id, "1234567", 7, T0), ERR_BUSY); /* more than was said */
    OK(r, add(r, id, "67890", 5, T0));
    OK(r, create(r, id, &n));
    assert_int_equal(create(r, id, &n), ERR_BUSY); /* it is another task's */
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 1);
    assert_consistent(r->db);
}

static void an_upload_counts_for_its_owner_from_its_beginning_until_it_is_given_up(void **state)
{
    struct room *r = *state;
    int64_t id = begin(r, "bob", 1000, T0);
    assert_int_equal(bytes_of(r, "bob"), 1000);
    OK(r, add(r, id, "x", 1, T0));
    assert_int_equal(bytes_of(r, "bob"), 1000);
    assert_consistent(r->db);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, upload_drop(r->db, id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_int_equal(bytes_of(r, "bob"), 0);
    assert_int_equal(add(r, id, "x", 1, T0), ERR_BUSY);
    assert_int_equal(sweep(r, T0).uploads, 1); /* at once: nobody goes on with it */
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM portions"), 0);
    assert_consistent(r->db);
}

static void an_upload_that_nobody_goes_on_with_is_removed_in_the_end(void **state)
{
    struct room *r = *state;
    unsigned char *bytes = noise(3 * PORTION);
    int64_t left = begin(r, "alice", 5 * PORTION, T0), whole = upload(r, bytes, 3 * PORTION, T0);
    for (int i = 0; i < 3; i++) OK(r, add(r, left, bytes, PORTION, T0));
    int64_t young = begin(r, "alice", 10, T0 + UPLOAD_LEFT_MS);

    assert_int_equal(sweep(r, T0 + UPLOAD_LEFT_MS).uploads, 0);
    assert_int_equal(bytes_of(r, "alice"), 8 * PORTION + 10);
    assert_int_equal(sweep(r, T0 + UPLOAD_LEFT_MS + 1).uploads, 2);
    assert_int_equal(bytes_of(r, "alice"), 10);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM portions"), 0);
    assert_int_equal(sql_number(r->db, "SELECT id FROM uploads"), young);
    /* who was only asleep finds nothing to go on with */
    int64_t n;
    assert_int_equal(add(r, left, bytes, PORTION, T0), ERR_BUSY);
    assert_int_equal(create(r, whole, &n), ERR_BUSY);
    assert_consistent(r->db);
    free(bytes);
}

static void a_deleted_task_gives_its_bytes_back_at_once_and_its_portions_go(void **state)
{
    struct room *r = *state;
    unsigned char *bytes = noise(3 * PORTION);
    int64_t n;
    OK(r, create(r, upload(r, bytes, 3 * PORTION, T0), &n));
    assert_true(bytes_of(r, "alice") > 3 * PORTION);
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, task_cancel_n(r->db, n, TASK_PENDING, T0, &r->e));
    OK(r, task_remove(r->db, n, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    assert_true(bytes_of(r, "alice") < 1000);
    assert_consistent(r->db);
    struct retention_count due;
    OK(r, retention_due(r->db, &(struct retention){.before = TASK_NONE, .now = T0}, &due, &r->e));
    assert_int_equal(due.uploads, 1);
    assert_int_equal(sweep(r, T0).uploads, 1);
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM portions"), 0);
    assert_consistent(r->db);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(an_input_of_five_megabytes_comes_back_byte_for_byte),
        room_test(an_empty_input_is_an_input_and_none_is_none),
        room_test(an_input_of_zero_bytes_and_newlines_is_kept),
        room_test(portions_become_the_input_of_a_task_byte_for_byte),
        room_test(two_uploads_at_once_do_not_mix),
        room_test(an_upload_that_is_not_whole_is_no_input),
        room_test(an_upload_counts_for_its_owner_from_its_beginning_until_it_is_given_up),
        room_test(an_upload_that_nobody_goes_on_with_is_removed_in_the_end),
        room_test(a_deleted_task_gives_its_bytes_back_at_once_and_its_portions_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
