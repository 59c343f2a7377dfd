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

/* Index of the first byte at or after i that a JSON string cannot hold as it is: '"',
 * '\\', a control character; or n. Bytes above 0x7f also stop it if stop_high is set.
 */
size_t json_plain_run(const char *p, size_t i, size_t n, int stop_high);

/* Copies the bytes that may stand in a JSON string as they are (and are ASCII) up to
 * the first other one; returns how many. May write up to 15 bytes more to `to` than
 * that. */
size_t json_copy_plain(char *to, const char *p, size_t n);

/* Copies up to the first backslash; likewise. */
size_t json_copy_unescaped(char *to, const char *p, size_t n);
