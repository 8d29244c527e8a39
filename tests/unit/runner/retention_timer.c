/* Retention leaves the loop to others. */
#include "runner/retention_timer.h"

#include "../store/fixture.h"

enum { TASKS = 60 };

/* A task that finished long ago, and its folder with one file. */
static void leave_one(struct room *r, int i)
{
    char path[100], id[ID_SIZE];
    snprintf(id, sizeof id, "%08x-0000-7000-8000-%012x", i, i);
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    assert_int_equal(
        sql_try(r->db,
                "INSERT INTO tasks (id, owner, type, request_id, created_at, updated_at)"
                " VALUES ('%s', 'alice', 'x', 'r', 1, 1);"
                "UPDATE tasks SET status = 'running', runner = 1, lease_until = 1, started_at = 2,"
                " attempt = 1, updated_at = 2 WHERE id = '%s';"
                "UPDATE tasks SET status = 'completed', runner = NULL, lease_until = NULL,"
                " completed_at = 3, updated_at = 3 WHERE id = '%s'",
                id, id, id),
        SQLITE_OK);
    OK(r, txn_commit(r->db, &r->e));
    snprintf(path, sizeof path, "%s/files/%s", r->dir, id);
    assert_int_equal(mkdir(path, 0750), 0);
    snprintf(path, sizeof path, "%s/files/%s/file", r->dir, id);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    close(fd);
}

static int folders(const struct room *r)
{
    int count = 0;
    char path[100];
    for (int i = 0; i < TASKS; i++) {
        snprintf(path, sizeof path, "%s/files/%08x-0000-7000-8000-%012x", r->dir, i, i);
        count += !access(path, F_OK);
    }
    return count;
}

static struct loop *loop;
static struct loop_timer other;

/* Somebody who always has something to do. */
static void do_other(void *arg)
{
    (void)arg;
    loop_timer_set(loop, &other, 0);
}

static void folders_are_removed_one_by_one_while_others_have_work(void **state)
{
    struct room *r = *state;
    struct retention_timer t;
    gid_t group;
    char jobs[50];
    snprintf(jobs, sizeof jobs, "%s/jobs", r->dir);
    assert_int_equal(mkdir(jobs, 0750), 0);
    OK(r, files_make_root(r->db, r->dir, &group, &r->e));
    for (int i = 0; i < TASKS; i++) leave_one(r, i);
    assert_int_equal(folders(r), TASKS);

    OK(r, loop_open(&loop, &r->e));
    struct job_types *types = job_types_open(jobs);
    other = (struct loop_timer){.fire = do_other};
    do_other(NULL);
    retention_timer_open(&t, loop, r->db, types, 1000);
    int64_t deadline = clock_monotonic_ms() + DEADLINE_MS;
    for (int before = TASKS, now; before; before = now) {
        OK(r, loop_wait(loop, -1, &r->e));
        now = folders(r);
        if (before - now > 2) fail_msg("%d folders at once", before - now);
        if (clock_monotonic_ms() > deadline) fail_msg("%d folders are left", now);
    }
    assert_int_equal(sql_number(r->db, "SELECT count(*) FROM tasks"), 0);

    retention_timer_close(&t);
    loop_timer_stop(loop, &other);
    job_types_close(types);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(folders_are_removed_one_by_one_while_others_have_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
