/* Secrets: tokens and the like. The type is opaque so that no format string, log line
 * or error can take one by mistake; whoever really sends one asks for the bytes by
 * name. */
#pragma once
#include "base/str.h"

struct secret;

/* A copy of s, which the caller may then wipe. */
struct secret *secret_new(struct str s);
struct secret *secret_dup(const struct secret *secret); /* NULL of NULL */
/* Wipes the bytes first; accepts NULL. */
void secret_free(struct secret *secret);

/* The bytes, borrowed: for the wire, and for nothing that people read. */
struct str secret_reveal(const struct secret *secret);

/* Compares in a time that depends only on the lengths. */
bool secret_equals(const struct secret *secret, struct str s);

/* Overwrites memory that held one, so that the compiler cannot leave it out. */
void secret_wipe(void *p, size_t size_bytes);
