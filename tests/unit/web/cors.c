/* Pages of other origins: who may go on, and what an answer tells a browser. */
#include "as_cgi.h"

#include "web/cors.h"
#include "web/problem.h"
#include "web/response.h"
#include "web/route.h"

#include <stdlib.h>

#define LIST     "LEAT_HTTP_ALLOWED_ORIGINS=https://a.example, https://b.example:8443"
#define BY_PROXY "REMOTE_ADDR=10.0.0.1", "LEAT_HTTP_TRUSTED_PROXIES=10.0.0.0/8"
#define ANY      "LEAT_HTTP_ALLOWED_ORIGINS=https://a.example *"

static const struct route changing = {.flags = ROUTE_CHANGES | ROUTE_STREAM};
static const struct route stream = {.flags = ROUTE_STREAM};
static const struct route plain = {.flags = 0};

/* What comes of a request that has found `row`: "" when it may go on, else the answer. The caller frees. */
static char *admit(char *const *variables, const char *method, const char *uri,
                   const struct route *row)
{
    struct as_cgi t;
    struct buf m = {0}, u = {0};
    char *all[16] = {NULL};
    size_t n = 0;
    buf_fmt(&m, "REQUEST_METHOD=%s", method);
    buf_fmt(&u, "REQUEST_URI=%s", uri);
    all[n++] = m.data;
    all[n++] = u.data;
    while (variables[n - 2]) all[n] = variables[n - 2], n++;
    assert_int_equal(cgi_begin(&t, all, "", 0), ERR_OK);
    cgi_catch(&t);
    bool may = cors_admit(&t.request, row);
    char *answer = cgi_answer(&t);
    assert_int_equal(may, !*answer);
    cgi_end(&t);
    buf_free(&m);
    buf_free(&u);
    return answer;
}

static int status_of(char *const *variables, const char *method, const char *uri,
                     const struct route *row)
{
    char *answer = admit(variables, method, uri, row);
    int status = *answer ? (int)strtol(answer + strlen("Status: "), NULL, 10) : 0;
    if (status == 403 && strcmp(method, "HEAD"))
        assert_non_null(strstr(answer, "\"code\":\"origin_not_allowed\""));
    free(answer);
    return status;
}

static void only_the_site_itself_and_the_listed_may_change(void **state)
{
    static const struct {
        char *variables[7];
        bool may;
    } rows[] = {
        {{NULL}, true}, /* no page at all: curl */
        {{"HTTP_ORIGIN=http://h.example", "HTTP_HOST=h.example"}, true},
        {{"HTTP_ORIGIN=http://h.example:8080", "HTTP_HOST=h.example:8080"}, true},
        {{"HTTP_ORIGIN=http://H.example", "HTTP_HOST=h.EXAMPLE:80"}, true},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example:443", "HTTPS=on"}, true},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "REQUEST_SCHEME=https"}, true},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "HTTP_X_FORWARDED_PROTO=https",
          BY_PROXY},
         true},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example",
          "HTTP_X_FORWARDED_PROTO=https, http", BY_PROXY},
         true},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=inner", "HTTP_SEC_FETCH_SITE=same-origin"},
         true},
        {{"HTTP_ORIGIN=null", "HTTP_HOST=h.example", "HTTP_SEC_FETCH_SITE=same-origin"}, true},
        {{"HTTP_ORIGIN=https://a.example", "HTTP_HOST=h.example", LIST}, true},
        {{"HTTP_ORIGIN=https://b.example:8443", "HTTP_HOST=h.example", LIST}, true},
        {{"HTTP_ORIGIN=https://a.example", "HTTP_HOST=h.example", LIST,
          "HTTP_SEC_FETCH_SITE=cross-site"},
         true},
        {{"HTTP_ORIGIN=https://evil.example", "HTTP_HOST=h.example", ANY}, true},
        {{"HTTP_ORIGIN=null", "HTTP_HOST=h.example", ANY}, true},
        {{"HTTP_SEC_FETCH_SITE=none"}, true},
        {{"HTTP_SEC_FETCH_SITE=same-site"}, true},
        {{"HTTP_ORIGIN=", "HTTP_HOST=h.example"}, true},

        {{"HTTP_ORIGIN=http://evil.example", "HTTP_HOST=h.example"}, false},
        {{"HTTP_ORIGIN=http://h.example:8080", "HTTP_HOST=h.example"}, false},
        {{"HTTP_ORIGIN=http://h.example", "HTTP_HOST=h.example:8080"}, false},
        {{"HTTP_ORIGIN=http://h.example", "HTTP_HOST=h.example", "REQUEST_SCHEME=https"}, false},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "REQUEST_SCHEME=http"}, false},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "HTTPS=off"}, false},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "HTTP_X_FORWARDED_PROTO=http"},
         false},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "HTTP_X_FORWARDED_PROTO=https"},
         false}, /* nobody trusts that proxy */
        {{"HTTP_ORIGIN=http://h.example", "HTTP_HOST=h.example:443"}, false},
        {{"HTTP_ORIGIN=http://h.example.evil", "HTTP_HOST=h.example"}, false},
        {{"HTTP_ORIGIN=http://h.exampl", "HTTP_HOST=h.example"}, false},
        {{"HTTP_ORIGIN=http://", "HTTP_HOST="}, false},
        {{"HTTP_ORIGIN=ftp://h.example", "HTTP_HOST=h.example"}, false},
        {{"HTTP_ORIGIN=null", "HTTP_HOST=null"}, false},
        {{"HTTP_ORIGIN=null", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_ORIGIN=https://a.example.evil", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_ORIGIN=http://a.example", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_ORIGIN=https://a.example:444", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_ORIGIN=https://b.example", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_ORIGIN=https://a.example,", "HTTP_HOST=h.example", LIST}, false},
        {{"HTTP_SEC_FETCH_SITE=cross-site"}, false},
        {{"HTTP_SEC_FETCH_SITE=cross-site", ANY},
         false}, /* no Origin: no script that CORS is for */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status = status_of(rows[i].variables, "POST", "/api/tasks", &plain);
        if (status != (rows[i].may ? 0 : 403))
            fail_msg("%s %s: %d", rows[i].variables[0], rows[i].variables[1], status);
    }
}

static void what_is_refused_to_others(void **state)
{
    static const struct {
        const char *method, *uri;
        const struct route *row;
        bool foreign,
            fetched; /* refused: to an Origin; to Sec-Fetch-Site: cross-site without one */
    } rows[] = {
        {"POST", "/api/tasks", &plain, true, true},
        {"PUT", "/api/groups/g/context", &plain, true, true},
        {"DELETE", "/api/tasks/x", &plain, true, true},
        {"PATCH", "/api/tasks/x", NULL, true, true},
        {"GET", "/api/tasks", &plain, false,
         false}, /* nothing changes, and no script can read it */
        {"HEAD", "/api/tasks", &plain, false, false},
        {"OPTIONS", "/api/tasks", NULL, false, false},
        {"GET", "/api/events", &stream, true, false},
        {"GET", "/api/tasks/x/events?types=a.b", &stream, true, false},
        {"HEAD", "/api/events", &stream, true, false},
        {"GET", "/api/tasks/x/log?follow=1", &plain, true, false},
        {"GET", "/api/tasks/x/log", &plain, false, false},
        {"GET", "/api/run/echo", &changing, true, true},
        {"GET", "/api/groups/run", &plain, false, false},
        {"GET", "/api/nothing?follow=1", NULL, false, false}, /* 404 is for everybody */
        {"POST", "/api/nothing", NULL, true, true},
    };
    static char *foreign[] = {"HTTP_ORIGIN=https://evil.example", "HTTP_HOST=h.example", NULL};
    static char *fetched[] = {"HTTP_SEC_FETCH_SITE=cross-site", "HTTP_HOST=h.example", NULL};
    static char *accepts[] = {"HTTP_ORIGIN=https://evil.example", "HTTP_ACCEPT=text/event-stream",
                              NULL};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(status_of(foreign, rows[i].method, rows[i].uri, rows[i].row),
                         rows[i].foreign ? 403 : 0);
        assert_int_equal(status_of(fetched, rows[i].method, rows[i].uri, rows[i].row),
                         rows[i].fetched ? 403 : 0);
    }
    assert_int_equal(status_of(accepts, "GET", "/api/tasks", &plain), 403);
}

static bool has(const char *answer, const char *line)
{
    const char *at = strstr(answer, line);
    return at && at[strlen(line)] == '\r';
}

static void a_preflight_is_answered(void **state)
{
    static char *listed[] = {"HTTP_ORIGIN=https://a.example", "HTTP_HOST=h", LIST,
                             "HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST", NULL};
    static char *any[] = {"HTTP_ORIGIN=https://c.example", "HTTP_HOST=h", ANY,
                          "HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST", NULL};
    static char *foreign[] = {"HTTP_ORIGIN=https://c.example", "HTTP_HOST=h", LIST,
                              "HTTP_ACCESS_CONTROL_REQUEST_METHOD=GET", NULL};
    (void)state;
    char *answer = admit(listed, "OPTIONS", "/api/tasks", NULL);
    assert_ptr_equal(strstr(answer, "Status: 204 "), answer);
    assert_true(has(answer, "Access-Control-Allow-Origin: https://a.example"));
    assert_true(has(answer, "Access-Control-Allow-Credentials: true"));
    assert_true(has(answer, "Vary: Origin"));
    assert_true(has(answer, "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE"));
    assert_non_null(strstr(answer, "Access-Control-Max-Age: "));
    const char *headers = strstr(answer, "Access-Control-Allow-Headers: ");
    static const char *const names[] = {"Authorization",   "Content-Type", "Prefer",
                                        "Idempotency-Key", "If-Match",     "If-None-Match",
                                        "Last-Event-ID",   "X-Request-ID"};
    for (size_t i = 0; i < 8; i++) assert_non_null(strstr(headers, names[i]));
    free(answer);

    answer = admit(any, "OPTIONS", "/api/tasks", NULL);
    assert_true(has(answer, "Access-Control-Allow-Origin: *"));
    assert_null(strstr(answer, "Allow-Credentials"));
    free(answer);

    answer = admit(foreign, "OPTIONS", "/api/tasks", NULL);
    assert_ptr_equal(strstr(answer, "Status: 403 "), answer);
    assert_null(strstr(answer, "Access-Control-Allow"));
    free(answer);
}

static void an_answer_says_who_may_read_it(void **state)
{
    static const struct {
        char *variables[7];
        const char *origin; /* what is allowed, NULL: nothing */
        bool credentials, vary;
    } rows[] = {
        {{"HTTP_ORIGIN=https://a.example", LIST}, "https://a.example", true, true},
        {{"HTTP_ORIGIN=HTTPS://A.EXAMPLE", LIST}, "HTTPS://A.EXAMPLE", true, true},
        {{"HTTP_ORIGIN=https://c.example", LIST}, NULL, false, true},
        {{LIST}, NULL, false, true},
        {{"HTTP_ORIGIN=https://c.example", ANY}, "*", false, true},
        {{"HTTP_ORIGIN=https://a.example", ANY}, "https://a.example", true, true},
        {{"HTTP_ORIGIN=http://h.example", "HTTP_HOST=h.example", ANY}, NULL, false, true},
        {{"HTTP_ORIGIN=https://c.example"}, NULL, false, false},
        {{NULL}, NULL, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *all[10] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api"};
        memcpy(all + 2, rows[i].variables, sizeof rows[i].variables);
        for (int wrong = 0; wrong < 2; wrong++) { /* problems included */
            struct as_cgi t;
            assert_int_equal(cgi_begin(&t, all, "", 0), ERR_OK);
            cgi_catch(&t);
            if (wrong) {
                problem(&t.request, 404, "not_found", "nothing");
            } else {
                struct response r;
                response_start(&r, &t.request, 200);
                response_body(&r, "text/plain", "x", 1);
            }
            char *answer = cgi_answer(&t);
            struct buf line = {0};
            buf_fmt(&line, "Access-Control-Allow-Origin: %s", rows[i].origin ? rows[i].origin : "");
            assert_int_equal(has(answer, line.data), rows[i].origin != NULL);
            assert_int_equal(
                strstr(answer,
                       "Access-Control-Expose-Headers: Location, Content-Location, ETag, ") != NULL,
                rows[i].origin != NULL);
            assert_int_equal(strstr(answer, "Allow-Credentials") != NULL, rows[i].credentials);
            assert_int_equal(has(answer, "Vary: Origin"), rows[i].vary);
            buf_free(&line);
            free(answer);
            cgi_end(&t);
        }
    }
}

static void a_list_is_checked(void **state)
{
    static const struct {
        char *list;
        const char *wrong; /* NULL: fine */
    } rows[] = {
        {"", NULL},
        {"*", NULL},
        {"https://a.example", NULL},
        {"https://a.example,http://localhost:3000 http://[::1]:8080", NULL},
        {" app://local , * ", NULL},
        {"https://a.example/", "'https://a.example/'"},
        {"https://a.example/path", "'https://a.example/path'"},
        {"a.example", "'a.example'"},
        {"https://", "'https://'"},
        {"https://*.example", "'https://*.example'"},
        {"null", "'null'"},
        {"https://a.example;https://b.example", "'https://a.example;https://b.example'"},
        {"https://a.example://b", "'https://a.example://b'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *base = NULL, *c = NULL;
        struct error e = {0};
        struct buf b = {0};
        buf_fmt(&b, "LEAT_HTTP_ALLOWED_ORIGINS=%s", rows[i].list);
        char *variables[] = {b.data, NULL};
        assert_int_equal(conf_load(&base, "/dev/null", NULL, NULL), ERR_OK);
        enum err rc = conf_overlay(&c, base, variables, &e);
        if ((rc != ERR_OK) != (rows[i].wrong != NULL)) fail_msg("%s: %s", rows[i].list, e.text);
        if (rc && !strstr(e.text, rows[i].wrong)) fail_msg("%s", e.text);
        conf_free(c);
        conf_free(base);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_site_itself_and_the_listed_may_change),
        cmocka_unit_test(what_is_refused_to_others),
        cmocka_unit_test(a_preflight_is_answered),
        cmocka_unit_test(an_answer_says_who_may_read_it),
        cmocka_unit_test(a_list_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
