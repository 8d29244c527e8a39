/* latency DATABASE PORT WATCHERS EVENTS: from a commit to the clients that watch it.
 *
 * Plays a runner: creates and claims a task in the database of a running site, opens WATCHERS streams
 * of it through the web server, then commits one event at a time (20 ms apart) and reads the streams
 * until each has it. Writer and readers are one process, so one clock: what is measured begins when
 * txn_commit has returned and ends when the frame has been read from the socket. */
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "http.h"
#include "store/claims.h"
#include "store/tasks.h"
#include "took.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000, PAUSE_MS = 20, LEASE_MS = 600000 };

struct reader {
    int fd;
    char last;  /* the byte before what comes next: a frame may end in two pieces */
    int frames; /* "\n\n" seen */
};

static _Noreturn void die(const char *what, const struct error *e)
{
    fprintf(stderr, "latency: %s: %s\n", what, e ? e->text : strerror(errno));
    exit(1);
}

/* Creates a task and claims it in one transaction, before any other runner can. */
static struct claim own_task(struct db *db, char id[ID_SIZE])
{
    struct error e = {0};
    struct process_id self = {.pid = getpid(), .start = 0};
    struct task task = {0};
    int64_t now = clock_wall_ms(), runner = 0, n = 0;
    char boot[ID_SIZE];
    id_boot(boot);
    id_new(id, now);
    struct task_new new = {.id = id,
                           .owner = "bench",
                           .type = "bench",
                           .request_id = "bench",
                           .priority = TASK_PRIORITY_MAX,
                           .max_attempts = 1,
                           .timeout_ms = TASK_NONE,
                           .run_at = TASK_NONE,
                           .now = now};
    if (txn_begin(db, TXN_SYNC_AFTER, &e) ||
        runner_register(db, &self, boot, now, now + LEASE_MS, &runner, &e) ||
        task_create(db, &new, &n, &e) ||
        claim_next(
            db, &(struct claim_wish){.runner = runner, .now = now, .lease_until = now + LEASE_MS},
            &task, &e) ||
        txn_commit(db, &e))
        die("cannot create a task", &e);
    struct claim claim = {.n = task.n, .runner = runner, .attempt = task.attempt};
    if (task.n != n) die("another task is waiting: use an empty database", &e);
    task_free(&task);
    return claim;
}

static int connect_stream(int port, const char *id)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect", NULL);
    char request[256];
    int n = snprintf(request, sizeof request,
                     "GET /api/tasks/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    if (write(fd, request, (size_t)n) != n) die("write", NULL);
    return fd;
}

/* Counts the frames that have come. */
static void take(struct reader *r)
{
    char piece[65536];
    ssize_t n = recv(r->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n == 0) die("a stream ended", NULL);
    for (ssize_t i = 0; i < n; i++) {
        if (piece[i] == '\n' && r->last == '\n') r->frames++;
        r->last = piece[i];
    }
}

/* Reads until every reader has `frames`; the time of each arrival goes to `at` (may be NULL). */
static void wait_all(struct reader *readers, size_t count, int frames, int64_t *at)
{
    struct pollfd *polls = mem_alloc(count * sizeof *polls);
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        bool has = readers[i].frames >= frames;
        polls[i] = (struct pollfd){.fd = has ? -1 : readers[i].fd, .events = POLLIN};
        missing += !has;
    }
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (missing) {
        if (clock_monotonic_ms() > until) die("an event did not arrive", NULL);
        poll(polls, count, 1000);
        for (size_t i = 0; i < count; i++) {
            if (!polls[i].revents || polls[i].fd < 0) continue;
            take(&readers[i]);
            if (readers[i].frames < frames) continue;
            if (at) at[i] = clock_monotonic_us();
            polls[i].fd = -1;
            missing--;
        }
    }
    free(polls);
}

int main(int argc, char **argv)
{
    if (argc != 5) return fputs("usage: latency DATABASE PORT WATCHERS EVENTS\n", stderr), 64;
    size_t watchers = (size_t)atoi(argv[3]), events = (size_t)atoi(argv[4]);
    http_raise_files();
    struct error e = {0};
    struct db *db;
    struct db_options options = {.path = argv[1], .busy_ms = 5000, .migrate = false};
    if (db_open(&db, &options, &e)) die("cannot open the database", &e);
    char id[ID_SIZE];
    struct claim claim = own_task(db, id);

    struct reader *readers = mem_alloc(watchers * sizeof *readers);
    for (size_t i = 0; i < watchers; i++) readers[i].fd = connect_stream(atoi(argv[2]), id);
    /* Each stream begins with retry, stream.connected, task.created and task.status_changed. */
    wait_all(readers, watchers, 4, NULL);

    struct took took = {0};
    int64_t *at = mem_alloc(watchers * sizeof *at);
    for (size_t i = 0; i < events; i++) {
        for (size_t w = 0; w < watchers; w++) readers[w].frames = 0;
        if (txn_begin(db, TXN_SYNC_NONE, &e) ||
            claim_event(db, &claim, "bench.tick", "{}", clock_wall_ms(), NULL, &e) ||
            txn_commit(db, &e))
            die("cannot write an event", &e);
        int64_t committed = clock_monotonic_us();
        wait_all(readers, watchers, 1, at);
        for (size_t w = 0; w < watchers; w++) took_add(&took, at[w] - committed);
        poll(NULL, 0, PAUSE_MS);
    }
    printf("watchers=%zu events=%zu", watchers, events);
    took_print(&took, "");
    putchar('\n');

    struct claim_end end = {.status = TASK_COMPLETED, .now = clock_wall_ms(), .run_at = TASK_NONE};
    if (txn_begin(db, TXN_SYNC_BEFORE, &e) || claim_finish(db, &claim, &end, &e) ||
        txn_commit(db, &e))
        die("cannot finish", &e);
    db_close(db);
    return 0;
}
