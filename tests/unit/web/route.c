#include "as_cgi.h"

#include "web/auth.h"
#include "web/route.h"

#include <stdlib.h>

/* What the table's handlers are given here; what is found stands in `match`. */
struct exchange {
    const struct route_match *match;
    struct site *site;
};

/* What was called: "name:param,param". */
struct site {
    char called[1000];
};

static void note(const struct exchange *x, const char *name)
{
    struct site *site = x->site;
    int n = snprintf(site->called, sizeof site->called, "%s:", name);
    for (size_t i = 0; i < ROUTE_PARAMS_MAX && x->match->params[i]; i++)
        n += snprintf(site->called + n, sizeof site->called - (size_t)n, "%s%s", i ? "," : "",
                      x->match->params[i]);
}

#define HANDLER(name)                                                                              \
    static void name(struct exchange *x)                                                           \
    {                                                                                              \
        note(x, #name);                                                                            \
    }
HANDLER(root)
HANDLER(create)
HANDLER(list)
HANDLER(show)
HANDLER(discard)
HANDLER(file)
HANDLER(summary)
HANDLER(group)
HANDLER(run)
HANDLER(health)
HANDLER(probe)
HANDLER(both)
HANDLER(typed)

static const struct route table[] = {
    {METHOD_GET, "/", 0, 0, TICKET_NONE, root, NULL},
    {METHOD_POST, "/tasks", AUTH_CREATE, 0, TICKET_NONE, create, NULL},
    {METHOD_GET, "/tasks", AUTH_READ, 0, TICKET_NONE, list, NULL},
    {METHOD_GET, "/tasks/{id}", AUTH_READ, 0, TICKET_NONE, show, NULL},
    {METHOD_DELETE, "/tasks/{id}", AUTH_CREATE, 0, TICKET_NONE, discard, NULL},
    {METHOD_GET, "/tasks/{id}/files/{name}", AUTH_READ, 0, TICKET_NONE, file, NULL},
    {METHOD_GET, "/groups/{group}", AUTH_READ, 0, TICKET_NONE, group, NULL},
    {METHOD_GET, "/groups/summary", AUTH_READ, 0, TICKET_NONE, summary, NULL},
    {METHOD_GET, "/run/{type}", AUTH_READ | AUTH_CREATE, ROUTE_CHANGES, TICKET_NONE, run, NULL},
    {METHOD_GET, "/health", 0, 0, TICKET_NONE, health, NULL},
    {METHOD_OPTIONS, "/probe", 0, 0, TICKET_NONE, probe, NULL},
    {METHOD_PUT | METHOD_POST, "/both", 0, 0, TICKET_NONE, both, NULL},
    {METHOD_GET, "/mixed/{id}", 0, 0, TICKET_NONE, typed, NULL},
    {METHOD_POST, "/mixed/{any}", 0, 0, TICKET_NONE, both, NULL},
    {METHOD_GET, "/groups/{group}/log", AUTH_READ, 0, TICKET_GROUP, group, NULL},
    {METHOD_GET, "/plain/{name}", 0, 0, TICKET_NONE, both, NULL},
};

#define ID "0190a6b4-7c1e-7abc-8def-0123456789ab"

/* Goes the way of a request from its path to its handler. */
static void dispatch_to(struct request *request, struct site *site)
{
    struct route_match m;
    if (route_find(table, sizeof table / sizeof *table, request, &m, NULL))
        note(&(struct exchange){.match = &(struct route_match){0}, .site = site}, "invalid");
    else if (!m.row)
        route_refuse(request, &m);
    else if (route_permits(request, m.row))
        m.row->handler(&(struct exchange){.match = &m, .site = site});
    route_match_free(&m);
}

/* The same from the request's line; the answer is the caller's to free. */
static char *dispatch(const char *method, const char *path, const char *owner, unsigned scopes,
                      struct site *site)
{
    struct as_cgi t;
    struct buf m = {0}, u = {0};
    buf_fmt(&m, "REQUEST_METHOD=%s", method);
    buf_fmt(&u, "REQUEST_URI=%s", path);
    char *variables[] = {m.data, u.data, NULL};
    memset(site, 0, sizeof *site);
    assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
    t.request.owner = mem_str(owner);
    t.request.scopes = scopes;
    cgi_catch(&t);
    dispatch_to(&t.request, site);
    char *answer = cgi_answer(&t);
    cgi_end(&t);
    buf_free(&m);
    buf_free(&u);
    return answer;
}

static void request_finds_its_handler(void **state)
{
    static const struct {
        const char *method, *path;
        const char *called; /* "": nobody, with `status` */
        int status;
    } rows[] = {
        {"GET", "/api", "root:", 0},
        {"GET", "/api/tasks", "list:", 0},
        {"HEAD", "/api/tasks", "list:", 0},
        {"POST", "/api/tasks/", "create:", 0},
        {"GET", "/api/tasks/" ID, "show:" ID, 0},
        {"DELETE", "/api/tasks/" ID, "discard:" ID, 0},
        {"GET", "/api/tasks/" ID "/files/a%2Fb.pdf", "file:" ID ",a/b.pdf", 0},
        {"GET", "/api/groups/repo%207", "group:repo 7", 0},
        {"GET", "/api/groups/summary", "summary:", 0}, /* literal before parameter */
        {"GET", "/api/run/word-count_2", "run:word-count_2", 0},
        {"OPTIONS", "/api/probe", "probe:", 0},
        /* "-" stands for a name that no path can carry, where there is one */
        {"GET", "/api/groups/-?group=a%2Fb", "group:a/b", 0},
        {"GET", "/api/groups/-/log?x=1&group=%F0%9F%90%9F", "group:\xf0\x9f\x90\x9f", 0},
        {"GET", "/api/groups/-?group=", "group:", 0},
        {"GET", "/api/groups/-", "group:-", 0},
        {"GET", "/api/groups/g?group=h", "group:g", 0},
        {"GET", "/api/plain/-?group=g", "both:-", 0},
        {"GET", "/api/mixed/" ID "?group=g", "typed:" ID, 0},
        {"PUT", "/api/both", "both:", 0},
        {"POST", "/api/both", "both:", 0},
        {"GET", "/api/mixed/" ID, "typed:" ID, 0}, /* typed before any */
        {"POST", "/api/mixed/x", "both:x", 0},
        {"GET", "/api/mixed/x", "", 405},
        {"GET", "/api/nothing", "", 404},
        {"GET", "/api/tasks/" ID "/files", "", 404},
        {"GET", "/api/tasks/" ID "/files/a/b", "", 404},
        {"GET", "/api/tasks/0190A6B4-7C1E-7ABC-8DEF-0123456789AB", "", 404},
        {"GET", "/api/tasks/" ID "%2Ffiles", "", 404},
        {"GET", "/api/run/Word", "", 404},
        {"GET", "/api/run/..x", "", 404},
        {"GET", "/tasks", "", 404}, /* outside the prefix */
        {"OPTIONS", "/api/nothing", "", 404},
        {"DELETE", "/api/tasks", "", 405},
        {"PATCH", "/api/tasks", "", 405},
        {"HEAD", "/api/both", "", 405},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site site;
        char *answer = dispatch(rows[i].method, rows[i].path, "o", 15, &site);
        if (strcmp(site.called, rows[i].called) != 0)
            print_error("%s %s\n", rows[i].method, rows[i].path);
        assert_string_equal(site.called, rows[i].called);
        if (rows[i].status)
            assert_int_equal(atoi(answer + strlen("Status: ")), rows[i].status);
        else
            assert_string_equal(answer, "");
        free(answer);
    }
}

/* But where a group is named: its handler says what such a name is. */
static void segments_of_more_than_200_bytes_fit_nothing(void **state)
{
    static const struct {
        const char *below;
        int len;
        bool fits;
    } rows[] = {
        {"/api/plain/", 200, true},
        {"/api/plain/", 201, false},
        {"/api/groups/", 200, true},
        {"/api/groups/", 201, true},
    };
    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct site site;
        struct buf path = {0};
        buf_str(&path, rows[row].below);
        for (int i = 0; i < rows[row].len; i++) buf_char(&path, 'g');
        free(dispatch("GET", path.data, "o", 15, &site));
        assert_int_equal(site.called[0] != '\0', rows[row].fits);
        buf_free(&path);
    }
}

static void allowed_methods_are_listed(void **state)
{
    static const struct {
        const char *method, *path, *status, *allow;
    } rows[] = {
        {"OPTIONS", "/api/tasks", "Status: 204 ", "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"},
        {"OPTIONS", "/api/tasks/" ID, "Status: 204 ", "\r\nAllow: GET, HEAD, DELETE, OPTIONS\r\n"},
        {"PATCH", "/api/both", "Status: 405 ", "\r\nAllow: POST, PUT, OPTIONS\r\n"},
        {"PUT", "/api/groups/summary", "Status: 405 ", "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
        /* a GET that may leave something behind */
        {"HEAD", "/api/run/x", "Status: 405 ", "\r\nAllow: GET, OPTIONS\r\n"},
        {"OPTIONS", "/api/run/x", "Status: 204 ", "\r\nAllow: GET, OPTIONS\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site site;
        char *answer = dispatch(rows[i].method, rows[i].path, NULL, 0, &site);
        assert_ptr_equal(strstr(answer, rows[i].status), answer);
        assert_non_null(strstr(answer, rows[i].allow));
        free(answer);
    }
}

static void nobody_is_asked_who_they_are(void **state)
{
    struct site site;
    (void)state;
    /* scopes without an owner are worth nothing */
    char *answer = dispatch("GET", "/api/tasks", NULL, 15, &site);
    assert_ptr_equal(strstr(answer, "Status: 401 "), answer);
    assert_non_null(strstr(answer, "\r\nWWW-Authenticate: Bearer\r\n"));
    assert_string_equal(site.called, "");
    free(answer);
}

static void a_refused_credential_and_a_narrow_ticket_are_told(void **state)
{
    static const struct {
        const char *path, *refused;
        enum ticket_kind ticket;
        bool opens;
        const char *status, *says; /* says NULL: the handler is called */
    } rows[] = {
        {"/api/tasks", "the token has expired", TICKET_NONE, false, "Status: 401 ",
         "\"invalid_token\""},
        {"/api/tasks", "the token has expired", TICKET_NONE, false, "Status: 401 ",
         "\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\n"},
        {"/api/tasks", "the token has expired", TICKET_NONE, false, "Status: 401 ", "has expired"},
        {"/api/health", "the token has expired", TICKET_NONE, false, NULL, NULL},
        {"/api/tasks", NULL, TICKET_TASK, false, "Status: 403 ", "\"ticket_scope\""},
        {"/api/tasks", NULL, TICKET_ALL, true, NULL, NULL},
        {"/api/health", NULL, TICKET_TASK, false, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site site = {""};
        struct as_cgi t;
        struct buf u = {0};
        buf_fmt(&u, "REQUEST_URI=%s", rows[i].path);
        char *variables[] = {"REQUEST_METHOD=GET", u.data, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        t.request.refused = rows[i].refused;
        t.request.ticket = rows[i].ticket;
        t.request.ticket_opens = rows[i].opens;
        t.request.owner = mem_str(rows[i].refused ? NULL : "ann");
        t.request.scopes = rows[i].refused ? 0 : AUTH_READ;
        cgi_catch(&t);
        dispatch_to(&t.request, &site);
        char *answer = cgi_answer(&t);
        assert_int_equal(*site.called != '\0', rows[i].says == NULL);
        if (rows[i].says) {
            assert_ptr_equal(strstr(answer, rows[i].status), answer);
            assert_non_null(strstr(answer, rows[i].says));
        }
        free(answer);
        cgi_end(&t);
        buf_free(&u);
    }
}

static void the_row_is_left_for_those_who_come_after(void **state)
{
    static const struct {
        const char *method, *path;
        const char *route; /* of the path; NULL: there is none */
        unsigned methods;
        bool row;
    } rows[] = {
        {"GET", "/api/tasks/" ID, "/tasks/{id}", METHOD_GET | METHOD_HEAD | METHOD_DELETE, true},
        {"HEAD", "/api/tasks/" ID, "/tasks/{id}", METHOD_GET | METHOD_HEAD | METHOD_DELETE, true},
        {"POST", "/api/tasks/" ID, "/tasks/{id}", METHOD_GET | METHOD_HEAD | METHOD_DELETE, false},
        {"POST", "/api/mixed/x", "/mixed/{any}", METHOD_POST, true},
        {"GET", "/api/x", NULL, 0, false},
        {"GET", "/x", NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        struct buf m = {0}, u = {0};
        struct route_match found;
        buf_fmt(&m, "REQUEST_METHOD=%s", rows[i].method);
        buf_fmt(&u, "REQUEST_URI=%s", rows[i].path);
        char *variables[] = {m.data, u.data, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(route_find(table, sizeof table / sizeof *table, &t.request, &found, NULL),
                         ERR_OK);
        assert_int_equal(found.methods, rows[i].methods);
        assert_int_equal(found.row != NULL, rows[i].row);
        if (rows[i].route)
            assert_string_equal(t.request.route, rows[i].route);
        else
            assert_null(t.request.route);
        route_match_free(&found);
        cgi_end(&t);
        buf_free(&m);
        buf_free(&u);
    }
}

static void a_stream_is_asked_for_by_row_accept_or_follow(void **state)
{
    static const struct route plain = {.flags = 0}, stream = {.flags = ROUTE_STREAM};
    static const struct {
        char *variables[3];
        const struct route *row;
        bool streams;
    } rows[] = {
        {{"REQUEST_URI=/api/x"}, &plain, false},
        {{"REQUEST_URI=/api/x"}, &stream, true},
        {{"REQUEST_URI=/api/x", "HTTP_ACCEPT=text/event-stream"}, &plain, true},
        {{"REQUEST_URI=/api/x", "HTTP_ACCEPT=text/event-stream;q=0"}, &plain, false},
        {{"REQUEST_URI=/api/x", "HTTP_ACCEPT=*/*"}, &plain, false},
        {{"REQUEST_URI=/api/x?follow=1"}, &plain, true},
        {{"REQUEST_URI=/api/x?follow=0"}, &plain, false},
        {{"REQUEST_URI=/api/x?follow=11"}, &plain, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *variables[5] = {"REQUEST_METHOD=GET"};
        memcpy(variables + 1, rows[i].variables, sizeof rows[i].variables);
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(route_streams(&t.request, rows[i].row), rows[i].streams);
        cgi_end(&t);
    }
}

static void open_routes_ask_nobody(void **state)
{
    struct site site;
    (void)state;
    free(dispatch("GET", "/api/health", NULL, 0, &site));
    assert_string_equal(site.called, "health:");
}

static void missing_scopes_are_named(void **state)
{
    static const struct {
        const char *method, *path;
        unsigned scopes;
        const char *says; /* NULL: allowed */
    } rows[] = {
        {"POST", "/api/tasks", AUTH_READ | AUTH_PUBLISH | AUTH_ADMIN, "scope 'create'"},
        {"POST", "/api/tasks", AUTH_CREATE, NULL},
        {"GET", "/api/run/x", AUTH_CREATE, "scope 'read'"},
        {"GET", "/api/run/x", AUTH_ADMIN, "scope 'create', 'read'"},
        {"GET", "/api/run/x", AUTH_CREATE | AUTH_READ, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct site site;
        char *answer = dispatch(rows[i].method, rows[i].path, "o", rows[i].scopes, &site);
        assert_int_equal(site.called[0] == '\0', rows[i].says != NULL);
        if (rows[i].says) {
            assert_ptr_equal(strstr(answer, "Status: 403 "), answer);
            assert_non_null(strstr(answer, "\"code\":\"insufficient_scope\""));
            assert_non_null(strstr(answer, rows[i].says));
        }
        free(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_finds_its_handler),
        cmocka_unit_test(segments_of_more_than_200_bytes_fit_nothing),
        cmocka_unit_test(allowed_methods_are_listed),
        cmocka_unit_test(nobody_is_asked_who_they_are),
        cmocka_unit_test(a_refused_credential_and_a_narrow_ticket_are_told),
        cmocka_unit_test(the_row_is_left_for_those_who_come_after),
        cmocka_unit_test(a_stream_is_asked_for_by_row_accept_or_follow),
        cmocka_unit_test(open_routes_ask_nobody),
        cmocka_unit_test(missing_scopes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
