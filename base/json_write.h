/* Writing JSON into a buf. The writer puts the commas; strings may hold any bytes:
 * invalid UTF-8 becomes U+FFFD, and neither a raw newline nor another control character
 * ever leaves it. An overflow of the buf sticks there. Misuse (a key in an array) is
 * caught by assert. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

enum { JSON_WRITE_DEPTH_MAX = 64 };

struct json_writer {
    struct buf *b;
    uint8_t depth;
    bool after_key;
    bool need_comma[JSON_WRITE_DEPTH_MAX];
};

/* Starts a writer that appends to b (borrowed). Needs no finish. */
void jw_init(struct json_writer *w, struct buf *b);

void jw_object(struct json_writer *w);
void jw_end_object(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_end_array(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key); /* plain ASCII without escapes */
void jw_key_any(struct json_writer *w, struct str key); /* escaped where it must be */

void jw_str(struct json_writer *w, struct str s);
void jw_cstr(struct json_writer *w, const char *s);
void jw_i64(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
void jw_f64(struct json_writer *w,
            double v); /* finite; shortest form that reads back */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
void jw_base64(struct json_writer *w, struct str bytes); /* a string of base64 */
/* One complete JSON value without raw newlines, copied as it is. */
void jw_raw(struct json_writer *w, struct str json);
/* A value out of a parsed document; white space between tokens is dropped. */
void jw_json(struct json_writer *w, struct json v);

/* jw_key and the value in one call. */
void jw_key_str(struct json_writer *w, const char *key, struct str s);
void jw_key_cstr(struct json_writer *w, const char *key, const char *s);
/* An array of strings; nothing when there are none. */
void jw_key_list(struct json_writer *w, const char *key, const struct str *list,
                 size_t count);
void jw_key_i64(struct json_writer *w, const char *key, int64_t v);
void jw_key_bool(struct json_writer *w, const char *key, bool v);
void jw_key_raw(struct json_writer *w, const char *key, struct str json);
/* Milliseconds since 1970 as ISO 8601 in UTC: "2026-01-31T12:00:00.000Z". */
void jw_key_time(struct json_writer *w, const char *key, uint64_t unix_ms);

/* Appends s to b as the inside of a JSON string (no quotes), as jw_str does. */
void json_escape(struct buf *b, struct str s);

/* The length that json_escape would write: for cutting output to an encoded size. */
size_t json_escaped_len(struct str s);
