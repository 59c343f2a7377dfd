/* The canonical form of a JSON value, for digests: no space between tokens, members in
 * the order of their keys' bytes, strings unescaped and escaped again, numbers as they
 * are written. Two texts that say the same in another order or spacing give the same.
 */
#pragma once
#include "base/json.h"
#include "base/sha256.h"

/* Adds the form of v to the MAC; *a: room for what is sorted. */
void canonical_add(struct hmac256 *m, struct json v, struct arena *a);
