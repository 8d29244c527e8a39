/* One who publishes events into the group `bench`, evenly, and those who watch it. Of each event is known when its
 * request went. */
#ifndef LEAT_BENCH_PUBLISH_H
#define LEAT_BENCH_PUBLISH_H

#include "http.h"
#include "took.h"

#define PUBLISH_STREAM "/api/groups/bench/events"

struct publisher {
    struct http http;
    size_t events;
    int64_t period_ms;

    size_t sent, answered;
    int64_t *at; /* monotonic us, of those that were sent */
    struct loop_timer due;
    struct took took; /* until the answer */
};

/* Begins now, on the zeroed *p, while the loop goes on; is over when p->answered is p->events. */
void publish_begin(struct publisher *p, struct loop *loop, int port, size_t events,
                   int64_t period_ms);

/* The number of the event in a frame; SIZE_MAX: it is not one of the publisher's. */
size_t publish_number(const char *frame);

/* The id of a frame, as far as `size` has room. False: it has none. */
bool publish_frame_id(const char *frame, char *out, size_t size);

#endif
