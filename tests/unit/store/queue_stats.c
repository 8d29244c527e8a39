/* The numbers of the queue. */
#include "fixture.h"

#include "store/queue_stats.h"

static void they_agree_with_a_recount(void **state)
{
    struct room *r = *state;
    struct queue_stats q;
    OK(r, queue_stats_read(r->db, T0, &q, &r->e));
    assert_int_equal(q.events, 0);
    assert_int_equal(q.due_since, TASK_NONE);
    queue_stats_free(&q);

    for (int i = 0; i < 3; i++) make(r, (struct sketch){.now = T0 + i, .type = i ? "echo" : "cat"});
    make(r, (struct sketch){.run_at = T0 + 50000});
    char *id = id_of(r->db, 1);
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    OK(r, task_cancel(r->db, id, NULL, T0 + 5, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    OK(r, queue_stats_read(r->db, T0 + 100, &q, &r->e));
    assert_int_equal(q.events, 5);
    assert_int_equal(q.newest_event, 5);
    assert_int_equal(q.due_since, T0 + 1);
    assert_int_equal(q.runners, 0);
    assert_true(q.database_bytes > 0 && q.log_bytes > 0 && q.log_pages > 0);
    int64_t cancelled = 0, pending = 0;
    for (size_t i = 0; i < q.task_rows; i++) {
        if (q.tasks[i].status == TASK_CANCELLED) cancelled += q.tasks[i].count;
        if (q.tasks[i].status == TASK_PENDING) pending += q.tasks[i].count;
    }
    assert_int_equal(cancelled, 1);
    assert_int_equal(pending, 3);
    queue_stats_free(&q);

    OK(r, txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    OK(r, task_delete(r->db, id, NULL, T0, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    free(id);
    OK(r, queue_stats_read(r->db, T0 + 60000, &q, &r->e));
    assert_int_equal(q.events, sql_number(r->db, "SELECT count(*) FROM events"));
    assert_int_equal(q.due_since, T0 + 1);
    queue_stats_free(&q);
    assert_consistent(r->db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(they_agree_with_a_recount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
