#include "transport/oauth/token.h"
#include "base/base64.h"
#include <strings.h>

static const char *const alg_names[ALG_COUNT] = {
    [ALG_RS256] = "RS256", [ALG_RS384] = "RS384", [ALG_RS512] = "RS512",
    [ALG_PS256] = "PS256", [ALG_PS384] = "PS384", [ALG_PS512] = "PS512",
    [ALG_ES256] = "ES256", [ALG_ES384] = "ES384", [ALG_ES512] = "ES512",
    [ALG_EDDSA] = "EdDSA",
};

const char *token_alg_name(enum token_alg alg)
{
    return alg_names[alg];
}

static int wrong(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -1;
}

/* One part, decoded into the arena. */
static int decode(struct arena *a, struct str part, struct str *ret_bytes)
{
    struct buf bytes;
    struct err err;
    buf_init(&bytes, TOKEN_MAX);
    int rc = base64url_decode(&bytes, part, &err);
    if (rc == 0)
        *ret_bytes = arena_dup(a, buf_str(&bytes));
    buf_finish(&bytes);
    return rc;
}

static int decode_object(struct arena *a, struct str part, struct json_doc *ret_doc)
{
    struct str text;
    struct err err;
    if (decode(a, part, &text) < 0 || json_parse(ret_doc, a, text, &err) < 0)
        return -1;
    return json_type(json_root(ret_doc)) == JSON_OBJECT ? 0 : -1;
}

/* "at+jwt" is what RFC 9068 wants. Servers that are older than it say "JWT", or
 * nothing; an ID token does so, too, but its audience is the client. */
static bool is_access_token(struct json type)
{
    static const struct str good[] = {STR_INIT("at+jwt"),
                                      STR_INIT("application/at+jwt"), STR_INIT("JWT")};
    struct arena a = {0};
    struct str s = json_str(type, &a);
    bool found = !json_present(type);
    for (size_t i = 0; s.p && i < sizeof good / sizeof good[0]; i++)
        found |= s.n == good[i].n && strncasecmp(s.p, good[i].p, s.n) == 0;
    arena_finish(&a);
    return found;
}

static int read_header(struct token *t, struct str part, const char **ret_why)
{
    struct json_doc doc;
    if (decode_object(&t->arena, part, &doc) < 0)
        return wrong(ret_why, "The token is not a JSON Web Token");
    struct json header = json_root(&doc), alg = json_get(header, STR("alg"));
    struct json kid = json_get(header, STR("kid"));
    t->alg = ALG_COUNT;
    for (unsigned i = 0; i < ALG_COUNT; i++)
        if (json_str_is(alg, str_of(alg_names[i])))
            t->alg = (enum token_alg)i;
    if (t->alg == ALG_COUNT)
        return wrong(ret_why, "The token is not signed with an algorithm that is "
                              "accepted here (RS, PS, ES, EdDSA)");
    if (json_present(json_get(header, STR("crit"))))
        return wrong(ret_why, "The token has critical extensions");
    if (!is_access_token(json_get(header, STR("typ"))))
        return wrong(ret_why, "The token is not an access token (its typ)");
    if (json_present(kid) && json_type(kid) != JSON_STRING)
        return wrong(ret_why, "The kid of the token is not a string");
    t->kid = json_str(kid, &t->arena);
    return 0;
}

int token_parse(struct token *t, struct str compact, const char **ret_why)
{
    *t = (struct token){.compact = compact};
    if (compact.n > TOKEN_MAX)
        return wrong(ret_why, "The token is too long");
    ptrdiff_t first = str_find(compact, '.');
    struct str rest = str_from(compact, (size_t)first + 1);
    ptrdiff_t second = first < 0 ? -1 : str_find(rest, '.');
    if (second < 0)
        return wrong(ret_why, "The token is not known here");
    struct str header = {compact.p, (size_t)first}, claims = {rest.p, (size_t)second};
    t->signed_part = (struct str){compact.p, header.n + 1 + claims.n};
    if (read_header(t, header, ret_why) < 0)
        return -1;
    if (decode_object(&t->arena, claims, &t->claims) < 0 ||
        decode(&t->arena, str_from(rest, claims.n + 1), &t->signature) < 0)
        return wrong(ret_why, "The token is not a JSON Web Token");
    return 0;
}

void token_finish(struct token *t)
{
    arena_finish(&t->arena);
}

/* A NumericDate (RFC 7519): seconds, perhaps with a fraction. */
static bool is_date(struct json v, double *ret_s)
{
    return json_f64(v, ret_s) && *ret_s >= 0 && *ret_s < 1e15;
}

static bool has_audience(struct json aud, const struct token_rules *rules)
{
    for (size_t i = 0; i < rules->audience_count; i++) {
        if (json_str_is(aud, rules->audiences[i]))
            return true;
        if (json_type(aud) != JSON_ARRAY)
            continue;
        for (struct json k = json_first(aud); json_present(k); k = json_next(k))
            if (json_str_is(k, rules->audiences[i]))
                return true;
    }
    return false;
}

/* The next word of a list with spaces. */
static struct str next_word(struct str *list)
{
    while (list->n && list->p[0] == ' ')
        *list = str_from(*list, 1);
    ptrdiff_t end = str_find(*list, ' ');
    struct str word = {list->p, end < 0 ? list->n : (size_t)end};
    *list = str_from(*list, word.n);
    return word;
}

static bool is_in(struct str word, struct json scopes, struct arena *a)
{
    struct str list = json_str(scopes, a);
    for (struct str w = next_word(&list); w.n; w = next_word(&list))
        if (str_eq(w, word))
            return true;
    if (json_type(scopes) == JSON_ARRAY)
        for (struct json k = json_first(scopes); json_present(k); k = json_next(k))
            if (json_str_is(k, word))
                return true;
    return false;
}

/* "scope" is RFC 9068's; "scp", a text or an array, is older and in use. */
static bool has_scope(struct token *t, struct str wanted)
{
    struct json claims = json_root(&t->claims);
    struct json scope = json_get(claims, STR("scope"));
    if (!json_present(scope))
        scope = json_get(claims, STR("scp"));
    for (struct str w = next_word(&wanted); w.n; w = next_word(&wanted))
        if (!is_in(w, scope, &t->arena))
            return false;
    return true;
}

static const char *check_times(struct json claims, uint64_t now_s,
                               uint64_t *ret_expires_s)
{
    struct json nbf = json_get(claims, STR("nbf"));
    double exp_s, nbf_s, now = (double)now_s;
    if (!is_date(json_get(claims, STR("exp")), &exp_s))
        return "The token does not say when it expires";
    if (exp_s + TOKEN_LEEWAY_S <= now)
        return "The token has expired";
    if (json_present(nbf) && !is_date(nbf, &nbf_s))
        return "The nbf of the token is not a time";
    if (json_present(nbf) && nbf_s > now + TOKEN_LEEWAY_S)
        return "The token is not valid yet";
    *ret_expires_s = (uint64_t)exp_s + TOKEN_LEEWAY_S;
    return NULL;
}

/* Anything that fits a line: it is a name in logs, too. */
static bool is_subject(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= TOKEN_SUBJECT_MAX;
}

static const char *check_claims(struct token *t, const struct token_rules *rules,
                                uint64_t now_s, struct str *ret_subject,
                                uint64_t *ret_expires_s)
{
    struct json claims = json_root(&t->claims);
    if (!json_str_is(json_get(claims, STR("iss")), rules->issuer))
        return "The token is of another issuer";
    if (!has_audience(json_get(claims, STR("aud")), rules))
        return "The token is not for this server (its audience)";
    const char *why = check_times(claims, now_s, ret_expires_s);
    if (why)
        return why;
    /* Bound to a key that its sender must prove to have (RFC 7800, 9449, 8705): here
     * nobody asks for that, so it may be a thief's. */
    if (json_present(json_get(claims, STR("cnf"))))
        return "The token is bound to a key: it is not a bearer token";
    *ret_subject = json_str(json_get(claims, STR("sub")), &t->arena);
    return is_subject(*ret_subject) ? NULL
                                    : "The token has no subject that can be used";
}

enum token_says token_check(struct token *t, const struct token_rules *rules,
                            uint64_t now_s, struct str *ret_subject,
                            uint64_t *ret_expires_s, const char **ret_why)
{
    *ret_why = check_claims(t, rules, now_s, ret_subject, ret_expires_s);
    if (*ret_why)
        return TOKEN_WRONG;
    if (has_scope(t, rules->scope))
        return TOKEN_GOOD;
    *ret_why = "The token lacks a scope that is needed here";
    return TOKEN_LACKS_SCOPE;
}
