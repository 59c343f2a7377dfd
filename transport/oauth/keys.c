#include "transport/oauth/keys.h"
#include "base/base64.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include <cjose/cjose.h>
#include <openssl/evp.h>

enum {
    ED25519_BYTES = 32,
    ED25519_SIGNATURE = 64,
    COORDINATE_MAX = 66,
    NUMBER_MAX = 2048,
    EXPONENT_MAX = 8
};

enum key_kind { KIND_RSA, KIND_P256, KIND_P384, KIND_P521, KIND_ED25519 };

struct key {
    char *kid; /* NULL: none */
    enum key_kind kind;
    enum token_alg alg; /* ALG_COUNT: any of its kind */
    cjose_jwk_t *jwk;   /* one of these two */
    EVP_PKEY *ed25519;
};

static enum key_kind kind_of(enum token_alg alg)
{
    switch (alg) {
    case ALG_ES256:
        return KIND_P256;
    case ALG_ES384:
        return KIND_P384;
    case ALG_ES512:
        return KIND_P521;
    case ALG_EDDSA:
        return KIND_ED25519;
    default:
        return KIND_RSA;
    }
}

static bool find_kind(struct json jwk, enum key_kind *ret_kind)
{
    static const struct {
        struct str kty, crv;
        enum key_kind kind;
    } rows[] = {
        {STR_INIT("RSA"), {NULL, 0}, KIND_RSA},
        {STR_INIT("EC"), STR_INIT("P-256"), KIND_P256},
        {STR_INIT("EC"), STR_INIT("P-384"), KIND_P384},
        {STR_INIT("EC"), STR_INIT("P-521"), KIND_P521},
        {STR_INIT("OKP"), STR_INIT("Ed25519"), KIND_ED25519},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (json_str_is(json_get(jwk, STR("kty")), rows[i].kty) &&
            (!rows[i].crv.p || json_str_is(json_get(jwk, STR("crv")), rows[i].crv))) {
            *ret_kind = rows[i].kind;
            return true;
        }
    return false;
}

/* use, key_ops and alg of RFC 7517 4, where they are there. */
static bool is_for_signatures(struct json jwk, struct key *key)
{
    struct json use = json_get(jwk, STR("use")), ops = json_get(jwk, STR("key_ops"));
    struct json alg = json_get(jwk, STR("alg"));
    bool verifies = !json_present(ops);
    for (struct json k = json_first(ops); json_present(k); k = json_next(k))
        verifies |= json_str_is(k, STR("verify"));
    key->alg = ALG_COUNT;
    for (unsigned i = 0; i < ALG_COUNT; i++)
        if (json_str_is(alg, str_of(token_alg_name((enum token_alg)i))))
            key->alg = (enum token_alg)i;
    if (json_present(alg) && (key->alg == ALG_COUNT || kind_of(key->alg) != key->kind))
        return false;
    return verifies && (!json_present(use) || json_str_is(use, STR("sig")));
}

static bool take_ed25519(struct json jwk, struct key *key)
{
    struct arena a = {0};
    struct buf x;
    struct err err;
    buf_init(&x, COORDINATE_MAX);
    if (base64url_decode(&x, json_str(json_get(jwk, STR("x")), &a), &err) == 0 &&
        x.n == ED25519_BYTES)
        key->ed25519 = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                   (const unsigned char *)x.p, x.n);
    buf_finish(&x);
    arena_finish(&a);
    return key->ed25519 != NULL;
}

/* A number of the key: written to `to` if it has between `least` and `most` bytes. */
static bool copy_number(struct json_writer *to, struct json jwk, const char *name,
                        size_t least, size_t most)
{
    struct arena a = {0};
    struct buf bytes;
    struct err err;
    struct str text = json_str(json_get(jwk, str_of(name)), &a);
    buf_init(&bytes, NUMBER_MAX);
    bool good = base64url_decode(&bytes, text, &err) == 0 && bytes.n >= least &&
                bytes.n <= most;
    if (good)
        jw_key_str(to, name, text);
    buf_finish(&bytes);
    arena_finish(&a);
    return good;
}

static bool copy_numbers(struct json_writer *to, struct json jwk, enum key_kind kind)
{
    static const char *const curves[] = {
        [KIND_P256] = "P-256", [KIND_P384] = "P-384", [KIND_P521] = "P-521"};
    static const size_t coordinate[] = {
        [KIND_P256] = 32, [KIND_P384] = 48, [KIND_P521] = COORDINATE_MAX};
    if (kind == KIND_RSA) {
        jw_key_cstr(to, "kty", "RSA");
        return copy_number(to, jwk, "n", KEYS_RSA_BITS_MIN / 8, NUMBER_MAX) &&
               copy_number(to, jwk, "e", 1, EXPONENT_MAX);
    }
    jw_key_cstr(to, "kty", "EC");
    jw_key_cstr(to, "crv", curves[kind]);
    return copy_number(to, jwk, "x", coordinate[kind], coordinate[kind]) &&
           copy_number(to, jwk, "y", coordinate[kind], coordinate[kind]);
}

/* The library gets the public numbers alone, and none that it would abort on: a wrong
 * length, letters that are no base64url. */
static bool take_jwk(struct json jwk, struct key *key)
{
    struct buf text;
    struct json_writer w;
    cjose_err err;
    buf_init(&text, 4 * NUMBER_MAX);
    jw_init(&w, &text);
    jw_object(&w);
    bool good = copy_numbers(&w, jwk, key->kind);
    jw_end_object(&w);
    if (good && !text.overflow)
        key->jwk = cjose_jwk_import(text.p, text.n, &err);
    buf_finish(&text);
    return key->jwk && (key->kind != KIND_RSA ||
                        cjose_jwk_get_keysize(key->jwk, &err) >= KEYS_RSA_BITS_MIN);
}

static void key_finish(struct key *key)
{
    mem_free(key->kid);
    if (key->jwk)
        cjose_jwk_release(key->jwk);
    EVP_PKEY_free(key->ed25519);
}

/* Nothing happens to a key of no use here. */
static void take_key(struct key_set *set, struct json jwk)
{
    struct key key = {0};
    struct arena a = {0};
    if (!find_kind(jwk, &key.kind) || !is_for_signatures(jwk, &key))
        return;
    struct str kid = json_str(json_get(jwk, STR("kid")), &a);
    if (kid.p)
        key.kid = mem_strndup(kid.p, kid.n);
    if (key.kind == KIND_ED25519 ? take_ed25519(jwk, &key) : take_jwk(jwk, &key)) {
        set->keys[set->count++] = key;
    } else {
        log_warn("ignoring a key of the OAuth issuer that is weak or broken: kid %.*s",
                 STR_FMT(kid));
        key_finish(&key);
    }
    arena_finish(&a);
}

int key_set_parse(struct key_set *ret_set, struct str text, struct err *err)
{
    struct key_set set = {0};
    struct arena a = {0};
    struct json_doc doc;
    if (text.n > KEYS_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the keys are over %d KiB",
                       KEYS_BYTES_MAX / 1024);
    int rc = json_parse(&doc, &a, text, err);
    struct json keys =
        rc < 0 ? (struct json){0} : json_get(json_root(&doc), STR("keys"));
    if (rc < 0)
        err_prefix(err, "the keys");
    else if (json_type(keys) != JSON_ARRAY)
        rc = err_set(err, ERR_PROTOCOL, "there are no \"keys\" in the JWK set");
    else if (json_len(keys) > KEYS_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %d keys", KEYS_MAX);
    if (rc == 0) {
        set.keys = mem_zalloc((json_len(keys) + 1) * sizeof set.keys[0]);
        for (struct json k = json_first(keys); json_present(k); k = json_next(k))
            take_key(&set, k);
        if (set.count == 0)
            rc = err_set(err, ERR_PROTOCOL,
                         "none of the keys is for RS, PS, ES or EdDSA signatures");
    }
    arena_finish(&a);
    if (rc < 0)
        key_set_finish(&set);
    else
        *ret_set = set;
    return rc;
}

void key_set_finish(struct key_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        key_finish(&set->keys[i]);
    mem_free(set->keys);
    *set = (struct key_set){0};
}

static bool verify_ed25519(const struct key *key, const struct token *t)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && t->signature.n == ED25519_SIGNATURE &&
                EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->ed25519) == 1 &&
                EVP_DigestVerify(
                    ctx, (const unsigned char *)t->signature.p, t->signature.n,
                    (const unsigned char *)t->signed_part.p, t->signed_part.n) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* It reads the header again: that of duplicate members it has taken the same one as we
 * (the last) is made sure of here. */
static bool verify_jws(const struct key *key, const struct token *t)
{
    cjose_err err;
    cjose_jws_t *jws = cjose_jws_import(t->compact.p, t->compact.n, &err);
    const char *alg =
        jws ? cjose_header_get(cjose_jws_get_protected(jws), CJOSE_HDR_ALG, &err)
            : NULL;
    bool good = alg && strcmp(alg, token_alg_name(t->alg)) == 0 &&
                cjose_jws_verify(jws, key->jwk, &err);
    cjose_jws_release(jws);
    return good;
}

static bool suits(const struct key *key, const struct token *t)
{
    return key->kind == kind_of(t->alg) &&
           (key->alg == ALG_COUNT || key->alg == t->alg) &&
           (!t->kid.p || (key->kid && str_eq(str_of(key->kid), t->kid)));
}

/* A token without a kid may be any key's. */
enum key_says key_set_verify(const struct key_set *set, const struct token *t)
{
    enum key_says says = KEY_UNKNOWN;
    for (size_t i = 0; i < set->count && says != KEY_SIGNED; i++) {
        const struct key *key = &set->keys[i];
        if (!suits(key, t))
            continue;
        bool good = key->ed25519 ? verify_ed25519(key, t) : verify_jws(key, t);
        says = good ? KEY_SIGNED : KEY_FORGED;
    }
    return says;
}
