/* e2e PORT TYPE JOBS IN_FLIGHT: from the request for a task to the sight of its end.
 *
 * So many clients each create a task, open its stream and read until it has completed, one task after another. The job
 * is to say ten lines to its standard error: `short` counts the tasks of which not all came. */
#include "base/clock.h"
#include "http.h"
#include "took.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 10 };

static struct took took, posts;
static struct buf body;
static size_t begun, ended, jobs, incomplete;

struct client {
    struct http post, stream;
    int64_t since; /* monotonic us: when its request went */
    int lines;
};

static void begin(struct client *c)
{
    if (begun == jobs) return;
    begun++;
    c->lines = 0;
    c->since = clock_monotonic_us();
    http_send(&c->post, "POST", "/api/tasks", body.data, body.len);
}

static void created(void *arg, int status, const char *text)
{
    struct client *c = arg;
    char id[64], path[128];
    if (status != 202 || !http_member(text, "task_id", id, sizeof id)) http_die("create", text);
    took_add(&posts, clock_monotonic_us() - c->since);
    snprintf(path, sizeof path, "/api/tasks/%s/events", id);
    http_watch(&c->stream, path, NULL);
}

static void on_frame(void *arg, const char *text)
{
    struct client *c = arg;
    if (strstr(text, "\"type\":\"log.append\"")) c->lines++;
    if (strstr(text, "\"to\":\"failed\"")) http_die("a task failed", text);
    if (!strstr(text, "\"to\":\"completed\"")) return;
    took_add(&took, clock_monotonic_us() - c->since);
    incomplete += c->lines != LINES;
    ended++;
    http_close(&c->stream);
    begin(c);
}

static void on_end(void *arg)
{
    (void)arg;
    http_die("e2e", "a stream ended before its task");
}

int main(int argc, char **argv)
{
    if (argc != 5) return fputs("usage: e2e PORT TYPE JOBS IN_FLIGHT\n", stderr), 64;
    size_t clients = (size_t)atoi(argv[4]);
    struct client *all = mem_alloc(clients * sizeof *all);
    struct error e = {0};
    struct loop *loop;
    if (loop_open(&loop, &e)) http_die("loop", e.text);
    jobs = (size_t)atoi(argv[3]);
    buf_fmt(&body, "{\"type\":\"%s\"}", argv[2]);
    int64_t from = clock_monotonic_us();
    for (size_t i = 0; i < clients; i++) {
        struct http common = {.loop = loop, .port = atoi(argv[1]), .arg = &all[i]};
        all[i].post = all[i].stream = common;
        all[i].post.headers = "Content-Type: application/json\r\n";
        all[i].post.answered = created;
        all[i].stream.frame = on_frame;
        all[i].stream.ended = on_end;
        begin(&all[i]);
    }
    while (ended < jobs)
        if (loop_wait(loop, 1000, &e)) http_die("loop", e.text);
    printf("jobs=%zu rate=%.1f short=%zu", jobs,
           (double)jobs * 1e6 / (double)(clock_monotonic_us() - from), incomplete);
    took_print(&posts, "post_");
    took_print(&took, "");
    putchar('\n');
    return 0;
}
