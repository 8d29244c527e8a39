/* The commit group over a real database: what becomes of operations that are ready together. The exchanges have
 * no connection; what they are told is noted. */
#include "../store/fixture.h"

#include "../store/disk.h"
#include "ops/change.h"
#include "ops/submit.h"
#include "server/server.h"

/* The clock in place of base/clock: its microseconds, by which a group is cut, stand still unless an operation
 * takes time. */
static int64_t still_us = 1000000;

static int64_t read_clock(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_us(void)
{
    return still_us;
}

enum { BUSY_MS = 60, TOLD_MAX = 64 };

/* One test's. */
struct bench {
    struct room *r;
    struct db *other; /* another process' connection */
    struct server server;
    struct conf *conf;
    int begun_syncs;
    int commits;           /* of the group's connection */
    bool refuse;           /* the next COMMIT */
    int unsynced;          /* calls */
    void *order[TOLD_MAX]; /* the operations in the order in which they were told */
    int told;
};
static struct bench *bench; /* the test's: for callbacks */

static int on_commit(void *arg)
{
    struct bench *b = arg;
    b->commits++;
    return b->refuse;
}

static void on_unsynced(void *arg)
{
    ((struct bench *)arg)->unsynced++;
}

static enum err open_group(struct bench *b, int64_t busy_ms)
{
    return commit_group_open(&b->server.commits, b->server.loop, b->r->db, busy_ms, on_unsynced, b,
                             NULL);
}

static int enter(void **state)
{
    if (room_enter(state)) return -1;
    struct bench *b = bench = mem_alloc(sizeof *b);
    b->r = *state;
    *state = b;
    b->server.db = b->r->db;
    /* a statement is prepared when it is used first, which may take as long as a turn may on a slow machine */
    int64_t n;
    OK(b->r, txn_begin(b->r->db, TXN_SYNC_NONE, &b->r->e));
    OK(b->r, sketch_create(b->r->db, &(struct sketch){0}, NULL, &n, &b->r->e));
    txn_rollback(b->r->db);
    /* the first commit of a log syncs its header */
    OK(b->r, txn_begin(b->r->db, TXN_SYNC_NONE, &b->r->e));
    assert_int_equal(sql_try(b->r->db, "INSERT INTO meta VALUES ('test', '')"), SQLITE_OK);
    OK(b->r, txn_commit(b->r->db, &b->r->e));
    txn_never_wait(b->r->db);
    sqlite3_commit_hook(db_sqlite(b->r->db), on_commit, b);
    struct db_options options = {.path = b->r->path, .busy_ms = 30000};
    if (conf_load(&b->conf, "/dev/null", NULL, NULL) || db_open(&b->other, &options, NULL) ||
        loop_open(&b->server.loop, NULL))
        return -1;
    b->begun_syncs = disk_syncs();
    return (int)open_group(b, DEADLINE_MS);
}

static int leave(void **state)
{
    struct bench *b = *state;
    void *room = b->r;
    disk_refuse(0);
    disk_allow(INT_MAX);
    /* a test that failed leaves what cannot be gone on with */
    if (!commit_group_empty(b->server.commits)) return -1;
    commit_group_close(b->server.commits);
    loop_close(b->server.loop);
    db_close(b->other);
    conf_free(b->conf);
    int left = b->server.exchanges != NULL;
    free(b);
    return room_leave(&room) || left;
}

/* A group that loses patience after so long. */
static void set_patience(struct bench *b, int64_t busy_ms)
{
    commit_group_close(b->server.commits);
    assert_int_equal(open_group(b, busy_ms), ERR_OK);
}

static int syncs(const struct bench *b)
{
    return disk_syncs() - b->begun_syncs;
}

/* ---- exchanges and the loop ---- */

static struct exchange *exchange_new(struct bench *b)
{
    struct exchange *x = mem_alloc(sizeof *x);
    x->server = &b->server;
    x->link = &b->server.exchanges;
    x->next = b->server.exchanges;
    if (x->next) x->next->link = &x->next;
    b->server.exchanges = x;
    return x;
}

static void told(struct exchange *x, void *arg)
{
    assert_false(x->held);
    if (bench->told < TOLD_MAX) bench->order[bench->told] = arg;
    bench->told++;
}

/* What `account` asks for. */
static void add_for(struct bench *b, const char *account, struct operation *op)
{
    struct exchange *x = exchange_new(b);
    x->account = mem_str(account);
    commit_group_add(b->server.commits, x, op, told, op);
    assert_true(x->held);
}

static void add(struct bench *b, struct operation *op)
{
    add_for(b, NULL, op);
}

/* One turn, and one more where the group waited for others who might join it. */
static void turn(struct bench *b)
{
    for (int committed = b->commits, i = 0; i < 2 && committed == b->commits; i++) {
        int64_t timeout = commit_group_ready(b->server.commits) ? 0 : 5;
        assert_int_equal(loop_wait(b->server.loop, timeout, NULL), ERR_OK);
        commit_group_turn(b->server.commits);
        assert_true(txn_idle(b->r->db));
        if (!commit_group_ready(b->server.commits)) break;
    }
}

#define UNTIL(b, condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = clock_monotonic_ms() + DEADLINE_MS;                                       \
        while (!(condition) && clock_monotonic_ms() < until_) turn(b);                             \
        assert_true(condition);                                                                    \
    } while (0)

static void turn_until_told(struct bench *b, int count)
{
    UNTIL(b, b->told >= count);
    assert_int_equal(b->told, count);
    assert_true(commit_group_empty(b->server.commits));
}

static int64_t rows(struct bench *b)
{
    return sql_number(b->other, "SELECT count(*) FROM tasks");
}

/* ---- operations ---- */

/* One that makes a task, and then whatever it is to do. */
struct step {
    struct operation op;
    const char *owner;
    enum err rc;     /* with "no" and the code "refused" */
    bool nothing;    /* writes nothing */
    bool ends;       /* ends the transaction, as SQLite does when the disk is full */
    int portions;    /* more to come */
    int64_t busy_us; /* takes so long */
    int applied;
};

static enum err apply_step(struct operation *op, struct db *db, struct error *e)
{
    struct step *s = (struct step *)op;
    int64_t n;
    enum err rc = ERR_OK;
    s->applied++;
    if (!s->nothing) rc = sketch_create(db, &(struct sketch){.owner = s->owner}, NULL, &n, e);
    still_us += s->busy_us;
    if (s->ends) sqlite3_exec(db_sqlite(db), "ROLLBACK", NULL, NULL, NULL);
    op->again = s->portions > 0;
    if (s->portions) s->portions--;
    if (rc || !s->rc) return rc;
    op->code = "refused";
    return error_set(e, s->rc, "no");
}

static struct step step(void)
{
    return (struct step){.op = {.apply = apply_step}};
}

static struct submit submit_of(struct bench *b, const char *key, const char *payload)
{
    struct submit s;
    const struct caller caller = {
        .owner = "ann", .reader = "ann", .account = "ann", .request_id = "r", .conf = b->conf};
    submit_init(&s, &caller);
    s.type = mem_str("t");
    s.max_attempts = 1;
    s.key = mem_str(key);
    s.key_ms = 60000;
    submit_fingerprint(s.fingerprint, &payload, &(size_t){strlen(payload)}, 1);
    return s;
}

/* ---- together ---- */

static void what_is_ready_in_one_turn_is_one_transaction_and_one_sync(void **state)
{
    enum { MANY = 50 };
    struct bench *b = *state;
    struct step steps[MANY];
    for (int i = 0; i < MANY; i++) {
        steps[i] = step();
        add(b, &steps[i].op);
    }
    assert_int_equal(b->told, 0);
    disk_allow(0);
    turn(b);
    disk_wait(b->begun_syncs + 1);
    assert_int_equal(rows(b), MANY); /* others may see it, */
    turn(b);
    assert_int_equal(b->told, 0); /* but nobody is told before it is on disk */
    assert_false(commit_group_empty(b->server.commits));
    disk_allow(INT_MAX);
    turn_until_told(b, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(b->order[i], &steps[i]);
        assert_int_equal(steps[i].op.error.code, ERR_OK);
        assert_int_equal(steps[i].applied, 1);
    }
    assert_int_equal(b->commits, 1);
    assert_int_equal(syncs(b), 1);
    assert_consistent(b->other);
}

static void large_ones_go_alone_and_others_before_each_of_them_once(void **state)
{
    struct bench *b = *state;
    struct step large[2] = {step(), step()}, small[4] = {step(), step(), step(), step()};
    large[0].portions = 1;
    for (int i = 0; i < 2; i++) {
        large[i].op.large = true;
        add(b, &large[i].op);
    }
    for (int i = 0; i < 2; i++) add(b, &small[i].op);
    UNTIL(b, b->told == 2);
    for (int i = 2; i < 4; i++) add(b, &small[i].op); /* the large ones were there before them */
    turn_until_told(b, 6);
    /* the first large one comes behind the second after its portion */
    const void *order[] = {&small[0], &small[1], &small[2], &small[3], &large[1], &large[0]};
    assert_memory_equal(b->order, order, sizeof order);
    assert_int_equal(b->commits, 5);
    assert_int_equal(rows(b), 7);
}

static void what_comes_while_one_group_syncs_is_the_next(void **state)
{
    struct bench *b = *state;
    struct step first = step(), second[3] = {step(), step(), step()};
    disk_allow(0);
    add(b, &first.op);
    turn(b);
    disk_wait(b->begun_syncs + 1);
    for (int i = 0; i < 3; i++) {
        add(b, &second[i].op);
        turn(b);
    }
    assert_int_equal(b->told, 0);
    disk_allow(INT_MAX);
    turn_until_told(b, 4);
    assert_int_equal(b->commits, 2);
    assert_int_equal(syncs(b), 2);
}

static void one_that_fails_undoes_itself_alone(void **state)
{
    struct bench *b = *state;
    struct step steps[5];
    for (int i = 0; i < 5; i++) {
        steps[i] = step();
        if (i % 2) steps[i].rc = ERR_STATE;
        add(b, &steps[i].op);
    }
    turn_until_told(b, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(steps[i].op.error.code, i % 2 ? ERR_STATE : ERR_OK);
        if (i % 2) assert_string_equal(steps[i].op.error.text, "no");
        if (i % 2) assert_string_equal(steps[i].op.code, "refused");
    }
    assert_int_equal(b->commits, 1);
    assert_int_equal(rows(b), 3);
    assert_int_equal(sql_number(b->other, "SELECT count(*) FROM events"), 3);
    assert_consistent(b->other);
}

static void an_outcome_from_before_is_forgotten(void **state)
{
    struct bench *b = *state;
    struct step s = step();
    s.rc = ERR_LIMIT;
    s.op.limit = (struct limit_hit){.name = "old"};
    add(b, &s.op);
    turn_until_told(b, 1);
    assert_null(s.op.limit.name);
    s.rc = ERR_OK;
    add(b, &s.op);
    turn_until_told(b, 2);
    assert_int_equal(s.op.error.code, ERR_OK);
    assert_null(s.op.code);
}

static void two_equal_keys_in_one_turn_make_one_task(void **state)
{
    struct bench *b = *state;
    struct submit s[4] = {submit_of(b, "k", "one"), submit_of(b, "k", "one"),
                          submit_of(b, "k", "two"), submit_of(b, "l", "one")};
    for (int i = 0; i < 4; i++) add(b, &s[i].op);
    turn_until_told(b, 4);
    assert_int_equal(b->commits, 1);
    assert_true(s[0].created);
    assert_false(s[1].created);
    assert_int_equal(s[1].op.error.code, ERR_OK);
    assert_string_equal(s[0].task.id, s[1].task.id);
    assert_int_equal(s[2].op.error.code, ERR_STATE);
    assert_string_equal(s[2].op.code, "idempotency_key_reused");
    assert_true(s[3].created);
    assert_int_equal(rows(b), 2);
    for (int i = 0; i < 4; i++) submit_free(&s[i]);
}

static void unique_joins_within_one_turn(void **state)
{
    struct bench *b = *state;
    struct submit s[3] = {submit_of(b, NULL, ""), submit_of(b, NULL, ""), submit_of(b, NULL, "")};
    for (int i = 0; i < 3; i++) {
        s[i].unique = mem_str(i == 2 ? "other" : "same");
        add(b, &s[i].op);
    }
    turn_until_told(b, 3);
    assert_true(s[0].created && !s[0].joined);
    assert_true(s[1].joined && !s[1].created);
    assert_string_equal(s[0].task.id, s[1].task.id);
    assert_true(s[2].created);
    assert_int_equal(rows(b), 2);
    for (int i = 0; i < 3; i++) submit_free(&s[i]);
}

static void limits_hold_within_one_turn(void **state)
{
    static const struct {
        const char *variable, *name;
    } limits[] = {{"LEAT_LIMITS_QUEUED_PER_OWNER=3", "queued_per_owner"},
                  {"LEAT_LIMITS_CREATES_PER_MINUTE=3", "creates_per_minute"}};
    struct bench *b = *state;
    for (int l = 0; l < 2; l++) {
        char *variables[] = {(char *)limits[l].variable, NULL};
        struct conf *conf = NULL;
        assert_int_equal(conf_overlay(&conf, b->conf, variables, NULL), ERR_OK);
        struct submit s[6];
        b->told = 0;
        for (int i = 0; i < 6; i++) {
            s[i] = submit_of(b, NULL, "");
            s[i].caller.conf = conf;
            if (l) s[i].caller.owner = "bob";
            if (i == 5) s[i].caller.owner = "carl"; /* who is somebody else */
            add(b, &s[i].op);
        }
        turn_until_told(b, 6);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(s[i].op.error.code, i == 3 || i == 4 ? ERR_LIMIT : ERR_OK);
            if (i == 3 || i == 4) assert_string_equal(s[i].op.limit.name, limits[l].name);
            if (i == 3 || i == 4) assert_int_equal(s[i].op.limit.limit, 3);
            submit_free(&s[i]);
        }
        conf_free(conf);
    }
    assert_int_equal(b->commits, 2);
}

static void a_group_that_takes_long_is_cut(void **state)
{
    struct bench *b = *state;
    struct step steps[3] = {step(), step(), step()};
    steps[0].busy_us = 11000;
    for (int i = 0; i < 3; i++) add(b, &steps[i].op);
    turn_until_told(b, 3);
    assert_int_equal(b->commits, 2);
    for (int i = 0; i < 3; i++) assert_ptr_equal(b->order[i], &steps[i]);
}

/* ---- what may end a task ---- */

static void owners_take_turns_so_that_who_asks_for_much_keeps_nobody_waiting(void **state)
{
    struct bench *b = *state;
    struct step alice[4], bob = step(), carol[2] = {step(), step()};
    for (int i = 0; i < 4; i++) {
        alice[i] = step();
        alice[i].busy_us = 6000; /* a turn has room for two */
        add_for(b, "alice", &alice[i].op);
    }
    add_for(b, "bob", &bob.op);
    for (int i = 0; i < 2; i++) add_for(b, "carol", &carol[i].op);
    void *order[] = {&alice[0], &bob, &carol[0], &alice[1], &carol[1], &alice[2], &alice[3]};
    turn_until_told(b, 7);
    for (int i = 0; i < 7; i++) assert_ptr_equal(b->order[i], order[i]);
}

static void what_may_end_a_task_is_committed_apart(void **state)
{
    struct bench *b = *state;
    struct step steps[4] = {step(), step(), step(), step()};
    steps[1].op.terminal = steps[3].op.terminal = true;
    for (int i = 0; i < 4; i++) add(b, &steps[i].op);
    turn_until_told(b, 4);
    assert_int_equal(b->commits, 2);
    static const int order[] = {0, 2, 1, 3};
    for (int i = 0; i < 4; i++) assert_ptr_equal(b->order[i], &steps[order[i]]);
}

static void its_commit_syncs_itself(void **state)
{
    struct bench *b = *state;
    int64_t n = make(b->r, (struct sketch){0});
    char *id = id_of(b->r->db, n);
    struct change_task c;
    const struct caller caller = {.owner = "alice", .reader = "alice", .conf = b->conf};
    change_task_init(&c, &caller, CHANGE_CANCEL, id);
    int before = disk_syncs();
    add(b, &c.op);
    turn(b);
    assert_int_equal(b->told, 1); /* in the same turn: there is nothing to wait for */
    assert_true(disk_syncs() > before);
    assert_true(pthread_equal(disk.last_thread, pthread_self())); /* inside the COMMIT */
    assert_int_equal(c.op.error.code, ERR_OK);
    assert_int_equal(c.task.status, TASK_CANCELLED);
    change_task_free(&c);
    free(id);
}

static void a_group_waits_as_long_as_somebody_joins_it(void **state)
{
    struct bench *b = *state;
    struct step steps[3] = {step(), step(), step()};
    for (int i = 0; i < 3; i++) {
        add(b, &steps[i].op);
        commit_group_turn(b->server.commits);
        assert_int_equal(steps[0].applied, 0);
    }
    commit_group_turn(b->server.commits); /* nobody came */
    for (int i = 0; i < 3; i++) assert_int_equal(steps[i].applied, 1);
    turn_until_told(b, 3);
}

static void a_group_does_not_wait_for_ever_for_those_who_join_it(void **state)
{
    struct bench *b = *state;
    struct step steps[3] = {step(), step(), step()};
    add(b, &steps[0].op);
    commit_group_turn(b->server.commits);
    add(b, &steps[1].op);
    still_us += 999;
    commit_group_turn(b->server.commits);
    assert_int_equal(steps[0].applied, 0);
    add(b, &steps[2].op);
    still_us += 1;
    commit_group_turn(b->server.commits);
    for (int i = 0; i < 3; i++) assert_int_equal(steps[i].applied, 1);
    turn_until_told(b, 3);
}

/* ---- the lock ---- */

static void a_lock_that_another_holds_is_waited_for(void **state)
{
    struct bench *b = *state;
    struct step steps[2] = {step(), step()};
    OK(b->r, txn_begin(b->other, TXN_SYNC_NONE, &b->r->e));
    add(b, &steps[0].op);
    turn(b);
    assert_true(commit_group_locking(b->server.commits));
    assert_false(commit_group_ready(b->server.commits));
    add(b, &steps[1].op);
    turn(b);
    assert_int_equal(steps[0].applied + steps[1].applied, 0);
    txn_rollback(b->other);
    turn_until_told(b, 2);
    assert_false(commit_group_locking(b->server.commits));
    assert_int_equal(b->commits, 1);                        /* who came meanwhile is of the group */
    OK(b->r, txn_begin(b->other, TXN_SYNC_NONE, &b->r->e)); /* and the lock is free again */
    txn_rollback(b->other);
}

static void a_lock_that_is_held_too_long_is_busy_and_nothing_is_written(void **state)
{
    struct bench *b = *state;
    set_patience(b, BUSY_MS);
    struct step steps[3] = {step(), step(), step()};
    OK(b->r, txn_begin(b->other, TXN_SYNC_NONE, &b->r->e));
    int64_t begun = clock_monotonic_ms();
    add(b, &steps[0].op);
    add(b, &steps[1].op);
    turn_until_told(b, 2);
    assert_true(clock_monotonic_ms() - begun >= BUSY_MS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(steps[i].op.error.code, ERR_BUSY);
        assert_int_equal(steps[i].applied, 0);
    }
    txn_rollback(b->other);
    UNTIL(b, !commit_group_locking(b->server.commits)); /* a lock that nobody wants any more ... */
    OK(b->r, txn_begin(b->other, TXN_SYNC_NONE, &b->r->e)); /* ... is let go */
    txn_rollback(b->other);
    assert_int_equal(rows(b), 0);
    set_patience(b, DEADLINE_MS);
    add(b, &steps[2].op);
    turn_until_told(b, 3);
    assert_int_equal(steps[2].op.error.code, ERR_OK);
}

/* A program that knows no lock but SQLite's own. */
static void a_foreign_writer_is_waited_for_too(void **state)
{
    struct bench *b = *state;
    struct step steps[2] = {step(), step()};
    assert_int_equal(sql_try(b->other, "BEGIN IMMEDIATE"), SQLITE_OK);
    add(b, &steps[0].op);
    for (int i = 0; i < 10; i++) turn(b);
    assert_int_equal(b->told, 0);
    assert_int_equal(sql_try(b->other, "COMMIT"), SQLITE_OK);
    turn_until_told(b, 1);
    assert_int_equal(steps[0].op.error.code, ERR_OK);

    set_patience(b, BUSY_MS);
    assert_int_equal(sql_try(b->other, "BEGIN IMMEDIATE"), SQLITE_OK);
    add(b, &steps[1].op);
    turn_until_told(b, 2);
    assert_int_equal(steps[1].op.error.code, ERR_BUSY);
    assert_int_equal(sql_try(b->other, "COMMIT"), SQLITE_OK);
    assert_int_equal(rows(b), 1);
}

/* ---- portions ---- */

static void portions_are_transactions_of_their_own_and_let_others_in(void **state)
{
    struct bench *b = *state;
    struct step big = step(), small = step();
    big.portions = 4;
    add(b, &big.op);
    UNTIL(b, big.applied == 1);
    add(b, &small.op);
    turn_until_told(b, 2);
    assert_ptr_equal(b->order[0], &small);
    assert_ptr_equal(b->order[1], &big);
    assert_int_equal(big.applied, 5);
    assert_int_equal(b->commits, 5);
    assert_int_equal(rows(b), 6);
}

/* A sync that began for a portion would end too early for who comes next. */
static void portions_wait_for_the_sync_of_the_last_one(void **state)
{
    struct bench *b = *state;
    struct step big = step(), small = step();
    big.portions = 1000;
    disk_allow(0);
    add(b, &big.op);
    UNTIL(b, big.applied == 3);
    assert_int_equal(syncs(b), 0);
    add(b, &small.op);
    UNTIL(b, small.applied == 1);
    disk_wait(b->begun_syncs + 1);
    int committed = b->commits;
    for (int i = 0; i < 10; i++) turn(b);
    assert_int_equal(b->told, 0);
    assert_int_equal(b->commits, committed); /* one group at a time */
    disk_allow(INT_MAX);
    UNTIL(b, b->told == 1);
    assert_int_equal(syncs(b), 1);
    big.portions = 0;
    turn_until_told(b, 2);
    assert_int_equal(syncs(b), 2);
}

static void a_portion_that_fails_leaves_those_before_it(void **state)
{
    struct bench *b = *state;
    struct step s = step();
    s.portions = 4;
    add(b, &s.op);
    UNTIL(b, s.applied == 2);
    s.rc = ERR_LIMIT;
    turn_until_told(b, 1);
    assert_int_equal(s.op.error.code, ERR_LIMIT);
    assert_int_equal(s.applied, 3);
    assert_int_equal(rows(b), 2);
}

/* ---- when it goes wrong ---- */

static void a_commit_that_fails_is_everybodys_outcome(void **state)
{
    struct bench *b = *state;
    struct step steps[4] = {step(), step(), step(), step()};
    steps[1].rc = ERR_STATE;
    steps[2].portions = 3;
    b->refuse = true;
    for (int i = 0; i < 3; i++) add(b, &steps[i].op);
    turn_until_told(b, 3);
    assert_int_not_equal(steps[0].op.error.code, ERR_OK);
    assert_int_not_equal(steps[0].op.error.code, ERR_UNSYNCED);
    assert_int_equal(steps[1].op.error.code, ERR_STATE); /* it had its own */
    assert_int_equal(steps[2].op.error.code, steps[0].op.error.code);
    assert_int_equal(steps[2].applied, 1);
    assert_int_equal(rows(b), 0);
    assert_int_equal(syncs(b), 0);
    assert_int_equal(b->unsynced, 0);
    b->refuse = false;
    add(b, &steps[3].op);
    turn_until_told(b, 4);
    assert_int_equal(steps[3].op.error.code, ERR_OK);
    assert_int_equal(rows(b), 1);
}

static void a_transaction_that_ends_early_is_nobodys_success(void **state)
{
    struct bench *b = *state;
    for (int fails = 0; fails < 2; fails++) {
        struct step steps[3] = {step(), step(), step()};
        b->told = 0;
        steps[1].ends = true;
        if (fails) steps[1].rc = ERR_FULL; /* else it does not even notice */
        for (int i = 0; i < 3; i++) add(b, &steps[i].op);
        turn_until_told(b, 3);
        for (int i = 0; i < 3; i++) {
            assert_int_not_equal(steps[i].op.error.code, ERR_OK);
            if (fails) assert_int_equal(steps[i].op.error.code, ERR_FULL);
        }
        assert_int_equal(steps[2].applied, 0);
        assert_int_equal(rows(b), 0);
        OK(b->r, txn_begin(b->other, TXN_SYNC_NONE, &b->r->e));
        txn_rollback(b->other);
    }
}

static void a_sync_that_fails_is_told_to_all_and_ends_the_process(void **state)
{
    struct bench *b = *state;
    struct step steps[3] = {step(), step(), step()};
    steps[1].rc = ERR_STATE;
    disk_refuse(EIO);
    add(b, &steps[0].op);
    add(b, &steps[1].op);
    turn_until_told(b, 2);
    disk_refuse(0);
    assert_int_equal(steps[0].op.error.code, ERR_UNSYNCED);
    assert_int_equal(steps[1].op.error.code, ERR_STATE);
    assert_int_equal(b->unsynced, 1);
    add(b, &steps[2].op); /* what the disk has refused it may have forgotten */
    turn_until_told(b, 3);
    assert_int_equal(steps[2].op.error.code, ERR_UNSYNCED);
    assert_int_equal(steps[2].applied, 0);
}

static void a_sync_inside_the_commit_that_fails_is_told_too(void **state)
{
    struct bench *b = *state;
    struct step s = step();
    s.op.terminal = true;
    disk_refuse(EIO);
    add(b, &s.op);
    turn_until_told(b, 1);
    disk_refuse(0);
    assert_int_equal(s.op.error.code, ERR_UNSYNCED);
    assert_int_equal(b->unsynced, 1);
}

/* ---- what need not be on disk, and what must ---- */

static void what_is_fleeting_is_not_synced_unless_others_need_it(void **state)
{
    struct bench *b = *state;
    struct step steps[3] = {step(), step(), step()};
    steps[0].op.fleeting = steps[1].op.fleeting = true;
    add(b, &steps[0].op);
    turn_until_told(b, 1);
    assert_int_equal(syncs(b), 0);
    add(b, &steps[1].op);
    add(b, &steps[2].op);
    turn_until_told(b, 3);
    assert_int_equal(syncs(b), 1);
}

/* Another process may have committed what it found, and not yet synced. */
static void a_success_that_wrote_nothing_is_on_disk_all_the_same(void **state)
{
    struct bench *b = *state;
    struct step found = step(), refused = step();
    found.nothing = refused.nothing = true;
    refused.rc = ERR_STATE;
    add(b, &refused.op);
    turn_until_told(b, 1);
    assert_int_equal(syncs(b), 0); /* who is told that nothing happened waits for nothing */
    add(b, &found.op);
    turn_until_told(b, 2);
    assert_int_equal(syncs(b), 1);
}

static struct step next_step;

static void go_further(struct exchange *x, void *arg)
{
    told(x, arg);
    commit_group_add(x->server->commits, x, &next_step.op, told, &next_step.op);
}

static void who_is_told_may_go_on_with_another(void **state)
{
    struct bench *b = *state;
    struct step first = step();
    next_step = step();
    commit_group_add(b->server.commits, exchange_new(b), &first.op, go_further, &first);
    turn_until_told(b, 2);
    assert_int_equal(rows(b), 2);
    assert_int_equal(b->commits, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_ready_in_one_turn_is_one_transaction_and_one_sync),
        TEST(large_ones_go_alone_and_others_before_each_of_them_once),
        TEST(what_comes_while_one_group_syncs_is_the_next),
        TEST(one_that_fails_undoes_itself_alone),
        TEST(an_outcome_from_before_is_forgotten),
        TEST(two_equal_keys_in_one_turn_make_one_task),
        TEST(unique_joins_within_one_turn),
        TEST(limits_hold_within_one_turn),
        TEST(a_group_that_takes_long_is_cut),
        TEST(owners_take_turns_so_that_who_asks_for_much_keeps_nobody_waiting),
        TEST(what_may_end_a_task_is_committed_apart),
        TEST(its_commit_syncs_itself),
        TEST(a_group_waits_as_long_as_somebody_joins_it),
        TEST(a_group_does_not_wait_for_ever_for_those_who_join_it),
        TEST(a_lock_that_another_holds_is_waited_for),
        TEST(a_lock_that_is_held_too_long_is_busy_and_nothing_is_written),
        TEST(a_foreign_writer_is_waited_for_too),
        TEST(portions_are_transactions_of_their_own_and_let_others_in),
        TEST(portions_wait_for_the_sync_of_the_last_one),
        TEST(a_portion_that_fails_leaves_those_before_it),
        TEST(a_commit_that_fails_is_everybodys_outcome),
        TEST(a_transaction_that_ends_early_is_nobodys_success),
        TEST(a_sync_that_fails_is_told_to_all_and_ends_the_process),
        TEST(a_sync_inside_the_commit_that_fails_is_told_too),
        TEST(what_is_fleeting_is_not_synced_unless_others_need_it),
        TEST(a_success_that_wrote_nothing_is_on_disk_all_the_same),
        TEST(who_is_told_may_go_on_with_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
