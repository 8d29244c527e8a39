#include "runner/channel.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum got { GOT_BYTES, GOT_NOTHING_YET, GOT_END };

static enum got read_piece(struct channel *c, size_t max)
{
    char piece[CHANNEL_PIECE];
    ssize_t n = read(c->watch.fd, piece, max < sizeof piece ? max : sizeof piece);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? GOT_NOTHING_YET : GOT_END;
    if (!n) return GOT_END;
    c->left -= (size_t)n < c->left ? (size_t)n : c->left;
    c->take(c->arg, piece, (size_t)n);
    return GOT_BYTES;
}

static void ready(void *arg, int events)
{
    struct channel *c = arg;
    (void)events; /* a hang-up too is found by reading: it comes behind the last bytes */
    if (read_piece(c, CHANNEL_PIECE) == GOT_END) channel_close(c);
}

void channel_open(struct channel *c, struct loop *loop, int fd, channel_take *take, void *arg)
{
    *c = (struct channel){
        .loop = loop,
        .watch = {.fd = fd, .events = LOOP_IN, .ready = ready, .arg = c},
        .take = take,
        .arg = arg,
    };
}

enum err channel_listen(struct channel *c, bool listen, struct error *e)
{
    if (c->watch.fd < 0 || c->listening == listen) return ERR_OK;
    if (listen) {
        enum err rc = loop_add(c->loop, &c->watch, e);
        if (rc) return rc;
    } else {
        /* Wanting nothing would not do: a hang-up is reported all the same, again and again. */
        loop_del(c->loop, &c->watch);
    }
    c->listening = listen;
    return ERR_OK;
}

void channel_last(struct channel *c)
{
    if (c->watch.fd < 0) return;
    channel_listen(c, false, NULL);
    int bytes = 0;
    c->left = ioctl(c->watch.fd, FIONREAD, &bytes) || bytes < 0 ? 0 : (size_t)bytes;
}

bool channel_drain(struct channel *c)
{
    if (c->watch.fd < 0) return false;
    if (!c->left || read_piece(c, c->left) != GOT_BYTES) channel_close(c);
    return c->watch.fd >= 0;
}

void channel_close(struct channel *c)
{
    if (c->watch.fd < 0) return;
    channel_listen(c, false, NULL);
    close(c->watch.fd);
    c->watch.fd = -1;
}
