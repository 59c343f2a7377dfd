/* Server-sent events out of bytes in any pieces (WHATWG HTML 9.2), sans I/O. */
#pragma once
#include "base/buf.h"
#include "base/str.h"
#include <stdbool.h>

struct sse {
    struct buf line, data;
    bool after_cr, started;
};

/* data_max: of one event's data, and of one line. */
void sse_init(struct sse *s, size_t data_max);
void sse_finish(struct sse *s); /* accepts all-zero */

/* fn gets the data of each complete event that has some, borrowed for the call. -1: a
 * line or an event over the limit. */
typedef void sse_event_fn(void *ctx, struct str data);
int sse_feed(struct sse *s, struct str bytes, sse_event_fn *fn, void *ctx);
