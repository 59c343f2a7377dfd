/* Reading JSON (RFC 8259), judged by nst/JSONTestSuite.
 *
 * jsmn is a tokenizer that accepts far more than JSON, so a text goes through three
 * passes: (1) a strict one of ours, which checks grammar, numbers, escapes, surrogate
 * pairs, UTF-8 and depth, and counts tokens; (2) jsmn (strict, parent links) into an
 * array of exactly that count, so that it can neither fail nor grow; (3) backwards,
 * `parent` becomes "index past my subtree", so that a sibling is O(1) away.
 *
 * A value is a `struct json` by value; looking into an absent value gives an absent
 * value, so a chain of lookups is checked once at its end. Of duplicate keys the last
 * one counts. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 128 };

enum json_type {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_token; /* jsmn's token; private to json.c */

struct json_doc {
    struct str text; /* borrowed: must outlive the document */
    struct json_token *token;
    uint32_t count;
};

struct json {
    const struct json_doc *doc; /* NULL: absent */
    uint32_t i;
};

/* Parses one JSON text (leading and trailing white space allowed). Tokens live in *a,
 * the text is borrowed. ERR_INVALID with the byte offset and what was expected there.
 */
int json_parse(struct json_doc *doc, struct arena *a, struct str text, struct err *err);

/* The size of one token: to move a document's tokens elsewhere. */
size_t json_token_bytes(void);

struct json json_root(const struct json_doc *doc);
enum json_type json_type(struct json v);
const char *json_type_name(enum json_type type); /* "object", as JSON Schema says it */
static inline bool json_present(struct json v)
{
    return v.doc != NULL;
}

/* The exact bytes of the value in the text, quotes included. Empty when absent. */
struct str json_raw(struct json v);

/* Object member by (unescaped) key; array element by index; number of members or
 * elements. */
struct json json_get(struct json obj, struct str key);
struct json json_at(struct json arr, size_t index);
size_t json_len(struct json v);

/* Iteration, O(1) a step:
 *   for (struct json k = json_first(obj); json_present(k); k = json_next(k))
 * yields the keys of an object (json_value(k) is the member's value) or the elements of
 * an array. */
struct json json_first(struct json container);
struct json json_next(struct json item);
struct json json_value(struct json key);

/* A string's content, unescaped: borrowed from the text when it holds no escape, else
 * made in *a. A NUL may be inside. An absent value or another type gives {NULL, 0}. */
struct str json_str(struct json v, struct arena *a);
/* The same content in parts, for a long string that need not be in one piece: each one
 * is borrowed from the text or made in `room`, and is valid until the next; an empty
 * one is the end. Characters may be split between parts. */
struct json_parts {
    struct str rest; /* private */
};
enum { JSON_PARTS_ROOM_LEAST = 256 };
struct json_parts json_parts(struct json v);
struct str json_parts_next(struct json_parts *parts, char *room, size_t room_bytes);
/* Does the string equal s, without allocating? */
bool json_str_is(struct json v, struct str s);

/* Exact integers only: 1, 1.0 and 1e2 are, 1.5 and 1e400 are not. false leaves
 * *ret_value. */
bool json_i64(struct json v, int64_t *ret_value);
bool json_f64(struct json v, double *ret_value);
bool json_is_true(struct json v); /* the literal true */

/* RFC 6901, for error messages and tests: json_pointer(v, "/a/0"). */
struct json json_pointer(struct json v, const char *pointer);

/* Structural equality (numbers by value, objects regardless of order). */
bool json_equal(struct json a, struct json b);
