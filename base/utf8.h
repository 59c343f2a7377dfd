/* UTF-8 as RFC 3629 and Unicode table 3-7 define it: no overlong forms, no surrogates,
 * nothing above U+10FFFF. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>

/* Length of the longest valid prefix that ends between characters. */
size_t utf8_valid_prefix(struct str s);

static inline bool utf8_valid(struct str s)
{
    return utf8_valid_prefix(s) == s.n;
}

/* How many bytes at the end of s start a character that further bytes could complete: 0
 * to 3. They wait for the next chunk of a stream. */
size_t utf8_incomplete_tail(struct str s);
