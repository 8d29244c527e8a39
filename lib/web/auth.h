/* Who is asking. The first of these that is there decides, and what proves nothing makes nobody of the
 * asker, never the anonymous owner:
 *
 *   1. Authorization: Bearer   a token of ours, or a JWT where one is configured (web/jwt.h)
 *   2. REMOTE_USER             of the web server, where auth.remote_user allows it
 *   3. the query               a bearer in the parameter auth.token_query names, or ?ticket=; a ticket opens
 *                              only what it names (RFC 9110, 9.2.1: by safe methods)
 *   4. a cookie                the same in the one auth.token_cookie names, or in leat_ticket
 *   5. auth.anonymous          with auth.anonymous_scope */
#ifndef LEAT_WEB_AUTH_H
#define LEAT_WEB_AUTH_H

#include "base/error.h"
#include "store/db.h"
#include "task/access.h"
#include "web/request.h"
#include "web/route.h"

#define AUTH_COOKIE "leat_ticket"

/* Looks at what the settings say about asking that conf_load cannot judge, so that a start finds what is
 * wrong. ERR_INVALID, ERR_IO: a key that cannot be used; the text names file and line. */
enum err auth_check(const struct conf *conf, struct error *e);

/* Logs what is allowed there but unwise: a jwt_secret of less than 32 bytes (RFC 7518, 3.2). Once a
 * process. */
void auth_warn(const struct conf *conf);

/* Fills request->owner, ->scopes and what stands behind them there; `m`: what the request has found, which a
 * ticket may name. Nobody: owner stays NULL (ERR_OK), with
 * ->refused when a credential was shown. ERR_INVALID: a setting or REMOTE_USER that cannot be. ERR_BUSY,
 * ERR_IO, ERR_INTERNAL: it could not be found out. */
enum err auth_identify(struct request *request, const struct route_match *m, struct db *db,
                       struct error *e);

/* The owner to ask the store for: NULL (everyone) for an admin, else the asker. A ticket is an admin's only
 * where it names a task of somebody else, which it then reads and nothing else. */
const char *auth_reader(const struct request *request);

#endif
