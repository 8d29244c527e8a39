/* What a job reads on its standard input: nothing, a pipe that holds all of it, or a file that it is copied to. */
#include "base/clock.h"
#include "base/write_all.h"
#include "runner/attempt_parts.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    PIPE_MAX = 65536,     /* bytes of input that go through a pipe */
    SLICE_US = 10 * 1000, /* copying goes on in the next turn after so long */
};

/* Copies what comes next of it, until its end or that of the time. *rest: there is more. */
static enum err copy_some(struct attempt *a, int fd, int64_t until_us, bool *rest, struct error *e)
{
    struct buf part = {0};
    enum err rc;
    do {
        rc = input_read(a->host->db, &a->input, &part, e);
        *rest = part.len > 0;
        if (!rc && !write_all(fd, part.data, part.len))
            rc = error_errno(e, ERR_IO, "cannot write the input");
    } while (!rc && *rest && clock_monotonic_us() < until_us);
    buf_free(&part);
    return rc;
}

static enum err no_input(int *fd, struct error *e)
{
    *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "cannot open /dev/null") : ERR_OK;
}

/* A pipe that holds all of the input already. *fd is -1 when it is too small for that: the system gives
 * small ones to a user who has many. */
static enum err piped_input(struct attempt *a, int *fd, struct error *e)
{
    int ends[2];
    bool rest;
    *fd = -1;
    if (pipe2(ends, O_CLOEXEC)) return error_errno(e, ERR_IO, "pipe");
    enum err rc = ERR_OK;
    bool fits = fcntl(ends[1], F_GETPIPE_SZ) >= a->input.bytes;
    if (fits) rc = copy_some(a, ends[1], INT64_MAX, &rest, e);
    close(ends[1]);
    if (fits && !rc)
        *fd = ends[0];
    else
        close(ends[0]);
    return rc;
}

enum err attempt_find_input(struct attempt *a, struct error *e)
{
    enum err rc = input_find(a->host->db, a->task.n, &a->input, e);
    if (rc || a->type.max_input_bytes < 0 || a->input.bytes <= a->type.max_input_bytes) return rc;
    return error_set(e, ERR_INVALID, "the input is larger than max_input_bytes of the type: %lld",
                     (long long)a->type.max_input_bytes);
}

enum err attempt_open_input(struct attempt *a, struct error *e)
{
    if (a->input.bytes < 0) return no_input(&a->in, e);
    enum err rc = a->input.bytes <= PIPE_MAX ? piped_input(a, &a->in, e) : ERR_OK;
    if (!rc && a->in < 0) rc = workdir_temporary(&a->dir, &a->in_to, &a->in, e);
    return rc;
}

void attempt_close_input(struct attempt *a)
{
    loop_timer_stop(a->host->loop, &a->copying);
    if (a->in >= 0) close(a->in);
    if (a->in_to >= 0) close(a->in_to);
    a->in = a->in_to = -1;
    input_free(&a->input);
}

void attempt_copy_input(struct attempt *a)
{
    struct error e = {0};
    bool rest = false;
    enum err rc = copy_some(a, a->in_to, clock_monotonic_us() + SLICE_US, &rest, &e);
    if (rc || !rest)
        attempt_input_copied(a, rc, &e);
    else
        loop_timer_set(a->host->loop, &a->copying, clock_monotonic_ms());
}
