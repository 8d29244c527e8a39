/* bulk PORT CLIENTS LINES SECONDS TOKEN OTHER: how many tasks clients of one owner create, LINES by each request, and what
 * another owner's requests, each for one task, take meanwhile, one after another.
 *
 * All that is answered is on disk. What they ask for is to run tomorrow. */
#include "base/clock.h"
#include "http.h"
#include "took.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char line[] = "{\"type\":\"bench\",\"delay\":86400}\n";

static struct took bulk, other;
static struct buf lines;

struct client {
    struct http http;
    bool single;
    int64_t since; /* monotonic us: when its request went */
};

static void ask(struct client *c)
{
    c->since = clock_monotonic_us();
    http_send(&c->http, "POST", "/api/tasks", c->single ? line : lines.data,
              c->single ? sizeof line - 2 : lines.len);
}

static void answered(void *arg, int status, const char *text)
{
    struct client *c = arg;
    if (status != 202) http_die(c->single ? "create" : "bulk", text);
    took_add(c->single ? &other : &bulk, clock_monotonic_us() - c->since);
    ask(c);
}

static char *headers(const char *kind, const char *token)
{
    struct buf b = {0};
    buf_fmt(&b, "Content-Type: application/%s\r\nAuthorization: Bearer %s\r\n", kind, token);
    return b.data;
}

int main(int argc, char **argv)
{
    if (argc != 7) return fputs("usage: bulk PORT CLIENTS LINES SECONDS TOKEN OTHER\n", stderr), 64;
    size_t clients = (size_t)atoi(argv[2]), count = (size_t)atoi(argv[3]);
    struct client *all = mem_alloc((clients + 1) * sizeof *all);
    struct error e = {0};
    struct loop *loop;
    if (loop_open(&loop, &e)) http_die("loop", e.text);
    for (size_t i = 0; i < count; i++) buf_str(&lines, line);
    int64_t from = clock_monotonic_us(), until = from + atoi(argv[4]) * INT64_C(1000000), now;
    for (size_t i = 0; i <= clients; i++) {
        all[i].single = i == clients;
        all[i].http = (struct http){.loop = loop,
                                    .port = atoi(argv[1]),
                                    .headers = all[i].single ? headers("json", argv[6])
                                                             : headers("x-ndjson", argv[5]),
                                    .answered = answered,
                                    .arg = &all[i]};
        ask(&all[i]);
    }
    while ((now = clock_monotonic_us()) < until)
        if (loop_wait(loop, 1000, &e)) http_die("loop", e.text);
    if (!bulk.count || !other.count) http_die("bulk", "no answer came");
    double rows = (double)(bulk.count * count);
    printf("rows=%.0f rate=%.1f others=%zu", rows, rows * 1e6 / (double)(now - from), other.count);
    took_print(&bulk, "request_");
    took_print(&other, "");
    putchar('\n');
    return 0;
}
