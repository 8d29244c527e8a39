#include "cli/say.h"

#include "base/write_all.h"
#include "task/job_protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { EVENTS = 3 };

/* The descriptor that leads to the runner, or -1. */
static int open_events(const struct cli *cli)
{
    const char *path = cli->env.events;
    if (path && *path) return open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    /* 3 may be anything where there is no job */
    return cli->env.task_id ? fcntl(EVENTS, F_DUPFD_CLOEXEC, 0) : (errno = EBADF, -1);
}

int say_line(struct cli *cli, struct buf *line)
{
    struct job_line said = {0};
    struct error e = {0};
    int status = EX_OK;
    if (line->len > JOB_LINE_MAX)
        status = cli_fail(cli, EX_DATAERR, "a line of %zu bytes: at most %d are taken", line->len,
                          JOB_LINE_MAX);
    else if (job_line_parse(&said, line->data, line->len, &e))
        status = cli_fail(cli, EX_DATAERR, "%s", e.text);
    job_line_free(&said);
    int fd = status ? -1 : open_events(cli);
    if (!status && fd < 0)
        status = cli_fail(cli, EX_UNAVAILABLE,
                          "this is for use inside a job, whose runner sets LEAT_EVENTS: %s",
                          strerror(errno));
    if (!status) {
        buf_char(line, '\n');
        /* what fits into a pipe at once is not mixed with the lines of others (pipe(7)) */
        if (!write_all(fd, line->data, line->len))
            status = cli_fail(cli, EX_IOERR, "the runner's pipe: %s", strerror(errno));
        close(fd);
    }
    buf_free(line);
    return status;
}
