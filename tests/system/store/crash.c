/* Processes that are killed in the middle of what they do: what is left is one whole state, and all that
 * was acknowledged is in it. Three writers and a checkpointing process work on one database; at random
 * moments one of them, or all, are killed, what is found is examined while the others go on, and the
 * killed are replaced. */
#include "../../unit/store/fixture.h"

enum { WRITERS = 3, CREW = WRITERS + 1, BATCH = 4 };

/* Something that was acknowledged: true for ever, or until the task is deleted. */
struct fact {
    enum { SAID, DELETED } kind;
    int64_t n, task_seq;
    char id[ID_SIZE];
    char to[12]; /* the status, where the event is a change of it */
};

/* What a writer has done in the open transaction; said after its commit. */
struct acts {
    struct fact facts[2 * BATCH];
    size_t count;
};

/* The newest event of a task is a fact once the transaction is over. */
static void note(struct room *r, struct acts *acts, int64_t n, const char *to)
{
    struct task t = {0};
    MUST(!task_get_n(r->db, n, &t, &r->e));
    struct fact *f = &acts->facts[acts->count++];
    *f = (struct fact){.kind = SAID, .n = n, .task_seq = t.event_count};
    strcpy(f->id, t.id);
    if (to) strcpy(f->to, to);
    task_free(&t);
}

static const char *const owners[] = {"alice", "bob", "carol"};

/* ---- a writer ------------------------------------------------------------------------------- */

struct writer {
    int64_t runner;
    struct claim claims[8];
    size_t held;
};

static void create(struct room *r, struct acts *acts)
{
    static const char bytes[20000];
    static const char *const groups[] = {NULL, "g", "h"};
    int64_t n;
    const struct sketch s = {.owner = owners[id_random(3)],
                             .group = groups[id_random(3)],
                             .priority = id_random(2),
                             .run_at = id_random(4) ? 0 : T0 + id_random(20),
                             .input = id_random(2) ? bytes : NULL,
                             .input_bytes = id_random(8) ? id_random(500) : sizeof bytes};
    MUST(!sketch_create(r->db, &s, NULL, &n, &r->e));
    note(r, acts, n, NULL);
}

static void claim(struct room *r, struct writer *w, struct acts *acts)
{
    struct task t = {0};
    if (w->held == sizeof w->claims / sizeof *w->claims) return;
    enum err rc = claim_next(
        r->db, &(struct claim_wish){.runner = w->runner, .now = T0 + 100, .lease_until = T0 + 200},
        &t, &r->e);
    if (rc == ERR_NOTFOUND) return;
    MUST(!rc);
    w->claims[w->held++] = (struct claim){t.n, w->runner, t.attempt};
    note(r, acts, t.n, "running");
    task_free(&t);
}

static void report(struct room *r, struct writer *w, struct acts *acts)
{
    if (!w->held) return;
    const struct claim *c = &w->claims[id_random((uint32_t)w->held)];
    enum err rc =
        id_random(2) ? claim_progress(r->db, c, id_random(100), "phase", "message", T0 + 101, &r->e)
                     : claim_event(r->db, c, "doc.created", "{\"a\":null}", T0 + 101, NULL, &r->e);
    if (rc == ERR_FENCED) return; /* a rescuer took it for abandoned */
    MUST(!rc);
    note(r, acts, c->n, NULL);
}

static void end(struct room *r, const struct claim *c, bool lost, struct acts *acts)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED, TASK_PENDING};
    enum task_status status = lost ? TASK_PENDING : ends[id_random(5)];
    const struct claim_end e = {.status = status,
                                .run_at = TASK_NONE,
                                .lost = lost,
                                .error_code = status == TASK_COMPLETED ? NULL : "exit_status",
                                .result = status == TASK_COMPLETED ? "[1]" : NULL,
                                .result_bytes = 3,
                                .result_type = "application/json",
                                .result_inline = "[1]",
                                .result_url = "/r",
                                .now = T0 + 102};
    enum err rc = claim_finish(r->db, c, &e, &r->e);
    if (rc == ERR_FENCED) return;
    MUST(!rc);
    note(r, acts, c->n, task_status_name(status));
}

static void finish_one(struct room *r, struct writer *w, struct acts *acts)
{
    if (!w->held) return;
    struct claim c = w->claims[--w->held];
    end(r, &c, false, acts);
}

static void cancel_one(struct room *r, struct acts *acts)
{
    struct task_list l;
    MUST(!task_list_unfinished(r->db, NULL, 10, &l, &r->e));
    if (l.count) {
        const struct task *t = &l.items[id_random((uint32_t)l.count)];
        MUST(!task_cancel(r->db, t->id, NULL, T0 + 103, &r->e));
        if (t->status == TASK_PENDING) note(r, acts, t->n, "cancelled");
    }
    task_list_free(&l);
}

static void delete_some(struct room *r, struct acts *acts)
{
    static const enum task_status ends[] = {TASK_COMPLETED, TASK_FAILED, TASK_TIMEOUT,
                                            TASK_CANCELLED};
    struct task_list l;
    const struct task_query q = {.owner = owners[id_random(3)],
                                 .status = ends[id_random(4)],
                                 .before = INT64_MAX,
                                 .limit = 2};
    MUST(!task_list_read(r->db, &q, &l, &r->e));
    for (size_t i = 0; i < l.count; i++) {
        MUST(!task_delete(r->db, l.items[i].id, NULL, T0, &r->e));
        struct fact *f = &acts->facts[acts->count++];
        *f = (struct fact){.kind = DELETED, .n = l.items[i].n};
        strcpy(f->id, l.items[i].id);
        /* facts about it noted in this transaction are none */
        for (size_t k = 0; k + 1 < acts->count; k++)
            if (acts->facts[k].n == f->n) acts->facts[k] = *f;
    }
    task_list_free(&l);
}

/* Takes over what is running, as after a crash. Whoever lives is fenced out and must bear it. */
static void rescue(struct room *r, const struct writer *w, struct acts *acts)
{
    struct running_list l;
    MUST(!claims_abandoned(r->db, w->runner, T0, true, &l, &r->e));
    for (size_t i = 0; i < l.count && i < BATCH; i++) end(r, &l.items[i].claim, true, acts);
    running_list_free(&l);
}

/* One transaction after the other until killed, each acknowledged when it is committed. */
static void write_until_killed(struct room *r, void *arg)
{
    const struct signal_pipe *acks = arg;
    struct writer w = {0};
    struct process_id self = {.pid = getpid(), .start = 1};
    MUST(!room_open(r));
    MUST(!txn_begin(r->db, TXN_SYNC_AFTER, &r->e));
    MUST(!runner_register(r->db, &self, "boot", T0, T0 + 1000, &w.runner, &r->e));
    MUST(!txn_commit(r->db, &r->e));
    for (bool first = true;; first = false) {
        struct acts acts = {0};
        MUST(!txn_begin(r->db, (enum txn_sync)id_random(3), &r->e));
        if (first) rescue(r, &w, &acts);
        for (uint32_t left = id_random(4) ? 1 : id_random(BATCH); left && !first; left--) {
            switch (id_random(8)) {
            case 0:
            case 1: create(r, &acts); break;
            case 2:
            case 3: claim(r, &w, &acts); break;
            case 4: report(r, &w, &acts); break;
            case 5: finish_one(r, &w, &acts); break;
            case 6: cancel_one(r, &acts); break;
            default: delete_some(r, &acts); break;
            }
        }
        if (!id_random(16)) {
            txn_rollback(r->db);
            w.held = 0; /* some of it may not have happened */
            continue;
        }
        MUST(!txn_commit(r->db, &r->e));
        size_t len = acts.count * sizeof *acts.facts;
        MUST(write(acks->to, acts.facts, len) == (ssize_t)len);
    }
}

static void checkpoint_until_killed(struct room *r, void *arg)
{
    (void)arg;
    MUST(!room_open(r));
    for (;;) {
        MUST(!db_checkpoint(r->db, &r->e));
        poll(NULL, 0, (int)id_random(25));
    }
}

/* ---- the examination ------------------------------------------------------------------------ */

struct ship {
    struct room *r;
    struct member {
        pid_t pid;
        int acks;    /* of a writer; -1 */
        size_t part; /* bytes of a fact that is not whole yet */
        struct fact partial;
    } crew[CREW];
    struct fact *facts;
    size_t count, cap, examined;
    int killed;
};

static void man(struct ship *s, int place)
{
    struct member *m = &s->crew[place];
    *m = (struct member){.acks = -1};
    if (place == WRITERS) {
        m->pid = room_fork(s->r, checkpoint_until_killed, NULL);
        return;
    }
    struct signal_pipe acks = pipe_open();
    m->pid = room_fork(s->r, write_until_killed, &acks);
    close(acks.to);
    m->acks = acks.from;
}

/* Takes in what a writer has said so far. False at the end of what it will ever say. */
static bool hear(struct ship *s, struct member *m)
{
    ssize_t n = read(m->acks, (char *)&m->partial + m->part, sizeof m->partial - m->part);
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    m->part += (size_t)n;
    if (m->part < sizeof m->partial) return true;
    m->part = 0;
    if (s->count == s->cap)
        s->facts = mem_grow(s->facts, s->cap = s->cap * 2 + 64, sizeof *s->facts);
    s->facts[s->count++] = m->partial;
    return true;
}

/* Listens to all for `ms`. */
static void sail(struct ship *s, int64_t ms)
{
    for (int64_t now, until = clock_monotonic_ms() + ms; (now = clock_monotonic_ms()) < until;) {
        struct pollfd fds[WRITERS];
        for (int i = 0; i < WRITERS; i++)
            fds[i] = (struct pollfd){.fd = s->crew[i].acks, .events = POLLIN};
        if (poll(fds, WRITERS, (int)(until - now)) <= 0) continue;
        for (int i = 0; i < WRITERS; i++)
            if (fds[i].revents && !hear(s, &s->crew[i])) fail_msg("a writer ended by itself");
    }
}

static void lose(struct ship *s, int place)
{
    struct member *m = &s->crew[place];
    room_kill(s->r, m->pid);
    s->killed++;
    if (m->acks < 0) return;
    while (hear(s, m)) continue;
    close(m->acks);
    m->acks = -1;
}

/* The facts from number `from` on, each of which must be found. */
static void facts_are_found(struct ship *s, size_t from)
{
    /* one state, because the others go on; and what was deleted is found by its id only here */
    sqlite3 *sql = db_sqlite(s->r->db);
    sqlite3_stmt *st = NULL;
    OK(s->r, txn_read_begin(s->r->db, &s->r->e));
    assert_int_equal(sqlite3_exec(sql,
                                  "CREATE TEMP TABLE gone AS SELECT task_id FROM events WHERE"
                                  " type = 'task.deleted'; CREATE INDEX temp.gone_by_id ON gone"
                                  " (task_id)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(sql,
                           "SELECT EXISTS (SELECT 1 FROM temp.gone WHERE task_id = ?1),"
                           " (SELECT coalesce(json_extract(payload, '$.to'), '') FROM"
                           " events WHERE task = ?2 AND task_seq = ?3),"
                           " EXISTS (SELECT 1 FROM tasks WHERE id = ?1)",
                           -1, &st, NULL),
        SQLITE_OK);
    for (size_t i = from; i < s->count; i++) {
        const struct fact *f = &s->facts[i];
        sqlite3_bind_text(st, 1, f->id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 2, f->n);
        sqlite3_bind_int64(st, 3, f->task_seq);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        bool deleted = sqlite3_column_int(st, 0), there = sqlite3_column_int(st, 2);
        const char *to = (const char *)sqlite3_column_text(st, 1);
        if (deleted && there) fail_msg("task %lld was deleted and is there", (long long)f->n);
        if (f->kind == DELETED && !deleted)
            fail_msg("the deletion of task %lld is lost", (long long)f->n);
        if (f->kind == SAID && !deleted && (!to || strcmp(to, f->to) != 0))
            fail_msg("event %lld of task %lld (%s) is lost: %s", (long long)f->task_seq,
                     (long long)f->n, f->to, to ? to : "none");
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    txn_read_end(s->r->db);
}

static void examine(struct ship *s, bool everything)
{
    struct room *r = s->r;
    OK(r, room_open(r));
    sql_is(r->db, "ok", "PRAGMA integrity_check");
    assert_consistent(r->db);
    facts_are_found(s, everything ? 0 : s->examined);
    s->examined = s->count;
    room_close(r);
}

/* Some time between two kills. */
static void sail_on(struct ship *s)
{
    uint32_t usual = (uint32_t)(slowness() > 4 ? 500 : 10 * slowness());
    sail(s, usual + id_random(5 * usual));
}

static void voyage(struct room *r, int rounds)
{
    struct ship s = {.r = r};
    for (int i = 0; i < CREW; i++) man(&s, i);
    for (int round = 0; round < rounds; round++) {
        sail_on(&s);
        uint32_t victim = id_random(CREW + 2);
        bool all = victim >= CREW;
        for (int i = 0; i < CREW; i++)
            if (all || i == (int)victim) lose(&s, i);
        examine(&s, false);
        for (int i = 0; i < CREW; i++)
            if (all || i == (int)victim) man(&s, i);
    }
    for (int i = 0; i < CREW; i++) lose(&s, i);
    examine(&s, true);
    OK(r, room_open(r));
    OK(r, db_checkpoint(r->db, &r->e));
    room_close(r);
    char path[64];
    snprintf(path, sizeof path, "%s-wal", r->path);
    assert_int_equal(unlink(path), 0); /* and all is in the database itself now */
    examine(&s, true);
    assert_true(s.killed >= rounds);
    assert_true(s.count > 0);
    if (getenv("VERBOSE")) print_message("%d killed, %zu facts\n", s.killed, s.count);
    free(s.facts);
}

static void after_any_kill_one_whole_state_is_found_with_all_that_was_acknowledged(void **state)
{
    /* on a new ship each time, because examining takes as long as there is much to examine */
    struct room *r = *state;
    for (int ship = 0; ship < (slowness() > 1 ? 1 : 4); ship++) {
        voyage(r, slowness() > 4 ? 4 : 28);
        room_clear(r);
    }
}

static void killed_while_alone_leaves_what_was_acknowledged(void **state)
{
    struct room *r = *state;
    struct ship s = {.r = r};
    for (int i = 0; i < CREW; i++) s.crew[i] = (struct member){.acks = -1};
    for (int round = 0; round < (slowness() > 4 ? 2 : 25); round++) {
        man(&s, 0);
        sail_on(&s);
        lose(&s, 0);
        examine(&s, false);
    }
    examine(&s, true);
    free(s.facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        closed_room_test(killed_while_alone_leaves_what_was_acknowledged),
        closed_room_test(after_any_kill_one_whole_state_is_found_with_all_that_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
