#include "as_cgi.h"

#include "web/auth.h"
#include "web/route.h"

#include <stdlib.h>

/* What was called: "name:param,param". */
struct site {
    char called[1000];
};

static void note(struct route_match *m, const char *name)
{
    struct site *site = m->site;
    int n = snprintf(site->called, sizeof site->called, "%s:", name);
    for (size_t i = 0; i < ROUTE_PARAMS_MAX && m->params[i]; i++)
        n += snprintf(site->called + n, sizeof site->called - (size_t)n, "%s%s", i ? "," : "",
                      m->params[i]);
}

#define HANDLER(name)                                                                              \
    static void name(struct route_match *m)                                                        \
    {                                                                                              \
        note(m, #name);                                                                            \
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
    {METHOD_GET, "/", 0, root},
    {METHOD_POST, "/tasks", AUTH_CREATE, create},
    {METHOD_GET, "/tasks", AUTH_READ, list},
    {METHOD_GET, "/tasks/{id}", AUTH_READ, show},
    {METHOD_DELETE, "/tasks/{id}", AUTH_CREATE, discard},
    {METHOD_GET, "/tasks/{id}/files/{name}", AUTH_READ, file},
    {METHOD_GET, "/groups/{g}", AUTH_READ, group},
    {METHOD_GET, "/groups/summary", AUTH_READ, summary},
    {METHOD_GET, "/run/{type}", AUTH_READ | AUTH_CREATE, run},
    {METHOD_GET, "/health", 0, health},
    {METHOD_OPTIONS, "/probe", 0, probe},
    {METHOD_PUT | METHOD_POST, "/both", 0, both},
    {METHOD_GET, "/mixed/{id}", 0, typed},
    {METHOD_POST, "/mixed/{any}", 0, both},
};

#define ID "0190a6b4-7c1e-7abc-8def-0123456789ab"

/* Dispatches; the answer is the caller's to free. */
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
    route_dispatch(table, sizeof table / sizeof *table, &t.request, site);
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

static void segments_of_more_than_200_bytes_fit_nothing(void **state)
{
    (void)state;
    for (int len = 200; len <= 201; len++) {
        struct site site;
        struct buf path = {0};
        buf_str(&path, "/api/groups/");
        for (int i = 0; i < len; i++) buf_char(&path, 'g');
        free(dispatch("GET", path.data, "o", 15, &site));
        assert_int_equal(site.called[0] == '\0', len > 200);
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
        route_dispatch(table, sizeof table / sizeof *table, &t.request, &site);
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
        cmocka_unit_test(open_routes_ask_nobody),
        cmocka_unit_test(missing_scopes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
