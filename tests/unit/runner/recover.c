/* What a lost runner left, while others go on. */
#include "runner/recover.h"

#include "../store/fixture.h"
#include "runner/workdir.h"
#include "spawn/process.h"

static int64_t runner(struct room *r)
{
    static const struct process_id gone = {.pid = 4711, .start = 99};
    int64_t id = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, runner_register(r->db, &gone, "elsewhere", T0, T0, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return id;
}

/* The working folder of the first attempt at a task. */
static char *folder_of(struct room *r, const struct workroot *root, int64_t n)
{
    struct buf path = {0};
    char *id = id_of(r->db, n);
    buf_fmt(&path, "%s/%s.1", root->path, id);
    free(id);
    return path.data;
}

static void a_task_that_has_gone_on_elsewhere_keeps_its_folder(void **state)
{
    struct room *r = *state;
    struct workroot root;
    char jobs[50], db[60], scope[ID_SIZE];
    snprintf(jobs, sizeof jobs, "%s/jobs", r->dir);
    snprintf(db, sizeof db, "%s/leat.db", r->dir);
    assert_int_equal(mkdir(jobs, 0750), 0);
    OK(r, workroot_make(&root, NULL, db, &r->e));
    process_scope(scope);

    int64_t lost = runner(r), other = runner(r), self = runner(r);
    for (int i = 0; i < 2; i++) {
        make(r, (struct sketch){0});
        take(r, lost, T0);
    }
    /* While the first is seen to, the second is put back by a runner that stops, which spends no attempt,
     * and is claimed by another under the same number. */
    assert_int_equal(
        sql_try(r->db,
                "CREATE TRIGGER meanwhile AFTER UPDATE OF status ON tasks WHEN new.n = 1 BEGIN"
                " UPDATE tasks SET runner = %lld WHERE n = 2; END",
                (long long)other),
        SQLITE_OK);
    char *first = folder_of(r, &root, 1), *second = folder_of(r, &root, 2);
    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(mkdir(second, 0700), 0);

    struct job_types *types = job_types_open(jobs);
    const struct rescuer who = {
        .db = r->db, .runner = self, .scope = scope, .types = types, .work = &root};
    bool again;
    OK(r, recover_lost(&who, &again, &r->e));
    assert_false(again);
    assert_int_equal(
        sql_number(r->db, "SELECT count(*) FROM tasks WHERE n = 1 AND status = 'pending'"), 1);
    assert_int_not_equal(access(first, F_OK), 0);
    assert_int_equal(
        sql_number(r->db, "SELECT runner FROM tasks WHERE n = 2 AND status = 'running'"), other);
    assert_int_equal(access(second, F_OK), 0);

    free(first);
    free(second);
    job_types_close(types);
    workroot_free(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(a_task_that_has_gone_on_elsewhere_keeps_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
