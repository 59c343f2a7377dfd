/* The body of a request in chunks (RFC 9112 7.1), as it arrives: sans I/O. Stricter
 * than the RFC about line ends; extensions and trailers are skipped. */
#pragma once
#include "base/buf.h"
#include <stdint.h>

struct chunks {
    enum {
        CHUNKS_SIZE,      /* hex digits of a size */
        CHUNKS_EXTENSION, /* until the end of that line */
        CHUNKS_SIZE_LF,
        CHUNKS_DATA,
        CHUNKS_DATA_CR,
        CHUNKS_DATA_LF,
        CHUNKS_TRAILER, /* the beginning of a line after the last chunk */
        CHUNKS_TRAILER_LINE,
        CHUNKS_END_LF,
        CHUNKS_ENDED,
    } state;
    uint64_t left; /* of the chunk */
    unsigned digits, line;
};

/* Adds the content of `bytes` to b: 1 when the body has ended (what follows is
 * ignored), 0 when more is to come, -1 when it is not of this form. */
int chunks_feed(struct chunks *c, struct str bytes, struct buf *b);
