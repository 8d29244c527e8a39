#include "types.h"

#include "base/log.h"

#include <string.h>

/* The file is the site's fault, not the client's: where it lies is only logged, but what is wrong with it
 * is said, so that who wrote it need not look there. */
static void answer_misconfigured(struct request *request, const char *jobs, const struct error *e)
{
    static const char code[] = "type_misconfigured";
    char quoted[sizeof e->text];
    log_error("a request failed", " request_id=%s status=500 code=%s error=\"%s\"",
              request->request_id, code, log_quote(quoted, sizeof quoted, e->text));
    size_t len = strlen(jobs);
    bool inside = !strncmp(e->text, jobs, len) && e->text[len] == '/';
    problem(request, 500, "type_misconfigured", "%s",
            inside ? e->text + len + 1 : "its conf is wrong");
}

bool types_find(struct site *site, struct request *request, const char *field, const char *name,
                struct jobtype *out)
{
    const char *jobs = conf_text(site->conf, CONF_RUNNER_JOBS);
    struct error e = {0};
    enum err rc = jobtype_name_valid(name) ? jobtype_load(out, jobs, name, &e) : ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND)
        problem(request, 422, "unknown_type", "%s: there is no job '%.64s'", field, name);
    else if (rc == ERR_INVALID)
        answer_misconfigured(request, jobs, &e);
    else if (rc)
        site_fail(site, request, &e);
    return !rc;
}
