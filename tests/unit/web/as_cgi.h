/* A request made of environment variables and a body, and its answer: the shortest way to a
 * handler. */
#ifndef LEAT_TESTS_WEB_AS_CGI_H
#define LEAT_TESTS_WEB_AS_CGI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/conf.h"
#include "web/request.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct as_cgi {
    struct conf *conf;
    struct listener *listener;
    struct conn *conn;
    struct request request;
    struct error error;
    int screen; /* standard output as it was */
    int answer; /* what it is meanwhile */
    char **variables;
};

static inline int file_with(const void *bytes, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Makes the process a CGI program with these variables ("NAME=value", NULL at the end) and this
 * body, and parses the request. Undo with cgi_end. */
static inline enum err cgi_begin(struct as_cgi *t, char *const *variables, const void *body,
                                 size_t len)
{
    static char *nothing[] = {NULL};
    memset(t, 0, sizeof *t);
    t->variables = environ;
    environ = nothing;
    assert_int_equal(conf_load(&t->conf, "/dev/null", NULL, NULL), ERR_OK);
    environ = (char **)variables;
    int in = file_with(body, len);
    dup2(in, STDIN_FILENO);
    close(in);
    t->screen = -1;
    t->answer = -1;
    assert_int_equal(listener_open(&t->listener, &t->error), ERR_OK);
    assert_int_equal(listener_accept(t->listener, &t->conn, &t->error), ERR_OK);
    assert_non_null(t->conn);
    assert_int_equal(conn_begin(t->conn, &t->error), ERR_OK);
    return request_parse(&t->request, t->conn, t->conf, &t->error);
}

/* From here on the answer is caught: no assertion until cgi_answer. */
static inline void cgi_catch(struct as_cgi *t)
{
    fflush(stdout);
    t->screen = dup(STDOUT_FILENO);
    t->answer = memfd_create("answer", MFD_CLOEXEC);
    dup2(t->answer, STDOUT_FILENO);
}

/* What was answered, as a string that the caller frees. */
static inline char *cgi_answer(struct as_cgi *t)
{
    conn_flush(t->conn);
    dup2(t->screen, STDOUT_FILENO);
    close(t->screen);
    off_t len = lseek(t->answer, 0, SEEK_END);
    char *text = mem_alloc((size_t)len + 1);
    assert_int_equal(pread(t->answer, text, (size_t)len, 0), len);
    close(t->answer);
    return text;
}

static inline void cgi_end(struct as_cgi *t)
{
    request_free(&t->request);
    conn_free(t->conn);
    listener_close(t->listener);
    conf_free(t->conf);
    environ = t->variables;
}

#endif
