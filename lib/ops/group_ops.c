#include "ops/group_ops.h"

#include "base/clock.h"
#include "ops/limits.h"
#include "store/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the context ---- */

/* Whether the version that there is, is one of a list; "*": any but that of a context that was never set. */
static bool names(const struct put_context *p, const char *list)
{
    char etag[32];
    if (!strcmp(list, "*")) return p->version > 0;
    snprintf(etag, sizeof etag, "\"%lld\"", (long long)p->version);
    return p->listed(list, etag);
}

/* Whether the request is for the version that there is (RFC 9110, 13.1.1 and 13.1.2). */
static bool fits(const struct put_context *p)
{
    return (!p->match || names(p, p->match)) && (!p->none_match || !names(p, p->none_match));
}

/* Whether the owner has room for what the new context has more than the old one. */
static enum err fit_owner(struct put_context *p, struct db *db, struct operation *op,
                          struct error *e)
{
    char *old = NULL;
    int64_t version;
    if (!conf_int(p->caller.conf, CONF_LIMITS_BYTES_PER_OWNER)) return ERR_OK;
    enum err rc = group_context_get(db, p->owner, p->group, &old, &version, e);
    int64_t more = (int64_t)p->json.len - (int64_t)(old ? strlen(old) : 0);
    free(old);
    return rc ? rc : limits_bytes(db, p->caller.conf, p->owner, more, op, e);
}

static enum err apply_context(struct operation *op, struct db *db, struct error *e)
{
    struct put_context *p = (struct put_context *)op;
    struct group g = {0};
    enum err rc = limits_write(db, &p->caller, &op->limit, e);
    if (!rc) rc = group_get(db, p->owner, p->group, &g, e);
    p->version = g.version;
    group_free(&g);
    if (rc) return rc;
    if (!fits(p)) {
        op->code = "version_clash";
        return error_set(e, ERR_STATE, "the context is at version %lld", (long long)p->version);
    }
    rc = fit_owner(p, db, op, e);
    if (!rc) rc = group_context_put(db, p->owner, p->group, p->json.data, -1, clock_wall_ms(), e);
    if (rc) return rc;
    free(p->context);
    return group_context_get(db, p->owner, p->group, &p->context, &p->version, e);
}

void put_context_init(struct put_context *p, const struct caller *caller, const char *owner,
                      const char *group)
{
    *p = (struct put_context){.op = {.apply = apply_context},
                              .caller = *caller,
                              .owner = mem_str(owner),
                              .group = mem_str(group)};
}

void put_context_free(struct put_context *p)
{
    free(p->owner);
    free(p->group);
    free(p->match);
    free(p->none_match);
    buf_free(&p->json);
    free(p->context);
}

/* ---- publishing ---- */

static enum err apply_publish(struct operation *op, struct db *db, struct error *e)
{
    struct publish *p = (struct publish *)op;
    enum err rc = limits_write(db, &p->caller, &op->limit, e);
    if (!rc) rc = limits_bytes(db, p->caller.conf, p->owner, (int64_t)p->payload.len + 1, op, e);
    if (rc) return rc;
    return group_publish(db, p->owner, p->group, p->caller.request_id, p->type,
                         buf_text(&p->payload), clock_wall_ms(), &p->seq, e);
}

void publish_init(struct publish *p, const struct caller *caller, const char *owner,
                  const char *group)
{
    *p = (struct publish){.op = {.apply = apply_publish},
                          .caller = *caller,
                          .owner = mem_str(owner),
                          .group = mem_str(group)};
}

void publish_free(struct publish *p)
{
    free(p->owner);
    free(p->group);
    free(p->type);
    buf_free(&p->payload);
}
