/* Files that jobs made. */
#include "store/files.h"

#include "handlers.h"
#include "server/server.h"
#include "store/tasks.h"
#include "web/auth.h"
#include "web/response.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

/* Finds the row. Errors of the store; ERR_NOTFOUND also for a task of somebody else. */
static enum err find(struct exchange *x, struct task_file *out, struct error *e)
{
    struct db *db = x->server->db;
    struct task t = {0};
    enum err rc = task_get(db, x->route.params[0], auth_reader(&x->request), &t, e);
    if (!rc) rc = files_find(db, t.n, x->route.params[1], out, e);
    task_free(&t);
    return rc;
}

/* What all ways of sending have in common. */
static void begin(struct response *r, struct request *request, const struct task_file *f)
{
    struct buf disposition = {0};
    file_disposition(&disposition, f);
    response_start(r, request, 200);
    response_header(r, "Content-Disposition", disposition.data);
    /* What a job wrote must not run as a page of this site. */
    if (file_sandboxed(f->content_type))
        response_header(r, "Content-Security-Policy", "sandbox; default-src 'none'");
    response_header(r, "Cache-Control", "private, no-cache");
    buf_free(&disposition);
}

/* Leaves it to the web server: `header` names the file. */
static void hand_over(struct request *request, const struct task_file *f, const char *header,
                      const char *value)
{
    struct response r;
    begin(&r, request, f);
    response_header(&r, header, value);
    response_stream(&r, f->content_type);
}

/* Sends `bytes` bytes of an open file; one that is shorter by now ends the answer early. */
static void send_bytes(struct request *request, int fd, int64_t bytes)
{
    char *piece = mem_alloc(PIECE);
    while (bytes) {
        ssize_t n = read(fd, piece, bytes < PIECE ? (size_t)bytes : PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 || !conn_write(request->conn, piece, (size_t)n)) break;
        bytes -= n;
    }
    if (!bytes) conn_flush(request->conn);
    free(piece);
}

/* Sends it ourselves, with the validators that nginx would give it. */
static enum err send_file(struct db *db, struct request *request, const char *id,
                          const struct task_file *f, struct error *e)
{
    int fd;
    int64_t bytes, modified;
    enum err rc = files_open(db, id, f->name, &fd, &bytes, &modified, e);
    if (rc) return rc;
    struct buf etag = {0};
    buf_fmt(&etag, "\"%llx-%llx\"", (unsigned long long)modified, (unsigned long long)bytes);
    const char *has = request_header(request, "If-None-Match");
    struct response r;
    if (has && request_etag_listed(has, etag.data)) {
        response_start(&r, request, 304);
        response_header(&r, "ETag", etag.data);
        response_header(&r, "Cache-Control", "private, no-cache");
        response_body(&r, NULL, NULL, 0);
    } else {
        begin(&r, request, f);
        response_header(&r, "ETag", etag.data);
        if (!response_length(&r, f->content_type, bytes))
            ; /* nobody is there */
        else if (request->method == METHOD_HEAD)
            conn_flush(request->conn);
        else
            send_bytes(request, fd, bytes);
    }
    buf_free(&etag);
    close(fd);
    return ERR_OK;
}

/* GET /tasks/{id}/files/{name}: the file, sent by the web server where there is a way to tell it. */
void files_get(struct exchange *x)
{
    struct db *db = x->server->db;
    struct request *request = &x->request;
    const char *accel = conf_text(request->conf, CONF_HTTP_FILES_ACCEL), *id = x->route.params[0];
    struct task_file f = {0};
    struct error e = {0};
    struct buf where = {0}, path = {0};
    enum err rc = find(x, &f, &e);
    if (rc) {
        /* answered below */
    } else if (accel) {
        buf_fmt(&where, "%s/%s/", accel, id);
        file_escape(&where, f.name, false);
        hand_over(request, &f, "X-Accel-Redirect", where.data);
    } else if (conf_bool(request->conf, CONF_HTTP_FILES_SENDFILE)) {
        /* those who read this header decode it */
        rc = files_path(db, id, f.name, &path, &e);
        if (!rc) {
            file_escape(&where, path.data, true);
            hand_over(request, &f, "X-Sendfile", where.data);
        }
    } else {
        rc = send_file(db, request, id, &f, &e);
    }
    if (rc) exchange_fail(x, &e);
    buf_free(&where);
    buf_free(&path);
    file_free(&f);
}
