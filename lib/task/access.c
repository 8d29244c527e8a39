#include "task/access.h"

#include "base/conf.h"
#include "base/json.h"
#include "task/task.h"

#include <assert.h>
#include <string.h>

static const char *const scope_names[] = {"create", "read", "publish", "admin"};
static_assert(AUTH_CREATE == 1 && AUTH_READ == 2 && AUTH_PUBLISH == 4 && AUTH_ADMIN == 8,
              "the order of scope_names");

enum { SCOPES = sizeof scope_names / sizeof *scope_names };

static const char *const kind_names[TICKET_KINDS] = {
    [TICKET_TASK] = "task", [TICKET_GROUP] = "group", [TICKET_ALL] = "all", [TICKET_RUN] = "run"};

bool owner_valid(const char *name)
{
    static_assert((int)TASK_OWNER_MAX == (int)CONF_NAME_MAX, "the settings name owners");
    size_t len = strlen(name);
    if (!len || len > TASK_OWNER_MAX || !utf8_valid(name, len)) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    return true;
}

enum err scopes_parse(const char *text, bool lenient, unsigned *out, struct error *e)
{
    *out = 0;
    const char *rest = text ? text : "", *p;
    for (size_t len; (p = conf_item(&rest, &len));) {
        size_t i = 0;
        while (i < SCOPES &&
               (strlen(scope_names[i]) != len || strncmp(p, scope_names[i], len) != 0))
            i++;
        if (i < SCOPES)
            *out |= 1U << i;
        else if (!lenient)
            return error_set(e, ERR_INVALID, "'%.*s' is not create, read, publish or admin",
                             len < 40 ? (int)len : 40, p);
    }
    if (*out & AUTH_ADMIN) *out |= AUTH_USUAL;
    return ERR_OK;
}

void scopes_write(struct buf *out, unsigned scopes)
{
    bool first = true;
    for (unsigned i = 0; i < SCOPES; i++) {
        if (!(scopes & 1U << i)) continue;
        if (!first) buf_char(out, ',');
        buf_str(out, scope_names[i]);
        first = false;
    }
}

const char *scope_name(unsigned index)
{
    return index < SCOPES ? scope_names[index] : NULL;
}

const char *ticket_kind_name(enum ticket_kind kind)
{
    return kind_names[kind];
}

enum ticket_kind ticket_kind_parse(const char *name)
{
    for (enum ticket_kind k = TICKET_TASK; name && k < TICKET_KINDS; k++)
        if (!strcmp(kind_names[k], name)) return k;
    return TICKET_NONE;
}
