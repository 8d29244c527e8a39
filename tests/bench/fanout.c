/* fanout PORT STREAMS EVENTS PERIOD_MS: from the request that publishes an event to each of the streams that watch.
 *
 * Events come one after another, so many ms apart. */
#include "base/clock.h"
#include "publish.h"

#include <stdio.h>
#include <stdlib.h>

static struct took took;
static struct publisher publisher;
static size_t connected, received, twice;

struct stream {
    struct http http;
    bool connected;
    bool *seen;
};

static void on_frame(void *arg, const char *text)
{
    struct stream *s = arg;
    size_t number = publish_number(text);
    connected += !s->connected;
    s->connected = true;
    if (number >= publisher.events) return;
    twice += s->seen[number];
    if (s->seen[number]) return;
    s->seen[number] = true;
    received++;
    took_add(&took, clock_monotonic_us() - publisher.at[number]);
}

static void on_end(void *arg)
{
    (void)arg;
    http_die("fanout", "a stream ended early");
}

int main(int argc, char **argv)
{
    if (argc != 5) return fputs("usage: fanout PORT STREAMS EVENTS PERIOD_MS\n", stderr), 64;
    size_t streams = (size_t)atoi(argv[2]), events = (size_t)atoi(argv[3]);
    struct stream *all = mem_alloc(streams * sizeof *all);
    struct error e = {0};
    struct loop *loop;
    http_raise_files();
    if (loop_open(&loop, &e)) http_die("loop", e.text);
    for (size_t i = 0; i < streams; i++) {
        all[i].seen = mem_alloc(events * sizeof *all[i].seen);
        all[i].http = (struct http){.loop = loop,
                                    .port = atoi(argv[1]),
                                    .arg = &all[i],
                                    .frame = on_frame,
                                    .ended = on_end};
        http_watch(&all[i].http, PUBLISH_STREAM, NULL);
        if (i % 32 == 31) http_wait(loop, &connected, i - 31);
    }
    http_wait(loop, &connected, streams);
    if (connected < streams) http_die("fanout", "not every stream was opened");
    publish_begin(&publisher, loop, atoi(argv[1]), events, atoi(argv[4]));
    http_wait(loop, &received, streams * events);
    printf("deliveries=%zu lost=%zu twice=%zu", received, streams * events - received, twice);
    took_print(&publisher.took, "post_");
    took_print(&took, "");
    putchar('\n');
    return 0;
}
