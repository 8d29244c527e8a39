/* What is done to a group itself: its context replaced, an event published. */
#ifndef LEAT_OPS_GROUP_OPS_H
#define LEAT_OPS_GROUP_OPS_H

#include "base/buf.h"
#include "ops/operation.h"

#include <stdbool.h>
#include <stdint.h>

struct put_context {
    struct operation op;
    struct caller caller;
    char *owner, *group; /* owned */
    struct buf json;     /* one JSON value; owned */
    char *match;         /* an If-Match list, owned; NULL: any version */
    char *none_match;    /* an If-None-Match list, owned; NULL: any version */
    bool (*listed)(const char *list, const char *etag); /* whether a list names a version's ETag */

    char *context;   /* as it is then, owned */
    int64_t version; /* of that, also where the versions clash: ERR_STATE with version_clash */
};
void put_context_init(struct put_context *p, const struct caller *caller, const char *owner,
                      const char *group);
void put_context_free(struct put_context *p);

struct publish {
    struct operation op;
    struct caller caller;
    char *owner, *group, *type; /* owned */
    struct buf payload;         /* JSON text; owned */

    int64_t seq; /* its position in the log */
};
void publish_init(struct publish *p, const struct caller *caller, const char *owner,
                  const char *group);
void publish_free(struct publish *p);

#endif
