#include "server/send.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"

#include <stdlib.h>

enum {
    PIECE = 64 * 1024, /* what conn_writable promises */
    PIECES = 4,        /* before others have their turn */
};

struct sending {
    struct send_source from;
    int64_t at;
    char piece[PIECE];
};

static void end(struct exchange *x, struct sending *s)
{
    exchange_unwatch(x);
    if (s->from.drop) s->from.drop(s->from.arg);
    free(s);
}

/* Something of it will be missing: the end of the connection says so. */
static void break_off(struct exchange *x, struct sending *s)
{
    end(x, s);
    conn_free(exchange_give_conn(x));
}

static void go_on(struct exchange *x, void *arg);

static void on_room(void *arg, int events)
{
    (void)events;
    struct exchange *x = arg;
    exchange_unwatch(x);
    exchange_resume(x, go_on, x->later_arg);
}

static void given_up(struct exchange *x, void *arg)
{
    break_off(x, arg);
}

static void on_stuck(void *arg)
{
    struct exchange *x = arg;
    exchange_resume(x, given_up, x->later_arg);
}

static void wait_for_room(struct exchange *x, struct sending *s)
{
    struct loop *loop = x->server->loop;
    exchange_hold(x);
    x->later_arg = s;
    x->limit = (struct loop_timer){.fire = on_stuck, .arg = x};
    loop_timer_set(loop, &x->limit, clock_monotonic_ms() + CONN_STUCK_MS);
    x->fd =
        (struct loop_fd){.fd = conn_fd(x->conn), .events = LOOP_OUT, .ready = on_room, .arg = x};
    x->watched = !loop_add(loop, &x->fd, NULL);
}

/* Reads and sends one piece. False: it is broken off. */
static bool send_piece(struct exchange *x, struct sending *s)
{
    struct error e = {0};
    int64_t left = s->from.bytes - s->at;
    size_t len = left < PIECE ? (size_t)left : PIECE;
    if (s->from.read(s->from.arg, s->piece, len, s->at, &e)) {
        log_failure(LOG_LEVEL_WARN, "an answer is broken off", &e);
        return false;
    }
    s->at += (int64_t)len;
    return conn_write(x->conn, s->piece, len) && conn_flush(x->conn);
}

static void go_on(struct exchange *x, void *arg)
{
    struct sending *s = arg;
    for (int i = 0; s->at < s->from.bytes; i++) {
        if (i == PIECES) {
            exchange_later(x, go_on, s);
            return;
        }
        if (!conn_writable(x->conn, PIECE)) {
            wait_for_room(x, s);
            return;
        }
        if (!send_piece(x, s)) {
            break_off(x, s);
            return;
        }
    }
    end(x, s);
}

void send_body(struct exchange *x, const struct send_source *from)
{
    struct sending *s = mem_alloc(sizeof *s);
    s->from = *from;
    go_on(x, s);
}
