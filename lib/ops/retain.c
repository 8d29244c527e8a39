#include "ops/retain.h"

#include "base/json.h"

void retain_own(struct buf *out, const struct job_types *types, int64_t now)
{
    const struct job_type *t;
    for (size_t at = 0; (t = job_types_next(types, &at));) {
        int64_t kept = t->broken ? 0 : t->conf.retain_ms;
        if (kept < 0) continue;
        buf_char(out, out->len ? ',' : '{');
        json_text(out, t->conf.name);
        buf_char(out, ':');
        buf_int(out, kept ? now - kept : 0);
    }
    if (out->len) buf_char(out, '}');
}

int64_t retain_shortest(const struct job_types *types, int64_t site_ms)
{
    int64_t shortest = site_ms;
    const struct job_type *t;
    for (size_t at = 0; (t = job_types_next(types, &at));)
        if (!t->broken && t->conf.retain_ms > 0 && (!shortest || t->conf.retain_ms < shortest))
            shortest = t->conf.retain_ms;
    return shortest;
}
