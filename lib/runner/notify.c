#include "runner/notify.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    int64_t watchdog_ms; /* between two signs of life; 0: nobody watches */
    struct loop *loop;
    struct loop_timer alive;
    char status[160];
};

/* "@name" is an abstract socket: a zero byte in its place. */
static bool address(const char *socket, struct sockaddr_un *to, socklen_t *len)
{
    size_t n = strlen(socket);
    if (n < 2 || (*socket != '/' && *socket != '@') || n >= sizeof to->sun_path) return false;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, socket, n);
    if (*socket == '@') to->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*socket == '/'));
    return true;
}

/* How often to give a sign of life: twice as often as asked for. */
static int64_t watchdog_ms(const struct notify_options *w)
{
    int64_t usec = 0, pid = getpid();
    if (!w->watchdog_usec || conf_parse_int(w->watchdog_usec, 1, INT64_MAX, &usec, NULL)) return 0;
    if (w->watchdog_pid && conf_parse_int(w->watchdog_pid, 1, INT64_MAX, &pid, NULL)) return 0;
    if (pid != getpid()) return 0;
    return usec < 4000 ? 2 : usec / 2000;
}

/* A manager that does not listen is nobody's reason to wait or to fail. */
static void say(const struct notify *n, const char *text)
{
    if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->to,
               n->to_len) < 0)
        log_debug("nobody was notified", " error=\"%s\"", strerror(errno));
}

static void say_alive(void *arg)
{
    struct notify *n = arg;
    say(n, "WATCHDOG=1");
    loop_timer_set(n->loop, &n->alive, clock_monotonic_ms() + n->watchdog_ms);
}

struct notify *notify_open(const struct notify_options *options, struct loop *loop)
{
    if (!options->socket || !*options->socket) return NULL;
    struct notify *n = mem_alloc(sizeof *n);
    char text[sizeof n->to.sun_path + 1];
    bool usable = address(options->socket, &n->to, &n->to_len);
    n->fd = usable ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    n->watchdog_ms = watchdog_ms(options);
    n->loop = loop;
    n->alive = (struct loop_timer){.fire = say_alive, .arg = n};
    if (n->fd >= 0) return n;
    log_warn("cannot notify", " socket=\"%s\"", log_quote(text, sizeof text, options->socket));
    free(n);
    return NULL;
}

void notify_close(struct notify *n)
{
    if (!n) return;
    loop_timer_stop(n->loop, &n->alive);
    close(n->fd);
    free(n);
}

void notify_ready(struct notify *n)
{
    if (!n) return;
    say(n, "READY=1");
    if (n->watchdog_ms && !loop_timer_is_set(&n->alive)) say_alive(n);
}

void notify_reloading(struct notify *n)
{
    char text[64];
    if (!n) return;
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)clock_monotonic_us());
    say(n, text);
}

void notify_stopping(struct notify *n)
{
    if (n) say(n, "STOPPING=1");
}

void notify_status(struct notify *n, const char *text)
{
    char status[sizeof n->status], line[sizeof status + 8];
    if (!n) return;
    log_quote(status, sizeof status, text);
    if (!strcmp(status, n->status)) return;
    memcpy(n->status, status, sizeof status);
    snprintf(line, sizeof line, "STATUS=%s", status);
    say(n, line);
}
