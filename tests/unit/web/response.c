#include "as_cgi.h"

#include "base/log.h"
#include "web/problem.h"
#include "web/response.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static char *get[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", "HTTP_X_REQUEST_ID=r1", NULL};
static char *head[] = {"REQUEST_METHOD=HEAD", "REQUEST_URI=/api", "HTTP_X_REQUEST_ID=r1", NULL};

/* One line of the head, "Name: value", is there. */
static bool has_line(const char *answer, const char *line)
{
    const char *at = strstr(answer, line);
    const char *end = strstr(answer, "\r\n\r\n");
    return at && at < end && (at == answer || at[-1] == '\n') && at[strlen(line)] == '\r';
}

static bool has_header(const char *answer, const char *name)
{
    struct buf b = {0};
    buf_fmt(&b, "\r\n%s:", name);
    const char *at = strstr(answer, b.data), *end = strstr(answer, "\r\n\r\n");
    buf_free(&b);
    return at && at < end;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* What `make` answers to a request. */
typedef void maker(struct request *request);

static char *answer_to(char *const *variables, maker *make)
{
    struct as_cgi t;
    assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
    cgi_catch(&t);
    make(&t.request);
    char *text = cgi_answer(&t);
    cgi_end(&t);
    return text;
}

static void make_plain(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 200);
    response_body(&r, "text/plain", "a\0b", 3);
}

static void head_has_what_every_answer_has(void **state)
{
    (void)state;
    char *text = answer_to(get, make_plain);
    assert_true(has_line(text, "Status: 200 OK"));
    assert_true(has_line(text, "X-Request-ID: r1"));
    assert_true(has_line(text, "X-Content-Type-Options: nosniff"));
    assert_true(has_line(text, "Cache-Control: no-store"));
    assert_true(has_line(text, "Content-Type: text/plain"));
    assert_true(has_line(text, "Content-Length: 3"));
    assert_memory_equal(body_of(text), "a\0b", 4);
    free(text);
}

static void head_request_gets_the_length_without_the_body(void **state)
{
    (void)state;
    char *text = answer_to(head, make_plain);
    assert_true(has_line(text, "Content-Length: 3"));
    assert_string_equal(body_of(text), "");
    free(text);
}

static void make_204(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 204);
    response_body(&r, "text/plain", "x", 1);
}

static void make_304(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 304);
    response_header(&r, "ETag", "W/\"1\"");
    response_body(&r, NULL, NULL, 0);
}

static void some_answers_have_no_body(void **state)
{
    static maker *const makers[] = {make_204, make_304};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *text = answer_to(get, makers[i]);
        assert_false(has_header(text, "Content-Length"));
        assert_false(has_header(text, "Content-Type"));
        assert_string_equal(body_of(text), "");
        if (i) assert_true(has_line(text, "ETag: W/\"1\""));
        free(text);
    }
}

static void make_cached(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 200);
    response_header(&r, "cache-control", "max-age=9");
    response_body(&r, "text/plain", "", 0);
}

static void own_cache_control_replaces_no_store(void **state)
{
    (void)state;
    char *text = answer_to(get, make_cached);
    assert_true(has_line(text, "cache-control: max-age=9"));
    assert_null(strstr(text, "no-store"));
    free(text);
}

static void make_split(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 200);
    response_header(&r, "X-A", "1\r\nX-B: 2\r\n\r\nbody");
    response_header_fmt(&r, "X-C", "%s%0300d", "n\n", 7);
    response_body(&r, "text/plain", "", 0);
}

static void values_cannot_start_another_line(void **state)
{
    (void)state;
    char *text = answer_to(get, make_split);
    assert_true(has_line(text, "X-A: 1X-B: 2body"));
    assert_false(has_header(text, "X-B"));
    const char *c = strstr(text, "X-C: n000");
    assert_non_null(c);
    assert_int_equal(strcspn(c, "\r"), strlen("X-C: n") + 300); /* long ones are whole */
    free(text);
}

static void make_stream(struct request *request)
{
    struct response r = {0};
    response_start(&r, request, 200);
    response_header(&r, "Cache-Control", "no-store, no-transform");
    response_stream(&r, "text/event-stream; charset=utf-8");
    conn_write(request->conn, "retry: 1\n\n", 10);
}

static void stream_has_no_length(void **state)
{
    (void)state;
    char *text = answer_to(get, make_stream);
    assert_true(has_line(text, "Content-Type: text/event-stream; charset=utf-8"));
    assert_false(has_header(text, "Content-Length"));
    assert_string_equal(body_of(text), "retry: 1\n\n");
    free(text);
}

static void make_json(struct request *request)
{
    struct response r = {0};
    struct buf b = {0};
    response_start(&r, request, 202);
    buf_str(&b, "{}");
    response_json(&r, &b);
    buf_free(&b);
}

static void json_has_its_type(void **state)
{
    (void)state;
    char *text = answer_to(get, make_json);
    assert_true(has_line(text, "Status: 202 Accepted"));
    assert_true(has_line(text, "Content-Type: application/json"));
    assert_string_equal(body_of(text), "{}");
    free(text);
}

static void late_header_is_found_at_once(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid) {
        struct as_cgi t;
        struct response r = {0};
        signal(SIGABRT, SIG_DFL);
        dup2(file_with("", 0), STDERR_FILENO);
        cgi_begin(&t, get, "", 0);
        cgi_catch(&t);
        response_start(&r, &t.request, 200);
        response_stream(&r, "text/plain");
        response_header(&r, "X-Late", "1");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void make_problem(struct request *request)
{
    problem(request, 422, "invalid_field", "'%s' is \"bad\"\n", "gr\xff");
}

static json_t *problem_of(const char *text)
{
    assert_true(has_line(text, "Content-Type: application/problem+json"));
    json_t *doc = json_loads(body_of(text), 0, NULL);
    assert_non_null(doc);
    return doc;
}

static const char *member(json_t *doc, const char *key)
{
    return json_string_value(json_object_get(doc, key));
}

static void problem_is_a_json_document(void **state)
{
    (void)state;
    char *text = answer_to(get, make_problem);
    assert_true(has_line(text, "Status: 422 Unprocessable Content"));
    json_t *doc = problem_of(text);
    assert_string_equal(member(doc, "type"), "about:blank");
    assert_string_equal(member(doc, "title"), "Unprocessable Content");
    assert_int_equal(json_integer_value(json_object_get(doc, "status")), 422);
    assert_string_equal(member(doc, "detail"), "'gr\xef\xbf\xbd' is \"bad\"\n");
    assert_string_equal(member(doc, "code"), "invalid_field");
    assert_true(json_is_false(json_object_get(doc, "retryable")));
    assert_string_equal(member(doc, "request_id"), "r1");
    assert_false(has_header(text, "Retry-After"));
    json_decref(doc);
    free(text);
}

static void make_429(struct request *request)
{
    problem(request, 429, "rate_limited", "later");
}

static void passing_trouble_says_when_to_come_back(void **state)
{
    (void)state;
    char *text = answer_to(get, make_429);
    json_t *doc = problem_of(text);
    assert_true(json_is_true(json_object_get(doc, "retryable")));
    assert_true(has_line(text, "Retry-After: 1"));
    json_decref(doc);
    free(text);
}

static void make_405(struct request *request)
{
    problem_header(request, 405, "method_not_allowed", "Allow", "GET, HEAD", "100% no");
}

static void problem_may_have_a_header(void **state)
{
    (void)state;
    char *text = answer_to(get, make_405);
    json_t *doc = problem_of(text);
    assert_true(has_line(text, "Allow: GET, HEAD"));
    assert_string_equal(member(doc, "detail"), "100% no"); /* no format */
    json_decref(doc);
    free(text);
}

static struct error failure;

static void make_error(struct request *request)
{
    problem_error(request, &failure);
}

static void errors_of_the_floors_below_have_their_status(void **state)
{
    static const struct {
        enum err err;
        int status;
        const char *code;
        bool shown, retryable;
    } rows[] = {
        {ERR_INVALID, 422, "invalid_request", true, false},
        {ERR_NOTFOUND, 404, "not_found", true, false},
        {ERR_STATE, 409, "state", true, false},
        {ERR_LIMIT, 429, "rate_limited", true, true},
        {ERR_BUSY, 503, "database_busy", false, true},
        {ERR_FULL, 503, "database_full", false, true},
        {ERR_UNSYNCED, 500, "outcome_unknown", false, false},
        {ERR_IO, 500, "internal", false, false},
        {ERR_FENCED, 500, "internal", false, false},
        {ERR_INTERNAL, 500, "internal", false, false},
    };
    char log_file[] = "/tmp/leat-log-XXXXXX", target[64], logged[4096];
    (void)state;
    int log = mkstemp(log_file);
    snprintf(target, sizeof target, "file %s", log_file);
    assert_int_equal(log_open("test", "error", target, NULL), ERR_OK);
    unlink(log_file);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ftruncate(log, 0), 0);
        error_set(&failure, rows[i].err, "path /srv/x\n\"secret\"");
        char *text = answer_to(get, make_error);
        json_t *doc = problem_of(text);
        assert_int_equal(json_integer_value(json_object_get(doc, "status")), rows[i].status);
        assert_string_equal(member(doc, "code"), rows[i].code);
        assert_int_equal(strstr(text, "/srv/x") != NULL, rows[i].shown);
        assert_int_equal(json_is_true(json_object_get(doc, "retryable")), rows[i].retryable);

        ssize_t n = pread(log, logged, sizeof logged - 1, 0);
        logged[n > 0 ? n : 0] = '\0';
        if (rows[i].status < 500)
            assert_string_equal(logged, "");
        else
            assert_non_null(strstr(logged, "request_id=r1 "));
        if (*logged) assert_non_null(strstr(logged, "path /srv/x 'secret'")); /* on one line */
        json_decref(doc);
        free(text);
    }
    close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_has_what_every_answer_has),
        cmocka_unit_test(head_request_gets_the_length_without_the_body),
        cmocka_unit_test(some_answers_have_no_body),
        cmocka_unit_test(own_cache_control_replaces_no_store),
        cmocka_unit_test(values_cannot_start_another_line),
        cmocka_unit_test(stream_has_no_length),
        cmocka_unit_test(json_has_its_type),
        cmocka_unit_test(late_header_is_found_at_once),
        cmocka_unit_test(problem_is_a_json_document),
        cmocka_unit_test(passing_trouble_says_when_to_come_back),
        cmocka_unit_test(problem_may_have_a_header),
        cmocka_unit_test(errors_of_the_floors_below_have_their_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
