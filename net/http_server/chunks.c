#include "net/http_server/chunks.h"

enum { DIGITS_MAX = 12, LINE_MAX_BYTES = 4096 };

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int end_of_size(struct chunks *c)
{
    if (c->digits == 0)
        return -1;
    c->state = c->left ? CHUNKS_DATA : CHUNKS_TRAILER;
    c->digits = c->line = 0;
    return 0;
}

static int take_size(struct chunks *c, char byte)
{
    int digit = digit_of(byte);
    if (digit >= 0) {
        c->left = c->left << 4 | (unsigned)digit;
        return ++c->digits > DIGITS_MAX ? -1 : 0;
    }
    if (byte == '\r')
        c->state = CHUNKS_SIZE_LF;
    else if (byte == ';' || byte == ' ' || byte == '\t')
        c->state = CHUNKS_EXTENSION;
    else
        return -1;
    return 0;
}

/* One byte that is not content. */
static int take(struct chunks *c, char byte)
{
    switch (c->state) {
    case CHUNKS_SIZE:
        return take_size(c, byte);
    case CHUNKS_EXTENSION:
        if (byte == '\r')
            c->state = CHUNKS_SIZE_LF;
        return byte == '\n' || ++c->line > LINE_MAX_BYTES ? -1 : 0;
    case CHUNKS_SIZE_LF:
        return byte == '\n' ? end_of_size(c) : -1;
    case CHUNKS_DATA_CR:
        c->state = CHUNKS_DATA_LF;
        return byte == '\r' ? 0 : -1;
    case CHUNKS_DATA_LF:
        c->state = CHUNKS_SIZE;
        return byte == '\n' ? 0 : -1;
    case CHUNKS_TRAILER:
        c->state = byte == '\r' ? CHUNKS_END_LF : CHUNKS_TRAILER_LINE;
        return 0;
    case CHUNKS_TRAILER_LINE:
        if (byte == '\n')
            c->state = CHUNKS_TRAILER;
        return ++c->line > LINE_MAX_BYTES ? -1 : 0;
    case CHUNKS_END_LF:
        c->state = CHUNKS_ENDED;
        return byte == '\n' ? 0 : -1;
    default:
        return -1;
    }
}

int chunks_feed(struct chunks *c, struct str bytes, struct buf *b)
{
    while (bytes.n && c->state != CHUNKS_ENDED) {
        if (c->state != CHUNKS_DATA) {
            if (take(c, bytes.p[0]) < 0)
                return -1;
            bytes = str_from(bytes, 1);
            continue;
        }
        size_t n = bytes.n < c->left ? bytes.n : (size_t)c->left;
        buf_add(b, bytes.p, n);
        bytes = str_from(bytes, n);
        c->left -= n;
        if (c->left == 0)
            c->state = CHUNKS_DATA_CR;
    }
    return c->state == CHUNKS_ENDED;
}
