#include "server/spool.h"

#include "base/buf.h"
#include "base/read_at.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum err failed(struct error *e, const char *what)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE;
    return error_errno(e, full ? ERR_FULL : ERR_IO, "%s", what);
}

/* Where the system knows no files without a name: one that loses it at once. */
static int open_named(const char *folder)
{
    struct buf path = {0};
    buf_fmt(&path, "%s/.body-XXXXXX", folder);
    int fd = mkostemp(path.data, O_CLOEXEC);
    if (fd >= 0) unlink(path.data);
    buf_free(&path);
    return fd;
}

enum err spool_open(struct spool *s, const char *beside, bool hashed, struct error *e)
{
    struct buf folder = {0};
    const char *slash = strrchr(beside, '/');
    buf_add(&folder, slash ? beside : ".", slash ? (size_t)(slash - beside) + 1 : 1);
    int fd = open(folder.data, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
        fd = open_named(folder.data);
    if (fd < 0) {
        enum err rc = failed(e, "cannot make a file for a large body");
        buf_free(&folder);
        return rc;
    }
    buf_free(&folder);
    *s = (struct spool){.open = true, .fd = fd, .hashed = hashed};
    if (hashed) crypto_hash_sha256_init(&s->hash);
    return ERR_OK;
}

enum err spool_add(struct spool *s, const void *bytes, size_t len, struct error *e)
{
    const char *from = bytes;
    if (s->hashed) crypto_hash_sha256_update(&s->hash, bytes, len);
    while (len) {
        ssize_t n = write(s->fd, from, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(e, "cannot keep a large body");
        from += n;
        len -= (size_t)n;
        s->bytes += n;
    }
    return ERR_OK;
}

enum err spool_read(const struct spool *s, void *to, size_t len, int64_t at, struct error *e)
{
    return read_at(s->fd, to, len, at, "a large body", e);
}

void spool_hash(struct spool *s, unsigned char out[crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256_final(&s->hash, out);
    s->hashed = false;
}

void spool_close(struct spool *s)
{
    if (s->open) close(s->fd);
    s->open = false;
}
