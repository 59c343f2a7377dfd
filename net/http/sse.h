/* Server-sent events out of bytes in any pieces (WHATWG HTML 9.2), sans I/O.
 *
 * What came whole in one piece is handed on where it lies; only what is split between
 * pieces, or is data of several lines, is copied. */
#pragma once
#include "base/buf.h"
#include "base/str.h"
#include <stdbool.h>

enum { SSE_NAME_MAX = 128 };

struct sse {
    struct buf line; /* the beginning of a line that goes on in the next piece */
    struct buf data; /* of the event that is not ended, unless `lent` */
    struct str lent; /* its one line so far, in the caller's piece */
    struct buf name; /* its type */
    bool has_data, after_cr, started, failed;
};

/* data_max: of one event's data, and of one line. */
void sse_init(struct sse *s, size_t data_max);
void sse_finish(struct sse *s); /* accepts all-zero */

/* fn gets each complete event that has data: its type ("event:"; empty when there was
 * none) and its data, borrowed for the call. -1: a line, a type or an event over the
 * limit; so is everything after that. */
typedef void sse_event_fn(void *ctx, struct str name, struct str data);
int sse_feed(struct sse *s, struct str bytes, sse_event_fn *fn, void *ctx);
