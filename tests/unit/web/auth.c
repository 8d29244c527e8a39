#include "../store/fixture.h"
#include "as_cgi.h"

#include "store/credentials.h"
#include "web/auth.h"

static void nothing(struct exchange *x)
{
    (void)x;
}

/* Rows as a site has them: what the first parameter names is what tickets are looked at by. */
static const struct route table[] = {
    {METHOD_GET | METHOD_POST, "/tasks", 0, 0, TICKET_NONE, nothing, NULL},
    {METHOD_GET | METHOD_DELETE, "/tasks/{id}", 0, 0, TICKET_TASK, nothing, NULL},
    {METHOD_GET, "/tasks/{id}/events", 0, 0, TICKET_TASK, nothing, NULL},
    {METHOD_GET, "/tasks/{id}/files/{name}", 0, 0, TICKET_TASK, nothing, NULL},
    {METHOD_POST, "/tasks/{id}/cancel", 0, 0, TICKET_TASK, nothing, NULL},
    {METHOD_GET, "/groups", 0, 0, TICKET_NONE, nothing, NULL},
    {METHOD_GET, "/groups/{group}", 0, 0, TICKET_GROUP, nothing, NULL},
    {METHOD_GET | METHOD_PUT, "/groups/{group}/context", 0, 0, TICKET_GROUP, nothing, NULL},
    {METHOD_POST, "/groups/{group}/events", 0, 0, TICKET_GROUP, nothing, NULL},
    {METHOD_GET, "/events", 0, 0, TICKET_NONE, nothing, NULL},
    {METHOD_GET, "/run/{type}", 0, 0, TICKET_RUN, nothing, NULL},
    {METHOD_GET, "/types", 0, 0, TICKET_NONE, nothing, NULL},
    {METHOD_POST, "/tickets", 0, 0, TICKET_NONE, nothing, NULL},
};

/* Finds the row and who asks for it, as the server does. */
static enum err identify(struct request *request, struct db *db, struct error *e)
{
    struct route_match m;
    enum err rc = route_find(table, sizeof table / sizeof *table, request, &m, e);
    if (!rc) rc = auth_identify(request, &m, db, e);
    route_match_free(&m);
    return rc;
}

enum { USUAL = AUTH_CREATE | AUTH_READ | AUTH_PUBLISH };

static void asker_is_found_by_what_is_configured(void **state)
{
    static const struct {
        char *variables[5];
        const char *owner; /* NULL: nobody */
        unsigned scopes;
    } rows[] = {
        {{NULL}, NULL, 0},
        {{"LEAT_AUTH_ANONYMOUS=guest"}, "guest", USUAL},
        {{"REMOTE_USER=ann"}, NULL, 0}, /* not trusted unless told so */
        {{"REMOTE_USER=ann", "LEAT_AUTH_ANONYMOUS=guest"}, "guest", USUAL},
        {{"REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=yes"}, "ann", USUAL},
        {{"REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=no"}, NULL, 0},
        {{"HTTP_REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=yes"}, NULL, 0}, /* a client's header */
        {{"REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=yes", "LEAT_AUTH_ANONYMOUS=guest",
          "LEAT_AUTH_ANONYMOUS_SCOPE=admin"},
         "ann",
         USUAL},
        {{"REMOTE_USER=", "LEAT_AUTH_REMOTE_USER=yes", "LEAT_AUTH_ANONYMOUS=guest"},
         "guest",
         USUAL},
        {{"REMOTE_USER=", "LEAT_AUTH_REMOTE_USER=yes"}, NULL, 0},
        /* the server has checked the credential itself */
        {{"REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=yes", "HTTP_AUTHORIZATION=Basic x"},
         "ann",
         USUAL},
    };
    struct room *r = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *variables[8] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api"};
        memcpy(variables + 2, rows[i].variables, sizeof rows[i].variables);
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(identify(&t.request, r->db, &t.error), ERR_OK);
        if (rows[i].owner)
            assert_string_equal(t.request.owner, rows[i].owner);
        else
            assert_null(t.request.owner);
        assert_int_equal(t.request.scopes, rows[i].scopes);
        cgi_end(&t);
    }
}

/* What a browser sends by itself, for a page that anybody may have made. */
static void a_page_that_anybody_may_have_made_asks_in_nobodys_name(void **state)
{
    static const struct {
        char *variables[3];
        const char *owner; /* of who shows the cookie, or is REMOTE_USER */
    } pages[] = {
        {{"X="}, "ann"},
        {{"HTTP_ORIGIN=https://h.example", "HTTP_HOST=h.example", "HTTPS=on"}, "ann"},
        {{"HTTP_ORIGIN=https://a.example", "HTTP_HOST=h.example"}, "ann"}, /* listed by name */
        {{"HTTP_ORIGIN=https://evil.example", "HTTP_HOST=h.example"}, "guest"},
        {{"HTTP_ORIGIN=null", "HTTP_HOST=h.example"}, "guest"},
    };
    struct room *r = *state;
    char secret[SECRET_SIZE], shown[3][80];
    unsigned char hash[SECRET_HASH_BYTES];
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    struct credential c = {.owner = (char *)"ann", .scopes = AUTH_READ, .expires_at = TASK_NONE};
    int64_t id;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, credential_add(r->db, &c, hash, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    snprintf(shown[0], sizeof shown[0], "HTTP_COOKIE=session=%s", secret);
    snprintf(shown[1], sizeof shown[1], "REMOTE_USER=ann");
    snprintf(shown[2], sizeof shown[2], "HTTP_AUTHORIZATION=Bearer %s", secret);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        for (size_t k = 0; k < 3; k++) {
            struct as_cgi t;
            char *variables[12] = {"REQUEST_METHOD=POST",
                                   "REQUEST_URI=/api/tasks",
                                   "LEAT_AUTH_ANONYMOUS=guest",
                                   "LEAT_AUTH_REMOTE_USER=yes",
                                   "LEAT_AUTH_TOKEN_COOKIE=session",
                                   "LEAT_HTTP_ALLOWED_ORIGINS=https://a.example *",
                                   shown[k]};
            memcpy(variables + 7, pages[i].variables, sizeof pages[i].variables);
            assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
            assert_int_equal(identify(&t.request, r->db, &t.error), ERR_OK);
            /* a script has to have what it shows by a header */
            assert_string_equal(t.request.owner, k == 2 ? "ann" : pages[i].owner);
            cgi_end(&t);
        }
}

static void unknown_credential_is_nobody_not_anonymous(void **state)
{
    static const struct {
        char *variables[3];
        bool refused; /* a credential of ours, or what looks like one */
    } rows[] = {
        {{"HTTP_AUTHORIZATION=Bearer abc"}, true},
        {{"HTTP_AUTHORIZATION=bearer leat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, true},
        {{"HTTP_AUTHORIZATION=Bearer"}, true},
        {{"HTTP_AUTHORIZATION=Bearer a.b.c"}, true},
#ifdef LEAT_JWT
        {{"HTTP_AUTHORIZATION=Bearer a.b.c", "LEAT_AUTH_JWT_SECRET=x"}, true},
#endif
        {{"HTTP_AUTHORIZATION=Bearer x", "REMOTE_USER=ann", "LEAT_AUTH_REMOTE_USER=yes"}, true},
        {{"REQUEST_URI=/api?ticket=abc"}, true},
        {{"REQUEST_URI=/api?ticket="}, true},
        {{"HTTP_COOKIE=a=b; leat_ticket=abc"}, true},
        {{"HTTP_AUTHORIZATION=Basic YTpi"}, false},
        {{"HTTP_AUTHORIZATION=nonsense"}, false},
        {{"HTTP_AUTHORIZATION=Bearerabc"}, false},
    };
    struct room *r = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *variables[8] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api",
                              "LEAT_AUTH_ANONYMOUS=guest"};
        memcpy(variables + 3, rows[i].variables, sizeof rows[i].variables);
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(identify(&t.request, r->db, NULL), ERR_OK);
        assert_null(t.request.owner);
        assert_int_equal(t.request.scopes, 0);
        assert_int_equal(t.request.refused != NULL, rows[i].refused);
        cgi_end(&t);
    }
}

/* ---- tokens and tickets ---- */

#define NOBODYS "0190a6b4-7c1e-7abc-8def-0123456789bb"

/* Adds a credential and its secret; valid for a minute unless it says otherwise. */
static int64_t give(struct room *r, char secret[SECRET_SIZE], struct credential c)
{
    unsigned char hash[SECRET_HASH_BYTES];
    int64_t id = 0;
    secret_new(secret);
    secret_hash(hash, secret, strlen(secret));
    c.owner = (char *)"ann";
    c.created_at = clock_wall_ms();
    if (!c.expires_at) c.expires_at = c.created_at + 60000;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, credential_add(r->db, &c, hash, &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    return id;
}

/* A request that shows something; "%s" in `shown` is the secret. */
static void ask(struct room *r, struct as_cgi *t, const char *method, const char *path,
                const char *shown, const char *secret)
{
    struct buf m = {0}, u = {0}, s = {0};
    buf_fmt(&m, "REQUEST_METHOD=%s", method);
    buf_fmt(&u, "REQUEST_URI=%s%s%s", path,
            *shown != '?'       ? ""
            : strchr(path, '?') ? "&ticket="
                                : "?ticket=",
            *shown == '?' ? secret : "");
    buf_fmt(&s, "%s%s", *shown == '?' ? "X=" : shown, secret);
    char *variables[] = {m.data, u.data, s.data, "LEAT_AUTH_ANONYMOUS=guest", NULL};
    assert_int_equal(cgi_begin(t, variables, "", 0), ERR_OK);
    assert_int_equal(identify(&t->request, r->db, &t->error), ERR_OK);
    buf_free(&m);
    buf_free(&u);
    buf_free(&s);
}

static void a_token_may_come_by_the_names_that_are_set(void **state)
{
    static const struct {
        const char *uri, *cookie; /* "%s" is the secret */
        char *query_name, *cookie_name;
        const char *owner; /* NULL: nobody */
    } rows[] = {
        {"/api?access=%s", "", "LEAT_AUTH_TOKEN_QUERY=access", "X=", "ann"},
        {"/api?access=%s", "", "X=", "X=", "guest"},
        {"/api?access=wrong", "session=%s", "LEAT_AUTH_TOKEN_QUERY=access",
         "LEAT_AUTH_TOKEN_COOKIE=session", NULL},
        {"/api?ticket=wrong", "session=%s", "X=", "LEAT_AUTH_TOKEN_COOKIE=session", NULL},
        {"/api", "a=b; session=%s", "X=", "LEAT_AUTH_TOKEN_COOKIE=session", "ann"},
        {"/api", "session=%s; leat_ticket=wrong", "X=", "LEAT_AUTH_TOKEN_COOKIE=session", "ann"},
        {"/api", "session=%s", "LEAT_AUTH_TOKEN_QUERY=access", "X=", "guest"},
        {"/api", "session=wrong", "X=", "LEAT_AUTH_TOKEN_COOKIE=session", NULL},
    };
    struct room *r = *state;
    char secret[SECRET_SIZE];
    give(r, secret, (struct credential){.scopes = AUTH_READ});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct route_match m = {0};
        struct as_cgi t;
        char uri[200], cookie[200];
        const char *at = strstr(rows[i].uri, "%s"), *in = strstr(rows[i].cookie, "%s");
        snprintf(uri, sizeof uri, "REQUEST_URI=%.*s%s", at ? (int)(at - rows[i].uri) : 100,
                 rows[i].uri, at ? secret : "");
        snprintf(cookie, sizeof cookie, "HTTP_COOKIE=%.*s%s%s",
                 in ? (int)(in - rows[i].cookie) : 100, rows[i].cookie, in ? secret : "",
                 in ? in + 2 : "");
        char *variables[] = {
            "REQUEST_METHOD=GET",        uri, cookie, rows[i].query_name, rows[i].cookie_name,
            "LEAT_AUTH_ANONYMOUS=guest", NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(auth_identify(&t.request, &m, r->db, &t.error), ERR_OK);
        if (rows[i].owner)
            assert_string_equal(t.request.owner, rows[i].owner);
        else
            assert_null(t.request.owner);
        cgi_end(&t);
    }
}

static void a_token_says_who_and_what(void **state)
{
    struct room *r = *state;
    struct as_cgi t;
    char secret[SECRET_SIZE];
    int64_t id = give(r, secret, (struct credential){.scopes = AUTH_READ | AUTH_PUBLISH});
    ask(r, &t, "POST", "/api/tasks", "HTTP_AUTHORIZATION=Bearer ", secret);
    assert_string_equal(t.request.owner, "ann");
    assert_int_equal(t.request.scopes, AUTH_READ | AUTH_PUBLISH);
    assert_int_equal(t.request.credential, id);
    assert_true(t.request.expires_at < INT64_MAX);
    assert_int_equal(t.request.ticket, TICKET_NONE);
    assert_null(t.request.refused);
    cgi_end(&t);

    give(r, secret, (struct credential){.scopes = AUTH_READ, .expires_at = TASK_NONE});
    ask(r, &t, "GET", "/api/tasks", "HTTP_AUTHORIZATION=bEARER  ", secret);
    assert_string_equal(t.request.owner, "ann");
    assert_int_equal(t.request.expires_at, INT64_MAX);
    cgi_end(&t);
}

static void each_travels_by_its_own_road(void **state)
{
    struct room *r = *state;
    struct as_cgi t;
    char token[SECRET_SIZE], ticket[SECRET_SIZE];
    static const char *const roads[] = {"?",
                                        "HTTP_COOKIE=leat_ticket=", "HTTP_COOKIE=a=b;leat_ticket="};
    give(r, token, (struct credential){.scopes = AUTH_READ});
    give(r, ticket, (struct credential){.scopes = AUTH_READ, .ticket = TICKET_ALL});
    for (size_t i = 0; i < 3; i++) {
        ask(r, &t, "GET", "/api/events", roads[i], ticket);
        assert_string_equal(t.request.owner, "ann");
        assert_int_equal(t.request.ticket, TICKET_ALL);
        assert_true(t.request.ticket_opens);
        cgi_end(&t);
        ask(r, &t, "GET", "/api/events", roads[i], token); /* a token in a URL is a mistake */
        assert_null(t.request.owner);
        assert_non_null(t.request.refused);
        cgi_end(&t);
    }
    ask(r, &t, "GET", "/api/events", "HTTP_AUTHORIZATION=Bearer ", ticket);
    assert_null(t.request.owner);
    cgi_end(&t);
    ask(r, &t, "GET", "/api/events", "HTTP_COOKIE=xleat_ticket=", ticket);
    assert_string_equal(t.request.owner, "guest"); /* not our cookie */
    cgi_end(&t);
}

static void what_is_over_is_refused_with_its_reason(void **state)
{
    struct room *r = *state;
    struct as_cgi t;
    char secret[SECRET_SIZE];
    give(r, secret, (struct credential){.scopes = AUTH_READ, .expires_at = T0});
    ask(r, &t, "GET", "/api/events", "HTTP_AUTHORIZATION=Bearer ", secret);
    assert_null(t.request.owner);
    assert_non_null(strstr(t.request.refused, "expired"));
    cgi_end(&t);
    give(r, secret, (struct credential){.scopes = AUTH_READ, .name = (char *)"n"});
    int64_t id;
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    OK(r, credential_revoke(r->db, "n", clock_wall_ms(), &id, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    ask(r, &t, "GET", "/api/events", "HTTP_AUTHORIZATION=Bearer ", secret);
    assert_null(t.request.owner);
    assert_non_null(strstr(t.request.refused, "revoked"));
    cgi_end(&t);
}

static void a_ticket_opens_what_it_names_to_readers(void **state)
{
    struct room *r = *state;
    char a[ID_SIZE], b[ID_SIZE], other[ID_SIZE];
    OK(r, txn_begin(r->db, TXN_SYNC_NONE, &r->e));
    int64_t n;
    OK(r, sketch_create(r->db, &(struct sketch){.owner = "ann", .type = "echo"}, a, &n, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){.owner = "ann", .type = "nap"}, b, &n, &r->e));
    OK(r, sketch_create(r->db, &(struct sketch){.owner = "bob", .type = "echo"}, other, &n, &r->e));
    OK(r, txn_commit(r->db, &r->e));
    const struct {
        enum ticket_kind kind;
        const char *subject, *method, *path;
        bool opens;
    } rows[] = {
        {TICKET_TASK, a, "GET", "/api/tasks/A", true},
        {TICKET_TASK, a, "HEAD", "/api/tasks/A", true},
        {TICKET_TASK, a, "GET", "/api/tasks/A/events", true},
        {TICKET_TASK, a, "GET", "/api/tasks/A/files/x", true},
        {TICKET_TASK, a, "POST", "/api/tasks/A/cancel", false},
        {TICKET_TASK, a, "DELETE", "/api/tasks/A", false},
        {TICKET_TASK, a, "GET", "/api/tasks/B", false},
        {TICKET_TASK, a, "GET", "/api/tasks", false},
        {TICKET_TASK, a, "GET", "/api/events", false},
        {TICKET_TASK, a, "GET", "/api/groups/A", false},
        {TICKET_TASK, a, "GET", "/api/internal/tasks/A", false},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/g%201", true},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/g%201/context", true},
        {TICKET_GROUP, "g 1", "PUT", "/api/groups/g%201/context", false},
        {TICKET_GROUP, "g 1", "POST", "/api/groups/g%201/events", false},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/-?group=g+1", true},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/-?group=g", false},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/-", false},
        {TICKET_GROUP, "g 1", "GET", "/api/groups/g", false},
        {TICKET_GROUP, "g 1", "GET", "/api/groups", false},
        {TICKET_GROUP, "g 1", "GET", "/api/tasks", false},
        {TICKET_ALL, NULL, "GET", "/api/events", true},
        {TICKET_ALL, NULL, "GET", "/api/tasks", true},
        {TICKET_ALL, NULL, "POST", "/api/tasks", false},
        {TICKET_ALL, NULL, "POST", "/api/tickets", false},
        {TICKET_RUN, "echo", "GET", "/api/run/echo", true},
        {TICKET_RUN, "echo", "POST", "/api/run/echo", false},
        {TICKET_RUN, "echo", "GET", "/api/run/nap", false},
        {TICKET_RUN, "echo", "GET", "/api/tasks/A/events", true},
        {TICKET_RUN, "echo", "GET", "/api/tasks/B/events", false}, /* another type */
        {TICKET_RUN, "echo", "GET", "/api/tasks/O/events", false}, /* another owner */
        {TICKET_RUN, "echo", "GET", "/api/tasks/X/events", false},
        {TICKET_RUN, "echo", "GET", "/api/tasks", false},
        {TICKET_RUN, "echo", "POST", "/api/tasks", false},
        {TICKET_RUN, "echo", "GET", "/api/types", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char secret[SECRET_SIZE];
        struct buf path = {0};
        for (const char *p = rows[i].path; *p; p++) {
            bool letter = p > rows[i].path && p[-1] == '/' && *p >= 'A' && *p <= 'Z';
            if (letter)
                buf_str(&path, *p == 'A' ? a : *p == 'B' ? b : *p == 'O' ? other : NOBODYS);
            else
                buf_char(&path, *p);
        }
        give(r, secret,
             (struct credential){
                 .scopes = AUTH_READ, .ticket = rows[i].kind, .subject = (char *)rows[i].subject});
        ask(r, &t, rows[i].method, path.data, "?", secret);
        assert_string_equal(t.request.owner, "ann");
        if (t.request.ticket_opens != rows[i].opens)
            fail_msg("%s %s by %s", rows[i].method, path.data, ticket_kind_name(rows[i].kind));
        cgi_end(&t);
        buf_free(&path);
    }
}

static void settings_that_cannot_be_are_found_at_the_start(void **state)
{
    static const struct {
        char *variables[3];
        enum err rc;
        const char *says;
    } rows[] = {
        {{"LEAT_AUTH_ANONYMOUS=guest"}, ERR_OK, NULL},
#ifdef LEAT_JWT
        {{"LEAT_AUTH_JWT_KEY_FILE=/nonexistent"},
         ERR_IO,
         "LEAT_AUTH_JWT_KEY_FILE: cannot read /nonexistent"},
        {{"LEAT_AUTH_JWT_KEY_FILE=/dev/null"}, ERR_INVALID, "LEAT_AUTH_JWT_KEY_FILE: /dev/null"},
        {{"LEAT_AUTH_JWT_SECRET=thirty-two bytes are long enough"}, ERR_OK, NULL},
#else
        {{"LEAT_AUTH_JWT_SECRET=x"}, ERR_INVALID, "LEAT_AUTH_JWT_SECRET: "},
#endif
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *base = NULL, *c = NULL;
        struct error e = {0};
        assert_int_equal(conf_load(&base, "/dev/null", NULL, NULL), ERR_OK);
        assert_int_equal(conf_overlay(&c, base, rows[i].variables, NULL), ERR_OK);
        assert_int_equal(auth_check(c, &e), rows[i].rc);
        if (rows[i].says && !strstr(e.text, rows[i].says)) fail_msg("%s", e.text);
        conf_free(c);
        conf_free(base);
    }
}

#ifdef LEAT_JWT
static void a_key_that_is_gone_is_the_sites_fault(void **state)
{
    struct room *r = *state;
    struct as_cgi t;
    char *variables[] = {"REQUEST_METHOD=GET",
                         "REQUEST_URI=/api",
                         "LEAT_AUTH_ANONYMOUS=guest",
                         "HTTP_AUTHORIZATION=Bearer a.b.c",
                         "LEAT_AUTH_JWT_KEY_FILE=/dev/null",
                         NULL};
    assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
    assert_int_equal(identify(&t.request, r->db, &t.error), ERR_INTERNAL);
    assert_int_equal(t.error.code, ERR_INTERNAL);
    assert_null(t.request.owner);
    cgi_end(&t);
}
#endif

static void scopes_are_a_list(void **state)
{
    static const struct {
        char *variable;
        enum err rc;
        unsigned scopes;
    } rows[] = {
        {"LEAT_AUTH_ANONYMOUS_SCOPE=read", ERR_OK, AUTH_READ},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=create,read,publish,admin", ERR_OK, 15},
        {"LEAT_AUTH_ANONYMOUS_SCOPE= publish , read,,", ERR_OK, AUTH_PUBLISH | AUTH_READ},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=admin", ERR_OK, 15}, /* who may all may the rest */
        {"LEAT_AUTH_ANONYMOUS_SCOPE=create read", ERR_OK, AUTH_CREATE | AUTH_READ},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=", ERR_OK, USUAL}, /* as if nobody had set it */
        {"LEAT_AUTH_ANONYMOUS_SCOPE=,", ERR_OK, 0},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=write", ERR_INVALID, 0},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=read,rea", ERR_INVALID, 0},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=reads", ERR_INVALID, 0},
        {"LEAT_AUTH_ANONYMOUS_SCOPE=READ", ERR_INVALID, 0},
    };
    struct room *r = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct as_cgi t;
        char *variables[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", "LEAT_AUTH_ANONYMOUS=guest",
                             rows[i].variable, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), rows[i].rc);
        if (rows[i].rc)
            assert_non_null(strstr(t.error.text, "LEAT_AUTH_ANONYMOUS_SCOPE: "));
        else
            assert_int_equal(identify(&t.request, r->db, &t.error), ERR_OK);
        assert_int_equal(t.request.scopes, rows[i].scopes);
        cgi_end(&t);
    }
}

static void impossible_owners_are_refused(void **state)
{
    char longest[201 + 13], *rows[] = {"a\tb", "a\x7f", "\xff", "\xed\xa0\x80", longest};
    struct room *r = *state;
    for (size_t i = 0; i < 6; i++) {
        struct as_cgi t;
        struct buf user = {0};
        size_t len = i == 5 ? 200 : 201; /* the sixth is just possible */
        memset(longest, 'u', len);
        longest[len] = '\0';
        buf_fmt(&user, "REMOTE_USER=%s", rows[i < 5 ? i : 4]);
        char *variables[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", "LEAT_AUTH_REMOTE_USER=yes",
                             user.data, NULL};
        assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_OK);
        assert_int_equal(identify(&t.request, r->db, &t.error), i < 5 ? ERR_INVALID : ERR_OK);
        assert_int_equal(t.request.owner == NULL, i < 5);
        buf_free(&user);
        cgi_end(&t);
    }
}

static void impossible_anonymous_name_is_refused(void **state)
{
    struct as_cgi t;
    char *variables[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/api", "LEAT_AUTH_ANONYMOUS=a\tb",
                         NULL};
    (void)state;
    assert_int_equal(cgi_begin(&t, variables, "", 0), ERR_INVALID);
    assert_non_null(strstr(t.error.text, "LEAT_AUTH_ANONYMOUS: "));
    cgi_end(&t);
}

static void only_an_admin_reads_everything(void **state)
{
    struct request r = {.owner = "ann", .scopes = USUAL};
    (void)state;
    assert_string_equal(auth_reader(&r), "ann");
    r.scopes |= AUTH_ADMIN;
    assert_null(auth_reader(&r));
    for (r.ticket = TICKET_TASK; r.ticket < TICKET_KINDS; r.ticket++) {
        /* whatever the row says, only a ticket for one task may be for somebody else's */
        if (r.ticket == TICKET_TASK)
            assert_null(auth_reader(&r));
        else
            assert_string_equal(auth_reader(&r), "ann");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(asker_is_found_by_what_is_configured),
        room_test(a_page_that_anybody_may_have_made_asks_in_nobodys_name),
        room_test(unknown_credential_is_nobody_not_anonymous),
        room_test(a_token_may_come_by_the_names_that_are_set),
        room_test(a_token_says_who_and_what),
        room_test(each_travels_by_its_own_road),
        room_test(what_is_over_is_refused_with_its_reason),
        room_test(a_ticket_opens_what_it_names_to_readers),
        room_test(settings_that_cannot_be_are_found_at_the_start),
#ifdef LEAT_JWT
        room_test(a_key_that_is_gone_is_the_sites_fault),
#endif
        room_test(scopes_are_a_list),
        room_test(impossible_owners_are_refused),
        room_test(impossible_anonymous_name_is_refused),
        room_test(only_an_admin_reads_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
