#include "web/auth.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "store/credentials.h"
#include "store/tasks.h"
#include "web/jwt.h"
#include "web/origin.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SECRET_BYTES_MIN = 32 /* of jwt_secret: RFC 7518, 3.2 */ };

/* ---- settings ---- */

enum err auth_check(const struct conf *conf, struct error *e)
{
    struct jwt_verifier *verifier = NULL;
    enum err rc = jwt_verifier_open(&verifier, conf, e);
    jwt_verifier_close(verifier);
    return rc;
}

void auth_warn(const struct conf *conf)
{
    const char *secret = conf_text(conf, CONF_AUTH_JWT_SECRET);
    if (secret && strlen(secret) < SECRET_BYTES_MIN)
        log_warn("[auth] jwt_secret is short: it can be guessed from a token", " bytes=%zu",
                 strlen(secret));
}

/* ---- what a ticket opens ---- */

/* Whether the task is of this type, and the asker's own. */
static enum err task_of_type(const struct request *request, struct db *db, const char *id,
                             const char *type, bool *is, struct error *e)
{
    struct task t = {0};
    enum err rc = task_get(db, id, request->owner, &t, e);
    if (!rc) *is = !strcmp(t.type, type);
    task_free(&t);
    return rc == ERR_NOTFOUND ? ERR_OK : rc;
}

/* Decides whether the ticket that identified the asker names what is asked for. One for a type opens the
 * tasks of that type too: that is where it leads. */
static enum err open_with_ticket(struct request *request, const struct route_match *m,
                                 struct db *db, const char *subject, struct error *e)
{
    enum err rc = ERR_OK;
    bool opens = request->ticket == TICKET_ALL;
    if (m->row && subject && m->row->subject == request->ticket)
        opens = !strcmp(m->params[0], subject);
    else if (m->row && subject && m->row->subject == TICKET_TASK && request->ticket == TICKET_RUN)
        rc = task_of_type(request, db, m->params[0], subject, &opens, e);
    request->ticket_opens = opens && (request->method & (METHOD_GET | METHOD_HEAD));
    return rc;
}

/* ---- what is shown ---- */

/* A secret of ours, which must be a ticket or must not. */
static enum err by_secret(struct request *request, const struct route_match *m, struct db *db,
                          const char *secret, bool ticket, struct error *e)
{
    static const char *const reasons[][2] = {
        [CREDENTIAL_UNKNOWN] = {"the token is not known here", "the ticket is not known here"},
        [CREDENTIAL_EXPIRED] = {"the token has expired", "the ticket has expired"},
        [CREDENTIAL_REVOKED] = {"the token was revoked", "the ticket was revoked"},
    };
    unsigned char hash[SECRET_HASH_BYTES];
    struct credential c = {0};
    enum credential_state state = CREDENTIAL_UNKNOWN;
    enum err rc = ERR_OK;
    if (secret_valid(secret)) {
        secret_hash(hash, secret, strlen(secret));
        rc = credential_find(db, hash, clock_wall_ms(), &state, &c, e);
    }
    if (rc) return rc;
    if (state == CREDENTIAL_VALID && ticket != (c.ticket != TICKET_NONE))
        state = CREDENTIAL_UNKNOWN;
    if (state != CREDENTIAL_VALID) {
        request->refused = reasons[state][ticket];
        credential_free(&c);
        return ERR_OK;
    }
    request->owner = c.owner;
    request->scopes = c.scopes;
    request->credential = c.id;
    if (c.expires_at != TASK_NONE) request->expires_at = c.expires_at;
    request->ticket = c.ticket;
    c.owner = NULL;
    if (ticket) rc = open_with_ticket(request, m, db, c.subject, e);
    credential_free(&c);
    return rc;
}

static enum err by_jwt(struct request *request, const char *token, struct error *e)
{
    struct jwt_verifier *verifier = NULL;
    struct jwt_claims claims = {0};
    const char *why = NULL;
    /* Opened for each token: a key file that was replaced counts at once, and so does a setting that the
     * web server gives with this request. */
    enum err rc = jwt_verifier_open(&verifier, request->conf, e);
    if (rc == ERR_INVALID && e) e->code = rc = ERR_INTERNAL; /* the site's fault, not the asker's */
    if (rc) return rc;
    if (!verifier) {
        request->refused = "the token is not known here";
    } else if (jwt_verifier_check(verifier, token, clock_wall_ms(), &claims, &why)) {
        request->owner = claims.owner;
        request->scopes = claims.scopes;
        request->expires_at = claims.expires_at;
    } else {
        request->refused = why;
    }
    jwt_verifier_close(verifier);
    return ERR_OK;
}

static bool has_two_dots(const char *text)
{
    size_t dots = 0;
    for (; *text; text++) dots += *text == '.';
    return dots == 2;
}

/* The credentials of an Authorization header of this scheme (RFC 9110, 11.4), or NULL. Borrowed. */
static const char *credentials_of(const char *header, const char *scheme)
{
    size_t len = strlen(scheme);
    if (!header || strncasecmp(header, scheme, len) != 0) return NULL;
    if (header[len] && header[len] != ' ') return NULL;
    return header + len + strspn(header + len, " ");
}

static enum err by_bearer(struct request *request, const struct route_match *m, struct db *db,
                          const char *token, struct error *e)
{
    return has_two_dots(token) ? by_jwt(request, token, e)
                               : by_secret(request, m, db, token, false, e);
}

/* A cookie's value (RFC 6265, 4.2), or NULL; the caller frees. The first of several is the one whose path
 * fits best. */
static char *cookie(const struct request *request, const char *name)
{
    size_t len = strlen(name);
    const char *p = request_header(request, "Cookie");
    while (p && *p) {
        p += strspn(p, "; \t");
        size_t n = strcspn(p, ";");
        if (n > len && p[len] == '=' && !strncmp(p, name, len)) {
            const char *value = p + len + 1;
            size_t size = n - len - 1;
            while (size && (value[size - 1] == ' ' || value[size - 1] == '\t')) size--;
            return mem_dup(value, size);
        }
        p += n;
    }
    return NULL;
}

/* Whether what a browser sends by itself, a cookie or a password that it remembers, says who is asking: not where the page
 * is one that `*` lets in, and shall not ask in the name of whoever looks at it. */
static bool counts_unasked(const struct request *request)
{
    return origin_of(request) != ORIGIN_ANY;
}

/* What an EventSource can show, which sets no header: a bearer by the names in the settings, or a ticket. The
 * query is for this request alone, so it counts before a cookie. */
static enum err by_query_or_cookie(struct request *request, const struct route_match *m,
                                   struct db *db, bool *shown, struct error *e)
{
    const char *query = conf_text(request->conf, CONF_AUTH_TOKEN_QUERY);
    const char *name = conf_text(request->conf, CONF_AUTH_TOKEN_COOKIE);
    char *token = NULL, *ticket = NULL;
    enum err rc = query ? request_query(request, query, &token, NULL) : ERR_OK;
    if (!rc && !token) rc = request_query(request, "ticket", &ticket, NULL);
    bool cookies = !rc && counts_unasked(request);
    if (cookies && !token && !ticket && name) token = cookie(request, name);
    if (cookies && !token && !ticket) ticket = cookie(request, AUTH_COOKIE);
    *shown = rc || token || ticket;
    if (rc) request->refused = "the query is badly encoded";
    rc = ERR_OK;
    if (token) rc = by_bearer(request, m, db, token, e);
    if (ticket) rc = by_secret(request, m, db, ticket, true, e);
    free(token);
    free(ticket);
    return rc;
}

enum err auth_identify(struct request *request, const struct route_match *m, struct db *db,
                       struct error *e)
{
    request->expires_at = INT64_MAX;
    const char *authorization = request_header(request, "Authorization");
    const char *bearer = credentials_of(authorization, "Bearer");
    if (bearer) return by_bearer(request, m, db, bearer, e);

    bool by_server = conf_bool(request->conf, CONF_AUTH_REMOTE_USER) && counts_unasked(request);
    const char *user = by_server ? conn_param(request->conn, "REMOTE_USER") : NULL;
    if (user && *user) {
        if (!owner_valid(user))
            return error_set(e, ERR_INVALID, "REMOTE_USER is not 1 to %d bytes of UTF-8 text",
                             TASK_OWNER_MAX);
        request->owner = mem_str(user);
        request->scopes = AUTH_USUAL;
        return ERR_OK;
    }
    /* Basic and others are the web server's to check; it did not. */
    if (authorization) return ERR_OK;

    bool shown;
    enum err rc = by_query_or_cookie(request, m, db, &shown, e);
    if (rc || shown) return rc;

    const char *anonymous = conf_text(request->conf, CONF_AUTH_ANONYMOUS);
    if (!anonymous) return ERR_OK;
    request->owner = mem_str(anonymous);
    request->anonymous = true;
    return scopes_parse(conf_text(request->conf, CONF_AUTH_ANONYMOUS_SCOPE), false,
                        &request->scopes, e);
}

const char *auth_reader(const struct request *request)
{
    bool may = !request->ticket || request->ticket == TICKET_TASK;
    return may && request->scopes & AUTH_ADMIN ? NULL : request->owner;
}
