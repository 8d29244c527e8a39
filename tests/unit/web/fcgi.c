/* The web server's side is played here, in FastCGI records written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "web/request.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, RESPONDER = 1, AUTHORIZER = 2 };

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct listener *listener;

/* Descriptor 0 becomes a listening socket. */
static int listen_on_stdin(void **state)
{
    (void)state;
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/leat-fcgi-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) return -1;
    dup2(fd, STDIN_FILENO);
    close(fd);
    return (int)listener_open(&listener, NULL);
}

static int stop_listening(void **state)
{
    (void)state;
    listener_close(listener);
    return unlink(address.sun_path);
}

static int connect_to_it(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void add_record(struct buf *out, int type, const void *content, size_t len)
{
    assert_true(len <= 65535);
    char padding = (char)(len % 8 ? 8 - len % 8 : 0);
    char header[8] = {1, (char)type, 0, 1, (char)(len >> 8), (char)len, padding, 0};
    buf_add(out, header, sizeof header);
    buf_add(out, content, len);
    buf_add(out, "\0\0\0\0\0\0\0", (size_t)padding);
}

static void add_begin(struct buf *out, int role)
{
    char body[8] = {0, (char)role};
    add_record(out, BEGIN, body, sizeof body);
}

static void add_length(struct buf *out, size_t len)
{
    if (len > 127) {
        buf_char(out, (char)(len >> 24 | 0x80));
        buf_char(out, (char)(len >> 16));
        buf_char(out, (char)(len >> 8));
    }
    buf_char(out, (char)len);
}

/* Parameters given as name, value, name, value, ..., NULL, in records of at most 5000 bytes. */
static void add_params(struct buf *out, const char *const *pairs)
{
    struct buf b = {0};
    for (; *pairs; pairs += 2) {
        add_length(&b, strlen(pairs[0]));
        add_length(&b, strlen(pairs[1]));
        buf_str(&b, pairs[0]);
        buf_str(&b, pairs[1]);
    }
    for (size_t at = 0; at < b.len; at += 5000)
        add_record(out, PARAMS, b.data + at, b.len - at < 5000 ? b.len - at : 5000);
    add_record(out, PARAMS, "", 0);
    buf_free(&b);
}

static void add_body(struct buf *out, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len; at += 32000)
        add_record(out, STDIN, bytes + at, len - at < 32000 ? len - at : 32000);
    add_record(out, STDIN, "", 0);
}

static void send_all(int fd, const struct buf *b)
{
    for (size_t at = 0; at < b->len;) {
        ssize_t n = send(fd, b->data + at, b->len - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A connection with a whole request; the web server's end goes to *server. */
static struct conn *accept_request(int *server, const char *const *pairs, const char *body,
                                   size_t len)
{
    struct buf b = {0};
    struct conn *c;
    *server = connect_to_it();
    add_begin(&b, RESPONDER);
    add_params(&b, pairs);
    add_body(&b, body, len);
    send_all(*server, &b);
    buf_free(&b);
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_non_null(c);
    return c;
}

static struct conn *begin_get(int *server)
{
    struct conn *c =
        accept_request(server, PAIRS("REQUEST_METHOD", "GET", "CONTENT_LENGTH", ""), "", 0);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    return c;
}

/* Waits until there is something to read; far longer than any machine needs. */
static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
}

/* Answers a body that was not read, as a loop does. */
static void finish_and_drain(struct conn *c)
{
    int fd = conn_fd(c);
    assert_int_equal(conn_finish(c), CONN_DRAINS);
    while (conn_drain(c) == CONN_DRAINS) wait_readable(fd);
    conn_free(c);
}

/* Ends the response; what may be left of the connection is dropped. */
static void finish_and_drop(struct conn *c)
{
    if (conn_finish(c) != CONN_CLOSED) conn_free(c);
}

/* Everything up to the end of the connection: what came on STDOUT goes to *text; whether an
 * END_REQUEST came is returned. */
static bool read_answer(int server, struct buf *text)
{
    struct buf b = {0};
    bool ended = false;
    buf_str(text, "");
    for (;;) {
        ssize_t n = read(server, buf_reserve(&b, 65536), 65536);
        if (n <= 0) break;
        b.len += (size_t)n;
    }
    for (size_t at = 0; at + 8 <= b.len;) {
        const unsigned char *h = (const unsigned char *)b.data + at;
        size_t len = (size_t)h[4] << 8 | h[5];
        if (h[1] == STDOUT) buf_add(text, h + 8, len);
        if (h[1] == END) ended = true;
        at += 8 + len + h[6];
    }
    buf_free(&b);
    return ended;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void nobody_there_is_no_error(void **state)
{
    struct conn *c = (struct conn *)&c;
    (void)state;
    assert_false(listener_is_cgi(listener));
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_null(c);
}

static void listening_socket_neither_waits_nor_is_inherited(void **state)
{
    (void)state;
    assert_int_equal(listener_fd(listener), 0);
    assert_true(fcntl(0, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(0, F_GETFD) & FD_CLOEXEC);
}

static void programs_signal_handlers_are_left_alone(void **state)
{
    struct sigaction action;
    (void)state;
    sigaction(SIGTERM, NULL, &action);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    sigaction(SIGUSR1, NULL, &action);
    assert_ptr_equal(action.sa_handler, SIG_DFL);
    sigaction(SIGPIPE, NULL, &action);
    assert_ptr_equal(action.sa_handler, SIG_IGN);
}

static void parameters_arrive_whole(void **state)
{
    char value[20001];
    int server;
    (void)state;
    memset(value, 'v', 20000);
    value[20000] = '\0';
    struct conn *c = accept_request(
        &server,
        PAIRS("REQUEST_METHOD", "GET", "HTTP_COOKIE", value, "EMPTY", "", "A", "1", "A", "2"), "",
        0);
    assert_null(conn_param(c, "A")); /* not read yet */
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_string_equal(conn_param(c, "REQUEST_METHOD"), "GET");
    assert_string_equal(conn_param(c, "HTTP_COOKIE"), value);
    assert_string_equal(conn_param(c, "EMPTY"), "");
    assert_string_equal(conn_param(c, "A"), "2"); /* as web servers' configurations expect */
    assert_null(conn_param(c, "HTTP"));
    bool listed = false;
    for (char *const *p = conn_params(c); *p; p++) listed |= !strcmp(*p, "A=1");
    assert_true(listed);
    conn_finish(c);
    close(server);
}

static void accepted_descriptor_is_not_inherited(void **state)
{
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(fcntl(conn_fd(c), F_GETFD) & FD_CLOEXEC);
    conn_free(c);
    close(server);
}

/* As conn_take, but waits. */
static ssize_t read_body(struct conn *c, void *to, size_t size)
{
    ssize_t n;
    while ((n = conn_take(c, to, size)) == CONN_AGAIN) {
        struct pollfd p = {.fd = conn_body_fd(c), .events = POLLIN};
        if (poll(&p, 1, 60000) != 1) return -1;
    }
    return n;
}

static void body_is_read_to_its_end(void **state)
{
    enum { LENGTH = 100000 };
    static char body[LENGTH], got[LENGTH + 1];
    int server;
    (void)state;
    for (int i = 0; i < LENGTH; i++) body[i] = (char)(i * 7);
    struct conn *c = accept_request(
        &server, PAIRS("REQUEST_METHOD", "POST", "CONTENT_LENGTH", "100000"), body, LENGTH);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    size_t len = 0;
    ssize_t n;
    while ((n = read_body(c, got + len, 777)) > 0) len += (size_t)n;
    assert_int_equal(n, 0);
    assert_int_equal(len, LENGTH);
    assert_memory_equal(got, body, LENGTH);
    assert_int_equal(read_body(c, got, 1), 0); /* and it stays at its end */
    conn_finish(c);
    close(server);
}

static void body_without_a_length_ends_with_its_stream(void **state)
{
    static const char *const methods[] = {"POST", "GET"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char got[10];
        int server;
        struct conn *c = accept_request(
            &server, PAIRS("REQUEST_METHOD", methods[i], "REQUEST_URI", "/api"), "12345", 5);
        assert_int_equal(conn_begin(c, NULL), ERR_OK);
        assert_int_equal(read_body(c, got, sizeof got), 5);
        assert_memory_equal(got, "12345", 5);
        assert_int_equal(read_body(c, got, sizeof got), 0);
        finish_and_drop(c);
        close(server);
    }
}

static void body_cut_off_by_the_server_is_an_error(void **state)
{
    struct buf b = {0};
    struct conn *c;
    char got[16];
    int server = connect_to_it();
    (void)state;
    add_begin(&b, RESPONDER);
    add_params(&b, PAIRS("REQUEST_METHOD", "POST", "CONTENT_LENGTH", "10"));
    add_record(&b, STDIN, "12345", 5);
    send_all(server, &b);
    close(server);
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_int_equal(read_body(c, got, sizeof got), 5);
    assert_int_equal(read_body(c, got, sizeof got), -1);
    conn_free(c);
    buf_free(&b);
}

static void answer_arrives_and_is_ended(void **state)
{
    struct buf text = {0}, sent = {0};
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    for (int i = 0; i < 5000; i++) buf_fmt(&sent, "%d\n", i);
    assert_true(conn_write(c, sent.data, sent.len));
    assert_true(conn_write(c, "\0\xff", 2));
    buf_add(&sent, "\0\xff", 2);
    conn_finish(c); /* flushes */
    assert_true(read_answer(server, &text));
    assert_int_equal(text.len, sent.len);
    assert_memory_equal(text.data, sent.data, sent.len);
    buf_free(&text);
    buf_free(&sent);
    close(server);
}

static void flush_sends_at_once(void **state)
{
    char record[64];
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(conn_write(c, "event", 5));
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), -1);
    assert_true(conn_flush(c));
    /* without padding: nginx passes on a head without a body only if nothing of its record is left over */
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), 8 + 5);
    assert_memory_equal(record + 8, "event", 5);
    assert_true(conn_flush(c)); /* nothing to send */
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), -1);
    conn_finish(c);
    close(server);
}

/* lighttpd gives a part of a file only if it has all of it when it begins to answer. */
static void a_head_leaves_with_what_follows(void **state)
{
    char record[64];
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(conn_write(c, "head", 4));
    assert_true(conn_writable(c, 65536));
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), -1);
    assert_true(conn_write(c, "body", 4));
    conn_finish(c);
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), 8 + 8 + 8 + 16);
    assert_memory_equal(record + 8, "headbody", 8);
    close(server);
    /* and alone where nothing follows */
    c = begin_get(&server);
    assert_true(conn_write(c, "head", 4));
    assert_true(conn_writable(c, 0));
    assert_int_equal(recv(server, record, sizeof record, MSG_DONTWAIT), 8 + 4);
    conn_free(c);
    close(server);
}

static void dropped_answer_has_no_end(void **state)
{
    struct buf text = {0};
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(conn_write(c, "half", 4));
    assert_true(conn_flush(c));
    conn_free(c);
    assert_false(read_answer(server, &text));
    assert_string_equal(text.data, "half");
    buf_free(&text);
    close(server);
}

static void hang_up_shows_on_the_descriptor(void **state)
{
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    struct pollfd p = {.fd = conn_fd(c), .events = POLLRDHUP};
    assert_int_equal(poll(&p, 1, 0), 0);
    close(server);
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(p.revents & (POLLHUP | POLLRDHUP));
    conn_free(c);
}

static void writing_to_a_gone_peer_fails_and_stays_failed(void **state)
{
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    close(server);
    conn_write(c, "x", 1);
    assert_false(conn_flush(c));
    assert_false(conn_write(c, "x", 1));
    assert_false(conn_flush(c));
    conn_finish(c);
}

static void fill(struct conn *c)
{
    static const char bytes[4096];
    while (conn_writable(c, sizeof bytes)) {
        assert_true(conn_write(c, bytes, sizeof bytes));
        assert_true(conn_flush(c));
    }
}

static void writable_means_that_64_kb_do_not_block(void **state)
{
    static char bytes[65536];
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    for (int round = 0; round < 20; round++) {
        fill(c);
        while (!conn_writable(c, sizeof bytes))
            assert_true(recv(server, bytes, 512, MSG_DONTWAIT) > 0);
        /* with small frames in it, too, whose overhead is largest */
        for (int i = 0; i < round; i++) {
            if (!conn_writable(c, sizeof bytes)) break;
            assert_true(conn_write(c, "x", 1) && conn_flush(c));
        }
        while (!conn_writable(c, sizeof bytes))
            assert_true(recv(server, bytes, 512, MSG_DONTWAIT) > 0);
        int64_t before = clock_monotonic_ms();
        assert_true(conn_write(c, bytes, sizeof bytes));
        assert_true(conn_flush(c));
        assert_true(conn_writable(c, 0));                  /* nothing was left */
        assert_true(clock_monotonic_ms() - before < 9000); /* the send limit is 10 s */
    }
    conn_free(c);
    close(server);
}

static void what_a_peer_does_not_take_waits_and_blocks_nobody(void **state)
{
    enum { LENGTH = 3000000 };
    static char bytes[LENGTH], piece[100000];
    struct buf text = {0};
    int server;
    (void)state;
    for (int i = 0; i < LENGTH; i++) bytes[i] = (char)(i * 31 / 7);
    struct conn *c = begin_get(&server);
    int64_t before = clock_monotonic_ms();
    assert_true(conn_write(c, bytes, LENGTH));
    assert_true(conn_write(c, "end", 3));
    assert_true(conn_flush(c));
    assert_false(conn_writable(c, 0) || conn_writable(c, 1));
    assert_int_equal(conn_finish(c), CONN_SENDS);
    assert_true(clock_monotonic_ms() - before < 9000); /* the send limit is 10 s */

    /* Records, out of which read_answer would take the content: here their number is of no interest. */
    struct buf raw = {0};
    enum conn_end end = CONN_SENDS;
    while (end == CONN_SENDS) {
        ssize_t n = recv(server, piece, sizeof piece, 0);
        assert_true(n > 0);
        buf_add(&raw, piece, (size_t)n);
        end = conn_finish(c);
    }
    assert_int_equal(end, CONN_CLOSED);
    for (ssize_t n; (n = recv(server, piece, sizeof piece, 0)) > 0;)
        buf_add(&raw, piece, (size_t)n);
    for (size_t at = 0; at + 8 <= raw.len;) {
        const unsigned char *h = (const unsigned char *)raw.data + at;
        size_t len = (size_t)h[4] << 8 | h[5];
        if (h[1] == 6) buf_add(&text, h + 8, len);
        at += 8 + len + h[6];
    }
    assert_int_equal(text.len, LENGTH + 3);
    assert_memory_equal(text.data, bytes, LENGTH);
    assert_memory_equal(text.data + LENGTH, "end", 3);
    buf_free(&raw);
    buf_free(&text);
    close(server);
}

static void a_peer_that_goes_with_much_to_take_is_noticed(void **state)
{
    static const char bytes[1 << 20];
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(conn_write(c, bytes, sizeof bytes));
    close(server);
    assert_true(conn_writable(c, 1)); /* that is: writing would not wait */
    assert_false(conn_write(c, bytes, 1));
    assert_int_equal(conn_finish(c), CONN_CLOSED);
}

static void garbage_is_refused(void **state)
{
    static const char *const rows[] = {"GET / HTTP/1.0\r\n\r\n", "\1\4\0\1\0\0\0\0",
                                       "\1\1\0\0\0\10\0\0"};
    int before = open_descriptors();
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct error e = {0};
        struct conn *c;
        int server = connect_to_it();
        assert_int_equal(send(server, rows[i], i ? 8 : strlen(rows[i]), 0),
                         i ? 8 : (ssize_t)strlen(rows[i]));
        /* the second is of no request and skipped; the others are wrong, whatever may follow */
        if (i == 1) shutdown(server, SHUT_WR);
        assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
        int64_t started = clock_monotonic_ms();
        assert_int_equal(conn_begin(c, &e), ERR_IO);
        assert_true(clock_monotonic_ms() - started < 30000);
        assert_true(strlen(e.text) > 0);
        assert_false(conn_write(c, "x", 1) && conn_flush(c));
        conn_free(c);
        close(server);
    }
    assert_int_equal(open_descriptors(), before);
}

static void peer_that_left_is_refused(void **state)
{
    int before = open_descriptors();
    struct conn *c;
    (void)state;
    close(connect_to_it());
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_non_null(c);
    assert_int_equal(conn_begin(c, NULL), ERR_NOTFOUND);
    conn_free(c);
    assert_int_equal(open_descriptors(), before);
}

static void half_a_request_is_waited_for_two_seconds(void **state)
{
    struct buf b = {0};
    struct conn *c;
    int server = connect_to_it();
    (void)state;
    add_begin(&b, RESPONDER);
    send_all(server, &b);
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(conn_begin(c, NULL), ERR_IO);
    int64_t took = clock_monotonic_ms() - before;
    assert_in_range(took, 1500, 30000); /* and the descriptor is closed without waiting once more */
    conn_free(c);
    close(server);
    buf_free(&b);
}

static void other_roles_are_refused(void **state)
{
    struct buf b = {0};
    struct conn *c;
    int server = connect_to_it();
    (void)state;
    add_begin(&b, AUTHORIZER);
    add_params(&b, PAIRS("REQUEST_METHOD", "GET"));
    add_body(&b, "", 0);
    send_all(server, &b);
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_int_equal(conn_begin(c, NULL), ERR_IO);
    conn_free(c);
    close(server);
    buf_free(&b);
}

static void unread_body_does_not_cost_the_answer(void **state)
{
    enum { LENGTH = 2000000 };
    int ready[2];
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t web_server = fork();
    if (!web_server) {
        static char body[LENGTH];
        struct buf b = {0}, text = {0};
        int server = connect_to_it();
        add_begin(&b, RESPONDER);
        add_params(&b, PAIRS("REQUEST_METHOD", "POST", "CONTENT_LENGTH", "2000000"));
        send_all(server, &b);
        if (write(ready[1], "x", 1) != 1) _exit(9);
        buf_clear(&b);
        add_body(&b, body, LENGTH);
        /* in pieces, so that the answer overtakes some */
        for (size_t at = 0; at < b.len; at += 50000) {
            size_t n = b.len - at < 50000 ? b.len - at : 50000;
            if (send(server, b.data + at, n, MSG_NOSIGNAL) != (ssize_t)n) _exit(1);
            usleep(500);
        }
        bool ended = read_answer(server, &text);
        _exit(ended && !strcmp(text.data, "no") ? 0 : 2);
    }
    char byte;
    struct conn *c;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_true(conn_write(c, "no", 2));
    finish_and_drain(c);
    int status;
    assert_int_equal(waitpid(web_server, &status, 0), web_server);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
}

static void ending_does_not_wait_for_a_lazy_server(void **state)
{
    int server;
    (void)state;
    /* all was read: the connection just closes, however long the peer keeps its side */
    struct conn *c = begin_get(&server);
    assert_int_equal(conn_finish(c), CONN_CLOSED);
    wait_readable(server);
    close(server);
}

/* ---- kept connections, and bodies in pieces ----------------------------------------------------- */

/* The server's half of a connection: records go out by hand. */
static struct conn *connect_both(int *server)
{
    struct conn *c;
    *server = connect_to_it();
    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_non_null(c);
    return c;
}

static void add_begin_keep(struct buf *out)
{
    char body[8] = {0, RESPONDER, 1};
    add_record(out, BEGIN, body, sizeof body);
}

static void send_buf(int server, struct buf *b)
{
    send_all(server, b);
    buf_clear(b);
}

static void add_head(struct buf *out, const char *method, const char *length)
{
    add_begin_keep(out);
    add_params(out, PAIRS("REQUEST_METHOD", method, "CONTENT_LENGTH", length));
}

/* Takes the body to its end, in pieces of `size`; false on an error. */
static bool take_all(struct conn *c, struct buf *out, size_t size)
{
    buf_clear(out);
    for (;;) {
        ssize_t n = conn_take(c, buf_reserve(out, size), size);
        if (n > 0) out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == CONN_AGAIN)
            wait_readable(conn_body_fd(c));
        else if (n <= 0)
            return !n;
    }
}

/* Reads one answer, up to its END_REQUEST, and compares what came on STDOUT. */
static void expect_answer(int server, const char *text)
{
    struct buf got = {0};
    for (int type = 0; type != END;) {
        unsigned char h[8], content[1024];
        assert_int_equal(recv(server, h, sizeof h, MSG_WAITALL), 8);
        size_t len = (size_t)h[4] << 8 | h[5];
        type = h[1];
        assert_true(len + h[6] <= sizeof content);
        assert_int_equal(recv(server, content, len + h[6], MSG_WAITALL), len + h[6]);
        if (type == STDOUT) buf_add(&got, content, len);
    }
    assert_string_equal(buf_text(&got), text);
    buf_free(&got);
}

static void answer_kept(struct conn *c, int server, const char *text)
{
    assert_true(conn_write(c, text, strlen(text)));
    assert_int_equal(conn_finish(c), CONN_KEPT);
    expect_answer(server, text);
}

static void kept_connection_serves_one_request_after_the_other(void **state)
{
    static const char *const bodies[] = {"", "first", "", "second one", ""};
    struct buf b = {0}, got = {0};
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        const char *body = bodies[i];
        char length[24];
        snprintf(length, sizeof length, "%zu", strlen(body));
        add_head(&b, *body ? "POST" : "GET", *body ? length : "");
        add_body(&b, body, strlen(body));
        send_buf(server, &b);
        wait_readable(conn_fd(c));
        assert_int_equal(conn_begin(c, NULL), ERR_OK);
        assert_string_equal(conn_param(c, "REQUEST_METHOD"), *body ? "POST" : "GET");
        if (!*body) assert_int_equal(conn_take(c, buf_reserve(&got, 1), 1), 0);
        assert_true(take_all(c, &got, 7));
        assert_string_equal(buf_text(&got), body);
        answer_kept(c, server, *body ? "posted" : "got");
        assert_null(conn_param(c, "REQUEST_METHOD")); /* it holds nothing of the request */
        struct pollfd p = {.fd = conn_fd(c), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 0), 0);
    }
    close(server);
    struct error e = {0};
    wait_readable(conn_fd(c));
    assert_int_equal(conn_begin(c, &e), ERR_NOTFOUND); /* the peer left between two requests */
    conn_free(c);
    buf_free(&b);
    buf_free(&got);
}

/* A web server keeps a connection by which it has sent everything, so a body that nobody asked for must not
 * close it, if it is there whole. */
static void body_that_nobody_takes_closes_only_when_it_has_not_come(void **state)
{
    struct buf b = {0};
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    for (int i = 0; i < 3; i++) {
        add_head(&b, "POST", i == 0 ? "" : "3");
        add_body(&b, "abc", i == 0 ? 0 : 3);
        send_buf(server, &b);
        wait_readable(conn_fd(c));
        assert_int_equal(conn_begin(c, NULL), ERR_OK);
        answer_kept(c, server, "posted");
    }
    /* its end is missing: the caller watches it, and nothing waits */
    add_head(&b, "POST", "6");
    add_record(&b, STDIN, "abc", 3);
    send_buf(server, &b);
    wait_readable(conn_fd(c));
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_int_equal(conn_finish(c), CONN_DRAINS);
    assert_int_equal(conn_drain(c), CONN_DRAINS);
    assert_int_equal(conn_drain(c), CONN_DRAINS);
    conn_free(c); /* the caller's deadline */
    close(server);
    buf_free(&b);
}

static void connection_is_kept_only_when_asked(void **state)
{
    struct buf text = {0};
    int server;
    (void)state;
    struct conn *c = begin_get(&server);
    assert_true(conn_write(c, "bye", 3));
    assert_int_equal(conn_finish(c), CONN_CLOSED);
    assert_true(read_answer(server, &text));
    assert_string_equal(text.data, "bye");
    buf_free(&text);
    close(server);
}

static void idle_kept_connection_holds_no_buffers(void **state)
{
    enum { COUNT = 50 };
    struct conn *conns[COUNT];
    int servers[COUNT];
    struct buf b = {0};
    (void)state;
    add_head(&b, "POST", "3");
    add_body(&b, "abc", 3);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < COUNT; i++) {
        char got[8];
        conns[i] = connect_both(&servers[i]);
        send_all(servers[i], &b);
        assert_int_equal(conn_begin(conns[i], NULL), ERR_OK);
        assert_int_equal(conn_take(conns[i], got, sizeof got), 3);
        assert_int_equal(conn_take(conns[i], got, sizeof got), 0);
        assert_int_equal(conn_finish(conns[i]), CONN_KEPT);
    }
    size_t each = (mallinfo2().uordblks - before) / COUNT;
    print_message("an idle kept connection weighs %zu bytes\n", each);
    assert_true(each < 1024);
    for (int i = 0; i < COUNT; i++) {
        conn_free(conns[i]);
        close(servers[i]);
    }
    buf_free(&b);
}

static void nothing_there_is_told_at_once_and_kept_apart_from_the_end(void **state)
{
    struct buf b = {0};
    char got[16];
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    add_head(&b, "POST", "5");
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_int_equal(conn_take(c, got, sizeof got), CONN_AGAIN);
    add_record(&b, STDIN, "abc", 3);
    add_record(&b, STDIN, "de", 2);
    add_record(&b, STDIN, "", 0);
    /* byte for byte: headers and padding split everywhere */
    size_t taken = 0;
    for (size_t i = 0; i < b.len; i++) {
        assert_int_equal(send(server, b.data + i, 1, 0), 1);
        wait_readable(conn_body_fd(c));
        ssize_t n = conn_take(c, got + taken, sizeof got - taken);
        assert_true(n == (i + 1 == b.len ? 0 : n == 1 ? 1 : CONN_AGAIN));
        if (n > 0) taken += (size_t)n;
    }
    assert_int_equal(taken, 5);
    assert_memory_equal(got, "abcde", 5);
    assert_int_equal(conn_take(c, got, sizeof got), 0);
    answer_kept(c, server, "ok");
    conn_free(c);
    close(server);
    buf_free(&b);
}

/* Would wait forever for poll were libfcgi's buffer not looked into. */
static void body_that_came_with_the_parameters_needs_no_poll(void **state)
{
    struct buf b = {0};
    char got[64];
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    add_head(&b, "POST", "9");
    add_record(&b, STDIN, "one", 3);
    add_record(&b, STDIN, "two", 3);
    add_record(&b, STDIN, "six", 3);
    add_record(&b, STDIN, "", 0);
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    struct pollfd p = {.fd = conn_fd(c), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(conn_take(c, got, sizeof got), 3);
    assert_memory_equal(got, "six", 3);
    assert_int_equal(conn_take(c, got, sizeof got), 0);
    assert_int_equal(conn_take(c, got, sizeof got), 0);
    answer_kept(c, server, "ok");
    conn_free(c);
    close(server);
    buf_free(&b);
}

/* Sends all of it in a child, as a server that does not wait for us. */
static pid_t send_aside(int server, const struct buf *b)
{
    pid_t pid = fork();
    if (pid) return pid;
    for (size_t at = 0; at < b->len;) {
        ssize_t n = send(server, b->data + at, b->len - at, MSG_NOSIGNAL);
        if (n <= 0) _exit(1);
        at += (size_t)n;
    }
    _exit(0);
}

static void long_bodies_arrive_whole(void **state)
{
    enum { LENGTH = 1 << 20 };
    static char body[LENGTH];
    static const size_t records[] = {8191, 8192, 8193, 20000, 65528, 65535};
    struct buf b = {0}, got = {0};
    int server, status;
    struct conn *c = connect_both(&server);
    (void)state;
    for (size_t i = 0; i < LENGTH; i++) body[i] = (char)(i * 31 + (i >> 9));
    for (size_t k = 0; k < 6; k++) {
        add_head(&b, "POST", "1048576");
        for (size_t at = 0; at < LENGTH; at += records[k])
            add_record(&b, STDIN, body + at, LENGTH - at < records[k] ? LENGTH - at : records[k]);
        add_record(&b, STDIN, "", 0);
        pid_t pid = send_aside(server, &b);
        wait_readable(conn_fd(c));
        assert_int_equal(conn_begin(c, NULL), ERR_OK);
        assert_true(take_all(c, &got, k % 2 ? 100000 : 1000));
        assert_int_equal(got.len, LENGTH);
        assert_memory_equal(got.data, body, LENGTH);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        answer_kept(c, server, "ok");
        buf_clear(&b);
    }
    conn_free(c);
    close(server);
    buf_free(&b);
    buf_free(&got);
}

static void refused_upload_is_drained_and_then_kept(void **state)
{
    enum { LENGTH = 1 << 20 };
    static char body[LENGTH];
    struct buf b = {0};
    int server, status;
    struct conn *c = connect_both(&server);
    (void)state;
    add_head(&b, "POST", "1048576");
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_true(conn_write(c, "too large", 9));
    assert_int_equal(conn_finish(c), CONN_DRAINS);
    assert_int_equal(conn_drain(c), CONN_DRAINS); /* nothing is there yet */
    add_body(&b, body, LENGTH);
    pid_t pid = send_aside(server, &b); /* all the body is taken from it */
    int fd = conn_fd(c);
    bool left = false;
    enum conn_end end = CONN_DRAINS;
    while (!left) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (end == CONN_DRAINS && poll(&p, 1, 10) > 0) end = conn_drain(c);
        left = waitpid(pid, &status, WNOHANG) == pid;
    }
    assert_int_equal(status, 0);
    expect_answer(server, "too large");
    for (; end == CONN_DRAINS; end = conn_drain(c)) wait_readable(fd);
    assert_int_equal(end,
                     CONN_KEPT); /* the server has sent everything: it may send another request */
    close(server);
    conn_free(c);
    buf_free(&b);
}

static void a_request_has_come_when_its_parameters_have_and_not_before(void **state)
{
    struct buf b = {0};
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    assert_false(conn_request_came(c));
    add_head(&b, "GET", ""); /* with padding */
    for (size_t i = 0; i < b.len; i++) {
        assert_int_equal(send(server, b.data + i, 1, 0), 1);
        assert_int_equal(conn_request_came(c), i + 1 == b.len);
    }
    int64_t before = clock_monotonic_ms();
    assert_int_equal(conn_begin(c, NULL), ERR_OK); /* the end of its body need not be there */
    assert_true(clock_monotonic_ms() - before < 1500);
    assert_true(conn_write(c, "ok", 2));
    assert_int_equal(conn_finish(c), CONN_DRAINS);
    buf_clear(&b);
    add_record(&b, STDIN, "", 0);
    send_buf(server, &b);
    wait_readable(conn_fd(c));
    assert_int_equal(conn_drain(c), CONN_KEPT);
    expect_answer(server, "ok");

    assert_false(conn_request_came(c));
    close(server);
    wait_readable(conn_fd(c));
    assert_true(conn_request_came(c)); /* that there will be none */
    conn_free(c);
    buf_free(&b);
}

static void what_is_no_request_has_come_too(void **state)
{
    static const char *const lines[] = {"GET / HTTP/1.1\r\n", "\1\5\0\1\0\0\0\0"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int server;
        struct conn *c = connect_both(&server);
        size_t len = i ? 8 : strlen(lines[i]);
        assert_int_equal(send(server, lines[i], len, 0), len);
        wait_readable(conn_fd(c));
        assert_true(conn_request_came(c));
        conn_free(c);
        close(server);
    }
    /* too much of it, which conn_begin may wait for */
    static const char pad[60000];
    struct buf b = {0};
    int server;
    struct conn *c = connect_both(&server);
    add_begin_keep(&b);
    add_record(&b, PARAMS, pad, sizeof pad);
    add_record(&b, PARAMS, pad, sizeof pad);
    send_buf(server, &b);
    assert_true(conn_request_came(c));
    conn_free(c);
    close(server);
    buf_free(&b);
}

static void body_without_its_end_is_an_error(void **state)
{
    struct buf b = {0};
    char got[16];
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    add_head(&b, "POST", "3");
    add_record(&b, STDIN, "abc", 3);
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_int_equal(conn_take(c, got, sizeof got), 3);
    assert_int_equal(conn_take(c, got, sizeof got), CONN_AGAIN);
    shutdown(server, SHUT_WR);
    assert_int_equal(conn_take(c, got, sizeof got), -1);
    assert_int_equal(conn_take(c, got, sizeof got), -1); /* and stays so */
    assert_int_equal(conn_finish(c), CONN_CLOSED);
    close(server);
    /* a request that expects none is not begun without its end */
    c = connect_both(&server);
    add_head(&b, "GET", "");
    send_buf(server, &b);
    shutdown(server, SHUT_WR);
    assert_int_equal(conn_begin(c, NULL), ERR_IO);
    conn_free(c);
    close(server);
    buf_free(&b);
}

/* The last of what add_record made becomes a record of another type or request. */
static void add_foreign(struct buf *out, int type, int id, const char *text)
{
    size_t at = out->len;
    add_record(out, type, text, strlen(text));
    out->data[at + 1] = (char)type;
    out->data[at + 3] = (char)id;
}

static void records_of_others_do_not_get_into_the_body(void **state)
{
    enum { GET_VALUES = 9, ABORT = 2 };
    struct buf b = {0}, got = {0};
    int server;
    (void)state;
    for (int broken = 0; broken < 3; broken++) {
        struct conn *c = connect_both(&server);
        add_head(&b, "POST", "6");
        add_record(&b, STDIN, "abc", 3);
        add_foreign(&b, STDIN, 7, "of another request");
        add_foreign(&b, GET_VALUES, 0, "");
        if (broken == 1) add_foreign(&b, ABORT, 1, "");
        if (broken == 2) add_foreign(&b, BEGIN, 2, "12345678");
        add_record(&b, STDIN, "def", 3);
        add_record(&b, STDIN, "", 0);
        send_buf(server, &b);
        assert_int_equal(conn_begin(c, NULL), ERR_OK);
        assert_int_equal(take_all(c, &got, 100), !broken);
        assert_string_equal(buf_text(&got), broken ? "abc" : "abcdef");
        assert_int_equal(conn_finish(c), broken ? CONN_CLOSED : CONN_KEPT);
        if (!broken) conn_free(c);
        close(server);
    }
    buf_free(&b);
    buf_free(&got);
}

static void request_that_came_early_is_not_mixed_up(void **state)
{
    struct buf b = {0}, got = {0}, text = {0};
    int server;
    struct conn *c = connect_both(&server);
    (void)state;
    /* behind a body in the socket: the next request stays there and is served */
    add_head(&b, "POST", "3");
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    add_body(&b, "abc", 3);
    add_head(&b, "GET", "");
    add_record(&b, STDIN, "", 0);
    send_buf(server, &b);
    assert_true(take_all(c, &got, 100));
    assert_string_equal(buf_text(&got), "abc");
    answer_kept(c, server, "first");
    wait_readable(conn_fd(c));
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_string_equal(conn_param(c, "REQUEST_METHOD"), "GET");
    answer_kept(c, server, "second");
    /* all in one piece: libfcgi has it already, so the connection closes after the first answer */
    for (int i = 0; i < 2; i++) {
        add_head(&b, "GET", "");
        add_record(&b, STDIN, "", 0);
    }
    send_buf(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_true(conn_write(c, "third", 5));
    assert_int_equal(conn_finish(c), CONN_CLOSED);
    assert_true(read_answer(server, &text));
    assert_string_equal(text.data, "third");
    close(server);
    buf_free(&b);
    buf_free(&got);
    buf_free(&text);
}

static void out_of_descriptors_the_connection_waits(void **state)
{
    struct rlimit before, tight;
    struct conn *c;
    (void)state;
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload")) skip(); /* valgrind limits open, not accept4 */
    int server = connect_to_it();
    int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(probe); /* the first number that is free */
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)probe;
    setrlimit(RLIMIT_NOFILE, &tight);

    enum err rc[3];
    int spare = -1;
    for (int i = 0; i < 3; i++) {
        rc[i] = listener_accept(listener, &c, NULL);
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the reserve was given up for this */
        if (spare >= 0) close(spare);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 3; i++) assert_int_equal(rc[i], ERR_FULL);
    assert_true(spare >= 0);

    assert_int_equal(listener_accept(listener, &c, NULL), ERR_OK);
    assert_non_null(c);
    assert_int_equal(send(server, "x", 1, 0), 1);
    struct pollfd p = {.fd = conn_fd(c), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    conn_free(c);
    close(server);
}

/* About what nginx and a browser send. */
static const char *const usual[] = {
    "REQUEST_METHOD",
    "GET",
    "REQUEST_URI",
    "/api/tasks/0190a6b4-7c1e-7abc-8def-0123456789ab/events",
    "QUERY_STRING",
    "",
    "CONTENT_TYPE",
    "",
    "CONTENT_LENGTH",
    "",
    "REQUEST_SCHEME",
    "https",
    "HTTPS",
    "on",
    "SERVER_PROTOCOL",
    "HTTP/2.0",
    "SERVER_NAME",
    "www.example.org",
    "SERVER_ADDR",
    "192.0.2.1",
    "SERVER_PORT",
    "443",
    "REMOTE_ADDR",
    "198.51.100.7",
    "REMOTE_PORT",
    "54321",
    "REMOTE_USER",
    "",
    "REQUEST_ID",
    "0123456789abcdef0123456789abcdef",
    "LEAT_HTTP_ACCEL_REDIRECT",
    "/leat-internal",
    "HTTP_HOST",
    "www.example.org",
    "HTTP_USER_AGENT",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "HTTP_ACCEPT",
    "text/event-stream",
    "HTTP_ACCEPT_LANGUAGE",
    "en-GB,en;q=0.9,de;q=0.8",
    "HTTP_ACCEPT_ENCODING",
    "gzip, deflate, br",
    "HTTP_CACHE_CONTROL",
    "no-cache",
    "HTTP_REFERER",
    "https://www.example.org/jobs/running",
    "HTTP_COOKIE",
    "session=0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark",
    "HTTP_SEC_FETCH_DEST",
    "empty",
    "HTTP_SEC_FETCH_MODE",
    "cors",
    "HTTP_SEC_FETCH_SITE",
    "same-origin",
    "HTTP_LAST_EVENT_ID",
    "9f3a-1042",
    NULL,
};

/* What a stream and a request that waits hold here, all buffers included. */
static void parked_connection_weighs_little(void **state)
{
    enum { COUNT = 200, REQUEST_MAX = 2560, STREAM_MAX = 512 };
    struct conn *conns[COUNT];
    int servers[COUNT];
    (void)state;
    size_t before = mallinfo2().uordblks;
    size_t least = before > 0; /* the allocators of sanitizers and valgrind are not counted there */
    for (int i = 0; i < COUNT; i++) {
        conns[i] = accept_request(&servers[i], usual, "", 0);
        assert_int_equal(conn_begin(conns[i], NULL), ERR_OK);
        assert_true(conn_write(conns[i], "Status: 200 OK\r\n\r\n", 18));
        assert_true(conn_flush(conns[i]));
    }
    size_t each = (mallinfo2().uordblks - before) / COUNT;
    print_message("a request that waits weighs %zu bytes\n", each);
    assert_in_range(each, least, REQUEST_MAX);
    for (int i = 0; i < COUNT; i++) conn_forget_params(conns[i]);
    each = (mallinfo2().uordblks - before) / COUNT;
    print_message("a stream weighs %zu bytes\n", each);
    assert_in_range(each, least, STREAM_MAX);
    for (int i = 0; i < COUNT; i++) {
        conn_finish(conns[i]);
        close(servers[i]);
    }
}

static void stream_without_parameters_goes_on(void **state)
{
    struct buf b = {0};
    char got[8];
    int server;
    (void)state;
    struct conn *c = connect_both(&server);
    add_head(&b, "POST", "3");
    add_body(&b, "abc", 3);
    send_all(server, &b);
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_string_equal(conn_param(c, "REQUEST_METHOD"), "POST");
    conn_forget_params(c);
    assert_null(conn_param(c, "REQUEST_METHOD"));
    /* the body lies in the buffer that the parameters were read with */
    assert_int_equal(conn_take(c, got, sizeof got), 3);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(conn_take(c, got, sizeof got), 0);
    answer_kept(c, server, "taken");
    /* and the next request has its own */
    buf_clear(&b);
    add_head(&b, "GET", "");
    add_body(&b, "", 0);
    send_all(server, &b);
    wait_readable(conn_fd(c));
    assert_int_equal(conn_begin(c, NULL), ERR_OK);
    assert_string_equal(conn_param(c, "REQUEST_METHOD"), "GET");
    conn_free(c);
    close(server);
    buf_free(&b);
}

/* ---- CGI: a child with an environment and pipes -------------------------------------------------
 */

struct cgi {
    pid_t pid;
    int in, out; /* our ends */
};

/* What the child does with its request; its exit status. */
typedef int cgi_program(struct listener *l, struct conn *c);

static struct cgi start_cgi(char **variables, cgi_program *program, bool nonblocking)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct cgi cgi = {.pid = fork(), .in = in[1], .out = out[0]};
    if (!cgi.pid) {
        struct listener *l;
        struct conn *c;
        if (nonblocking) fcntl(out[1], F_SETFL, fcntl(out[1], F_GETFL) | O_NONBLOCK);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        environ = variables;
        if (listener_open(&l, NULL) || listener_accept(l, &c, NULL) || !c || conn_begin(c, NULL))
            _exit(99);
        int rc = program(l, c);
        listener_close(l);
        _exit(rc);
    }
    close(in[0]);
    close(out[1]);
    return cgi;
}

static int cgi_status(const struct cgi *cgi)
{
    int status = -1;
    waitpid(cgi->pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As echo, with a loop that waits for the body. */
static int echo_waiting(struct listener *l, struct conn *c)
{
    int waited = 0;
    (void)l;
    for (ssize_t n = 1; n;) {
        char piece[8];
        n = conn_take(c, piece, sizeof piece);
        struct pollfd p = {.fd = conn_body_fd(c), .events = POLLIN};
        if (n == CONN_AGAIN) {
            /* only now does the test send the rest */
            if (waited++ == 0 && (!conn_write(c, "|", 1) || !conn_flush(c))) return 3;
            if (poll(&p, 1, 60000) != 1) return 1;
        } else if (n < 0 || (n > 0 && !conn_write(c, piece, (size_t)n))) {
            return 2;
        }
    }
    if (conn_finish(c) != CONN_CLOSED) return 4;
    return waited ? 0 : 5;
}

static int echo(struct listener *l, struct conn *c)
{
    char piece[8];
    ssize_t n;
    struct conn *second = c;
    if (!listener_is_cgi(l) || listener_fd(l) != -1 || conn_fd(c) != 1) return 1;
    if (strcmp(conn_param(c, "REQUEST_METHOD"), "POST") != 0 || conn_params(c) != environ) return 2;
    while ((n = read_body(c, piece, sizeof piece)) > 0)
        if (!conn_write(c, piece, (size_t)n)) return 3;
    if (n < 0) return 4;
    conn_finish(c);
    /* one process, one request */
    return listener_accept(l, &second, NULL) || second ? 5 : 0;
}

static void cgi_echoes_a_body_that_comes_in_pieces(void **state)
{
    static char *variables[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=12", NULL};
    static const char body[] = "ab\0c\xff\r\n1234567"; /* longer than its length: no more is read */
    char got[64];
    size_t len = 0;
    (void)state;
    struct cgi cgi = start_cgi(variables, echo, false);
    assert_int_equal(write(cgi.in, body, 5), 5);
    usleep(20000);
    assert_int_equal(write(cgi.in, body + 5, sizeof body - 6), sizeof body - 6);
    for (ssize_t n; (n = read(cgi.out, got + len, sizeof got - len)) > 0;) len += (size_t)n;
    assert_int_equal(cgi_status(&cgi), 0);
    assert_int_equal(len, 12);
    assert_memory_equal(got, body, 12);
    close(cgi.in);
    close(cgi.out);
}

static void cgi_body_is_taken_without_waiting(void **state)
{
    static char *variables[] = {"REQUEST_METHOD=POST", "CONTENT_LENGTH=6", NULL};
    char got[64] = "";
    size_t len = 0;
    (void)state;
    struct cgi cgi = start_cgi(variables, echo_waiting, false);
    assert_int_equal(write(cgi.in, "abc", 3), 3);
    while (!strchr(got, '|')) {
        ssize_t n = read(cgi.out, got + len, sizeof got - 1 - len);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_int_equal(write(cgi.in, "defghi", 6), 6); /* longer than its length */
    for (ssize_t n; (n = read(cgi.out, got + len, sizeof got - 1 - len)) > 0;) len += (size_t)n;
    assert_int_equal(cgi_status(&cgi), 0);
    char *bar = strchr(got, '|');
    memmove(bar, bar + 1, strlen(bar));
    assert_string_equal(got, "abcdef");
    close(cgi.in);
    close(cgi.out);
}

enum { FLOOD = 1 << 20 };

static int flood(struct listener *l, struct conn *c)
{
    static char bytes[FLOOD];
    (void)l;
    for (int i = 0; i < FLOOD; i++) bytes[i] = (char)(i * 31);
    bool sent = conn_write(c, bytes, FLOOD) && conn_flush(c);
    conn_finish(c);
    return sent ? 0 : 7;
}

static void cgi_answer_survives_a_slow_pipe(void **state)
{
    static char *variables[] = {"REQUEST_METHOD=GET", NULL};
    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        char got[30000];
        size_t len = 0;
        bool same = true;
        struct cgi cgi = start_cgi(variables, flood, nonblocking);
        usleep(20000); /* the pipe is full by now; were it not, the test would only be easier */
        for (ssize_t n; (n = read(cgi.out, got, sizeof got)) > 0; len += (size_t)n)
            for (ssize_t i = 0; i < n; i++) same &= got[i] == (char)((len + (size_t)i) * 31);
        assert_int_equal(cgi_status(&cgi), 0);
        assert_int_equal(len, FLOOD);
        assert_true(same);
        close(cgi.in);
        close(cgi.out);
    }
}

static void cgi_notices_that_nobody_reads(void **state)
{
    static char *variables[] = {"REQUEST_METHOD=GET", NULL};
    (void)state;
    struct cgi cgi = start_cgi(variables, flood, false);
    close(cgi.out);
    assert_int_equal(cgi_status(&cgi), 7); /* and not a death by SIGPIPE */
    close(cgi.in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_there_is_no_error),
        cmocka_unit_test(listening_socket_neither_waits_nor_is_inherited),
        cmocka_unit_test(programs_signal_handlers_are_left_alone),
        cmocka_unit_test(parameters_arrive_whole),
        cmocka_unit_test(accepted_descriptor_is_not_inherited),
        cmocka_unit_test(body_is_read_to_its_end),
        cmocka_unit_test(body_without_a_length_ends_with_its_stream),
        cmocka_unit_test(body_cut_off_by_the_server_is_an_error),
        cmocka_unit_test(answer_arrives_and_is_ended),
        cmocka_unit_test(flush_sends_at_once),
        cmocka_unit_test(a_head_leaves_with_what_follows),
        cmocka_unit_test(dropped_answer_has_no_end),
        cmocka_unit_test(hang_up_shows_on_the_descriptor),
        cmocka_unit_test(writing_to_a_gone_peer_fails_and_stays_failed),
        cmocka_unit_test(writable_means_that_64_kb_do_not_block),
        cmocka_unit_test(what_a_peer_does_not_take_waits_and_blocks_nobody),
        cmocka_unit_test(a_peer_that_goes_with_much_to_take_is_noticed),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(peer_that_left_is_refused),
        cmocka_unit_test(half_a_request_is_waited_for_two_seconds),
        cmocka_unit_test(other_roles_are_refused),
        cmocka_unit_test(unread_body_does_not_cost_the_answer),
        cmocka_unit_test(ending_does_not_wait_for_a_lazy_server),
        cmocka_unit_test(kept_connection_serves_one_request_after_the_other),
        cmocka_unit_test(body_that_nobody_takes_closes_only_when_it_has_not_come),
        cmocka_unit_test(connection_is_kept_only_when_asked),
        cmocka_unit_test(idle_kept_connection_holds_no_buffers),
        cmocka_unit_test(nothing_there_is_told_at_once_and_kept_apart_from_the_end),
        cmocka_unit_test(body_that_came_with_the_parameters_needs_no_poll),
        cmocka_unit_test(long_bodies_arrive_whole),
        cmocka_unit_test(refused_upload_is_drained_and_then_kept),
        cmocka_unit_test(a_request_has_come_when_its_parameters_have_and_not_before),
        cmocka_unit_test(what_is_no_request_has_come_too),
        cmocka_unit_test(body_without_its_end_is_an_error),
        cmocka_unit_test(records_of_others_do_not_get_into_the_body),
        cmocka_unit_test(request_that_came_early_is_not_mixed_up),
        cmocka_unit_test(out_of_descriptors_the_connection_waits),
        cmocka_unit_test(parked_connection_weighs_little),
        cmocka_unit_test(stream_without_parameters_goes_on),
        cmocka_unit_test(cgi_echoes_a_body_that_comes_in_pieces),
        cmocka_unit_test(cgi_body_is_taken_without_waiting),
        cmocka_unit_test(cgi_answer_survives_a_slow_pipe),
        cmocka_unit_test(cgi_notices_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, listen_on_stdin, stop_listening);
}
