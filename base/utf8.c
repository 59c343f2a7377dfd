#include "base/utf8.h"
#include "base/scan.h"
#include <stdint.h>

/* Length of the character that starts with c, or 0 if none does. */
static size_t sequence_length(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c < 0xc2)
        return 0;
    if (c < 0xe0)
        return 2;
    if (c < 0xf0)
        return 3;
    return c < 0xf5 ? 4 : 0;
}

/* Unicode table 3-7: the second byte's range depends on the first. */
static bool second_ok(unsigned char first, unsigned char second)
{
    unsigned char low = 0x80, high = 0xbf;
    switch (first) {
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed:
        high = 0x9f;
        break;
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    default:
        break;
    }
    return second >= low && second <= high;
}

/* Bytes of the valid character at p: 0 if there is none within n bytes. */
static size_t character(const unsigned char *p, size_t n)
{
    size_t len = sequence_length(p[0]);
    if (len == 0 || len > n)
        return 0;
    if (len > 1 && !second_ok(p[0], p[1]))
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t utf8_valid_prefix(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while ((i = scan(s.p, i, s.n, SCAN_HIGH)) < s.n) {
        while (i < s.n && p[i] >= 0x80) {
            size_t len = character(p + i, s.n - i);
            if (len == 0)
                return i;
            i += len;
        }
    }
    return i;
}

size_t utf8_incomplete_tail(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = p[s.n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t len = sequence_length(c);
        if (len <= back)
            return 0;
        return back == 1 || second_ok(c, p[s.n - back + 1]) ? back : 0;
    }
    return 0;
}
