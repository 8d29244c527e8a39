/* Groups. */
#include "store/groups.h"

#include "handlers.h"
#include "site.h"

#include <stdlib.h>
#include <string.h>

char *group_owner(struct request *request)
{
    struct error e = {0};
    char *named = NULL;
    if (request_query(request, "owner", &named, &e)) {
        problem_error(request, &e);
        return NULL;
    }
    if (named && !(request->scopes & AUTH_ADMIN) && strcmp(named, request->owner)) {
        problem(request, 403, "insufficient_scope", "only an admin may name another owner");
        free(named);
        return NULL;
    }
    return named ? named : mem_str(request->owner);
}

/* GET /groups/{group}: the group document; one never used is idle. */
void groups_get(struct route_match *m)
{
    struct site *site = site_of(m);
    char *owner = group_owner(m->request);
    if (!owner) return;
    struct error e = {0};
    struct group g = {0};
    if (group_get(site->db, owner, m->params[0], &g, &e)) {
        site_fail(site, m->request, &e);
    } else {
        struct buf body = {0};
        group_document(&body, &g, conf_text(m->request->conf, CONF_HTTP_PREFIX));
        struct response r;
        response_start(&r, m->request, 200);
        response_json(&r, &body);
        buf_free(&body);
        group_free(&g);
    }
    free(owner);
}
