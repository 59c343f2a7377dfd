#include "base/base64.h"
#include <stdint.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *b, struct str s)
{
    size_t out = (s.n + 2) / 3 * 4;
    char *to = buf_reserve(b, out);
    if (!to)
        return;
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    for (; i + 3 <= s.n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = alphabet[v >> 6 & 63];
        *to++ = alphabet[v & 63];
    }
    if (i < s.n) {
        uint32_t v = (uint32_t)p[i] << 16;
        if (i + 1 < s.n)
            v |= (uint32_t)p[i + 1] << 8;
        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = i + 1 < s.n ? alphabet[v >> 6 & 63] : '=';
        *to++ = '=';
    }
    b->n += out;
}

/* 0..63, or 0xff */
static uint8_t sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 0xff;
}

int base64_decode(struct buf *b, struct str s, struct err *err)
{
    static uint8_t table[256];
    if (!table[0])
        for (int c = 0; c < 256; c++)
            table[c] = sextet((char)c);
    if (s.n % 4 != 0)
        return err_set(err, ERR_INVALID,
                       "base64: the length %zu is not a multiple of 4", s.n);
    size_t pad = 0;
    while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
        pad++;
    size_t out = s.n / 4 * 3 - pad, before = b->n;
    char *to = buf_reserve(b, out + 3);
    if (!to)
        return err_set(err, ERR_LIMIT, "base64: %zu bytes are too many", out);
    for (size_t i = 0; i < s.n; i += 4) {
        size_t letters = i + 4 == s.n ? 4 - pad : 4;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            uint8_t x = k < letters ? table[(unsigned char)s.p[i + k]] : 0;
            if (x == 0xff)
                return err_set(err, ERR_INVALID, "base64: bad character at byte %zu",
                               i + k);
            v = v << 6 | x;
        }
        if ((letters == 2 && (v & 0xffff)) || (letters == 3 && (v & 0xff)))
            return err_set(err, ERR_INVALID, "base64: bits left over at the end");
        *to++ = (char)(v >> 16);
        *to++ = (char)(v >> 8);
        *to++ = (char)v;
    }
    b->n = before + out;
    return 0;
}

/* In the other alphabet, and with the padding that is left out there. */
int base64url_decode(struct buf *b, struct str s, struct err *err)
{
    struct buf plain;
    if (s.n % 4 == 1)
        return err_set(err, ERR_INVALID, "base64url: no text has the length %zu", s.n);
    buf_init(&plain, s.n + 4);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool foreign = c == '+' || c == '/' || c == '=';
        buf_addc(&plain, (char)(foreign ? ' ' : c == '-' ? '+' : c == '_' ? '/' : c));
    }
    while (plain.n % 4)
        buf_addc(&plain, '=');
    int rc = base64_decode(b, buf_str(&plain), err);
    buf_finish(&plain);
    return rc;
}
