/* The description of the API (OpenAPI 3.1): openapi.json beside this file, built in.
 *
 * It says of every row of the table of routes what it takes and answers; a test compares both. Rows below
 * /internal are the web server's own way back to us and left out on purpose. */
#ifndef LEAT_WEB_OPENAPI_H
#define LEAT_WEB_OPENAPI_H

#include "base/buf.h"

/* Appends the document, for a site whose paths begin with `prefix`. */
void openapi_document(struct buf *out, const char *prefix);

/* Its strong entity tag, quoted. */
const char *openapi_etag(void);

#endif
