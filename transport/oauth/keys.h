/* The public keys of an authorization server: a JSON Web Key Set (RFC 7517), and the
 * signatures that they make (RFC 7515, 7518, 8037). Sans I/O.
 *
 * RSA and elliptic curves are cjose's; Ed25519, which it does not know, is OpenSSL's.
 */
#pragma once
#include "base/err.h"
#include "transport/oauth/token.h"

enum {
    KEYS_MAX = 64,
    KEYS_BYTES_MAX = 256 * 1024, /* of the set */
    KEYS_RSA_BITS_MIN = 2048,    /* RFC 7518 3.3 */
};

struct key;
struct key_set {
    struct key *keys;
    size_t count;
};

/* Keys that are not for signatures, or of kinds that are not used here, are left out,
 * as RFC 7517 5 says; so are weak and broken ones, with a warning. PROTOCOL: it is not
 * a set, or none of its keys is of use; LIMIT. */
int key_set_parse(struct key_set *ret_set, struct str json, struct err *err);
void key_set_finish(struct key_set *set); /* accepts all-zero */

enum key_says {
    KEY_SIGNED,
    KEY_UNKNOWN, /* no key of that kid and kind */
    KEY_FORGED,
};
enum key_says key_set_verify(const struct key_set *set, const struct token *token);
