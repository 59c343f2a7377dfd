/* The strict pass over a JSON text: RFC 8259's grammar, and what it leaves open decided: UTF-8
 * must be valid, \u surrogates must pair up, depth is bounded. */
#pragma once
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/* Counts the tokens that jsmn will make of the text (one for each object, array, string and
 * primitive). 0, or -1 with INVALID: the byte offset and what was expected. */
int json_strict(struct str text, uint32_t *ret_tokens, struct err *err);

/* Index of the first byte at or after i that a JSON string cannot hold as it is: '"', '\\', a
 * control character; or n. Bytes above 0x7f also stop it if stop_high is set. */
size_t json_plain_run(const char *p, size_t i, size_t n, int stop_high);
