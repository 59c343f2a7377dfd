/* Finding the bytes of a text that need a look, a block at a time: the kernel of the
 * JSON layer and of UTF-8 checking. 16 bytes a block with SSE2, 8 elsewhere (arithmetic
 * in a word; SCAN_PORTABLE chooses it). Both are exact about the first hit, which is
 * all that is used. The sets are constants, so that each caller gets its own loop. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#include <emmintrin.h>
#endif

/* What to stop at; to be combined. */
enum {
    SCAN_BACKSLASH = 1,
    SCAN_QUOTE = 2,   /* the double one */
    SCAN_CONTROL = 4, /* below 0x20 */
    SCAN_HIGH = 8,    /* above 0x7f */
    /* What a JSON string cannot hold as it is. */
    SCAN_STRING = SCAN_BACKSLASH | SCAN_QUOTE | SCAN_CONTROL,
};

#define SCAN_INLINE static inline __attribute__((always_inline))

SCAN_INLINE bool scan_stops(unsigned char c, unsigned at)
{
    return ((at & SCAN_BACKSLASH) && c == '\\') || ((at & SCAN_QUOTE) && c == '"') ||
           ((at & SCAN_CONTROL) && c < 0x20) || ((at & SCAN_HIGH) && c >= 0x80);
}

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
enum { SCAN_BLOCK = 16, SCAN_MASK_BITS = 1 };
typedef __m128i scan_block;

SCAN_INLINE scan_block scan_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

SCAN_INLINE void scan_store(char *to, scan_block v)
{
    _mm_storeu_si128((__m128i *)(void *)to, v);
}

/* SCAN_MASK_BITS a byte, the first byte lowest; not 0 where a byte is one of `at`. */
SCAN_INLINE uint64_t scan_mask(scan_block v, unsigned at)
{
    __m128i hit = _mm_setzero_si128();
    if (at & SCAN_BACKSLASH)
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    if (at & SCAN_QUOTE)
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    if (at & SCAN_CONTROL)
        hit =
            _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v));
    if (at & SCAN_HIGH) /* movemask takes the top bits */
        hit = _mm_or_si128(hit, v);
    return (unsigned)_mm_movemask_epi8(hit);
}
#else
enum { SCAN_BLOCK = 8, SCAN_MASK_BITS = 8 };
typedef uint64_t scan_block;

SCAN_INLINE scan_block scan_load(const char *p)
{
    scan_block v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

SCAN_INLINE void scan_store(char *to, scan_block v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(to, &v, sizeof v);
}

/* The bytes of v below n (at most 0x80). A borrow can only add hits above a true one.
 */
SCAN_INLINE uint64_t scan_below(uint64_t v, uint64_t n)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    return (v - ones * n) & ~v & tops;
}

SCAN_INLINE uint64_t scan_mask(scan_block v, unsigned at)
{
    const uint64_t ones = 0x0101010101010101, tops = ones << 7;
    uint64_t hit = 0;
    if (at & SCAN_BACKSLASH)
        hit |= scan_below(v ^ ones * '\\', 1);
    if (at & SCAN_QUOTE)
        hit |= scan_below(v ^ ones * '"', 1);
    if (at & SCAN_CONTROL)
        hit |= scan_below(v, 0x20);
    if (at & SCAN_HIGH)
        hit |= v & tops;
    return hit;
}
#endif

SCAN_INLINE size_t scan_first(uint64_t mask)
{
    return (size_t)__builtin_ctzll(mask) / SCAN_MASK_BITS;
}

/* The index of the first byte at or behind i that is one of `at`; n if there is none.
 */
SCAN_INLINE size_t scan(const char *p, size_t i, size_t n, unsigned at)
{
    for (; i + SCAN_BLOCK <= n; i += SCAN_BLOCK) {
        uint64_t mask = scan_mask(scan_load(p + i), at);
        if (mask)
            return i + scan_first(mask);
    }
    while (i < n && !scan_stops((unsigned char)p[i], at))
        i++;
    return i;
}

/* Copies up to the first byte that is one of `at`; returns how many bytes that are. Up
 * to SCAN_BLOCK - 1 bytes more may be written to `to`. */
SCAN_INLINE size_t scan_copy(char *to, const char *p, size_t n, unsigned at)
{
    size_t i = 0;
    for (; i + SCAN_BLOCK <= n; i += SCAN_BLOCK) {
        scan_block v = scan_load(p + i);
        scan_store(to + i, v);
        uint64_t mask = scan_mask(v, at);
        if (mask)
            return i + scan_first(mask);
    }
    for (; i < n && !scan_stops((unsigned char)p[i], at); i++)
        to[i] = p[i];
    return i;
}
