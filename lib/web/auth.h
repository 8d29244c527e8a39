/* Who is asking. */
#ifndef LEAT_WEB_AUTH_H
#define LEAT_WEB_AUTH_H

#include "base/error.h"
#include "web/request.h"

enum auth_scope {
    AUTH_CREATE = 1,
    AUTH_READ = 2,
    AUTH_PUBLISH = 4,
    AUTH_ADMIN = 8,
};

/* Fills request->owner and ->scopes: REMOTE_USER of the web server where auth.remote_user allows
 * it, else auth.anonymous with auth.anonymous_scope. Nobody: owner stays NULL (ERR_OK); so it does
 * for an Authorization header that proves nothing, which is never answered as anonymous.
 * ERR_INVALID: a configured scope that does not exist, or a name that cannot be an owner. */
enum err auth_identify(struct request *request, struct error *e);

/* The owner to ask the store for: NULL (everyone) for an admin, else the asker. */
const char *auth_reader(const struct request *request);

#endif
