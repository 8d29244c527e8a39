#include "as_cgi.h"

#include <stdlib.h>

#define VARIABLES(...) ((char *[]){__VA_ARGS__, NULL})

static char *variable(const char *name, const char *value)
{
    struct buf b = {0};
    buf_fmt(&b, "%s=%s", name, value);
    return b.data;
}

/* The request's segments joined by '|'. */
static char *segments(const struct request *r)
{
    struct buf b = {0};
    buf_str(&b, "");
    for (size_t i = 0; i < r->segment_count; i++) buf_fmt(&b, "%s%s", i ? "|" : "", r->segments[i]);
    return b.data;
}

static void path_is_split_and_decoded_once(void **state)
{
    static const struct {
        const char *uri, *path, *segments, *query;
        bool below;
    } rows[] = {
        {"/api/tasks", "/api/tasks", "tasks", "", true},
        {"/api/tasks?a=b?c", "/api/tasks", "tasks", "a=b?c", true},
        {"/api", "/api", "", "", true},
        {"/api/", "/api", "", "", true},
        {"//api//tasks/./x//", "/api/tasks/x", "tasks|x", "", true},
        {"/api/%2e/tasks", "/api/tasks", "tasks", "", true},
        {"/api/groups/a%2Fb/events", "/api/groups/a/b/events", "groups|a/b|events", "", true},
        {"/api/groups/100%2525", "/api/groups/100%25", "groups|100%25", "", true},
        {"/api/groups/a+b", "/api/groups/a+b", "groups|a+b", "", true},
        {"/api/groups/%C3%A4", "/api/groups/\xc3\xa4", "groups|\xc3\xa4", "", true},
        {"/%61pi/tasks", "/api/tasks", "tasks", "", true},
        {"http://example.org/api/tasks?x", "/api/tasks", "tasks", "x", true},
        {"HTTPS://h:1", "/", "", "", false},
        {"http://h?q", "/", "", "q", false},
        {"/apis/tasks", "/apis/tasks", "apis|tasks", "", false},
        {"/other", "/other", "other", "", false},
        {"/", "/", "", "", false},
        {"*", "/*", "*", "", false},
        {"/api/1/2/3/4/5/6/7/8", "/api/1/2/3/4/5/6/7/8", "1|2|3|4|5|6|7|8", "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *uri = variable("REQUEST_URI", rows[i].uri);
        assert_int_equal(cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", uri), "", 0), ERR_OK);
        char *got = segments(&t.request);
        assert_string_equal(got, rows[i].segments);
        assert_string_equal(t.request.path, rows[i].path);
        assert_string_equal(t.request.query, rows[i].query);
        assert_int_equal(t.request.below_prefix, rows[i].below);
        free(got);
        free(uri);
        cgi_end(&t);
    }
}

static void bad_targets_are_refused(void **state)
{
    static const char *const rows[] = {
        "/api/../etc",    "/api/%2e%2E/x",      "/api/%00",
        "/api/%0a",       "/api/%7f",           "/api/%",
        "/api/%4",        "/api/%zz",           "/api/%c3",
        "/api/%ed%a0%80", "/api/%c0%af",        "/api/\xff",
        "/api/a\tb",      "/api?a\nb",          "api/tasks",
        "ftp:/api",       "/api/x#y",           "/api/1/2/3/4/5/6/7/8/9",
        "/api?a=%ff",     "/api?a=1&b=%",       "/api?a=%zz",
        "/api?a=%00",     "/api?%c3=1",         "/api?a=\xff",
        "/api?a=%4",      "/api?a&b=%ed%a0%80",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *uri = variable("REQUEST_URI", rows[i]);
        enum err rc = cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", uri), "", 0);
        if (rc != ERR_INVALID) print_error("%s was taken\n", rows[i]);
        assert_int_equal(rc, ERR_INVALID);
        assert_true(strlen(t.error.text) > 0);
        free(uri);
        cgi_end(&t);
    }
}

static void long_target_is_refused(void **state)
{
    struct as_cgi t;
    struct buf uri = {0};
    (void)state;
    buf_str(&uri, "REQUEST_URI=/api/tasks?x=");
    for (int i = 0; i < 40000; i++) buf_char(&uri, 'a');
    assert_int_equal(cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", uri.data), "", 0), ERR_INVALID);
    buf_free(&uri);
    cgi_end(&t);
}

static void without_a_uri_the_decoded_parts_are_taken_as_they_are(void **state)
{
    struct as_cgi t;
    (void)state;
    assert_int_equal(cgi_begin(&t,
                               VARIABLES("REQUEST_METHOD=GET", "SCRIPT_NAME=/api",
                                         "PATH_INFO=/groups/100%25", "QUERY_STRING=a=1"),
                               "", 0),
                     ERR_OK);
    assert_true(t.request.below_prefix);
    assert_string_equal(t.request.segments[1], "100%25");
    assert_string_equal(t.request.query, "a=1");
    cgi_end(&t);
}

static void prefix_is_a_setting(void **state)
{
    static const struct {
        char *prefix, *uri;
        const char *segments;
        bool below;
    } rows[] = {
        {"LEAT_HTTP_PREFIX=/site/leat/api", "REQUEST_URI=/site/leat/api/tasks", "tasks", true},
        {"LEAT_HTTP_PREFIX=/site/leat/api", "REQUEST_URI=/site/leat", "site|leat", false},
        {"LEAT_HTTP_PREFIX=/site/leat/api", "REQUEST_URI=/api/tasks", "api|tasks", false},
        {"LEAT_HTTP_PREFIX=/", "REQUEST_URI=/tasks", "tasks", true},
        {"LEAT_HTTP_PREFIX=", "REQUEST_URI=/api/tasks", "tasks", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        enum err rc =
            cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", rows[i].prefix, rows[i].uri), "", 0);
        assert_int_equal(rc, ERR_OK);
        char *got = segments(&t.request);
        assert_string_equal(got, rows[i].segments);
        assert_int_equal(t.request.below_prefix, rows[i].below);
        free(got);
        cgi_end(&t);
    }
}

static void methods_are_case_sensitive(void **state)
{
    static const struct {
        char *variable;
        enum method method;
    } rows[] = {
        {"REQUEST_METHOD=GET", METHOD_GET},       {"REQUEST_METHOD=HEAD", METHOD_HEAD},
        {"REQUEST_METHOD=POST", METHOD_POST},     {"REQUEST_METHOD=PUT", METHOD_PUT},
        {"REQUEST_METHOD=DELETE", METHOD_DELETE}, {"REQUEST_METHOD=OPTIONS", METHOD_OPTIONS},
        {"REQUEST_METHOD=get", METHOD_OTHER},     {"REQUEST_METHOD=PATCH", METHOD_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        assert_int_equal(cgi_begin(&t, VARIABLES(rows[i].variable, "REQUEST_URI=/api"), "", 0),
                         ERR_OK);
        assert_int_equal(t.request.method, rows[i].method);
        cgi_end(&t);
    }
}

static void started_by_hand_is_an_error(void **state)
{
    struct as_cgi t;
    (void)state;
    assert_int_equal(cgi_begin(&t, VARIABLES("HOME=/"), "", 0), ERR_INVALID);
    cgi_end(&t);
}

static void bad_setting_of_a_request_names_its_variable(void **state)
{
    struct as_cgi t;
    (void)state;
    enum err rc = cgi_begin(
        &t, VARIABLES("REQUEST_METHOD=HEAD", "REQUEST_URI=/api", "LEAT_AUTH_REMOTE_USER=perhaps"),
        "", 0);
    assert_int_equal(rc, ERR_INVALID);
    assert_non_null(strstr(t.error.text, "LEAT_AUTH_REMOTE_USER"));
    /* and it can be answered: */
    assert_int_equal(t.request.method, METHOD_HEAD);
    assert_int_equal(strlen(t.request.request_id), 32);
    assert_ptr_equal(t.request.conf, t.conf);
    cgi_end(&t);
}

static void request_id_is_the_clients_then_the_servers_then_drawn(void **state)
{
    static const struct {
        char *client, *server;
        const char *id; /* NULL: drawn */
    } rows[] = {
        {"HTTP_X_REQUEST_ID=abc.DEF_1-2", "REQUEST_ID=server", "abc.DEF_1-2"},
        {"HTTP_X_REQUEST_ID=", "REQUEST_ID=server", "server"},
        {"HTTP_X_REQUEST_ID=a b", "REQUEST_ID=server", "server"},
        {"HTTP_X_REQUEST_ID=a\"b", "REQUEST_ID=", NULL},
        {"X=", "Y=", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *variables[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", rows[i].client,
                             rows[i].server, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        if (rows[i].id)
            assert_string_equal(t.request.request_id, rows[i].id);
        else
            assert_int_equal(strlen(t.request.request_id), 32);
        cgi_end(&t);
    }
}

static void overlong_request_id_is_not_taken(void **state)
{
    (void)state;
    for (size_t len = REQUEST_ID_MAX; len <= REQUEST_ID_MAX + 1; len++) {
        struct as_cgi t;
        struct buf id = {0};
        buf_str(&id, "HTTP_X_REQUEST_ID=");
        for (size_t i = 0; i < len; i++) buf_char(&id, 'x');
        char *variables[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", id.data, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(strlen(t.request.request_id), len > REQUEST_ID_MAX ? 32 : len);
        buf_free(&id);
        cgi_end(&t);
    }
}

static void query_parameters_are_decoded(void **state)
{
    static const struct {
        const char *query, *name, *value; /* NULL: absent */
        enum err rc;
    } rows[] = {
        {"a=1&b=2", "b", "2", ERR_OK},
        {"a=1&b=2", "c", NULL, ERR_OK},
        {"a=1&a=2", "a", "1", ERR_OK},
        {"a=x+y%2Bz%20%C3%A4", "a", "x y+z \xc3\xa4", ERR_OK},
        {"a=b=c", "a", "b=c", ERR_OK},
        {"a", "a", "", ERR_OK},
        {"a=", "a", "", ERR_OK},
        {"&&a=1", "a", "1", ERR_OK},
        {"%61=1", "a", "1", ERR_OK},
        {"last+event=1", "last event", "1", ERR_OK},
        {"aa=1", "a", NULL, ERR_OK},
        {"=1", "", NULL, ERR_OK},
        {"", "a", NULL, ERR_OK},
        {"a=%", "a", NULL, ERR_INVALID},
        {"a=%0", "a", NULL, ERR_INVALID},
        {"a=%00", "a", NULL, ERR_INVALID},
        {"a=%ff", "a", NULL, ERR_INVALID},
        {"b=%&a=1", "a", "1", ERR_OK}, /* of no concern to who asks for a */
        {"%zz=1&a=1", "a", "1", ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request r = {.query = (char *)rows[i].query};
        struct error e = {0};
        char *value = NULL;
        assert_int_equal(request_query(&r, rows[i].name, &value, &e), rows[i].rc);
        if (rows[i].value)
            assert_string_equal(value, rows[i].value);
        else
            assert_null(value);
        if (rows[i].rc) assert_non_null(strstr(e.text, "'a'"));
        free(value);
    }
}

static void headers_are_found_by_their_http_names(void **state)
{
    struct as_cgi t;
    (void)state;
    enum err rc =
        cgi_begin(&t,
                  VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api", "CONTENT_TYPE=text/plain",
                            "HTTP_IF_NONE_MATCH=\"1\"", "HTTP_ACCEPT=", "REMOTE_USER=eve"),
                  "", 0);
    assert_int_equal(rc, ERR_OK);
    assert_string_equal(request_header(&t.request, "If-None-Match"), "\"1\"");
    assert_string_equal(request_header(&t.request, "if-none-match"), "\"1\"");
    assert_string_equal(request_header(&t.request, "Content-Type"), "text/plain");
    assert_null(request_header(&t.request, "Accept")); /* empty */
    assert_null(request_header(&t.request, "Cookie"));
    assert_null(request_header(&t.request, "Remote-User")); /* a variable, not a header */
    cgi_end(&t);
}

static void fields_that_are_lists_are_joined(void **state)
{
    struct as_cgi t;
    (void)state;
    enum err rc =
        cgi_begin(&t,
                  VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api", "HTTP_PREFER=respond-async",
                            "HTTP_ACCEPT=text/html", "HTTP_PREFER=", "HTTP_PREFER=wait=7",
                            "HTTP_ACCEPT=text/event-stream", "HTTP_COOKIE=a=1", "HTTP_COOKIE=b=2",
                            "HTTP_IF_NONE_MATCH=\"1\"", "HTTP_IF_NONE_MATCH=\"2\"",
                            "HTTP_ORIGIN=http://a", "HTTP_ORIGIN=http://b", "HTTP_PREFERS=wait=1"),
                  "", 0);
    assert_int_equal(rc, ERR_OK);
    assert_string_equal(request_header(&t.request, "Prefer"), "respond-async, wait=7");
    assert_int_equal(request_wait_ms(&t.request), 7000);
    assert_string_equal(request_header(&t.request, "Accept"), "text/html, text/event-stream");
    assert_true(request_accepts(&t.request, "text/event-stream"));
    assert_true(request_etag_listed(request_header(&t.request, "If-None-Match"), "\"1\""));
    assert_string_equal(request_header(&t.request, "Cookie"), "a=1; b=2");
    assert_string_equal(request_header(&t.request, "Origin"), "http://b"); /* the last: no list */
    cgi_end(&t);
}

static void an_empty_header_is_given_all_the_same(void **state)
{
    struct as_cgi t;
    (void)state;
    enum err rc = cgi_begin(&t,
                            VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api",
                                      "HTTP_IDEMPOTENCY_KEY=", "CONTENT_TYPE=a/b"),
                            "", 0);
    assert_int_equal(rc, ERR_OK);
    assert_true(request_header_given(&t.request, "Idempotency-Key"));
    assert_null(request_header(&t.request, "Idempotency-Key"));
    assert_true(request_header_given(&t.request, "Content-Type"));
    assert_false(request_header_given(&t.request, "Prefer"));
    cgi_end(&t);
}

static void a_rewrite_of_apache_does_not_hide_the_credential(void **state)
{
    struct as_cgi t;
    (void)state;
    assert_int_equal(
        cgi_begin(&t,
                  VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api",
                            "HTTP_AUTHORIZATION=", "REDIRECT_HTTP_AUTHORIZATION=Bearer x",
                            "REDIRECT_HTTP_ACCEPT=text/html"),
                  "", 0),
        ERR_OK);
    assert_string_equal(request_header(&t.request, "Authorization"), "Bearer x");
    assert_true(request_header_given(&t.request, "Authorization"));
    assert_null(request_header(&t.request, "Accept"));
    cgi_end(&t);
}

static void accept_weighs_the_types_against_each_other(void **state)
{
    static const char *const types[] = {"text/event-stream", "application/x-ndjson",
                                        "application/json"};
    static const struct {
        const char *accept;
        int index;
    } rows[] = {
        {"application/json", 2},
        {"APPLICATION/X-NDJSON", 1},
        {"text/event-stream;q=0.5, application/json", 2},
        {"text/event-stream;q=0.5, application/json;q=0.50", 0},
        {"text/event-stream;q=0.998, application/json;q=0.999", 2},
        {"application/json;q=0.2, application/x-ndjson;q=0.3, text/html", 1},
        {"application/json, text/plain, */*", 2}, /* named over allowed */
        {"text/*;q=0.9, application/json;q=0.8", 0},
        {"text/*, application/json;q=0.8", 0},
        {"text/event-stream;q=0, */*", 1},
        {"*/*, text/event-stream;q=0", 1},
        {"application/*, application/x-ndjson;q=0", 2},
        {"*/*;q=0.1", 0},
        {"*/*", 0},
        {"text/html,application/xhtml+xml,*/*;q=0.8", 0},
        {"application/json;charset=utf-8;q=0.5, application/x-ndjson;q=0.6", 1},
        {"text/event-stream;q=2", 0},
        {"text/event-stream;q=x, application/json;q=0.001", 2},
        {"text/event-stream;q=0.0009, application/json;q=0.001", 2},
        {"text/event-stream;q=10, application/json;q=1", 2}, /* no weight: 0 */
        {"text/html", -1},
        {"text, tex/*, text/", -1},
        {"*/*;q=0", -1},
        {",;,", -1},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *accept = variable("HTTP_ACCEPT", rows[i].accept);
        assert_int_equal(
            cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api", accept), "", 0),
            ERR_OK);
        int got = request_prefers(&t.request, types, 3);
        if (got != rows[i].index) print_error("Accept: %s\n", rows[i].accept);
        assert_int_equal(got, rows[i].index);
        free(accept);
        cgi_end(&t);
    }
}

static void a_host_is_one_of_those_that_are_listed(void **state)
{
    static const struct {
        char *hosts, *host;
        bool allowed;
    } rows[] = {
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=localhost", true},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=LocalHost:8080", true},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=127.0.0.1:80", true},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=[::1]:8080", true},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=[::1]", true},
        {"LEAT_HTTP_HOSTS=localhost:81,[::1]:9", "HTTP_HOST=localhost:80", true},
        {"LEAT_HTTP_HOSTS=localhost:81,[::1]:9", "HTTP_HOST=[::1]:80", true},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=evil.example", false},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=localhost.evil.example", false},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=[::1", false},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=local", false},
        {"LEAT_HTTP_HOSTS=localhost 127.0.0.1 [::1]", "HTTP_HOST=:80", false},
        {"LEAT_HTTP_HOSTS=localhost", "X=", true}, /* a request without Host */
        {"LEAT_HTTP_HOSTS=", "HTTP_HOST=evil.example", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        assert_int_equal(cgi_begin(&t,
                                   VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api",
                                             rows[i].hosts, rows[i].host),
                                   "", 0),
                         ERR_OK);
        bool got = request_host_allowed(&t.request);
        if (got != rows[i].allowed) print_error("%s %s\n", rows[i].hosts, rows[i].host);
        assert_int_equal(got, rows[i].allowed);
        cgi_end(&t);
    }
}

static void a_proxy_is_believed_only_where_it_is_trusted(void **state)
{
    static const struct {
        char *peer, *first, *second; /* variables */
        const char *address;
        bool tls;
    } rows[] = {
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTP_X_FORWARDED_PROTO=https",
         "1.2.3.4", true},
        {"REMOTE_ADDR=11.0.0.1", "HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTP_X_FORWARDED_PROTO=https",
         "11.0.0.1", false},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=6.6.6.6, 1.2.3.4, 10.9.9.9", "HTTPS=on",
         "1.2.3.4", true},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=6.6.6.6", "HTTP_X_FORWARDED_FOR=1.2.3.4",
         "1.2.3.4", false},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=10.0.0.3,10.0.0.2", "HTTPS=off", "10.0.0.3",
         false},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.2.3.4, unknown, 10.0.0.2",
         "X=", "10.0.0.2", false},
        {"REMOTE_ADDR=10.0.0.1", "HTTP_X_FORWARDED_FOR=1.2.3.4, unix:, ", "X=", "10.0.0.1", false},
        {"REMOTE_ADDR=10.0.0.1", "REQUEST_SCHEME=https", "HTTP_X_FORWARDED_PROTO=http", "10.0.0.1",
         false},
        {"REMOTE_ADDR=10.0.0.1", "REQUEST_SCHEME=https", "HTTP_X_FORWARDED_PROTO=HTTPS, http",
         "10.0.0.1", true},
        {"REMOTE_ADDR=::ffff:10.0.0.1", "HTTP_X_FORWARDED_FOR=[2001:db8::1]:44",
         "REQUEST_SCHEME=https", "2001:db8::1", true},
        {"REMOTE_ADDR=::1", "HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTPS=ON", "1.2.3.4", true},
        {"REMOTE_ADDR=unix:", "HTTP_X_FORWARDED_FOR=1.2.3.4:99", "HTTPS=", "1.2.3.4", false},
        {"REMOTE_ADDR=", "HTTP_X_FORWARDED_FOR=1.2.3.4", "REQUEST_SCHEME=http", "", false},
        {"X=", "HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTP_X_FORWARDED_PROTO=https", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char address[ADDRESS_TEXT_SIZE];
        assert_int_equal(cgi_begin(&t,
                                   VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api",
                                             "LEAT_HTTP_TRUSTED_PROXIES=10.0.0.0/8, ::1 unix:",
                                             rows[i].peer, rows[i].first, rows[i].second),
                                   "", 0),
                         ERR_OK);
        request_address(&t.request, address);
        if (request_tls(&t.request) != rows[i].tls || strcmp(address, rows[i].address) != 0)
            print_error("row %zu: %s\n", i, address);
        assert_string_equal(address, rows[i].address);
        assert_int_equal(request_tls(&t.request), rows[i].tls);
        cgi_end(&t);
    }
}

static void accept_names_a_type_with_a_weight(void **state)
{
    static const struct {
        const char *accept;
        bool sse;
    } rows[] = {
        {"text/event-stream", true},
        {"TEXT/Event-Stream", true},
        {"application/json, text/event-stream;q=0.5", true},
        {"text/event-stream ; charset=utf-8 ; Q=1", true},
        {"text/event-stream;q=0.001", true},
        {"text/event-stream;q=0", false},
        {"text/event-stream; q=0.000", false},
        {"text/event-stream;q=x", false},
        {"text/event-stream;q=0, text/event-stream", true},
        {"*/*", false},
        {"text/*", false},
        {"text/event-streams", false},
        {"text/plain;x=\", text/event-stream\"", false},
        {",,text/event-stream,", true},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *accept = variable("HTTP_ACCEPT", rows[i].accept);
        assert_int_equal(
            cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api", accept), "", 0),
            ERR_OK);
        bool got = request_accepts(&t.request, "text/event-stream");
        if (got != rows[i].sse) print_error("Accept: %s\n", rows[i].accept);
        assert_int_equal(got, rows[i].sse);
        free(accept);
        cgi_end(&t);
    }
}

static void preference_to_wait_is_capped_or_ignored(void **state)
{
    static const struct {
        const char *prefer;
        int64_t ms;
    } rows[] = {
        {"wait=10", 10000},
        {"WAIT = 10", 10000},
        {"wait=\"10\"", 10000},
        {"respond-async, wait=7", 7000},
        {"respond-async; x=\"a, wait=9\", wait=7;y=1", 7000},
        {"wait=5, wait=9", 5000},
        {"wait=x, wait=9", -1},
        {"wait, wait=9", -1},
        {"wait=0", 0},
        {"wait=26", 25000},
        {"wait=99999999999999999999999", 25000},
        {"wait=-1", -1},
        {"wait=1.5", -1},
        {"wait=", -1},
        {"wait=1 2", -1},
        {"return=minimal; wait=3", -1}, /* a parameter of another preference */
        {"waits=3", -1},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *prefer = variable("HTTP_PREFER", rows[i].prefer);
        assert_int_equal(
            cgi_begin(&t, VARIABLES("REQUEST_METHOD=GET", "REQUEST_URI=/api", prefer), "", 0),
            ERR_OK);
        int64_t got = request_wait_ms(&t.request);
        if (got != rows[i].ms) print_error("Prefer: %s\n", rows[i].prefer);
        assert_int_equal(got, rows[i].ms);
        free(prefer);
        cgi_end(&t);
    }
}

static void etags_compare_weakly(void **state)
{
    static const struct {
        const char *list, *etag;
        bool listed;
    } rows[] = {
        {"\"1\"", "\"1\"", true},     {"W/\"1\"", "\"1\"", true},
        {"\"1\"", "W/\"1\"", true},   {"\"0\", W/\"1\"", "W/\"1\"", true},
        {"\"a,b\"", "\"a,b\"", true}, {"*", "\"1\"", true},
        {"\"11\"", "\"1\"", false},   {"1", "\"1\"", false},
        {"\"A\"", "\"a\"", false},    {"w/\"1\"", "\"1\"", false},
        {"", "\"1\"", false},         {NULL, "\"1\"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(request_etag_listed(rows[i].list, rows[i].etag), rows[i].listed);
}

static void the_length_of_a_body_is_a_number_without_a_sign(void **state)
{
    static const struct {
        char *variable;
        enum err rc;
        int64_t length;
    } rows[] = {
        {"CONTENT_LENGTH=4", ERR_OK, 4},
        {"CONTENT_LENGTH=0", ERR_OK, 0},
        {"CONTENT_LENGTH=", ERR_OK, -1},
        {"X=", ERR_OK, -1},
        {"CONTENT_LENGTH=0000000000000000000000000004", ERR_OK, 4},
        {"CONTENT_LENGTH=99999999999999999999999999", ERR_OK, INT64_MAX},
        {"CONTENT_LENGTH=-1", ERR_INVALID, -1},
        {"CONTENT_LENGTH=+4", ERR_INVALID, -1},
        {"CONTENT_LENGTH=4x", ERR_INVALID, -1},
        {"CONTENT_LENGTH=0x4", ERR_INVALID, -1},
        {"CONTENT_LENGTH= 4", ERR_INVALID, -1},
        {"CONTENT_LENGTH=4, 4", ERR_INVALID, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        int64_t length;
        assert_int_equal(
            cgi_begin(&t, VARIABLES("REQUEST_METHOD=POST", "REQUEST_URI=/api", rows[i].variable),
                      "", 0),
            ERR_OK);
        enum err rc = request_body_length(&t.request, &length, &t.error);
        if (rc != rows[i].rc || length != rows[i].length) print_error("%s\n", rows[i].variable);
        assert_int_equal(rc, rows[i].rc);
        assert_int_equal(length, rows[i].length);
        cgi_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_is_split_and_decoded_once),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(long_target_is_refused),
        cmocka_unit_test(without_a_uri_the_decoded_parts_are_taken_as_they_are),
        cmocka_unit_test(prefix_is_a_setting),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(started_by_hand_is_an_error),
        cmocka_unit_test(bad_setting_of_a_request_names_its_variable),
        cmocka_unit_test(request_id_is_the_clients_then_the_servers_then_drawn),
        cmocka_unit_test(overlong_request_id_is_not_taken),
        cmocka_unit_test(query_parameters_are_decoded),
        cmocka_unit_test(headers_are_found_by_their_http_names),
        cmocka_unit_test(fields_that_are_lists_are_joined),
        cmocka_unit_test(an_empty_header_is_given_all_the_same),
        cmocka_unit_test(a_rewrite_of_apache_does_not_hide_the_credential),
        cmocka_unit_test(accept_weighs_the_types_against_each_other),
        cmocka_unit_test(a_host_is_one_of_those_that_are_listed),
        cmocka_unit_test(a_proxy_is_believed_only_where_it_is_trusted),
        cmocka_unit_test(accept_names_a_type_with_a_weight),
        cmocka_unit_test(preference_to_wait_is_capped_or_ignored),
        cmocka_unit_test(etags_compare_weakly),
        cmocka_unit_test(the_length_of_a_body_is_a_number_without_a_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
