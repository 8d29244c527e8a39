#include "web/jwt.h"

#ifdef LEAT_JWT

#include "base/buf.h"
#include "base/json.h"
#include "base/secret.h"
#include "task/access.h"

#include <jwt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_FILE_MAX = 65536,
    RSA_BITS_MIN = 2048, /* RFC 7518, 3.3 */
};

static const char pem_begin[] = "-----BEGIN PUBLIC KEY-----";
static const char pem_end[] = "-----END PUBLIC KEY-----";

/* What a token is to be verified with. */
struct key {
    struct buf text; /* the secret, or the PEM block of the public key alone; empty: no such key */
    jwt_alg_t alg;   /* the one algorithm that it is for */
    size_t signature_bytes;
};

struct jwt_verifier {
    struct key secret, public;
    char *audience, *issuer; /* NULL: any */
};

/* ---- keys ---- */

/* Bytes of DER (X.690). */
struct der {
    const unsigned char *p;
    size_t len;
};

/* Takes the element in front of `in` when it has this tag. */
static bool der_take(struct der *in, unsigned char tag, struct der *out)
{
    if (in->len < 2 || in->p[0] != tag) return false;
    size_t head = 2, len = in->p[1];
    if (len & 0x80) {
        size_t more = len & 0x7f;
        if (!more || more > 3 || in->len < 2 + more) return false;
        for (len = 0; head < 2 + more; head++) len = len << 8 | in->p[head];
    }
    if (len > in->len - head) return false;
    *out = (struct der){in->p + head, len};
    in->p += head + len;
    in->len -= head + len;
    return true;
}

static bool der_is(const struct der *d, const char *bytes, size_t len)
{
    return d->len == len && !memcmp(d->p, bytes, len);
}

static size_t rsa_bits(struct der bits)
{
    enum { INTEGER = 0x02, SEQUENCE = 0x30 };
    struct der key, modulus;
    if (!bits.len || bits.p[0]) return 0;
    bits.p++, bits.len--;
    if (!der_take(&bits, SEQUENCE, &key) || !der_take(&key, INTEGER, &modulus)) return 0;
    while (modulus.len && !*modulus.p) modulus.p++, modulus.len--;
    size_t count = modulus.len * 8;
    for (unsigned top = modulus.len ? *modulus.p : 0; top && top < 0x80; top <<= 1) count--;
    return count;
}

/* Finds out what a SubjectPublicKeyInfo (RFC 5280, 4.1) is good for; NULL, or what is wrong with it. */
static const char *classify(struct der info, struct key *out)
{
    enum { BIT_STRING = 0x03, OID = 0x06, SEQUENCE = 0x30 };
    static const char rsa[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"; /* RFC 8017, A.1 */
    static const char ec[] = "\x2a\x86\x48\xce\x3d\x02\x01";          /* RFC 5480, 2.1.1 */
    static const char p256[] = "\x2a\x86\x48\xce\x3d\x03\x01\x07";
    struct der key, algorithm, oid, bits, curve;
    if (!der_take(&info, SEQUENCE, &key) || !der_take(&key, SEQUENCE, &algorithm) ||
        !der_take(&algorithm, OID, &oid) || !der_take(&key, BIT_STRING, &bits))
        return "holds no public key that can be read";
    if (der_is(&oid, rsa, sizeof rsa - 1)) {
        size_t modulus = rsa_bits(bits);
        out->alg = JWT_ALG_RS256;
        out->signature_bytes = (modulus + 7) / 8;
        return modulus >= RSA_BITS_MIN ? NULL : "holds an RSA key of less than 2048 bits";
    }
    out->alg = JWT_ALG_ES256;
    out->signature_bytes = 64;
    if (der_is(&oid, ec, sizeof ec - 1) && der_take(&algorithm, OID, &curve) &&
        der_is(&curve, p256, sizeof p256 - 1))
        return NULL;
    return "holds a key that is neither RSA (RS256) nor EC on the curve P-256 (ES256)";
}

/* Takes the public key out of a PEM text (RFC 7468, 13). NULL, or what is wrong. */
static const char *take_pem(struct key *out, const char *text)
{
    if (strstr(text, "PRIVATE KEY-----"))
        return "holds a private key: give the public one (openssl pkey -pubout)";
    const char *begin = strstr(text, pem_begin);
    const char *end = begin ? strstr(begin, pem_end) : NULL;
    if (!end) return "has no '-----BEGIN PUBLIC KEY-----' block";
    const char *body = begin + strlen(pem_begin);
    size_t len = (size_t)(end - body), size = 0;
    unsigned char *der = mem_alloc(len + 1);
    const char *wrong = "holds no public key that can be read";
    if (!sodium_base642bin(der, len, body, len, " \t\r\n", &size, NULL,
                           sodium_base64_VARIANT_ORIGINAL))
        wrong = classify((struct der){der, size}, out);
    free(der);
    if (wrong) return wrong;
    buf_add(&out->text, begin, (size_t)(end - begin));
    buf_fmt(&out->text, "%s\n", pem_end);
    return NULL;
}

static enum err read_key_file(struct key *out, const char *path, struct error *e)
{
    struct buf text = {0};
    FILE *in = fopen(path, "re");
    if (!in) return error_errno(e, ERR_IO, "cannot read %s", path);
    text.len = fread(buf_reserve(&text, KEY_FILE_MAX + 1), 1, KEY_FILE_MAX, in);
    text.data[text.len] = '\0';
    bool failed = ferror(in);
    fclose(in);
    enum err rc = ERR_OK;
    const char *wrong = failed ? NULL : take_pem(out, text.data);
    if (failed) rc = error_set(e, ERR_IO, "cannot read %s", path);
    if (wrong) rc = error_set(e, ERR_INVALID, "%s %s", path, wrong);
    secret_wipe(text.data, text.len);
    buf_free(&text);
    return rc;
}

enum err jwt_verifier_open(struct jwt_verifier **out, const struct conf *conf, struct error *e)
{
    const char *secret = conf_text(conf, CONF_AUTH_JWT_SECRET);
    const char *file = conf_text(conf, CONF_AUTH_JWT_KEY_FILE);
    *out = NULL;
    if (!secret && !file) return ERR_OK;
    struct jwt_verifier *v = mem_alloc(sizeof *v);
    v->secret.alg = JWT_ALG_HS256;
    v->secret.signature_bytes = 32;
    v->audience = mem_str(conf_text(conf, CONF_AUTH_JWT_AUDIENCE));
    v->issuer = mem_str(conf_text(conf, CONF_AUTH_JWT_ISSUER));
    if (secret) buf_str(&v->secret.text, secret);
    enum err rc = file ? read_key_file(&v->public, file, e) : ERR_OK;
    if (!rc) {
        *out = v;
        return ERR_OK;
    }
    jwt_verifier_close(v);
    conf_blame(conf, CONF_AUTH_JWT_KEY_FILE, e);
    return rc;
}

void jwt_verifier_close(struct jwt_verifier *v)
{
    if (!v) return;
    if (v->secret.text.len) secret_wipe(v->secret.text.data, v->secret.text.len);
    buf_free(&v->secret.text);
    buf_free(&v->public.text);
    free(v->audience);
    free(v->issuer);
    free(v);
}

/* ---- tokens ---- */

/* One part of a token. */
struct part {
    const char *p;
    size_t len;
};

/* Cuts a token into exactly three parts. */
static bool cut(const char *token, struct part parts[3])
{
    for (int i = 0; i < 3; i++) {
        size_t len = strcspn(token, ".");
        parts[i] = (struct part){token, len};
        token += len;
        if (i < 2 && *token++ != '.') return false;
    }
    return !*token;
}

/* Decodes base64url (RFC 7515, 2), strictly: *size is 0 for what is none. The caller frees. */
static char *decode(struct part part, size_t *size)
{
    char *bytes = mem_alloc(part.len + 1);
    if (sodium_base642bin((unsigned char *)bytes, part.len, part.p, part.len, NULL, size, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING))
        *size = 0;
    return bytes;
}

/* A JSON object. A new reference, or NULL. */
static json_t *read_part(struct part part)
{
    size_t size = 0;
    char *bytes = decode(part, &size);
    json_t *value = size ? json_read(bytes, size, NULL) : NULL;
    free(bytes);
    if (json_is_object(value)) return value;
    json_decref(value);
    return NULL;
}

/* The key that a token of this header is to be verified with, or NULL. */
static const struct key *choose_key(const struct jwt_verifier *v, const json_t *header)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    if (!name || json_object_get(header, "crit")) return NULL; /* RFC 7515, 4.1.11 */
    const struct key *const keys[] = {&v->secret, &v->public};
    for (size_t i = 0; i < 2; i++)
        if (keys[i]->text.len && !strcmp(name, jwt_alg_str(keys[i]->alg))) return keys[i];
    return NULL;
}

/* libjwt's base64 decoder writes past its buffer for parts that are empty or malformed (libjwt 1.10.2 with
 * libb64): it gets a token only when every part is known to be well-formed. */
static bool signed_by(const char *token, struct part signature, const struct key *key)
{
    size_t size = 0;
    free(decode(signature, &size));
    if (size != key->signature_bytes) return false;
    jwt_t *jwt = NULL;
    bool good =
        !jwt_decode(&jwt, token, (const unsigned char *)key->text.data, (int)key->text.len) &&
        jwt_get_alg(jwt) == key->alg;
    jwt_free(jwt);
    return good;
}

/* A NumericDate (RFC 7519, 2) in ms; false when it is there and none. */
static bool read_date(const json_t *claims, const char *name, int64_t *ms)
{
    const json_t *value = json_object_get(claims, name);
    if (!value) return true;
    double seconds = json_number_value(value);
    if (!json_is_number(value)) return false;
    /* beyond the year 10000 in either direction: for ever, never */
    *ms = seconds > 253402300800.0    ? INT64_MAX
          : seconds < -253402300800.0 ? INT64_MIN
                                      : (int64_t)(seconds * 1000);
    return true;
}

static bool string_is(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           !strcmp(json_string_value(value), text);
}

/* Whether `aud`, a text or an array of them (RFC 7519, 4.1.3), has `audience`. */
static bool is_meant_for(const json_t *claims, const char *audience)
{
    const json_t *aud = json_object_get(claims, "aud");
    bool found = string_is(aud, audience);
    for (size_t i = 0; !found && i < json_array_size(aud); i++)
        found = string_is(json_array_get(aud, i), audience);
    return found;
}

/* Fills *out from the claims; NULL, or what is wrong with them. */
static const char *read_claims(const struct jwt_verifier *v, const json_t *claims, int64_t now,
                               struct jwt_claims *out)
{
    if (v->issuer && !string_is(json_object_get(claims, "iss"), v->issuer))
        return "its iss is not the one that is accepted here";
    if (v->audience && !is_meant_for(claims, v->audience)) return "its aud is not this site";

    int64_t expires_at = INT64_MAX, not_before = INT64_MIN;
    if (!read_date(claims, "exp", &expires_at)) return "its exp is not a number";
    if (!read_date(claims, "nbf", &not_before)) return "its nbf is not a number";
    if (now >= expires_at) return "it has expired";
    if (not_before > now && not_before - now > JWT_LEEWAY_MS) return "it is not valid yet";

    const json_t *sub = json_object_get(claims, "sub");
    const char *owner = json_string_value(sub);
    if (!owner || strlen(owner) != json_string_length(sub) || !owner_valid(owner))
        return "its sub is not the name of an owner";
    const json_t *scope = json_object_get(claims, "scope");
    unsigned scopes = AUTH_USUAL;
    if (scope && !json_is_string(scope)) return "its scope is not a text";
    if (scope) scopes_parse(json_string_value(scope), true, &scopes, NULL);
    *out = (struct jwt_claims){mem_str(owner), scopes, expires_at};
    return NULL;
}

bool jwt_verifier_check(const struct jwt_verifier *v, const char *token, int64_t now,
                        struct jwt_claims *out, const char **why)
{
    struct part parts[3];
    *out = (struct jwt_claims){0};
    *why = "it is not signed in a way that is accepted here";
    /* libjwt copies a token to the stack */
    if (strlen(token) > JWT_BYTES_MAX || !cut(token, parts)) return false;
    json_t *header = read_part(parts[0]);
    const struct key *key = header ? choose_key(v, header) : NULL;
    json_decref(header);
    if (!key) return false;

    json_t *claims = read_part(parts[1]);
    if (!claims)
        *why = "its claims cannot be read";
    else if (!signed_by(token, parts[2], key))
        *why = "its signature is wrong";
    else
        *why = read_claims(v, claims, now, out);
    json_decref(claims);
    return !*why;
}

#else /* without libjwt */

#include <stddef.h>

enum err jwt_verifier_open(struct jwt_verifier **out, const struct conf *conf, struct error *e)
{
    *out = NULL;
    static const enum conf_key keys[] = {CONF_AUTH_JWT_SECRET, CONF_AUTH_JWT_KEY_FILE};
    for (size_t i = 0; i < 2; i++) {
        if (!conf_text(conf, keys[i])) continue;
        error_set(e, ERR_INVALID, "this program was built without libjwt");
        conf_blame(conf, keys[i], e);
        return ERR_INVALID;
    }
    return ERR_OK;
}

void jwt_verifier_close(struct jwt_verifier *v)
{
    (void)v;
}

bool jwt_verifier_check(const struct jwt_verifier *v, const char *token, int64_t now,
                        struct jwt_claims *out, const char **why)
{
    (void)v, (void)token, (void)now;
    *out = (struct jwt_claims){0};
    *why = "it is not signed in a way that is accepted here";
    return false;
}

#endif
