/* An access token that is a JSON Web Token (RFC 7519, 9068) in the compact form of RFC
 * 7515: taken apart, and its claims compared with what this server wants. Sans I/O; the
 * signature is keys.h's business, and nothing of a token counts before it. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    TOKEN_MAX = 8 * 1024, /* of the compact form */
    TOKEN_SUBJECT_MAX = 255,
    TOKEN_LEEWAY_S = 60, /* between two clocks */
};

/* RFC 7518 3.1, RFC 8037: the asymmetric ones. */
enum token_alg {
    ALG_RS256,
    ALG_RS384,
    ALG_RS512,
    ALG_PS256,
    ALG_PS384,
    ALG_PS512,
    ALG_ES256,
    ALG_ES384,
    ALG_ES512,
    ALG_EDDSA, /* Ed25519 */
    ALG_COUNT,
};
const char *token_alg_name(enum token_alg alg);

struct token {
    struct arena arena; /* of all below */
    struct str compact; /* borrowed: outlives the token */
    struct str signed_part, signature;
    enum token_alg alg;
    struct str kid; /* p is NULL: it names no key */
    struct json_doc claims;
};

/* Everything but `none`, HMAC and unknown algorithms, critical extensions, and types
 * that are not of an access token. -1 with *ret_why (static): it is none of ours. */
int token_parse(struct token *token, struct str compact, const char **ret_why);
void token_finish(struct token *token); /* accepts all-zero */

struct token_rules {
    struct str issuer;
    const struct str *audiences; /* one of them */
    size_t audience_count;
    struct str scope; /* words, all of them; may be empty */
};

enum token_says { TOKEN_GOOD, TOKEN_WRONG, TOKEN_LACKS_SCOPE };

/* Of a token whose signature is good. subject lives with the token; expires_s is in
 * seconds since 1970, with the leeway. */
enum token_says token_check(struct token *token, const struct token_rules *rules,
                            uint64_t now_s, struct str *ret_subject,
                            uint64_t *ret_expires_s, const char **ret_why);
