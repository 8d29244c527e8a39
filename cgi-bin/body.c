#include "body.h"

#include "base/json.h"
#include "web/problem.h"

#include <string.h>
#include <strings.h>

enum body_kind body_kind(const char *content_type)
{
    static const char *const surely[] = {"application/json", "text/json"};
    static const char maybe[] = "application/x-www-form-urlencoded";
    size_t len = content_type ? strcspn(content_type, "; \t") : 0;
    if (!len) return BODY_MAYBE;
    for (size_t i = 0; i < 2; i++)
        if (strlen(surely[i]) == len && !strncasecmp(content_type, surely[i], len))
            return BODY_JSON;
    if (len > 5 && !strncasecmp(content_type + len - 5, "+json", 5)) return BODY_JSON;
    return strlen(maybe) == len && !strncasecmp(content_type, maybe, len) ? BODY_MAYBE : BODY_OTHER;
}

bool body_read(struct request *request, enum conf_key limit, struct buf *out)
{
    struct error e = {0};
    const char *encoding = request_header(request, "Content-Encoding");
    if (encoding && strcasecmp(encoding, "identity")) {
        problem(request, 415, "unsupported_encoding", "Content-Encoding: send the body as it is");
        return false;
    }
    enum err rc = request_body(request, out, (size_t)conf_int(request->conf, limit), &e);
    if (rc == ERR_FULL)
        problem(request, 413, "body_too_large", "%s", e.text);
    else if (rc)
        problem(request, 400, "bad_request", "%s", e.text);
    return !rc;
}

json_t *body_json(struct request *request, struct buf *out)
{
    struct error e = {0};
    if (!body_read(request, CONF_HTTP_MAX_BODY_BYTES, out)) return NULL;
    if (body_kind(request_header(request, "Content-Type")) == BODY_OTHER) {
        problem(request, 415, "unsupported_media_type",
                "the body must be JSON (Content-Type: application/json)");
        return NULL;
    }
    json_t *value = json_read(buf_text(out), out->len, &e);
    if (!value) problem(request, 400, "bad_json", "%s", e.text);
    return value;
}
