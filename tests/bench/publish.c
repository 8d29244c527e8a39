#include "publish.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "\"bench_number\":";

static void answered(void *arg, int status, const char *text)
{
    struct publisher *p = arg;
    if (status != 202) http_die("publish", text);
    took_add(&p->took, clock_monotonic_us() - p->at[p->answered++]);
}

/* One at a time: where the answer is late, so is the next. */
static void send_next(void *arg)
{
    struct publisher *p = arg;
    char body[128];
    int64_t now = clock_monotonic_ms();
    if (p->sent > p->answered) {
        loop_timer_set(p->http.loop, &p->due, now + 1);
        return;
    }
    int len =
        snprintf(body, sizeof body, "{\"type\":\"bench.tick\",\"payload\":{%s%zu}}", mark, p->sent);
    p->at[p->sent++] = clock_monotonic_us();
    http_send(&p->http, "POST", PUBLISH_STREAM, body, (size_t)len);
    if (p->sent < p->events) loop_timer_set(p->http.loop, &p->due, now + p->period_ms);
}

void publish_begin(struct publisher *p, struct loop *loop, int port, size_t events,
                   int64_t period_ms)
{
    p->http = (struct http){.loop = loop,
                            .port = port,
                            .headers = "Content-Type: application/json\r\n",
                            .answered = answered,
                            .arg = p};
    p->events = events;
    p->period_ms = period_ms;
    p->at = mem_alloc(p->events * sizeof *p->at);
    p->due = (struct loop_timer){.fire = send_next, .arg = p};
    send_next(p);
}

size_t publish_number(const char *frame)
{
    const char *at = strstr(frame, mark);
    return at ? (size_t)strtoull(at + sizeof mark - 1, NULL, 10) : SIZE_MAX;
}

bool publish_frame_id(const char *frame, char *out, size_t size)
{
    const char *at = strncmp(frame, "id:", 3) ? strstr(frame, "\nid:") : frame;
    if (!at) return false;
    at = strchr(at, ':') + 1;
    at += strspn(at, " ");
    size_t len = strcspn(at, "\n");
    if (len >= size) return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}
