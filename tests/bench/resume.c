/* resume PORT CLIENTS EVENTS PERIOD_MS: clients that lose their streams at random and come back with Last-Event-ID.
 *
 * Each is there for up to a second and then away for up to 400 ms, while events are published so many ms apart. None
 * may miss one, or get one twice, or out of order. The times include those of absence: only the median says something
 * of the server. */
#include "base/clock.h"
#include "publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAY_MS = 1000, AWAY_MS = 400 };

static struct took took;
static struct publisher publisher;
static size_t begun, received, twice, disordered, returns;

struct client {
    struct http http;
    struct loop_timer timer;
    char last[128]; /* id; "": none yet */
    bool *seen;
    size_t next; /* behind the newest that it has seen */
};

static bool over(void)
{
    return publisher.at && publisher.answered == publisher.events;
}

/* Comes, or goes if it has an id to come back with; when all is published, stays. */
static void turn(void *arg)
{
    struct client *c = arg;
    int64_t most = STAY_MS;
    if (!c->http.open) {
        http_watch(&c->http, PUBLISH_STREAM, *c->last ? c->last : NULL);
        returns += *c->last != '\0';
    } else if (*c->last && publisher.at && !over()) {
        http_close(&c->http);
        most = AWAY_MS;
    }
    if (!over() || !c->http.open)
        loop_timer_set(c->http.loop, &c->timer, clock_monotonic_ms() + random() % most);
}

static void on_frame(void *arg, const char *text)
{
    struct client *c = arg;
    size_t number = publish_number(text);
    begun += !*c->last;
    publish_frame_id(text, c->last, sizeof c->last);
    begun -= !*c->last;
    if (number >= publisher.events) return;
    twice += c->seen[number];
    if (c->seen[number]) return;
    c->seen[number] = true;
    disordered += number < c->next;
    if (number >= c->next) c->next = number + 1;
    received++;
    took_add(&took, clock_monotonic_us() - publisher.at[number]);
}

static void on_end(void *arg)
{
    struct client *c = arg; /* the server may end a stream: its client comes back, like any other */
    loop_timer_set(c->http.loop, &c->timer, clock_monotonic_ms() + 1);
}

int main(int argc, char **argv)
{
    if (argc != 5) return fputs("usage: resume PORT CLIENTS EVENTS PERIOD_MS\n", stderr), 64;
    size_t clients = (size_t)atoi(argv[2]), events = (size_t)atoi(argv[3]);
    struct client *all = mem_alloc(clients * sizeof *all);
    struct error e = {0};
    struct loop *loop;
    if (loop_open(&loop, &e)) http_die("loop", e.text);
    srandom(7);
    for (size_t i = 0; i < clients; i++) {
        struct client *c = &all[i];
        c->seen = mem_alloc(events * sizeof *c->seen);
        c->timer = (struct loop_timer){.fire = turn, .arg = c};
        c->http = (struct http){
            .loop = loop, .port = atoi(argv[1]), .arg = c, .frame = on_frame, .ended = on_end};
        turn(c);
    }
    http_wait(loop, &begun, clients);
    if (begun < clients) http_die("resume", "not every stream was opened");
    publish_begin(&publisher, loop, atoi(argv[1]), events, atoi(argv[4]));
    http_wait(loop, &received, clients * events);
    for (int64_t until = clock_monotonic_ms() + 1000; clock_monotonic_ms() < until;)
        if (loop_wait(loop, 100, &e)) http_die("loop", e.text); /* what comes twice may come late */
    printf("events=%zu lost=%zu twice=%zu disordered=%zu returns=%zu", received,
           clients * events - received, twice, disordered, returns);
    took_print(&took, "");
    putchar('\n');
    return 0;
}
