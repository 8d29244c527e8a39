#include "runner/helper.h"

#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum err make_file(int *fd, struct error *e)
{
    *fd = memfd_create("leat-helper", MFD_CLOEXEC);
    return *fd < 0 ? error_errno(e, ERR_IO, "memfd_create") : ERR_OK;
}

/* Has a child become this program. */
static enum err become(struct child *out, struct forkserver *forks, const char *name,
                       const int descriptors[4], rlim_t nofile, struct error *e)
{
    enum err rc = forkserver_take(forks, out, e);
    if (rc) return rc;
    struct exec_plan plan = {
        .file = "/proc/self/exe",
        .argv = (char *const[]){(char *)name, NULL},
        .env = (char *const[]){NULL},
        .folder = "/",
        .limits.nofile = nofile,
    };
    memcpy(plan.descriptors, descriptors, sizeof plan.descriptors);
    rc = child_go(out, &plan, e);
    if (rc) child_drop(out);
    return rc;
}

enum err helper_start(struct child *out, int *report, struct forkserver *forks, const char *name,
                      const struct buf *request, rlim_t nofile, struct error *e)
{
    int file = -1, answer = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    enum err rc = null < 0 ? error_errno(e, ERR_IO, "/dev/null") : make_file(&file, e);
    if (!rc && report) rc = make_file(&answer, e);
    if (!rc && helper_write(file, request)) rc = error_errno(e, ERR_IO, "memfd");
    const int descriptors[] = {file, report ? answer : null, STDERR_FILENO, null};
    if (!rc) rc = become(out, forks, name, descriptors, nofile, e);
    if (null >= 0) close(null);
    if (file >= 0) close(file);
    if (rc && answer >= 0) close(answer);
    if (!rc && report) *report = answer;
    return rc;
}

void helper_put_text(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text) + 1);
}

void helper_put_number(struct buf *out, int64_t number)
{
    buf_int(out, number);
    buf_char(out, '\0');
}

const char *helper_next_text(const struct buf *in, size_t *at)
{
    const char *text = *at < in->len ? in->data + *at : "";
    *at += strlen(text) + 1;
    return text;
}

int64_t helper_next_number(const struct buf *in, size_t *at)
{
    return strtoll(helper_next_text(in, at), NULL, 10);
}

void helper_read(struct buf *out, int fd, size_t max)
{
    off_t at = 0;
    for (ssize_t n = 1; n > 0 && out->len < max;) {
        n = pread(fd, buf_reserve(out, 4096), 4096, at);
        if (n <= 0) break;
        out->len += (size_t)n;
        at += n;
    }
    buf_char(out, '\0');
}

enum err helper_write(int fd, const struct buf *bytes)
{
    return write_all(fd, bytes->data, bytes->len) ? ERR_OK : ERR_IO;
}
