/* Idempotency keys, and the numbers behind limits. */
#include "fixture.h"

#include "store/idempotency.h"
#include "store/rates.h"

static const unsigned char this[FINGERPRINT_BYTES] = {1, 2, 0, 3},
                           that[FINGERPRINT_BYTES] = {1, 2, 0, 4};

static enum err find(struct room *r, const char *owner, const char *key, const unsigned char *print,
                     int64_t now, int64_t *n)
{
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    bool joined;
    enum err rc = idempotency_find(r->db, owner, key, print, now, n, &joined, &r->e);
    if (!rc && *n) assert_int_equal(joined, *n % 2);
    txn_rollback(r->db);
    return rc;
}

/* That of an odd number was there already. */
static void keep(struct room *r, const char *owner, const char *key, const unsigned char *print,
                 int64_t n, int64_t now, int64_t expires_at)
{
    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, idempotency_keep(r->db, owner, key, print, n, n % 2, now, expires_at, &r->e));
    OK(r, txn_commit(r->db, &r->e));
}

static void the_same_request_finds_its_task_again(void **state)
{
    struct room *r = *state;
    int64_t n = -1;
    assert_int_equal(find(r, "alice", "k", this, T0, &n), ERR_OK);
    assert_int_equal(n, 0);
    keep(r, "alice", "k", this, 7, T0, T0 + 100);
    assert_int_equal(find(r, "alice", "k", this, T0 + 99, &n), ERR_OK);
    assert_int_equal(n, 7);
}

static void another_request_with_the_key_is_refused(void **state)
{
    struct room *r = *state;
    int64_t n = -1;
    keep(r, "alice", "k", this, 7, T0, T0 + 100);
    assert_int_equal(find(r, "alice", "k", that, T0, &n), ERR_STATE);
}

static void keys_of_owners_are_apart(void **state)
{
    struct room *r = *state;
    int64_t n = -1;
    keep(r, "alice", "k", this, 7, T0, T0 + 100);
    assert_int_equal(find(r, "bob", "k", that, T0, &n), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(find(r, "alice", "K", this, T0, &n), ERR_OK);
    assert_int_equal(n, 0);
}

static void an_expired_key_is_free_again(void **state)
{
    struct room *r = *state;
    int64_t n = -1;
    keep(r, "alice", "k", this, 7, T0, T0 + 100);
    assert_int_equal(find(r, "alice", "k", that, T0 + 100, &n), ERR_OK);
    assert_int_equal(n, 0);
    keep(r, "alice", "k", that, 8, T0 + 100, T0 + 200);
    assert_int_equal(find(r, "alice", "k", that, T0 + 150, &n), ERR_OK);
    assert_int_equal(n, 8);
}

static void what_is_expired_is_forgotten_little_by_little(void **state)
{
    struct room *r = *state;
    char key[16];
    for (int i = 0; i < 25; i++) {
        snprintf(key, sizeof key, "k%d", i);
        keep(r, "alice", key, this, i, T0, T0 + 100);
    }
    for (int left = 15; left >= -5; left -= 10) {
        keep(r, "alice", "new", this, 99, T0 + 100, T0 + 999);
        assert_int_equal(sql_number(r->db, "SELECT count(*) FROM idempotency"),
                         1 + (left > 0 ? left : 0));
    }
}

static void owner_has(struct room *r, const char *owner, int64_t pending, int64_t delayed)
{
    struct rate_queue queue;
    OK(r, rate_queued(r->db, owner, &queue, &r->e));
    assert_int_equal(queue.pending, pending);
    assert_int_equal(queue.delayed, delayed);
}

static void what_an_owner_has_queued_is_counted(void **state)
{
    struct room *r = *state;
    owner_has(r, "alice", 0, 0);
    for (int i = 0; i < 3; i++) make(r, (struct sketch){.priority = i});
    make(r, (struct sketch){.owner = "bob"});
    make(r, (struct sketch){.run_at = T0 + 999});
    make(r, (struct sketch){.run_at = T0}); /* not delayed: its time has come */
    make(r, (struct sketch){.group = "g", .serialize = true});
    make(r, (struct sketch){.group = "g", .serialize = true});
    owner_has(r, "alice", 6, 1);
    owner_has(r, "bob", 1, 0);
    take(r, 1, T0); /* of alice, who came first */
    owner_has(r, "alice", 5, 1);
    take(r, 1, T0);
    owner_has(r, "bob", 0, 0);
}

static void the_nth_newest_task_says_when_it_was_created(void **state)
{
    struct room *r = *state;
    int64_t at = -1;
    OK(r, rate_created(r->db, "alice", 1, &at, &r->e));
    assert_int_equal(at, 0);
    for (int i = 1; i <= 3; i++) make(r, (struct sketch){.now = T0 + i});
    make(r, (struct sketch){.now = T0 + 9, .owner = "bob"});
    for (int nth = 1; nth <= 3; nth++) {
        OK(r, rate_created(r->db, "alice", nth, &at, &r->e));
        assert_int_equal(at, T0 + 4 - nth);
    }
    OK(r, rate_created(r->db, "alice", 4, &at, &r->e));
    assert_int_equal(at, 0);
}

static void uses_are_counted_by_owner_by_kind_and_by_window(void **state)
{
    static const struct {
        const char *owner, *what;
        int64_t window, used;
    } uses[] = {{"alice", "polls", 1, 1}, {"alice", "polls", 1, 2}, {"bob", "polls", 1, 1},
                {"alice", "opens", 1, 1}, {"alice", "polls", 1, 3}, {"alice", "polls", 2, 1},
                {"alice", "polls", 2, 2}, {"bob", "polls", 1, 2}};
    struct room *r = *state;
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        int64_t used = -1;
        OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
        OK(r, rate_count(r->db, uses[i].owner, uses[i].what, uses[i].window, 1, &used, &r->e));
        OK(r, txn_commit(r->db, &r->e));
        assert_int_equal(used, uses[i].used);
        OK(r, rate_used(r->db, uses[i].owner, uses[i].what, uses[i].window, &used, &r->e));
        assert_int_equal(used, uses[i].used);
        OK(r, rate_used(r->db, uses[i].owner, uses[i].what, uses[i].window + 1, &used, &r->e));
        assert_int_equal(used, 0);
    }
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM rates"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(the_same_request_finds_its_task_again),
        room_test(another_request_with_the_key_is_refused),
        room_test(keys_of_owners_are_apart),
        room_test(an_expired_key_is_free_again),
        room_test(what_is_expired_is_forgotten_little_by_little),
        room_test(what_an_owner_has_queued_is_counted),
        room_test(the_nth_newest_task_says_when_it_was_created),
        room_test(uses_are_counted_by_owner_by_kind_and_by_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
