/* The head of an HTTP/1 request (RFC 9112), strictly: pure functions over foreign
 * bytes. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <stddef.h>

enum { HTTP_HEAD_MAX = 16 * 1024 };

struct http_request_line {
    struct str method, target, version;
};

/* PROTOCOL; returns -1. */
int http_bad(struct err *err, const char *what);
bool http_is_token_char(char c);
bool http_same(struct str s, const char *word); /* whatever the case */

/* Where the head ends, behind its empty line; 0: not yet; -1: never. */
ptrdiff_t http_head_end(struct str in, struct err *err);
/* The next line of a complete head, without its CRLF; false behind the last. */
bool http_next_line(struct str *rest, struct str *line);
int http_split_request_line(struct str line, struct http_request_line *r,
                            struct err *err);
bool http_split_field(struct str line, struct str *name, struct str *value);
/* A list with commas: its next item; whether a word is in it. */
bool http_next_item(struct str *list, struct str *item);
bool http_lists(struct str value, const char *word);
