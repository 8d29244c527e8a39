/* JSON Web Tokens (RFC 7519) as bearer tokens, signed in compact form (RFC 7515, 7.1).
 *
 * A key decides what may be signed with it: auth.jwt_secret HS256, auth.jwt_key_file RS256 (an RSA key
 * of 2048 bits or more) or ES256 (a P-256 key), as RFC 7518 demands. What the token says its algorithm
 * is only chooses between those two keys, before anything is verified. Both may be set.
 *
 * Claims: `sub` is the owner. `exp` is exact: a token is worth nothing from that moment on. `nbf` may
 * lie JWT_LEEWAY_MS ahead, for an issuer whose clock is. `scope` is a list separated by blanks, of which
 * unknown words are passed over; without it create, read and publish. Where auth.jwt_issuer is set `iss` is
 * that, and where auth.jwt_audience is set `aud` is that, or an array that has it. Nothing else is looked at:
 * without these two, give the key to issuers only whose every token is meant for this site. */
#ifndef LEAT_WEB_JWT_H
#define LEAT_WEB_JWT_H

#include "base/conf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { JWT_LEEWAY_MS = 5000, JWT_BYTES_MAX = 16384 };

/* What a token proved. */
struct jwt_claims {
    char *owner; /* the caller frees */
    unsigned scopes;
    int64_t expires_at; /* wall-clock ms; INT64_MAX: never */
};

/* The keys of a site. */
struct jwt_verifier;

/* Reads the keys that `conf` names; *out is NULL when it names none. ERR_INVALID: no key that can be
 * used, or a program built without libjwt. ERR_IO: the file cannot be read. The text names file and line
 * of the setting. */
enum err jwt_verifier_open(struct jwt_verifier **out, const struct conf *conf, struct error *e);
void jwt_verifier_close(struct jwt_verifier *v);

/* Checks a token at wall-clock `now`. False, with a reason for people in *why (static, never a part of the
 * token), when it proves nothing. */
bool jwt_verifier_check(const struct jwt_verifier *v, const char *token, int64_t now,
                        struct jwt_claims *out, const char **why);

#endif
