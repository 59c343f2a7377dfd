/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), for what a peer keeps for us and
 * must not change. No library: a server on stdio does not load one for this. */
#pragma once
#include "base/str.h"
#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_BLOCK = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, struct str bytes);
void sha256_end(struct sha256 *h, unsigned char ret_digest[SHA256_SIZE]);

struct hmac256 {
    struct sha256 inner, outer;
};

void hmac256_init(struct hmac256 *m, struct str key);
void hmac256_add(struct hmac256 *m, struct str bytes);
void hmac256_end(struct hmac256 *m, unsigned char ret_mac[SHA256_SIZE]);

/* Are n bytes the same? Takes the same time wherever they differ. */
bool sha256_same(const unsigned char *a, const unsigned char *b, size_t n);
