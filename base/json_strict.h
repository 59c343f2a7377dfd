/* The strict pass over a JSON text: RFC 8259's grammar, and what it leaves open
 * decided: UTF-8 must be valid, \u surrogates must pair up, depth is bounded. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

enum { JSON_LONG_STRING = 4096, JSON_CUTS_MAX = 32 };

/* Long strings' insides, which a tokenizer need not see again. */
struct json_cut {
    size_t at, n; /* in the text */
};

struct json_shape {
    uint32_t tokens; /* that jsmn will make: objects, arrays, strings, primitives */
    uint32_t cut_count;
    struct json_cut cut[JSON_CUTS_MAX]; /* ascending */
};

/* 0 with *ret_shape filled, or -1 with INVALID: the byte offset and what was expected.
 */
int json_strict(struct str text, struct json_shape *ret_shape, struct err *err);

/* What the letter behind a backslash stands for; 0: it makes no escape of two bytes. */
extern const char json_escape_letter[256];
