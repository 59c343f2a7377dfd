/* A borrowed view of bytes: not NUL-terminated, never owned, may hold any byte. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* STR("literal"); also usable for a char array that ends in NUL. */
#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
/* The same for initializers of static objects, which must be constant. */
#define STR_INIT(lit)                                                                  \
    {                                                                                  \
        (lit), sizeof(lit) - 1                                                         \
    }
/* For printf: "%.*s", STR_FMT(s). */
#define STR_FMT(s) (int)((s).n), (s).p

static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* Bytes from `from` (clamped) to the end. */
static inline struct str str_from(struct str s, size_t from)
{
    if (from > s.n)
        from = s.n;
    return (struct str){from ? s.p + from : s.p, s.n - from}; /* p may be NULL */
}

/* Index of the first byte c, or -1. */
static inline ptrdiff_t str_find(struct str s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? hit - s.p : -1;
}
