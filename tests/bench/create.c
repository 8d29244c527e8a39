/* create PORT CLIENTS SECONDS: how many tasks so many clients create, one after another each.
 *
 * Every client has a connection of its own that is kept. What they ask for is to run tomorrow, so that no runner has
 * anything to do with it. All clients are one thread, so that they take little of the machine from what is measured.
 * Prints the number of tasks, those a second, and the median and the 99th percentile of the answers in ms. */
#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY "{\"type\":\"bench\",\"delay\":86400}"

static const char request[] = "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\n"
                              "Content-Type: application/json\r\nContent-Length: 30\r\n\r\n" BODY;
static_assert(sizeof BODY - 1 == 30, "the length in the request");

struct client {
    int fd;
    int64_t since;  /* monotonic us: when its request went */
    struct buf got; /* of the answer */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "create: %s\n", what);
    exit(1);
}

static void ask(struct client *c)
{
    buf_clear(&c->got);
    c->since = clock_monotonic_us();
    if (write(c->fd, request, sizeof request - 1) != sizeof request - 1) die(strerror(errno));
}

static void begin(struct client *c, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die(strerror(errno));
    ask(c);
}

/* Whether the answer is there whole; nginx may pass it on in chunks. */
static bool whole(const struct buf *b)
{
    const char *head = buf_text(b), *body = strstr(head, "\r\n\r\n");
    if (!body) return false;
    if (strncmp(head, "HTTP/1.1 202", 12) != 0) die(head);
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    if (!length || length > body) return b->len >= 5 && !strcmp(head + b->len - 5, "0\r\n\r\n");
    return strlen(body + 4) >= strtoul(length + 18, NULL, 10);
}

/* Takes what came; true: the answer is complete. */
static bool take(struct client *c)
{
    ssize_t n = read(c->fd, buf_reserve(&c->got, 8192), 8192);
    if (n <= 0) die("a connection was closed");
    c->got.len += (size_t)n;
    c->got.data[c->got.len] = '\0';
    return whole(&c->got);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    if (argc != 4) return fputs("usage: create PORT CLIENTS SECONDS\n", stderr), 64;
    size_t clients = (size_t)atoi(argv[2]), done = 0, room = 1024;
    struct client *all = mem_alloc(clients * sizeof *all);
    struct pollfd *polls = mem_alloc(clients * sizeof *polls);
    int64_t *took = mem_alloc(room * sizeof *took);
    int64_t from = clock_monotonic_us(), until = from + atoi(argv[3]) * INT64_C(1000000), now;
    for (size_t i = 0; i < clients; i++) {
        begin(&all[i], atoi(argv[1]));
        polls[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
    }
    do {
        poll(polls, clients, 1000);
        now = clock_monotonic_us();
        for (size_t i = 0; i < clients; i++) {
            if (!polls[i].revents || !take(&all[i])) continue;
            if (done == room) took = mem_grow(took, room *= 2, sizeof *took);
            took[done++] = clock_monotonic_us() - all[i].since;
            ask(&all[i]);
        }
    } while (now < until);
    if (!done) die("no answer came");
    qsort(took, done, sizeof *took, by_value);
    printf("%zu %.0f %.2f %.2f\n", done, (double)done * 1e6 / (double)(now - from),
           (double)took[done / 2] / 1000, (double)took[done * 99 / 100] / 1000);
    return 0;
}
