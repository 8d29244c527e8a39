/* What the tests of the store share: a folder of their own, processes that never outlive a test, small
 * tasks, direct looks at the rows, and the invariants that hold after any committed transaction. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "base/clock.h"
#include "base/id.h"
#include "gen/query.h"
#include "store/claims.h"
#include "store/db.h"
#include "store/events.h"
#include "store/groups.h"
#include "store/sqlite.h"
#include "store/tasks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define T0 1700000000000 /* the time of tests that care about times */

enum { ROOM_CHILDREN = 16, DEADLINE_MS = 60000 };

struct room {
    char dir[32];
    char path[40]; /* of the database */
    struct db *db; /* open or NULL; closed by room_leave */
    struct error e;
    pid_t children[ROOM_CHILDREN];
};

/* Fails the test with what the store said. */
#define OK(r, call)                                                                                \
    do {                                                                                           \
        (r)->e = (struct error){0};                                                                \
        enum err ok_rc_ = (call);                                                                  \
        if (ok_rc_) fail_msg("%s: %d %s", #call, (int)ok_rc_, (r)->e.text);                        \
    } while (0)

/* As OK in a forked child, where cmocka's assertions would carry on with the parent's tests. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: child: %s\n", __FILE__, __LINE__, #condition);                 \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* How many times slower than usual time runs: tests that repeat then repeat less. */
static inline int slowness(void)
{
    const char *preload = getenv("LD_PRELOAD");
    if (preload && strstr(preload, "valgrind")) return 20;
#ifdef __SANITIZE_ADDRESS__
    return 4;
#else
    return 1;
#endif
}

/* ---- the room ------------------------------------------------------------------------------- */

static inline int room_enter_closed(void **state)
{
    struct room *r = calloc(1, sizeof *r);
    strcpy(r->dir, "/tmp/leat-store-XXXXXX");
    if (!mkdtemp(r->dir)) return -1;
    snprintf(r->path, sizeof r->path, "%s/leat.db", r->dir);
    *state = r;
    return 0;
}

static inline enum err room_open(struct room *r)
{
    return db_open(&r->db, &(struct db_options){.path = r->path, .busy_ms = 30000, .migrate = true},
                   &r->e);
}

static inline void room_close(struct room *r)
{
    db_close(r->db);
    r->db = NULL;
}

/* A new database, open. Made once and copied from then on, which is as good and much quicker. */
static inline int room_enter(void **state)
{
    static char *made;
    static size_t len;
    if (room_enter_closed(state)) return -1;
    struct room *r = *state;
    int fd = -1;
    if (made) {
        fd = open(r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0660);
        if (write(fd, made, len) != (ssize_t)len) return -1;
        close(fd);
    }
    enum err rc = room_open(r);
    if (!rc && !made) {
        struct stat st;
        rc = db_checkpoint(r->db, &r->e);
        room_close(r);
        fd = open(r->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st)) return -1;
        made = mem_alloc(len = (size_t)st.st_size);
        if (read(fd, made, len) != (ssize_t)len) return -1;
        close(fd);
        if (!rc) rc = room_open(r);
    }
    if (rc) print_error("%s\n", r->e.text);
    return rc ? -1 : 0;
}

/* Removes a closed database, for one to be made anew in the same room. */
static inline void room_clear(struct room *r)
{
    static const char *const files[] = {"", "-wal", "-shm", ".lock", ".bell"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s%s", r->path, files[i]);
        unlink(path);
    }
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static inline int room_leave(void **state)
{
    struct room *r = *state;
    room_close(r);
    for (int i = 0; i < ROOM_CHILDREN; i++) {
        if (!r->children[i]) continue;
        kill(r->children[i], SIGKILL);
        waitpid(r->children[i], NULL, 0);
    }
    int rc = nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(r);
    return rc;
}

#define room_test(name)        cmocka_unit_test_setup_teardown(name, room_enter, room_leave)
#define closed_room_test(name) cmocka_unit_test_setup_teardown(name, room_enter_closed, room_leave)

/* ---- processes ------------------------------------------------------------------------------ */

/* Runs `life` in a child, which opens the database for itself. No database may be open here: SQLite's
 * idea of who holds which lock would be carried across the fork. */
static inline pid_t room_fork(struct room *r, void (*life)(struct room *, void *), void *arg)
{
    int place = 0;
    while (place < ROOM_CHILDREN && r->children[place]) place++;
    if (r->db || place == ROOM_CHILDREN) fail_msg("room_fork: the database is open, or no place");
    pid_t pid = fork();
    if (pid < 0) fail_msg("fork: %s", strerror(errno));
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        memset(r->children, 0, sizeof r->children);
        life(r, arg);
        room_close(r);
        _exit(0);
    }
    return r->children[place] = pid;
}

/* Waits for a child with a deadline; its status as waitpid gives it. */
static inline int room_wait(struct room *r, pid_t pid)
{
    int status = -1;
    int64_t deadline = clock_monotonic_ms() + DEADLINE_MS * slowness();
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (clock_monotonic_ms() > deadline) fail_msg("child %d does not end", (int)pid);
        poll(NULL, 0, 2);
    }
    for (int i = 0; i < ROOM_CHILDREN; i++)
        if (r->children[i] == pid) r->children[i] = 0;
    return status;
}

#define child_succeeds(r, pid) assert_int_equal(room_wait(r, pid), 0)

static inline void room_kill(struct room *r, pid_t pid)
{
    kill(pid, SIGKILL);
    int status = room_wait(r, pid);
    if (!WIFSIGNALED(status)) fail_msg("a child ended by itself: %x", (unsigned)status);
}

/* One byte from one process to another: "I am there", "go on". */
struct signal_pipe {
    int from, to;
};

static inline struct signal_pipe pipe_open(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC)) fail_msg("pipe: %s", strerror(errno));
    return (struct signal_pipe){fds[0], fds[1]};
}

static inline void pipe_close(struct signal_pipe *p)
{
    close(p->from);
    close(p->to);
}

static inline void pipe_say(const struct signal_pipe *p)
{
    ssize_t n = write(p->to, "!", 1);
    (void)n;
}

/* Whether it was said within the deadline. */
static inline bool pipe_heard(const struct signal_pipe *p)
{
    char byte;
    struct pollfd fd = {.fd = p->from, .events = POLLIN};
    return poll(&fd, 1, DEADLINE_MS) == 1 && read(p->from, &byte, 1) == 1;
}

/* ---- direct looks --------------------------------------------------------------------------- */

/* Runs SQL that no program would: tests play the person with a shell. The result code of SQLite. */
static inline int sql_try(struct db *db, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = sqlite3_vmprintf(format, args);
    va_end(args);
    int rc = sqlite3_exec(db_sqlite(db), text, NULL, NULL, NULL);
    sqlite3_free(text);
    return rc;
}

/* The first column of the first row as text (caller frees), NULL for NULL or no row. On an error the
 * text of it, which no test expects. */
static inline char *sql_text_v(struct db *db, const char *format, va_list args)
{
    char *text = sqlite3_vmprintf(format, args), *value = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db_sqlite(db), text, -1, &st, NULL))
        value = mem_str(sqlite3_errmsg(db_sqlite(db)));
    else if (sqlite3_step(st) == SQLITE_ROW)
        value = mem_str((const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    sqlite3_free(text);
    return value;
}

static inline int64_t sql_number(struct db *db, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = sql_text_v(db, format, args);
    va_end(args);
    char *end = text;
    int64_t value = text ? strtoll(text, &end, 10) : INT64_MIN;
    if (text && *end) print_error("%s: %s\n", format, text), value = INT64_MIN + 1;
    free(text);
    return value;
}

/* sql_is(db, expected, query, ...): the first value is exactly this text. */
static inline void sql_is(struct db *db, const char *expected, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = sql_text_v(db, format, args);
    va_end(args);
    if (!text != !expected || (text && strcmp(text, expected))) {
        char shown[1024];
        snprintf(shown, sizeof shown, "%s", text ? text : "NULL");
        free(text);
        fail_msg("%s\n  is       %s\n  and not  %s", format, shown, expected ? expected : "NULL");
    }
    free(text);
}

/* ---- small tasks ---------------------------------------------------------------------------- */

/* A task of which only what matters is said. */
struct sketch {
    const char *owner; /* "alice" */
    const char *type;  /* "echo" */
    const char *group;
    int64_t priority, max_attempts, timeout_ms;
    int64_t run_at; /* 0: at once */
    bool serialize;
    const char *content_type;
    const void *input;
    size_t input_bytes;
    int64_t now; /* T0 */
};

/* Creates it inside an open transaction; its id in `id` when not NULL. */
static inline enum err sketch_create(struct db *db, const struct sketch *s, char *id, int64_t *n,
                                     struct error *e)
{
    char own_id[ID_SIZE];
    if (!id) id = own_id;
    int64_t now = s->now ? s->now : T0;
    id_new(id, now);
    struct task_new t = {
        .id = id,
        .owner = s->owner ? s->owner : "alice",
        .type = s->type ? s->type : "echo",
        .group = s->group,
        .request_id = "req-1",
        .priority = s->priority,
        .max_attempts = s->max_attempts ? s->max_attempts : 1,
        .timeout_ms = s->timeout_ms ? s->timeout_ms : TASK_NONE,
        .run_at = s->run_at ? s->run_at : TASK_NONE,
        .serialize = s->serialize,
        .content_type = s->content_type ? s->content_type : "text/plain",
        .input = s->input,
        .input_bytes = s->input_bytes,
        .now = now,
    };
    return task_create(db, &t, n, e);
}

/* The same in a transaction of its own; returns n. */
static inline int64_t make(struct room *r, struct sketch s)
{
    int64_t n = 0;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, sketch_create(r->db, &s, NULL, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return n;
}

/* The places in the queue of all tasks, as "1:1 2:-". */
static inline void places_are(struct room *r, const char *expected)
{
    struct buf said = {0};
    int64_t last = sql_number(r->db, "SELECT max(n) FROM tasks");
    for (int64_t n = 1; n <= last; n++) {
        struct task t;
        OK(r, task_get_n(r->db, n, &t, &r->e));
        buf_fmt(&said, "%s%lld:", n > 1 ? " " : "", (long long)n);
        if (t.queue_position == TASK_NONE)
            buf_char(&said, '-');
        else
            buf_fmt(&said, "%lld", (long long)t.queue_position);
        task_free(&t);
    }
    assert_string_equal(said.data, expected);
    buf_free(&said);
}

/* Claims the next task for `runner`; n 0 when none is due. */
static inline struct claim take_for(struct room *r, int64_t runner, int64_t now,
                                    struct process_id child)
{
    struct task t = {0};
    struct claim c = {0};
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    enum err rc =
        claim_next(r->db,
                   &(struct claim_wish){
                       .runner = runner, .now = now, .lease_until = now + 30000, .child = child},
                   &t, &r->e);
    if (!rc) c = (struct claim){t.n, runner, t.attempt};
    if (rc && rc != ERR_NOTFOUND) fail_msg("claim_next: %s", r->e.text);
    task_free(&t);
    OK(r, txn_commit(r->db, &r->e));
    return c;
}

static inline struct claim take(struct room *r, int64_t runner, int64_t now)
{
    return take_for(r, runner, now, (struct process_id){0});
}

static inline enum err finish(struct room *r, const struct claim *c, const struct claim_end *end)
{
    OK(r, txn_begin(r->db, TXN_SYNC_BEFORE, &r->e));
    enum err rc = claim_finish(r->db, c, end, &r->e);
    if (rc)
        txn_rollback(r->db);
    else
        OK(r, txn_commit(r->db, &r->e));
    return rc;
}

/* The id of a task; caller frees. */
static inline char *id_of(struct db *db, int64_t n)
{
    char *text = sqlite3_mprintf("SELECT id FROM tasks WHERE n = %lld", (long long)n);
    sqlite3_stmt *st = NULL;
    sqlite3_prepare_v2(db_sqlite(db), text, -1, &st, NULL);
    char *id =
        sqlite3_step(st) == SQLITE_ROW ? mem_str((const char *)sqlite3_column_text(st, 0)) : NULL;
    sqlite3_finalize(st);
    sqlite3_free(text);
    return id;
}

/* ---- invariants ----------------------------------------------------------------------------- */

/* Each counts what contradicts it. */
static const struct invariant {
    const char *claim, *contradictions;
} invariants[] = {
    {"within a task, task_seq is 1, 2, 3, ... in the order of seq",
     "SELECT count(*) FROM (SELECT task_seq - lag(task_seq, 1, 0) OVER (PARTITION BY task ORDER BY "
     "seq) AS step FROM events WHERE task IS NOT NULL) WHERE step IS NOT 1"},
    {"a task begins with task.created, which comes once",
     "SELECT count(*) FROM events WHERE task IS NOT NULL"
     " AND (task_seq = 1) <> (type = 'task.created')"},
    {"every task has its events and no event a task that is gone",
     "SELECT (SELECT count(*) FROM tasks WHERE n NOT IN (SELECT task FROM events WHERE task "
     "NOTNULL))"
     " + (SELECT count(*) FROM events WHERE task IS NOT NULL AND task NOT IN (SELECT n FROM "
     "tasks UNION SELECT task FROM remains))"},
    {"a status is the last `to` of its log",
     "SELECT count(*) FROM tasks t WHERE t.status <> coalesce((SELECT json_extract(e.payload, "
     "'$.to')"
     " FROM events e WHERE e.task = t.n AND e.type = 'task.status_changed'"
     " ORDER BY e.seq DESC LIMIT 1), 'pending')"},
    {"each `from` is the `to` before it",
     "SELECT count(*) FROM (SELECT json_extract(payload, '$.from') IS lag(json_extract(payload, "
     "'$.to'), 1, 'pending') OVER (PARTITION BY task ORDER BY seq) AS follows FROM events"
     " WHERE type = 'task.status_changed') WHERE NOT follows"},
    {"the envelope's columns are the task's",
     "SELECT count(*) FROM events e JOIN tasks t ON t.n = e.task WHERE (e.owner, e.group_id, "
     "e.task_id, e.request_id) IS NOT (t.owner, t.group_id, t.id, t.request_id)"},
    {"every payload is JSON on one line",
     "SELECT count(*) FROM events WHERE NOT json_valid(payload) OR instr(payload, char(10)) > 0"},
    {"groups count what a recount gives",
     "SELECT count(*) FROM groups g WHERE (pending, running, completed, failed, timeout, cancelled)"
     " IS NOT (SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = "
     "'running'), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = "
     "'failed'), count(*) FILTER (WHERE status = 'timeout'), count(*) FILTER (WHERE status = "
     "'cancelled') FROM tasks t WHERE t.owner = g.owner AND t.group_id = g.name)"},
    {"every group that a task names is there",
     "SELECT count(*) FROM tasks WHERE group_id IS NOT NULL AND (owner, group_id) NOT IN"
     " (SELECT owner, name FROM groups)"},
    {"a group's status is the last `to` of its log",
     "SELECT count(*) FROM groups g WHERE g.status <> coalesce((SELECT json_extract(e.payload, "
     "'$.to') FROM events e WHERE e.owner = g.owner AND e.group_id = g.name"
     " AND e.type = 'group.status_changed' ORDER BY e.seq DESC LIMIT 1),"
     " (SELECT g.status FROM owners o WHERE o.name = g.owner AND o.evicted_seq > 0), 'idle')"},
    {"queues count what a recount gives, and those that count nothing are gone",
     "SELECT count(*) FROM (SELECT owner, priority, type, pending, ready FROM queues EXCEPT"
     " SELECT owner, priority, type, count(*), sum(blocked = 0) FROM tasks WHERE status = 'pending'"
     " AND delayed = 0 GROUP BY owner, priority, type)"},
    {"parts of queues count what a recount gives, and those that count nothing are gone",
     "SELECT (SELECT count(*) FROM (SELECT owner, priority, part, pending FROM queue_parts EXCEPT"
     " SELECT owner, priority, n >> 7, count(*) FROM tasks WHERE status = 'pending' AND delayed = 0"
     " GROUP BY owner, priority, n >> 7)) + (SELECT count(*) FROM tasks WHERE status = 'pending'"
     " AND delayed = 0 AND (owner, priority, n >> 7) NOT IN"
     " (SELECT owner, priority, part FROM queue_parts))"},
    {"every task that is due has a queue",
     "SELECT count(*) FROM tasks WHERE status = 'pending' AND delayed = 0"
     " AND (owner, priority, type) NOT IN (SELECT owner, priority, type FROM queues)"},
    {"owners that wait count what a recount gives, and the others are gone",
     "SELECT (SELECT count(*) FROM (SELECT owner, pending, ready, delayed FROM queue_owners EXCEPT"
     " SELECT owner, sum(delayed = 0), sum(delayed = 0 AND blocked = 0), sum(delayed) FROM tasks"
     " WHERE status = 'pending' GROUP BY owner)) + (SELECT count(*) FROM tasks WHERE status ="
     " 'pending' AND owner NOT IN (SELECT owner FROM queue_owners))"},
    {"of those that take turns in a group one may run, the oldest that is due or was begun, and "
     "none"
     " beside another",
     "SELECT count(*) FROM tasks t WHERE t.status = 'pending' AND t.delayed = 0"
     " AND t.blocked <> (t.serialize = 1"
     " AND t.group_id IS NOT NULL AND EXISTS (SELECT 1 FROM tasks b WHERE b.owner = t.owner AND"
     " b.group_id = t.group_id AND b.serialize = 1 AND (b.status = 'running' OR b.status ="
     " 'pending' AND b.n < t.n AND (b.delayed = 0 OR b.started_at IS NOT NULL))))"},
    {"a group has the type and the error of the last change in its log",
     "SELECT count(*) FROM groups g JOIN events e ON e.owner = g.owner AND e.group_id = g.name"
     " WHERE e.type = 'group.status_changed' AND e.seq = (SELECT max(l.seq) FROM events l WHERE"
     " l.owner = g.owner AND l.group_id = g.name AND l.type = 'group.status_changed')"
     " AND (json_extract(e.payload, '$.type') IS NOT g.type"
     " OR json_extract(e.payload, '$.error') IS NOT json(g.error))"},
    {"counts by type and status are what a recount gives",
     "SELECT (SELECT count(*) FROM task_counts c WHERE c.tasks <> (SELECT count(*) FROM tasks t "
     "WHERE"
     " t.type = c.type AND t.status = c.status)) + (SELECT count(*) FROM tasks WHERE (type, status)"
     " NOT IN (SELECT type, status FROM task_counts))"},
    {"what the log holds and what was deleted of it is what was ever written",
     "SELECT count(*) + (SELECT value FROM figures WHERE name = 'log_deleted' AND labels = '')"
     " - coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) FROM events"},
    {"of the tasks that wait for each other in a group one runs",
     "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE status = 'running' AND serialize = 1 AND"
     " group_id IS NOT NULL GROUP BY owner, group_id HAVING count(*) > 1)"},
    {"a group has a context when it was ever set, and not otherwise",
     "SELECT count(*) FROM groups g WHERE (g.version > 0) <> EXISTS (SELECT 1 FROM contexts c"
     " WHERE c.owner = g.owner AND c.name = g.name)"},
    {"a context is of a group",
     "SELECT count(*) FROM contexts WHERE (owner, name) NOT IN (SELECT owner, name FROM groups)"},
    {"inputs and results belong to tasks",
     "SELECT (SELECT count(*) FROM inputs WHERE task NOT IN (SELECT n FROM tasks))"
     " + (SELECT count(*) FROM results WHERE task NOT IN"
     " (SELECT n FROM tasks WHERE status = 'completed'))"},
    {"an upload is a task's only when it is whole, and portions are of uploads",
     "SELECT (SELECT count(*) FROM portions WHERE upload NOT IN (SELECT id FROM uploads))"
     " + (SELECT count(*) FROM uploads u WHERE u.task IS NOT NULL AND (u.stored <> u.bytes OR"
     " u.task NOT IN (SELECT task FROM inputs) OR u.stored <>"
     " (SELECT coalesce(sum(length(p.body)), 0) FROM portions p WHERE p.upload = u.id)))"},
    {"a deletion leaves its mark, older than the event that tells of it",
     "SELECT count(*) FROM events e WHERE e.type = 'task.deleted' AND NOT EXISTS (SELECT 1 FROM"
     " owners o WHERE o.name = e.owner AND o.evicted_seq > 0 AND o.evicted_seq < (SELECT max(seq)"
     " FROM events d WHERE d.owner = e.owner AND d.type = 'task.deleted'))"},
    {"only a running task has a runner",
     "SELECT count(*) FROM tasks WHERE (status = 'running') <> (runner IS NOT NULL)"
     " OR (status = 'running') <> (lease_until IS NOT NULL)"},
    {"tasks are counted as a recount gives",
     "SELECT (SELECT count(*) FROM (SELECT type, status, count(*) FROM tasks GROUP BY type, status"
     " EXCEPT SELECT type, status, tasks FROM task_counts))"
     " + (SELECT coalesce(sum(tasks), 0) FROM task_counts) - (SELECT count(*) FROM tasks)"},
    {"the log holds what was written and not deleted",
     "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
     " - (SELECT count(*) FROM events)"
     " - (SELECT value FROM figures WHERE name = 'log_deleted')"},
    {"who is finished says when", "SELECT count(*) FROM tasks WHERE (status IN ('pending', "
                                  "'running')) <> (completed_at IS NULL)"},
    {"owners.bytes is the sum of what they have",
     "SELECT count(*) FROM owners o WHERE bytes <> ("
     " (SELECT coalesce(sum(200 + length(CAST(e.payload AS BLOB))), 0) FROM events e WHERE e.owner "
     "= o.name)"
     " + (SELECT coalesce(sum(length(CAST(c.json AS BLOB))), 0) FROM contexts c WHERE c.owner = "
     "o.name)"
     " + (SELECT coalesce(sum(length(i.body)), 0) FROM inputs i JOIN tasks t ON t.n = i.task"
     "     WHERE t.owner = o.name)"
     " + (SELECT coalesce(sum(u.bytes), 0) FROM uploads u WHERE u.owner = o.name)"
     " + (SELECT coalesce(sum(length(r.body) + coalesce(length(CAST(r.inline AS BLOB)), 0)), 0)"
     "      FROM results r JOIN tasks t ON t.n = r.task WHERE t.owner = o.name)"
     " + (SELECT coalesce(sum(f.bytes), 0) FROM files f JOIN tasks t ON t.n = f.task"
     "     WHERE t.owner = o.name))"},
    {"tasks.event_bytes is the sum of its events but the first",
     "SELECT count(*) FROM tasks t WHERE event_bytes <>"
     " (SELECT coalesce(sum(200 + length(CAST(e.payload AS BLOB))), 0) FROM events e"
     "   WHERE e.task = t.n AND e.task_seq > 1)"},
};

/* The first invariant that does not hold in the open transaction, or NULL. */
static inline const char *contradiction_here(struct db *db)
{
    for (size_t i = 0; i < sizeof invariants / sizeof *invariants; i++)
        if (sql_number(db, "%s", invariants[i].contradictions)) return invariants[i].claim;
    return NULL;
}

/* The same of one committed state. */
static inline const char *contradiction(struct db *db)
{
    if (txn_read_begin(db, NULL)) return "the database can be read";
    const char *claim = contradiction_here(db);
    txn_read_end(db);
    return claim;
}

static inline void assert_consistent(struct db *db)
{
    const char *claim = contradiction(db);
    if (claim) fail_msg("no longer true: %s", claim);
}

#endif
