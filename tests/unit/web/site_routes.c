#include "as_cgi.h"

#include "task/access.h"
#include "web/site_routes.h"

#include <stdlib.h>

static void nobody(struct exchange *x)
{
    (void)x;
}

static const struct route table[] = {
    {METHOD_POST | METHOD_GET, "/tasks", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET | METHOD_DELETE, "/tasks/{id}", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/tasks/{id}/events", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/tasks/{id}/files/{name}", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/groups/{group}", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_PUT, "/groups/{group}/context", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/groups/{group}/events", 0, 0, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/run/{type}", 0, ROUTE_CHANGES, TICKET_NONE, nobody, NULL},
    {METHOD_GET, "/health", 0, 0, TICKET_NONE, nobody, NULL},
};
enum { ROUTES = sizeof table / sizeof *table };

#define ID "0190a6b4-7c1e-7abc-8def-0123456789ab"

/* The rows of these settings. */
static enum err open_rows(const char *text, struct site_routes **out, struct conf **conf,
                          struct error *e)
{
    char path[40];
    int fd = file_with(text, strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum err rc = conf_load(conf, path, NULL, e);
    close(fd);
    return rc ? rc : site_routes_open(out, *conf, table, ROUTES, e);
}

/* "segment|segment ?query" of what a request becomes; "" when no row fits; "METHODS" when none is of its method. */
static char *becomes(const struct site_routes *rows, const char *method, const char *uri,
                     struct error *e)
{
    struct as_cgi t;
    struct buf m = {0}, u = {0}, out = {0};
    unsigned methods = 0;
    buf_fmt(&m, "REQUEST_METHOD=%s", method);
    buf_fmt(&u, "REQUEST_URI=%s", uri);
    char *variables[] = {m.data, u.data, NULL};
    assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
    char *query = mem_str(t.request.query);
    bool below = t.request.below_prefix;
    size_t count = t.request.segment_count;
    char *first = mem_str(count ? t.request.segments[0] : "");
    buf_str(&out, "");
    enum err rc = site_routes_apply(rows, &t.request, &methods, e);
    bool same = !strcmp(t.request.query, query) && t.request.segment_count == count &&
                t.request.below_prefix == below &&
                (!count || !strcmp(t.request.segments[0], first));
    if (rc || methods) assert_true(same);
    if (methods) buf_fmt(&out, "%u", methods);
    for (size_t i = 0; !rc && !methods && !same && i < t.request.segment_count; i++)
        buf_fmt(&out, "%s%s", i ? "|" : "", t.request.segments[i]);
    if (!rc && !methods && !same) {
        assert_true(t.request.below_prefix);
        buf_fmt(&out, " ?%s", t.request.query);
    }
    free(query);
    free(first);
    cgi_end(&t);
    buf_free(&m);
    buf_free(&u);
    return out.data;
}

static const char rows_of_a_site[] =
    "[routes]\n"
    "POST /api/generate-async = /tasks?type=generate&dialect=flat\n"
    "  GET   /api/generate-async/{id}\t=  /tasks/{id}?dialect=flat  ; as it was before\n"
    "GET /api/generate-async/{id}/stream = /tasks/{id}/events?dialect=flat\n"
    "DELETE /api/generate-async/{id} = /tasks/{id}\n"
    "GET /api/app/chat/stream?session_id={s}&message={m} = "
    "/run/chat?group={s}&input={m}&dialect=flat\n"
    "GET /api/repositories/{id}/events = /groups/{id}/events?dialect=repo\n"
    "# outside of the prefix\n"
    "GET /old/status?task={t} = /tasks/{t}\n"
    "GET /old/file/{n}/of/{t-1} = /tasks/{t-1}/files/{n}\n"
    "GET /old/index.php?do=list = /tasks\n"
    "GET /old/index.php?do=show&id={id} = /tasks/{id}\n"
    "GET /old/index.php = /health\n"
    "GET /in/{a}/c = /groups/first\n"
    "GET /in/b/{d} = /groups/second\n"
    "GET /in/b/{d}/{e} = /groups/none\n"
    "GET /in/b/{d}/e = /groups/literal\n"
    "PUT /in/b/{d}/{e} = /groups/{e}/context\n"
    "GET /caf%C3%A9/{g}/%7Bx%7D = /groups/{g}?a=%26b&c=d+e&f=\n"
    "GET / = /tasks\n";

static void a_request_becomes_what_its_row_says(void **state)
{
    static const struct {
        const char *method, *uri, *becomes;
    } cases[] = {
        {"POST", "/api/generate-async", "tasks ?type=generate&dialect=flat"},
        {"POST", "//api/generate-async/?group=g%201&x",
         "tasks ?type=generate&dialect=flat&group=g%201&x"},
        /* of the target's own parameters none is the client's */
        {"POST", "/api/generate-async?type=other&%74ype=b&dialect=repo&a=1",
         "tasks ?type=generate&dialect=flat&a=1"},
        {"GET", "/api/generate-async/" ID, "tasks|" ID " ?dialect=flat"},
        {"HEAD", "/api/generate-async/" ID, "tasks|" ID " ?dialect=flat"},
        {"DELETE", "/api/generate-async/" ID, "tasks|" ID " ?"},
        {"GET", "/api/generate-async/" ID "/stream?last_event_id=a-1",
         "tasks|" ID "|events ?dialect=flat&last_event_id=a-1"},
        {"GET", "/api/app/chat/stream?session_id=s+1%2F%26&message=what%3F+%C3%A4%20%2B&key=k",
         "run|chat ?group=s%201%2F%26&input=what%3F%20%C3%A4%20%2B&dialect=flat&key=k"},
        {"GET", "/api/app/chat/stream?message=&input=mine&group=mine",
         "run|chat ?input=&dialect=flat"},
        {"GET", "/api/repositories/a%2Fb/events", "groups|a/b|events ?dialect=repo"},
        {"GET", "/api/repositories/-/events?group=a%2Fb",
         "groups|-|events ?dialect=repo&group=a%2Fb"},
        {"GET", "/old/status?x=1&task=" ID "&y", "tasks|" ID " ?x=1&y"},
        {"GET", "/old/status?task=a%2Fb+c", "tasks|a/b c ?"},
        {"GET", "/old/file/a%20b.png/of/" ID, "tasks|" ID "|files|a b.png ?"},
        {"GET", "/old/index.php?do=list&page_size=2", "tasks ?page_size=2"},
        {"GET", "/old/index.php?id=7&do=show", "tasks|7 ?"},
        {"GET", "/old/index.php?do=what", "health ?do=what"},
        /* more literal segments win, then the first row */
        {"GET", "/in/b/c", "groups|first ?"},
        {"GET", "/in/b/x", "groups|second ?"},
        {"GET", "/in/b/c/e", "groups|literal ?"},
        {"GET", "/in/b/c/x", "groups|none ?"},
        {"PUT", "/in/b/c/e", "groups|e|context ?"},
        {"GET", "/caf%c3%a9/a+b/%7bx%7d", "groups|a+b ?a=%26b&c=d%20e&f="},
        {"GET", "/?a", "tasks ?a"},
        /* the path is known, the method is not */
        {"GET", "/api/generate-async", "4"},
        {"OPTIONS", "/api/generate-async/x", "19"},
        {"POST", "/in/b/c/e", "11"},
        {"PATCH", "/", "3"},
        {"HEAD", "/api/app/chat/stream?message=a", "1"}, /* its target may leave something behind */
        /* none of the site's */
        {"GET", "/api/tasks", ""},
        {"GET", "/generate-async/" ID, ""},
        {"GET", "/api/in/b/c", ""},
        {"GET", "/api/repositories/a/b/events", ""},
        {"GET", "/old", ""},
        {"GET", "/api", ""},
    };
    struct site_routes *rows = NULL;
    struct conf *conf = NULL;
    struct error e = {0};
    (void)state;
    if (open_rows(rows_of_a_site, &rows, &conf, &e)) fail_msg("%s", e.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = becomes(rows, cases[i].method, cases[i].uri, NULL);
        if (strcmp(got, cases[i].becomes) != 0)
            print_error("%s %s\n", cases[i].method, cases[i].uri);
        assert_string_equal(got, cases[i].becomes);
        free(got);
    }
    site_routes_close(rows);
    conf_free(conf);
}

static void what_a_segment_needs_may_not_be_missing(void **state)
{
    struct site_routes *rows = NULL;
    struct conf *conf = NULL;
    struct error e = {0};
    (void)state;
    assert_int_equal(open_rows(rows_of_a_site, &rows, &conf, &e), ERR_OK);
    char *got = becomes(rows, "GET", "/old/status?tasks=1", &e);
    assert_string_equal(got, "");
    assert_int_equal(e.code, ERR_INVALID);
    assert_string_equal(e.text, "query parameter 'task' is missing");
    free(got);
    site_routes_close(rows);
    conf_free(conf);
}

static void a_prefix_of_the_request_counts(void **state)
{
    static const struct {
        const char *prefix, *uri;
        bool fits;
    } cases[] = {
        {"LEAT_HTTP_PREFIX=/v1", "REQUEST_URI=/api/generate-async", true},
        {"LEAT_HTTP_PREFIX=/api/v1", "REQUEST_URI=/api/generate-async", true},
        {"LEAT_HTTP_PREFIX=/", "REQUEST_URI=/api/generate-async", true},
        {"LEAT_HTTP_PREFIX=/v1", "REQUEST_URI=/v1/generate-async", false},
    };
    struct site_routes *rows = NULL;
    struct conf *conf = NULL;
    (void)state;
    assert_int_equal(open_rows(rows_of_a_site, &rows, &conf, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct as_cgi t;
        unsigned methods;
        char *variables[] = {"REQUEST_METHOD=POST", (char *)cases[i].prefix, (char *)cases[i].uri,
                             NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(site_routes_apply(rows, &t.request, &methods, NULL), ERR_OK);
        assert_int_equal(!strcmp(t.request.segments[0], "tasks"), cases[i].fits);
        cgi_end(&t);
    }
    site_routes_close(rows);
    conf_free(conf);
}

static void a_row_that_cannot_be_is_named_by_file_and_line(void **state)
{
    static const struct {
        const char *row, *says;
    } cases[] = {
        {"GET /a=/tasks", "'GET /a=/tasks' is not METHOD PATH = TARGET"},
        {"GET /a:b", "'GET /a:b' is not METHOD PATH = TARGET"},
        {"GET = /tasks", "GET: 'GET = /tasks' is not METHOD PATH = TARGET"},
        {"GET /a /b = /tasks", "GET /a /b: 'GET /a /b = /tasks' is not METHOD PATH = TARGET"},
        {"GET /a = /tasks = /x", "GET /a: 'GET /a = /tasks = /x' is not METHOD PATH = TARGET"},
        {"GET /a = ", "'GET /a =' is not METHOD PATH = TARGET"},
        {"get /a = /tasks", "get /a: the method is GET (with HEAD), POST, PUT or DELETE"},
        {"PATCH /a = /tasks", "PATCH /a: the method is GET (with HEAD), POST, PUT or DELETE"},
        {"GET a = /tasks", "GET a: 'a' does not begin with /"},
        {"GET /a = tasks", "GET /a: 'tasks' does not begin with /"},
        {"GET /a#b = /tasks", "GET /a#b: '/a#b' has a #"},
        {"GET /a/../b = /tasks", "GET /a/../b: the path has a '..'"},
        {"GET /%zz = /tasks", "GET /%zz: the path is not percent-encoded UTF-8"},
        {"GET /a = /tasks?a=%zz", "GET /a: the query is not percent-encoded UTF-8"},
        {"GET /a = /tasks?a=1&%61=2", "GET /a: query parameter 'a' comes twice"},
        {"GET /a{x} = /tasks", "GET /a{x}: 'a{x}' is not {name} and nothing else"},
        {"GET /{} = /tasks", "GET /{}: '{}' is not {name} and nothing else"},
        {"GET /{a.b} = /tasks", "GET /{a.b}: '{a.b}' is not {name} and nothing else"},
        {"GET /a?x={x}y = /tasks", "GET /a?x={x}y: '{x}y' is not {name} and nothing else"},
        {"GET /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17 = /tasks",
         "GET /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17: the path is too deep"},
        /* names */
        {"GET /a/{x}/{x} = /tasks", "GET /a/{x}/{x}: {x} is bound twice"},
        {"GET /a/{x}?y={x} = /tasks", "GET /a/{x}?y={x}: {x} is bound twice"},
        {"GET /a/{x} = /tasks/{y}", "GET /a/{x}: {y} is not bound"},
        {"GET /a = /tasks?type={t}", "GET /a: {t} is not bound"},
        /* routes */
        {"GET /a = /nothing", "GET /a: the target names no route"},
        {"GET /a = /api/tasks", "GET /a: the target names no route"},
        {"GET /a = /tasks/7", "GET /a: the target names no route"},
        {"GET /a/{x} = /{x}", "GET /a/{x}: the target names no route"},
        {"GET /a/{x} = /tasks/" ID "/{x}", "GET /a/{x}: the target names no route"},
        {"PUT /a = /tasks", "PUT /a: the target does not know that method"},
        {"POST /a/{x} = /tasks/{x}", "POST /a/{x}: the target does not know that method"},
        /* Leat's own */
        {"GET /api/tasks = /health", "GET /api/tasks: this is a path of Leat's own, /api/tasks"},
        {"PUT /api/health = /groups/x/context",
         "PUT /api/health: this is a path of Leat's own, /api/health"},
        {"GET /api/tasks/{x} = /groups/{x}",
         "GET /api/tasks/{x}: this is a path of Leat's own, /api/tasks/{id}"},
        {"GET /api/{x} = /groups/{x}", "GET /api/{x}: this is a path of Leat's own, /api/tasks"},
        {"GET /api/tasks/" ID " = /tasks",
         "GET /api/tasks/" ID ": this is a path of Leat's own, /api/tasks/{id}"},
        {"GET /api/run/chat = /tasks",
         "GET /api/run/chat: this is a path of Leat's own, /api/run/{type}"},
        {"GET /api/groups/x/{y} = /tasks",
         "GET /api/groups/x/{y}: this is a path of Leat's own, /api/groups/{group}/context"},
        /* twice */
        {"GET /here = /health", "GET /here: the same method and path come twice"},
        {"GET //here/ = /health", "GET //here/: the same method and path come twice"},
        {"GET /here/{other} = /health", "GET /here/{other}: the same method and path come twice"},
        {"GET /here?a={a} = /health", "GET /here?a={a}: the same method and path come twice"},
        /* fine */
        {"POST /here = /tasks", NULL},
        {"GET /here?a=1 = /health", NULL},
        {"GET /here/x = /health", NULL},
        {"GET /{a}/{b}/{c} = /tasks", NULL}, /* not below the prefix */
        {"GET /api/tasks/latest = /tasks?page_size=1", NULL},
        {"GET /x:y/{a} = /tasks/{a}", NULL},
        {"GET /a/{unused} = /tasks", NULL},
        {"GET /a = /tasks/" ID, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct site_routes *rows = NULL;
        struct conf *conf = NULL;
        struct error e = {0};
        struct buf text = {0};
        buf_fmt(&text, "[routes]\nGET /here = /tasks\nGET /here/{id} = /tasks/{id}\n\n%s\n",
                cases[i].row);
        enum err rc = open_rows(text.data, &rows, &conf, &e);
        const char *at = strstr(e.text, ":5: [routes] ");
        if (cases[i].says) {
            if (!rc) print_error("%s\n", cases[i].row);
            assert_int_equal(rc, ERR_INVALID);
            assert_non_null(at);
            assert_string_equal(at + strlen(":5: [routes] "), cases[i].says);
            assert_null(rows);
        } else {
            if (rc) print_error("%s: %s\n", cases[i].row, e.text);
            assert_int_equal(rc, ERR_OK);
        }
        site_routes_close(rows);
        conf_free(conf);
        buf_free(&text);
    }
}

static void rows_are_bounded_in_number_and_as_long_as_a_line(void **state)
{
    struct site_routes *rows = NULL;
    struct conf *conf = NULL;
    struct error e = {0};
    struct buf text = {0};
    (void)state;
    buf_str(&text, "[routes]\n");
    for (int i = 0; i <= CONF_ROUTES_MAX; i++) {
        if (i == CONF_ROUTES_MAX) {
            assert_int_equal(open_rows(text.data, &rows, &conf, &e), ERR_OK);
            char *got = becomes(rows, "GET", "/a/499", NULL);
            assert_string_equal(got, "tasks ?");
            free(got);
            site_routes_close(rows);
            conf_free(conf);
        }
        buf_fmt(&text, "GET /a/%d = /tasks\n", i);
    }
    assert_int_equal(open_rows(text.data, &rows, &conf, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, ":502: [routes]: more than 500 rows"));

    buf_clear(&text);
    buf_str(&text, "[routes]\nGET /long/");
    while (text.len < strlen("[routes]\n") + 198 - strlen(" = /tasks?a=b")) buf_char(&text, 'x');
    buf_str(&text, " = /tasks?a=b\n");
    char path[256] = "/long/";
    memset(path + strlen(path), 'x', 198 - strlen("GET /long/ = /tasks?a=b"));
    assert_int_equal(open_rows(text.data, &rows, &conf, &e), ERR_OK);
    char *got = becomes(rows, "GET", path, NULL);
    assert_string_equal(got, "tasks ?a=b");
    free(got);
    site_routes_close(rows);
    conf_free(conf);
    buf_free(&text);
}

static void web_servers_are_told_what_lies_outside_of_the_prefix(void **state)
{
    struct site_routes *rows = NULL;
    struct conf *conf = NULL;
    struct buf out = {0};
    (void)state;
    assert_int_equal(open_rows(rows_of_a_site, &rows, &conf, NULL), ERR_OK);
    site_routes_paths(rows, &out);
    assert_string_equal(out.data, "^/old/status/?$\n^/old/file/.+/of/.+$\n^/old/index\\x2Ephp/?$\n"
                                  "^/in/.+/c/?$\n^/in/b/.+$\n^/in/b/.+/.+$\n^/in/b/.+/e/?$\n"
                                  "^/caf\\xC3\\xA9/.+/\\x7Bx\\x7D/?$\n^/$\n");
    buf_free(&out);
    site_routes_close(rows);
    conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_what_its_row_says),
        cmocka_unit_test(what_a_segment_needs_may_not_be_missing),
        cmocka_unit_test(a_prefix_of_the_request_counts),
        cmocka_unit_test(a_row_that_cannot_be_is_named_by_file_and_line),
        cmocka_unit_test(rows_are_bounded_in_number_and_as_long_as_a_line),
        cmocka_unit_test(web_servers_are_told_what_lies_outside_of_the_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
