/* Files that jobs made. */
#include "store/files.h"

#include "base/read_at.h"
#include "handlers.h"
#include "server/send.h"
#include "server/server.h"
#include "store/tasks.h"
#include "web/auth.h"
#include "web/response.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A file on its way to a client. */
struct open_file {
    int fd;
};

static void drop_file(void *arg)
{
    struct open_file *f = arg;
    close(f->fd);
    free(f);
}

static enum err read_file(void *arg, void *to, size_t len, int64_t at, struct error *e)
{
    const struct open_file *f = arg;
    return read_at(f->fd, to, len, at, "a file of a task", e);
}

/* Sends it ourselves, with the validators that nginx would give it. */
static enum err send_file(struct exchange *x, const char *id, const struct task_file *f,
                          struct error *e)
{
    struct request *request = &x->request;
    int fd;
    int64_t bytes, modified;
    enum err rc = files_open(x->server->db, id, f->name, &fd, &bytes, &modified, e);
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
        close(fd);
    } else {
        struct open_file *from = mem_alloc(sizeof *from);
        from->fd = fd;
        begin(&r, request, f);
        response_header(&r, "ETag", etag.data);
        response_length(&r, f->content_type, bytes);
        send_body(x, &(struct send_source){.bytes = request->method == METHOD_HEAD ? 0 : bytes,
                                           .read = read_file,
                                           .drop = drop_file,
                                           .arg = from});
    }
    buf_free(&etag);
    return ERR_OK;
}

/* Whether the web server finds the file by its encoded path. Most decode it; Apache's mod_xsendfile takes the
 * text as it is. */
static bool understands(const struct request *request, const char *path, const char *encoded)
{
    const char *server = conn_param(request->conn, "SERVER_SOFTWARE");
    return !server || strncmp(server, "Apache", 6) != 0 || !strcmp(path, encoded);
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
        rc = files_path(db, id, f.name, &path, &e);
        if (!rc) file_escape(&where, path.data, true);
        if (!rc && understands(request, path.data, where.data))
            hand_over(request, &f, "X-Sendfile", where.data);
        else if (!rc)
            rc = send_file(x, id, &f, &e);
    } else {
        rc = send_file(x, id, &f, &e);
    }
    if (rc) exchange_fail(x, &e);
    buf_free(&where);
    buf_free(&path);
    file_free(&f);
}
