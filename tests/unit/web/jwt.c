/* JSON Web Tokens: which key verifies what, and what a token then proves. */
#include "web/jwt.h"

#include "base/buf.h"
#include "task/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T0     1700000000000 /* the time of all tests; in a claim without the zeros */
#define SECRET "a secret of thirty-two bytes ..."

/* Settings with these two, or NULL. The caller frees. */
static struct conf *settings(const char *secret, const char *file)
{
    struct conf *base = NULL, *c = NULL;
    struct buf s = {0}, f = {0};
    buf_fmt(&s, "LEAT_AUTH_JWT_SECRET=%s", secret ? secret : "");
    buf_fmt(&f, "LEAT_AUTH_JWT_KEY_FILE=%s", file ? file : "");
    char *variables[] = {s.data, f.data, NULL};
    assert_int_equal(conf_load(&base, "/dev/null", NULL, NULL), ERR_OK);
    assert_int_equal(conf_overlay(&c, base, variables, NULL), ERR_OK);
    conf_free(base);
    buf_free(&s);
    buf_free(&f);
    return c;
}

static enum err open_with(struct jwt_verifier **v, const char *secret, const char *file,
                          struct error *e)
{
    struct conf *c = settings(secret, file);
    enum err rc = jwt_verifier_open(v, c, e);
    conf_free(c);
    return rc;
}

static void no_key_is_no_verifier(void **state)
{
    struct jwt_verifier *v = NULL;
    (void)state;
    assert_int_equal(open_with(&v, NULL, NULL, NULL), ERR_OK);
    assert_null(v);
    jwt_verifier_close(v);
}

#ifdef LEAT_JWT

/* Keys made for this test; what signed the tokens is not kept. The tokens say
 * {"sub":"ann","exp":1700003600,"scope":"read publish fly"}. */
static const char rsa_key[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAkRs64zRRn9nHmcfQjZek\n"
                              "Jhp5Qdi8lS2g3svBBJtlARpR1PO6umLBXiS7M3QcJQq43EU1JtGJ4vrfi11e5+Vw\n"
                              "RRxgJRjeYjVlNbHQoEuyfDJqgofCeK9OJJkDIXonq/7TSue6fycEj0MEFhYjPBnB\n"
                              "muNxApAxbfTGeHLh3lE30NRZT0z4jaMcfOPmxX6K2Tav/taI5HU/MQGoLz/74s2A\n"
                              "i0Vo/3k7FfJRdi4Eb6rkOF3vjj/ih4Nm9MSqB8u39pMfNUCO1bi4gL6xWNgpnEEX\n"
                              "QUBLiNXtb5US0AHKZOXxwkSpBF9qTKcTibjQEcZtxTZhVCE/1r5g3CsMslc/zoun\n"
                              "4wIDAQAB\n"
                              "-----END PUBLIC KEY-----\n";
static const char rsa_small_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCqb40HS0N3omIfC4dhwD6cuBZy\n"
    "ISp5zZI9iHA9xfBMY4LXgUg71Ruq/kBlEYDEKEmyg0/Wi4QjxoBHyDtrbE13YV2I\n"
    "fsXOQguZSuJWDynwzDoFjaMHCdoUgCSe5T7gOmzJ4Q9WKupDIwd3Z6qUJGdYK9nx\n"
    "rLlMXTAr2p8c/nRA2QIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
static const char p256_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgyCV8WeQtU35XxHy+cPoH4CTiAc8\n"
                               "rOgaDs/1SQrafO9RGSxj71vvi4iiWW3GWw1vHsRXkEiAKNdRZN4m352fLQ==\n"
                               "-----END PUBLIC KEY-----\n";
static const char p384_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE0lx3a77YPFOOlXoyw84u+YDEohPHQ3Mo\n"
                               "BD+gIC2LDxg84PfJgi1mU4M4srwE+PQFd0TujdB0q9W1GDuYHn8H//i69unf3AYt\n"
                               "uNu/Bo2OgoF3+JkbkoABiaFR2eEmvs0i\n"
                               "-----END PUBLIC KEY-----\n";
static const char ed25519_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEAU8RqXhYTwDouzLJuwV3+6jcn6Po0eaFwzwbUPyl7oXI=\n"
                                  "-----END PUBLIC KEY-----\n";

static const char rs256_token[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDM2MDA"
    "sInNjb3BlIjoicmVhZCBwdWJsaXNoIGZseSJ9.BnPe42gCFmtsoWipfLOQITsKpy3H5y5o9Y1rx3"
    "lhF7DmJqhFU0iTNm-fenbKMTy9wBXI9Xjod4qIEa1Ust5AzgpTDj4BJY3ZV2_sehTqBgEnEf2kmm"
    "roRckH2DUS4DpZsjniq7k1kIawf_Z-AJCOOBEHD2oVVQIQ4Iiv1oE52bAfDz6sFMVHzUoyCB6g9O"
    "YTzuasL8G0iwZJSlWbGUrcRPdRSiIDS-4qYXMxwt_28BXDRtA_TzfjfN0Q7erWomBll9xCi-cFDZ"
    "JjKc9z7J6DIeHpKbSK_ustNndpVBgRSWWstMA7oaOGFwbsNCL2KoxGDvKQz3OQ3zbcrRfKur-JwQ";
static const char es256_token[] =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDM2MDA"
    "sInNjb3BlIjoicmVhZCBwdWJsaXNoIGZseSJ9.ejfqoPDIGj_Lh8_3gyInhSPI04fwYq23JIsteT"
    "08TIauyo6M-XMk6WAyW83b3NoSO4XEkUfyuoNNXazVT-5OUg";

/* A file with this text; the caller unlinks and frees. */
static char *file_of(const char *text)
{
    char *path = mem_str("/tmp/leat-jwt-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static enum err open_key(struct jwt_verifier **v, const char *secret, const char *pem,
                         struct error *e)
{
    char *path = pem ? file_of(pem) : NULL;
    enum err rc = open_with(v, secret, path, e);
    if (path) unlink(path);
    free(path);
    return rc;
}

static void base64url(struct buf *out, const void *bytes, size_t len)
{
    enum { VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };
    size_t size = sodium_base64_encoded_len(len, VARIANT);
    sodium_bin2base64(buf_reserve(out, size), size, bytes, len, VARIANT);
    out->len += size - 1;
}

/* header.claims.HMAC-SHA256; the caller frees. */
static char *sign(const char *header, const char *claims, const char *secret)
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state st;
    struct buf b = {0};
    base64url(&b, header, strlen(header));
    buf_char(&b, '.');
    base64url(&b, claims, strlen(claims));
    crypto_auth_hmacsha256_init(&st, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&st, (const unsigned char *)b.data, b.len);
    crypto_auth_hmacsha256_final(&st, mac);
    buf_char(&b, '.');
    base64url(&b, mac, sizeof mac);
    return b.data;
}

/* What a verifier says of a token: its owner, or NULL with the reason in *why. The caller frees. */
static char *owner_by(const struct jwt_verifier *v, const char *token, const char **why)
{
    struct jwt_claims claims;
    bool good = jwt_verifier_check(v, token, T0, &claims, why);
    assert_int_equal(good, claims.owner != NULL);
    assert_int_equal(good, *why == NULL);
    return claims.owner;
}

static void refused(const struct jwt_verifier *v, const char *token)
{
    const char *why = NULL;
    char *owner = owner_by(v, token, &why);
    if (owner) fail_msg("accepted: %s", token);
}

static void refused_claims(const struct jwt_verifier *v, const char *claims)
{
    char *token = sign("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims, SECRET);
    refused(v, token);
    free(token);
}

static void refused_header(const struct jwt_verifier *v, const char *header, const char *key)
{
    char *token = sign(header, "{\"sub\":\"ann\"}", key);
    refused(v, token);
    free(token);
}

static void claims_say_who_what_and_how_long(void **state)
{
    static const struct {
        const char *claims, *owner;
        unsigned scopes;
        int64_t expires_at;
    } rows[] = {
        {"{\"sub\":\"ann\"}", "ann", AUTH_USUAL, INT64_MAX},
        {"{\"sub\":\"ann\",\"scope\":\"read\"}", "ann", AUTH_READ, INT64_MAX},
        {"{\"sub\":\"ann\",\"scope\":\"admin openid read profile\"}", "ann",
         AUTH_ADMIN | AUTH_USUAL, INT64_MAX},
        {"{\"sub\":\"ann\",\"scope\":\"\"}", "ann", 0, INT64_MAX},
        {"{\"sub\":\"ann\",\"scope\":\"openid\"}", "ann", 0, INT64_MAX},
        {"{\"sub\":\"\\u00e4@example.org\",\"exp\":1700000001}", "\xc3\xa4@example.org", AUTH_USUAL,
         T0 + 1000},
        {"{\"sub\":\"ann\",\"exp\":1700000000.25}", "ann", AUTH_USUAL, T0 + 250},
        {"{\"sub\":\"ann\",\"exp\":1e300}", "ann", AUTH_USUAL, INT64_MAX},
        {"{\"sub\":\"ann\",\"nbf\":1700000000,\"iat\":0,\"aud\":\"x\"}", "ann", AUTH_USUAL,
         INT64_MAX},
        {"{\"sub\":\"ann\",\"nbf\":1700000005}", "ann", AUTH_USUAL, INT64_MAX}, /* the leeway */
        {"{\"sub\":\"ann\",\"nbf\":-1e300}", "ann", AUTH_USUAL, INT64_MAX},
    };
    struct jwt_verifier *v = NULL;
    (void)state;
    assert_int_equal(open_key(&v, SECRET, NULL, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *token = sign("{\"typ\":\"JWT\",\"alg\":\"HS256\"}", rows[i].claims, SECRET);
        struct jwt_claims c;
        const char *why;
        if (!jwt_verifier_check(v, token, T0, &c, &why)) fail_msg("%s: %s", rows[i].claims, why);
        assert_string_equal(c.owner, rows[i].owner);
        assert_int_equal(c.scopes, rows[i].scopes);
        assert_int_equal(c.expires_at, rows[i].expires_at);
        free(c.owner);
        free(token);
    }
    jwt_verifier_close(v);
}

static void claims_that_prove_nothing_are_refused(void **state)
{
    struct jwt_verifier *v = NULL;
    (void)state;
    assert_int_equal(open_key(&v, SECRET, NULL, NULL), ERR_OK);
    refused_claims(v,
                   "{\"sub\":\"ann\",\"exp\":1700000000}"); /* exact: not at this moment either */
    refused_claims(v, "{\"sub\":\"ann\",\"exp\":1699999999}");
    refused_claims(v, "{\"sub\":\"ann\",\"exp\":0}");
    refused_claims(v, "{\"sub\":\"ann\",\"exp\":-1e300}");
    refused_claims(v, "{\"sub\":\"ann\",\"exp\":\"1800000000\"}");
    refused_claims(v, "{\"sub\":\"ann\",\"exp\":null}");
    refused_claims(v, "{\"sub\":\"ann\",\"nbf\":1700000006}");
    refused_claims(v, "{\"sub\":\"ann\",\"nbf\":1e300}");
    refused_claims(v, "{\"sub\":\"ann\",\"nbf\":true}");
    refused_claims(v, "{}");
    refused_claims(v, "{\"sub\":\"\"}");
    refused_claims(v, "{\"sub\":7}");
    refused_claims(v, "{\"sub\":\"a\\nb\"}");
    refused_claims(v, "{\"sub\":\"ann\\u0000x\"}");
    refused_claims(v, "{\"sub\":\"ann\",\"scope\":[\"read\"]}");
    refused_claims(v, "[\"ann\"]");
    refused_claims(v, "not JSON");
    refused_claims(v, "");
    jwt_verifier_close(v);
}

static void issuer_and_audience_count_where_they_are_set(void **state)
{
    static const struct {
        char *issuer, *audience; /* variables */
        const char *claims;
        bool good;
    } rows[] = {
        {"A=", "B=", "{\"sub\":\"ann\",\"iss\":\"x\",\"aud\":7}", true},
        {"LEAT_AUTH_JWT_ISSUER=me", "B=", "{\"sub\":\"ann\",\"iss\":\"me\"}", true},
        {"LEAT_AUTH_JWT_ISSUER=me", "B=", "{\"sub\":\"ann\",\"iss\":\"Me\"}", false},
        {"LEAT_AUTH_JWT_ISSUER=me", "B=", "{\"sub\":\"ann\",\"iss\":[\"me\"]}", false},
        {"LEAT_AUTH_JWT_ISSUER=me", "B=", "{\"sub\":\"ann\",\"iss\":\"me\\u0000x\"}", false},
        {"LEAT_AUTH_JWT_ISSUER=me", "B=", "{\"sub\":\"ann\"}", false},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\",\"aud\":\"us\"}", true},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\",\"aud\":[7,\"x\",\"us\"]}", true},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\",\"aud\":[]}", false},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\",\"aud\":{\"us\":\"us\"}}", false},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\",\"aud\":\"us2\"}", false},
        {"A=", "LEAT_AUTH_JWT_AUDIENCE=us", "{\"sub\":\"ann\"}", false},
        {"LEAT_AUTH_JWT_ISSUER=me", "LEAT_AUTH_JWT_AUDIENCE=us",
         "{\"sub\":\"ann\",\"aud\":\"us\",\"iss\":\"me\"}", true},
        {"LEAT_AUTH_JWT_ISSUER=me", "LEAT_AUTH_JWT_AUDIENCE=us",
         "{\"sub\":\"ann\",\"aud\":\"us\",\"iss\":\"us\"}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *base = settings(SECRET, NULL), *c = NULL;
        struct jwt_verifier *v = NULL;
        const char *why = NULL;
        char *token = sign("{\"alg\":\"HS256\"}", rows[i].claims, SECRET);
        char *variables[] = {rows[i].issuer, rows[i].audience, NULL};
        assert_int_equal(conf_overlay(&c, base, variables, NULL), ERR_OK);
        assert_int_equal(jwt_verifier_open(&v, c ? c : base, NULL), ERR_OK);
        char *owner = owner_by(v, token, &why);
        if (!owner == rows[i].good) print_error("%s: %s\n", rows[i].claims, why ? why : "taken");
        assert_int_equal(owner != NULL, rows[i].good);
        free(owner);
        free(token);
        jwt_verifier_close(v);
        conf_free(c);
        conf_free(base);
    }
}

static void only_hs256_with_our_secret_is_by_it(void **state)
{
    struct jwt_verifier *v = NULL;
    (void)state;
    assert_int_equal(open_key(&v, SECRET, NULL, NULL), ERR_OK);
    refused_header(v, "{\"alg\":\"HS256\"}", "another secret");
    refused_header(v, "{\"alg\":\"HS256\"}", "");
    refused_header(v, "{\"alg\":\"hs256\"}", SECRET);
    refused_header(v, "{\"alg\":\"HS384\"}", SECRET);
    refused_header(v, "{\"alg\":\"HS512\"}", SECRET);
    refused_header(v, "{\"alg\":\"RS256\"}", SECRET);
    refused_header(v, "{\"alg\":\"none\"}", SECRET);
    refused_header(v, "{\"alg\":\"None\"}", SECRET);
    refused_header(v, "{\"alg\":null}", SECRET);
    refused_header(v, "{\"alg\":\"HS256\\u0000\"}", SECRET);
    refused_header(v, "{\"alg\":[\"HS256\"]}", SECRET);
    refused_header(v, "{}", SECRET);
    refused_header(v, "\"HS256\"", SECRET);
    refused_header(v, "{\"alg\":\"HS256\",\"alg\":\"none\"}", SECRET);
    refused_header(v, "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", SECRET);
    refused(v, rs256_token);
    refused(v, es256_token);
    jwt_verifier_close(v);
}

static void unsigned_and_broken_tokens_are_refused(void **state)
{
    static const char *const rows[] = {"",
                                       ".",
                                       "..",
                                       "...",
                                       "a.b.c",
                                       "!.!.!",
                                       "eyJhbGciOiJIUzI1NiJ9",
                                       "eyJhbGciOiJIUzI1NiJ9.",
                                       "eyJhbGciOiJIUzI1NiJ9..",
                                       "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.",
                                       "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.AAAA",
                                       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.",
                                       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ",
                                       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.a.b"};
    struct jwt_verifier *v = NULL;
    (void)state;
    assert_int_equal(open_key(&v, SECRET, rsa_key, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) refused(v, rows[i]);

    /* each character of a good one counts */
    char *token = sign("{\"alg\":\"HS256\"}", "{\"sub\":\"ann\"}", SECRET);
    for (size_t i = 0; token[i]; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        refused(v, token);
        token[i] = was;
    }
    char *cut = mem_str(token);
    cut[strlen(cut) - 1] = '\0';
    refused(v, cut);
    free(cut);
    free(token);

    struct buf huge = {0};
    buf_str(&huge, "{\"sub\":\"ann\",\"x\":\"");
    for (int i = 0; i < JWT_BYTES_MAX; i++) buf_char(&huge, 'x');
    buf_str(&huge, "\"}");
    refused_claims(v, huge.data);
    buf_free(&huge);
    jwt_verifier_close(v);
}

static void accepts(const char *secret, const char *pem, const char *token)
{
    struct jwt_verifier *v = NULL;
    struct jwt_claims c;
    const char *why;
    assert_int_equal(open_key(&v, secret, pem, NULL), ERR_OK);
    if (!jwt_verifier_check(v, token, T0, &c, &why)) fail_msg("%s", why);
    assert_string_equal(c.owner, "ann");
    assert_int_equal(c.scopes, AUTH_READ | AUTH_PUBLISH);
    assert_int_equal(c.expires_at, T0 + 3600 * 1000);
    free(c.owner);
    jwt_verifier_close(v);
}

static void rejects(const char *secret, const char *pem, const char *token)
{
    struct jwt_verifier *v = NULL;
    assert_int_equal(open_key(&v, secret, pem, NULL), ERR_OK);
    refused(v, token);
    jwt_verifier_close(v);
}

static void a_public_key_verifies_its_own_algorithm(void **state)
{
    (void)state;
    accepts(NULL, rsa_key, rs256_token);
    accepts(NULL, p256_key, es256_token);
    rejects(NULL, rsa_key, es256_token);
    rejects(NULL, p256_key, rs256_token);

    struct buf other = {0};
    buf_str(&other, rs256_token);
    other.data[other.len - 20] = other.data[other.len - 20] == 'A' ? 'B' : 'A';
    rejects(NULL, rsa_key, other.data);
    buf_free(&other);
}

static void a_changed_token_is_refused_wherever_it_was(void **state)
{
    static const struct {
        const char *pem, *token;
    } rows[] = {{rsa_key, rs256_token}, {p256_key, es256_token}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct jwt_verifier *v = NULL;
        char *token = mem_str(rows[i].token);
        assert_int_equal(open_key(&v, NULL, rows[i].pem, NULL), ERR_OK);
        for (size_t at = 0; at < strlen(token); at += 7) {
            static const char others[] = "A!=.\n\x80";
            char was = token[at];
            token[at] = others[at % 6] == was ? 'B' : others[at % 6];
            refused(v, token);
            token[at] = was;
        }
        for (size_t len = strlen(token); len > 5; len -= 5) {
            token[len - 5] = '\0';
            refused(v, token);
        }
        free(token);
        jwt_verifier_close(v);
    }
}

static void a_public_key_is_no_secret(void **state)
{
    /* what an attacker would do who knows the public key, in each form that it may be held in */
    struct jwt_verifier *v = NULL;
    char bare[sizeof rsa_key];
    (void)state;
    memcpy(bare, rsa_key, sizeof bare);
    bare[strlen(bare) - 1] = '\0';
    assert_int_equal(open_key(&v, NULL, rsa_key, NULL), ERR_OK);
    refused_header(v, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", rsa_key);
    refused_header(v, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", bare);
    refused_header(v, "{\"alg\":\"HS512\",\"typ\":\"JWT\"}", rsa_key);
    refused_header(v, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", rsa_key);
    jwt_verifier_close(v);
    assert_int_equal(open_key(&v, SECRET, p256_key, NULL), ERR_OK);
    refused_header(v, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", p256_key);
    jwt_verifier_close(v);
}

static void secret_and_key_stand_beside_each_other(void **state)
{
    (void)state;
    accepts(SECRET, rsa_key, rs256_token);
    accepts(SECRET, p256_key, es256_token);
    char *token = sign("{\"alg\":\"HS256\"}",
                       "{\"sub\":\"ann\",\"exp\":1700003600,\"scope\":\"publish read\"}", SECRET);
    accepts(SECRET, rsa_key, token);
    rejects(NULL, rsa_key, token);
    free(token);
}

static void keys_for_something_else_are_refused(void **state)
{
    static const struct {
        const char *pem, *says;
    } rows[] = {
        {rsa_small_key, "less than 2048 bits"},
        {p384_key, "P-256"},
        {ed25519_key, "P-256"},
        {"", "BEGIN PUBLIC KEY"},
        {"hello\n", "BEGIN PUBLIC KEY"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n", "BEGIN PUBLIC KEY"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"},
        {"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n", "no public key"},
        {"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "no public key"},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "BEGIN PUBLIC KEY"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt_verifier *v = NULL;
        struct error e = {0};
        assert_int_equal(open_key(&v, NULL, rows[i].pem, &e), ERR_INVALID);
        assert_null(v);
        assert_non_null(strstr(e.text, "LEAT_AUTH_JWT_KEY_FILE: /tmp/leat-jwt-"));
        if (!strstr(e.text, rows[i].says)) fail_msg("%s", e.text);
    }
}

static void a_cut_key_is_refused_at_every_length(void **state)
{
    /* a DER element that claims more than there is */
    static const unsigned char der[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    (void)state;
    for (size_t len = 1; len <= sizeof der; len++) {
        char text[64];
        struct buf pem = {0};
        struct jwt_verifier *v = NULL;
        sodium_bin2base64(text, sizeof text, der, len, sodium_base64_VARIANT_ORIGINAL);
        buf_fmt(&pem, "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", text);
        assert_int_equal(open_key(&v, NULL, pem.data, NULL), ERR_INVALID);
        buf_free(&pem);
    }
}

static void a_key_may_have_text_around_it(void **state)
{
    struct buf pem = {0};
    (void)state;
    buf_fmt(&pem, "the key of our issuer\n%s\nuntil 2030\n", p256_key);
    accepts(NULL, pem.data, es256_token);
    buf_free(&pem);
}

static void a_missing_file_is_named(void **state)
{
    struct jwt_verifier *v = NULL;
    struct error e = {0};
    (void)state;
    assert_int_equal(open_with(&v, NULL, "/nonexistent/key.pem", &e), ERR_IO);
    assert_null(v);
    assert_non_null(strstr(e.text, "LEAT_AUTH_JWT_KEY_FILE: cannot read /nonexistent/key.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_key_is_no_verifier),
        cmocka_unit_test(claims_say_who_what_and_how_long),
        cmocka_unit_test(claims_that_prove_nothing_are_refused),
        cmocka_unit_test(issuer_and_audience_count_where_they_are_set),
        cmocka_unit_test(only_hs256_with_our_secret_is_by_it),
        cmocka_unit_test(unsigned_and_broken_tokens_are_refused),
        cmocka_unit_test(a_public_key_verifies_its_own_algorithm),
        cmocka_unit_test(a_changed_token_is_refused_wherever_it_was),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(secret_and_key_stand_beside_each_other),
        cmocka_unit_test(keys_for_something_else_are_refused),
        cmocka_unit_test(a_cut_key_is_refused_at_every_length),
        cmocka_unit_test(a_key_may_have_text_around_it),
        cmocka_unit_test(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else /* without libjwt */

static void a_key_is_refused_by_name(void **state)
{
    struct jwt_verifier *v = NULL;
    struct error e = {0};
    (void)state;
    assert_int_equal(open_with(&v, SECRET, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "LEAT_AUTH_JWT_SECRET: "));
    assert_null(strstr(e.text, SECRET));
    assert_int_equal(open_with(&v, NULL, "/key.pem", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "LEAT_AUTH_JWT_KEY_FILE: "));
    assert_null(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_key_is_no_verifier),
        cmocka_unit_test(a_key_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
