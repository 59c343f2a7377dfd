/* Base64, RFC 4648 section 4, with padding; strict when decoding. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Appends the encoding of s to b. */
void base64_encode(struct buf *b, struct str s);

/* Appends the bytes that s encodes. ERR_INVALID on a character outside the alphabet,
 * wrong padding or length, or non-zero trailing bits. b is unchanged on error. */
int base64_decode(struct buf *b, struct str s, struct err *err);

/* The same for base64url without padding (RFC 4648 section 5, as RFC 7515 uses it). */
int base64url_decode(struct buf *b, struct str s, struct err *err);
