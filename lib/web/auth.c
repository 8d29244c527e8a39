#include "web/auth.h"

#include "base/json.h"
#include "task/task.h"

#include <string.h>

static bool owner_valid(const char *name)
{
    size_t len = strlen(name);
    if (!len || len > TASK_OWNER_MAX || !utf8_valid(name, len)) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    return true;
}

/* Names separated by commas or blanks. */
static enum err parse_scopes(const char *text, unsigned *out, struct error *e)
{
    static const struct {
        const char *name;
        enum auth_scope scope;
    } scopes[] = {
        {"create", AUTH_CREATE},
        {"read", AUTH_READ},
        {"publish", AUTH_PUBLISH},
        {"admin", AUTH_ADMIN},
    };
    *out = 0;
    for (const char *p = text ? text : ""; *(p += strspn(p, ", \t"));) {
        size_t len = strcspn(p, ", \t"), i = 0;
        while (i < 4 && (strlen(scopes[i].name) != len || strncmp(p, scopes[i].name, len) != 0))
            i++;
        if (i == 4)
            return error_set(e, ERR_INVALID,
                             "[auth] anonymous_scope: '%.*s' is not create, read, publish or admin",
                             len < 40 ? (int)len : 40, p);
        *out |= scopes[i].scope;
        p += len;
    }
    return ERR_OK;
}

enum err auth_identify(struct request *request, struct error *e)
{
    const char *user = conf_bool(request->conf, CONF_AUTH_REMOTE_USER)
                           ? conn_param(request->conn, "REMOTE_USER")
                           : NULL;
    if (user && *user) {
        if (!owner_valid(user))
            return error_set(e, ERR_INVALID, "REMOTE_USER is not 1 to %d bytes of UTF-8 text",
                             TASK_OWNER_MAX);
        request->owner = mem_str(user);
        request->scopes = AUTH_CREATE | AUTH_READ | AUTH_PUBLISH;
        return ERR_OK;
    }

    /* Whoever shows a credential means to be somebody: one that proves nothing makes nobody of
     * them, never the anonymous owner. */
    if (request_header(request, "Authorization")) return ERR_OK;

    const char *anonymous = conf_text(request->conf, CONF_AUTH_ANONYMOUS);
    if (!anonymous) return ERR_OK;
    if (!owner_valid(anonymous))
        return error_set(e, ERR_INVALID, "[auth] anonymous: not 1 to %d bytes of UTF-8 text",
                         TASK_OWNER_MAX);
    unsigned scopes;
    enum err rc = parse_scopes(conf_text(request->conf, CONF_AUTH_ANONYMOUS_SCOPE), &scopes, e);
    if (rc) return rc;
    request->owner = mem_str(anonymous);
    request->scopes = scopes;
    return ERR_OK;
}

const char *auth_reader(const struct request *request)
{
    return request->scopes & AUTH_ADMIN ? NULL : request->owner;
}
