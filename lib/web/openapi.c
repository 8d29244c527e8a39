#include "web/openapi.h"

#include "base/json.h"
#include "gen/openapi.h"

#include <stddef.h>

void openapi_document(struct buf *out, const char *prefix)
{
    for (size_t i = 0; openapi_before[i]; i++) buf_str(out, openapi_before[i]);
    json_text(out, prefix ? prefix : "");
    for (size_t i = 0; openapi_after[i]; i++) buf_str(out, openapi_after[i]);
}

const char *openapi_etag(void)
{
    return openapi_tag;
}
