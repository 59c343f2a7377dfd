/* The only growing byte buffer. Its maximum is mandatory; going past it sets
 * `overflow`, which sticks (further additions do nothing), so a caller tests once at
 * the end. Growth doubles; large buffers grow by mremap, without a copy. Invariant: n
 * <= cap <= max (cap may be rounded up by one page); p is NULL while cap is 0. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *p;
    size_t n, cap, max;
    bool overflow;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_finish(struct buf *b); /* accepts all-zero; leaves it all-zero */

void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addz(struct buf *b, const char *cstr);
void buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for at least n more bytes behind b->n: a pointer to it, or NULL (overflow set).
 * After writing k <= n bytes there, add k to b->n. */
char *buf_reserve(struct buf *b, size_t n);

/* Forget the first n bytes (moves the rest down); n <= b->n. */
void buf_drop(struct buf *b, size_t n);

/* Empty again, overflow cleared, memory kept; above keep_bytes the memory is given
 * back. */
void buf_reset(struct buf *b, size_t keep_bytes);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

/* NUL-terminates behind n (not counted) and returns p, or NULL after an overflow. */
const char *buf_cstr(struct buf *b);
