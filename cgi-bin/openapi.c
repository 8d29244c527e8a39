/* What the API says of itself. */
#include "web/openapi.h"

#include "answers.h"
#include "handlers.h"
#include "web/response.h"

/* GET /openapi.json: the description of all the routes; 304 by If-None-Match. */
void openapi_get(struct exchange *x)
{
    const char *has = request_header(&x->request, "If-None-Match");
    if (has && request_etag_listed(has, openapi_etag())) {
        answer_not_modified(x, openapi_etag(), -1);
        return;
    }
    struct response r;
    struct buf body = {0};
    openapi_document(&body, conf_text(x->request.conf, CONF_HTTP_PREFIX));
    response_start(&r, &x->request, 200);
    response_header(&r, "ETag", openapi_etag());
    response_header(&r, "Cache-Control", "no-cache");
    response_json(&r, &body);
    buf_free(&body);
}
