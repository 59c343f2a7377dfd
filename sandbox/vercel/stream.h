/* The stream of a command's output (NDJSON): lines of
 *   {"command": {...}}                         first: it runs; last: how it ended
 *   {"stream": "stdout" | "stderr", "data": "..."}
 *   {"stream": "error", "data": {"code", "message"}}
 * cut anywhere on their way. A sans-I/O parser: bytes in, events out. The peer is not
 * trusted: lines are limited, and what is not of this form is PROTOCOL. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "sandbox/vercel/objects.h"

enum { VERCEL_LINE_MAX = 16 * 1024 * 1024 };

struct vercel_stream_events {
    void (*command)(void *ctx, const struct vercel_command *command);
    void (*output)(void *ctx, enum command_stream stream, struct str bytes);
    void (*failed)(void *ctx, struct str code, struct str message);
};

struct vercel_stream {
    const struct vercel_stream_events *events;
    void *ctx;
    struct buf line; /* the beginning of a line whose end has not come */
    struct arena arena;
    bool stopped;
};

void vercel_stream_init(struct vercel_stream *s,
                        const struct vercel_stream_events *events, void *ctx);
void vercel_stream_finish(struct vercel_stream *s); /* accepts all-zero */
/* From inside an event: no further event comes out of the bytes that are being fed. */
void vercel_stream_stop(struct vercel_stream *s);
int vercel_stream_feed(struct vercel_stream *s, struct str bytes, struct err *err);
/* The stream has ended by itself: its last line may lack a newline. */
int vercel_stream_end(struct vercel_stream *s, struct err *err);
