/* create PORT CLIENTS SECONDS: how many tasks so many clients create, one after another each.
 *
 * Every client has a connection of its own that is kept. What they ask for is to run tomorrow, so that no runner has
 * anything to do with it. */
#include "base/clock.h"
#include "http.h"
#include "took.h"

#include <stdio.h>
#include <stdlib.h>

static const char body[] = "{\"type\":\"bench\",\"delay\":86400}";

static struct took took;

struct client {
    struct http http;
    int64_t since; /* monotonic us: when its request went */
};

static void ask(struct client *c)
{
    c->since = clock_monotonic_us();
    http_send(&c->http, "POST", "/api/tasks", body, sizeof body - 1);
}

static void answered(void *arg, int status, const char *text)
{
    struct client *c = arg;
    if (status != 202) http_die("create", text);
    took_add(&took, clock_monotonic_us() - c->since);
    ask(c);
}

int main(int argc, char **argv)
{
    if (argc != 4) return fputs("usage: create PORT CLIENTS SECONDS\n", stderr), 64;
    size_t clients = (size_t)atoi(argv[2]);
    struct client *all = mem_alloc(clients * sizeof *all);
    struct error e = {0};
    struct loop *loop;
    if (loop_open(&loop, &e)) http_die("loop", e.text);
    int64_t from = clock_monotonic_us(), until = from + atoi(argv[3]) * INT64_C(1000000), now;
    for (size_t i = 0; i < clients; i++) {
        all[i].http = (struct http){.loop = loop,
                                    .port = atoi(argv[1]),
                                    .headers = "Content-Type: application/json\r\n",
                                    .answered = answered,
                                    .arg = &all[i]};
        ask(&all[i]);
    }
    while ((now = clock_monotonic_us()) < until)
        if (loop_wait(loop, 1000, &e)) http_die("loop", e.text);
    if (!took.count) http_die("create", "no answer came");
    printf("tasks=%zu rate=%.1f", took.count, (double)took.count * 1e6 / (double)(now - from));
    took_print(&took, "");
    putchar('\n');
    return 0;
}
